// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// Bound limits the number of pages that the database may have.
func Bound(ctx context.Context, s *Store, pages int) (err error) {
	for range sqliteConnections {
		conn, connErr := s.db.Conn(ctx) // all at once, so that each is another one
		if connErr != nil {
			return connErr
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			return err
		}
	}
	return nil
}

func TestParse(t *testing.T) {
	here, err := filepath.Abs("farm.db")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]target{
		"farm.db":                       {path: here},
		"sqlite:farm.db":                {path: here},
		"sqlite:/var/lib/zfarm.db":      {path: "/var/lib/zfarm.db"},
		"/var/lib/a b?c=d#e%20:f.db":    {path: "/var/lib/a b?c=d#e%20:f.db"},
		"postgres://farm@db/zfarm":      {postgres: true},
		"postgresql:///zfarm?host=/run": {postgres: true},
	} {
		if have, err := parse(text); err != nil || have != want {
			t.Errorf("%q: %+v, %v; want %+v", text, have, err, want)
		}
	}
	for _, text := range []string{"", "sqlite:", "sqlite::memory:", ":memory:", "mysql://root:secret@db/x", "sqlite:///x", "a\x00b", "/var/lib/"} {
		have, err := parse(text)
		if err == nil {
			t.Errorf("%q: %+v, want an error", text, have)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", text, err)
		}
	}
}

// FuzzParse: whatever path is given, SQLite opens that path, and no part of it becomes
// a setting.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"farm.db", "sqlite:a?_pragma=journal_mode(OFF)&x=%00", "sqlite:/a//b/../c#d", "postgres://u:p@h/d", "file:a", "%2e%2e/x", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := parse(text)
		if err != nil || target.postgres {
			return
		}
		if !filepath.IsAbs(target.path) || strings.ContainsRune(target.path, 0) {
			t.Fatalf("path %q", target.path)
		}
		u, err := url.Parse(target.dsn(true))
		if err != nil {
			t.Fatal(err)
		}
		if u.Scheme != "file" || u.Host != "" || u.Fragment != "" || u.Path != target.path {
			t.Errorf("%q became %+v", target.path, u)
		}
		if q := u.Query(); len(q) != 2 || len(q["_pragma"]) != 4 || q.Get("_txlock") != "immediate" {
			t.Errorf("settings %v", q)
		}
	})
}

func TestOpeningPostgresDoesNotTellThePassword(t *testing.T) {
	for _, address := range []string{
		"postgres://anna:hushhush@127.0.0.1:1/farm?connect_timeout=2",
		"postgres://anna:hushhush@127.0.0.1:port/farm",
		"postgres://anna:hushhush@127.0.0.1:1/farm?sslmode=none",
	} {
		_, err := Open(t.Context(), address, Options{})
		if err == nil || strings.Contains(err.Error(), "hushhush") {
			t.Errorf("%v: want an error without the password", err)
		}
	}
}

func TestErrorsThatPostgresTells(t *testing.T) {
	full := fmt.Errorf("extending: %w", &pgconn.PgError{Code: "53100"})
	if err := wrap(full); !errors.Is(err, ErrFull) || !errors.Is(err, full) {
		t.Errorf("a full disk is %v", err)
	}
	for code, again := range map[string]bool{"40001": true, "40P01": true, "55P03": true, "57P01": true, "57P03": true, "23505": false, "42601": false, "53100": false} {
		err := fmt.Errorf("doing: %w", &pgconn.PgError{Code: code})
		if have := contended(err) || disconnected(err); have != again {
			t.Errorf("%s is tried again: %t", code, have)
		}
	}
	if disconnected(errors.New("a fault")) || contended(errors.New("a fault")) || disconnected(ErrRefused) {
		t.Error("any error is tried again")
	}
}

func TestTriesAgain(t *testing.T) {
	away := &pgconn.PgError{Code: "57P03"}
	for _, c := range []struct {
		name     string
		again    func(context.Context, func() error) error
		failures int // before it would succeed
		err      error
		want     int // calls
		ok       bool
	}{
		{"retry, some times", retry, 14, away, 15, true},
		{"retry, no longer", retry, 15, away, 15, false},
		{"persist, as long as it takes", persist, 3000, away, 3001, true},
		{"persist, until its context ends", persist, 1_000_000, away, 0, false},
		{"persist, not for another error", persist, 1, errors.New("a fault"), 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				calls := 0
				err := c.again(ctx, func() error {
					if calls++; calls <= c.failures {
						return c.err
					}
					return nil
				})
				if (err == nil) != c.ok || c.want > 0 && calls != c.want || err != nil && !errors.Is(err, c.err) {
					t.Errorf("%d calls and %v, want %d calls", calls, err, c.want)
				}
			})
		})
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{"": "", "plain": "plain", "a\x00b\xff": "a\uFFFDb\uFFFD"} {
		if have := clean(text); have != want {
			t.Errorf("%q became %q", text, have)
		}
	}
	for _, text := range []string{strings.Repeat("ü", longest), strings.Repeat("漢", longest)} {
		long := clean(text)
		if len(long) > longest+10 || !utf8.ValidString(long) || strings.Contains(long, "\uFFFD") {
			t.Errorf("a long text became %d bytes, valid: %t, ending in %q", len(long), utf8.ValidString(long), long[len(long)-10:])
		}
	}
}
