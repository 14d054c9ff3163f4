// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package storetest runs a test on every database that orchestrator/store
// knows. It is for tests only, also for those of other packages that need a
// store.
//
// What a test gets:
//
//   - [Each], [EachURL], [SQLite], [Database]: a database of its own that has all
//     tables and no rows, in some milliseconds: a copy of one that was migrated
//     once in this test program. SQLite is a file in a folder of the test.
//     PostgreSQL is a database on a real server that all tests of the program
//     share, which is started when the first test asks for it and ends with the
//     program. Neither writes through to the disk (a killed process loses
//     nothing, a power cut would).
//   - [EachEmpty], [EmptySQLite], [EmptyDatabase]: the same without tables, for
//     tests of migrating.
//   - [Postgres]: a server of its own, to restart, kill and fill. It writes
//     through to the disk, as does SQLite opened by [OpenDurable].
//
// Tests may run in parallel. Where PostgreSQL is not installed, tests that want
// it are skipped with a sentence that says what to install.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/store"
)

// Each runs fn on each database. Every call of open opens the same, migrated database
// once more, as another node: "node-1", "node-2" ... Each closes all of them at the
// end.
func Each(t *testing.T, fn func(t *testing.T, open func() *store.Store)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) {
		n := 0
		fn(t, func() *store.Store {
			n++
			return Open(t, url, store.Options{Node: fmt.Sprintf("node-%d", n), Shared: n > 1})
		})
	})
}

// EachURL runs fn on each database, which is migrated and has no rows.
func EachURL(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Database(t)) })
}

// EachEmpty runs fn on each database, which has no tables.
func EachEmpty(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, EmptySQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, EmptyDatabase(t)) })
}

// Open opens the database, migrates it if it has no tables, and closes it when the test
// ends. It does not sync to the disk.
func Open(tb testing.TB, url string, o store.Options) *store.Store {
	tb.Helper()
	o.NoSync = true
	return OpenDurable(tb, url, o)
}

// OpenDurable is Open as a server in use does it, with writes synced to the disk; on
// PostgreSQL that depends on the server.
func OpenDurable(tb testing.TB, url string, o store.Options) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), url, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	if s.Check(tb.Context()) == nil {
		return s
	}
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// SQLite returns the address of a new, migrated SQLite database.
func SQLite(tb testing.TB) string {
	tb.Helper()
	file, err := migratedFile()
	if err != nil {
		tb.Fatal(err)
	}
	url := EmptySQLite(tb)
	if err := os.WriteFile(strings.TrimPrefix(url, "sqlite:"), file, 0o600); err != nil {
		tb.Fatal(err)
	}
	return url
}

// EmptySQLite returns the address of a SQLite database that does not exist yet.
func EmptySQLite(tb testing.TB) string {
	tb.Helper()
	return "sqlite:" + filepath.Join(tb.TempDir(), "farm.db")
}

// migratedFile is a SQLite file that has all tables and no rows.
var migratedFile = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "zfarm-sqlite-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, "farm.db")
	if err := migrate("sqlite:" + name); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
})

func migrate(url string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, url, store.Options{NoSync: true})
	if err != nil {
		return err
	}
	return errors.Join(s.Migrate(ctx), s.Close())
}
