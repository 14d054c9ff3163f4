// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package storetest runs a test on every database that orchestrator/store
// knows: SQLite in a folder of its own, and a real PostgreSQL server that it
// starts itself, where the machine has the programs.
//
// It is for tests only, also for those of other packages that need a store.
package storetest

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/store"
)

// Each runs fn on each database. Every call of open opens the same, migrated
// database once more, as another node: "node-1", "node-2" ... All are closed at
// the end.
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

// EachURL runs fn on each database, which is empty and not migrated.
func EachURL(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Database(t)) })
}

// Open opens and migrates the database, and closes it when the test ends.
func Open(tb testing.TB, url string, o store.Options) *store.Store {
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

// SQLite returns the address of a new SQLite database.
func SQLite(tb testing.TB) string {
	tb.Helper()
	return "sqlite:" + filepath.Join(tb.TempDir(), "farm.db")
}
