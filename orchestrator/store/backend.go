// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// backend hides the differences between the two databases.
type backend interface {
	kind() string
	pool() *sql.DB
	// begin begins a writing transaction and locks out all others, so that what it
	// reads is current.
	begin(ctx context.Context) (transaction, error)
	// exclusively runs fn while no other process migrates.
	exclusively(ctx context.Context, fn func(ctx context.Context) error) error
	queueSchema(ctx context.Context, migrate bool) (fits bool, err error)
	backup(ctx context.Context, file string) error
	work(ctx context.Context, w Work) error
	close() error
}

// transaction is a writing transaction.
type transaction interface {
	query.DBTX
	// counter reads the row that all transitions lock.
	counter(ctx context.Context) (query.Counter, error)
	wake(ctx context.Context, wakes []Wake) error
	commit(ctx context.Context) error
	// rollback undoes what has not been committed and returns the connection.
	rollback()
}

// target is a parsed database URL.
type target struct {
	postgres bool
	// path is the absolute path of the SQLite file.
	path string
}

// dsn returns the path with the SQLite settings that the store relies on. Synchronous
// is FULL if durable is set: a reported transition must survive a power cut.
func (t target) dsn(durable bool) string {
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(t.path)}
	synchronous := "synchronous(FULL)"
	if !durable {
		synchronous = "synchronous(OFF)"
	}
	name.RawQuery = url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", synchronous, "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}.Encode()
	return name.String()
}

func parse(text string) (target, error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case text == "":
		return target{}, errors.New("no database is named: give a path, \"sqlite:PATH\" or \"postgres://USER@HOST/NAME\"")
	case strings.HasPrefix(text, "postgres://"), strings.HasPrefix(text, "postgresql://"):
		return target{postgres: true}, nil
	case found && strings.HasPrefix(rest, "//"):
		return target{}, fmt.Errorf("database %q: only \"sqlite:PATH\" and \"postgres://USER@HOST/NAME\" are known", scheme+"://...")
	case found && scheme == "sqlite":
		text = rest
	}
	if text == "" || text == ":memory:" || strings.ContainsRune(text, 0) || strings.HasSuffix(text, "/") {
		return target{}, fmt.Errorf("database %q: name a file, e.g. sqlite:/var/lib/zfarm/farm.db", text)
	}
	path, err := filepath.Abs(text)
	if err != nil {
		return target{}, fmt.Errorf("finding database %q: %w", text, err)
	}
	return target{path: path}, nil
}
