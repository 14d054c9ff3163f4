// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// Tx is a transition in progress: [Store.Update] passes it to its function. It is for
// one goroutine, and only until that function returns.
type Tx struct {
	transaction
	q    *query.Queries
	node string
	now  time.Time
	// counter is the row as it will be written; moved means that something was written.
	counter query.Counter
	moved   bool
	wakes   []Wake
	woken   map[Wake]struct{}
}

// Now returns the time of the transition, in UTC and truncated to milliseconds.
func (tx *Tx) Now() time.Time { return tx.now }

// Update runs fn in one transaction that no other Update on this database overlaps
// with, whatever process it is in. When fn returns an error, the transaction is rolled
// back.
//
// Update calls fn again when the database was contended or disconnected, so fn must
// have no effects outside tx. It must not call methods of the Store: with the context
// that it gets they return ErrNested. If the connection is lost during the commit, the
// error is ErrUncertain; if the database has no space, ErrFull.
func (s *Store) Update(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if err := outside(ctx); err != nil {
		return err
	}
	unlock, err := s.lockWriting(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	moved := false
	err = retry(ctx, func() (err error) {
		moved, err = s.update(ctx, fn)
		return err
	})
	if moved && err == nil {
		s.notify()
	}
	return err
}

// lockWriting waits until no other goroutine of this process writes a transition.
func (s *Store) lockWriting(ctx context.Context) (unlock func(), err error) {
	select {
	case s.writing <- struct{}{}:
		return func() { <-s.writing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Store) update(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) (moved bool, err error) {
	t, err := s.begin(ctx)
	if err != nil {
		return false, err
	}
	defer t.rollback()
	tx := &Tx{transaction: t, q: query.New(t), node: s.options.Node, woken: map[Wake]struct{}{}}
	if tx.counter, err = t.counter(ctx); err != nil {
		return false, err
	}
	// Read after taking the lock, so that times are in the order of transitions.
	tx.now = s.now()
	if err := fn(context.WithValue(ctx, updating{}, true), tx); err != nil {
		return false, err
	}
	if len(tx.wakes) > 0 {
		if err := t.wake(ctx, tx.wakes); err != nil {
			return false, fmt.Errorf("waking up: %w", err)
		}
		tx.moved = true
	}
	if !tx.moved {
		return false, nil
	}
	err = tx.q.Bump(ctx, query.BumpParams{Builds: tx.counter.Builds, Events: tx.counter.Events, Audits: tx.counter.Audits})
	if err != nil {
		return false, err
	}
	return true, t.commit(ctx)
}

// NextSeq returns the number that the next build created in this transition gets. No
// other build, deleted ones included, ever has it.
func (tx *Tx) NextSeq() int64 { return tx.counter.Builds + 1 }

// Wake queues wake-ups if the transition is committed. It drops those of kind Claim,
// Needs and Probe when an equal one is in the queue already, even one being handled:
// its handler reads the tables again, and [Store.Due] finds what it missed.
func (tx *Tx) Wake(_ context.Context, ws ...Wake) error {
	for _, w := range ws {
		if w.Kind == "" {
			return errors.New("waking up: a wake-up needs a kind")
		}
		if _, known := tx.woken[w]; known {
			continue
		}
		tx.woken[w] = struct{}{}
		tx.wakes = append(tx.wakes, w)
	}
	return nil
}

// read runs one statement.
func (s *Store) read(ctx context.Context, what string, fn func(q *query.Queries) error) error {
	if err := retry(ctx, func() error { return fn(s.q) }); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// view runs several statements that all see the database as it was at one moment,
// without blocking writers.
func (s *Store) view(ctx context.Context, what string, fn func(db query.DBTX) error) error {
	err := retry(ctx, func() error {
		tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.snapshot()})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		return fn(tx)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// write runs statements that change no build state in one transaction of their own.
func (s *Store) write(ctx context.Context, what string, fn func(q *query.Queries) error) error {
	err := retry(ctx, func() error {
		if s.kind() == "sqlite" {
			unlock, err := s.lockWriting(ctx)
			if err != nil {
				return err
			}
			defer unlock()
		}
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if err := fn(s.q.WithTx(tx)); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// snapshot returns the isolation level at which a reader sees one moment. SQLite's
// readers always do.
func (s *Store) snapshot() sql.IsolationLevel {
	if s.kind() == "postgres" {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}
