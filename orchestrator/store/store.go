// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package store keeps builds, attempts, leases, events, logs and releases in a
// database, SQLite or PostgreSQL, and queues wake-ups for the engines that must act on
// them.
//
// It decides nothing: orchestrator's pure functions define the transitions,
// orchestrator/schedule assigns slots, orchestrator/engine acts. No other package knows
// SQL or the queue's library.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/zfarm/zfarm/orchestrator/store/query"
)

//go:generate sqlc generate
// with sqlc v1.31.1: go install github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1

// Options configure a Store. The zero value is enough for reading and for Update.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Node names this process in holds and in the queue. Every process on one database
	// has its own name. Holds and Work need it.
	Node string
	// Poll is how often the queue is read without a notification: always with SQLite (0
	// means 50 ms), as a fallback with PostgreSQL (0 means 1 s).
	Poll time.Duration
	// Shared does not lock the SQLite file for this process alone: for commands that
	// read while a server runs.
	Shared bool
	// NoSync lets SQLite return before its writes are on the disk, so that a power cut
	// may lose them: for tests.
	NoSync bool
}

// Store is the database of a farm. It is safe for concurrent use.
type Store struct {
	backend
	options Options
	db      *sql.DB
	q       *query.Queries
	// writing is held while this process writes a transition, so that its goroutines
	// queue here instead of inside the database.
	writing chan struct{}
	lock    io.Closer

	mu      sync.Mutex
	changed chan struct{}
	fixed   map[string]fixedPart    // of builds that have not ended, by id
	workers map[string]cachedWorker // by name
}

// Open opens the database that url names: "sqlite:PATH" or a plain path, or
// "postgres://..." as libpq understands it. It does not migrate: see
// [Store.Check] and [Store.Migrate].
//
// A SQLite file is locked for this process alone (by a lock on PATH.lock) unless
// Options.Shared is set; if another process has the lock, the error is ErrInUse.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	target, err := parse(url)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{options: o, writing: make(chan struct{}, 1), changed: make(chan struct{}), workers: map[string]cachedWorker{}}
	if target.postgres {
		s.backend, err = openPostgres(ctx, url, &s.options)
	} else {
		if !o.Shared {
			if s.lock, err = lockFile(target.path); err != nil {
				return nil, err
			}
		}
		s.backend, err = openSQLite(ctx, target, &s.options)
	}
	if err != nil {
		if s.lock != nil {
			_ = s.lock.Close()
		}
		return nil, err
	}
	s.db = s.pool()
	s.q = query.New(s.db)
	return s, nil
}

// Close closes the database. Work must have returned.
func (s *Store) Close() error {
	err := s.close()
	if s.lock != nil {
		if unlock := s.lock.Close(); err == nil {
			err = unlock
		}
	}
	if err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// Changed returns a channel that is closed after the next Update or AppendLog of this
// process that wrote something.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// notify closes the channel that Changed returned.
func (s *Store) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Seq counts the Updates of all processes that wrote something: while it stays the
// same, no state has changed.
func (s *Store) Seq(ctx context.Context) (int64, error) {
	var n int64
	err := s.read(ctx, "reading the counter", func(q *query.Queries) error {
		row, err := q.Counter(ctx)
		n = row.N
		return err
	})
	return n, err
}

// now returns the time, truncated to the precision of the database.
func (s *Store) now() time.Time { return s.options.Now().UTC().Truncate(time.Millisecond) }
