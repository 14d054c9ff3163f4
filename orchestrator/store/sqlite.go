// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// sqliteConnections bounds the readers at a time; SQLite has one writer anyway.
const sqliteConnections = 4

type sqliteBackend struct {
	path    string
	options *Options
	db      *sql.DB
	river   *river.Client[*sql.Tx]
}

func openSQLite(ctx context.Context, t target, o *Options) (*sqliteBackend, error) {
	if o.Poll == 0 {
		o.Poll = 50 * time.Millisecond
	}
	// SQLite gives its other files the mode of this one.
	if f, err := os.OpenFile(t.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("opening database %s: %w", t.path, wrap(err))
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("opening database %s: %w", t.path, wrap(err))
	}
	db, err := sql.Open("sqlite", t.dsn(!o.NoSync))
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", t.path, err)
	}
	db.SetMaxOpenConns(sqliteConnections)
	db.SetMaxIdleConns(sqliteConnections)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening database %s: %w", t.path, wrap(err))
	}
	client, err := river.NewClient(riversqlite.New(db), inserting())
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("preparing the queue: %w", err)
	}
	return &sqliteBackend{path: t.path, options: o, db: db, river: client}, nil
}

func (b *sqliteBackend) kind() string  { return "sqlite" }
func (b *sqliteBackend) pool() *sql.DB { return b.db }
func (b *sqliteBackend) close() error  { return b.db.Close() }

func (b *sqliteBackend) begin(ctx context.Context) (transaction, error) {
	// _txlock makes this BEGIN IMMEDIATE, which waits for other writers.
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &sqliteTx{Tx: tx, river: b.river}, nil
}

// exclusively locks the file for this process if it has not done so yet.
func (b *sqliteBackend) exclusively(ctx context.Context, fn func(ctx context.Context) error) (err error) {
	if b.options.Shared {
		lock, err := lockFile(b.path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Close()) }()
	}
	return fn(ctx)
}

func (b *sqliteBackend) queueSchema(ctx context.Context, migrate bool) (bool, error) {
	m, err := rivermigrate.New(riversqlite.New(b.db), &rivermigrate.Config{Logger: silent()})
	if err != nil {
		return false, err
	}
	return queueSchema(ctx, m, migrate)
}

// backup writes the whole database to a temporary file and renames it. Readers and
// writers go on meanwhile.
func (b *sqliteBackend) backup(ctx context.Context, file string) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), ".zfarm-backup-")
	if err != nil {
		return fmt.Errorf("backing up to %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	aside := filepath.Join(dir, "farm.db")
	if _, err := b.db.ExecContext(ctx, "VACUUM INTO ?", aside); err != nil {
		return fmt.Errorf("backing up to %s: %w", file, wrap(err))
	}
	if err := os.Chmod(aside, 0o600); err != nil {
		return fmt.Errorf("backing up to %s: %w", file, err)
	}
	if err := flush(aside); err != nil {
		return fmt.Errorf("backing up to %s: %w", file, err)
	}
	if err := os.Rename(aside, file); err != nil {
		return fmt.Errorf("backing up to %s: %w", file, err)
	}
	return flush(filepath.Dir(file))
}

// flush makes a file or folder survive a power cut.
func flush(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (b *sqliteBackend) work(ctx context.Context, w Work) error {
	config := working(b.options, w, ctx.Done())
	config.PollOnly = true
	client, err := river.NewClient(riversqlite.New(b.db), config)
	if err != nil {
		return fmt.Errorf("preparing the queue: %w", err)
	}
	return serve(ctx, client)
}

type sqliteTx struct {
	*sql.Tx
	river *river.Client[*sql.Tx]
}

func (t *sqliteTx) counter(ctx context.Context) (query.Counter, error) {
	return query.New(t).Counter(ctx)
}

func (t *sqliteTx) wake(ctx context.Context, wakes []Wake) error {
	_, err := t.river.InsertManyTx(ctx, t.Tx, entries(wakes))
	return err
}

func (t *sqliteTx) commit(context.Context) error { return t.Commit() }

func (t *sqliteTx) rollback() { _ = t.Rollback() }
