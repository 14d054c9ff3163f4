// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrFull: the database has no space to write. Nothing of the transition was written.
var ErrFull = errors.New("the disk of the database is full: free some space, and the farm continues by itself")

// ErrUncertain: the connection was lost while a transition was being committed. It has
// happened or it has not; the caller must read the state again.
var ErrUncertain = errors.New("the database was lost while a transition was being committed: look whether it happened before trying again")

// ErrNested: a method of Store was called from within the function of an Update, with
// its context. It would need a second connection while the first one holds the lock
// that every transition waits for. Call the method of Tx instead, or add it.
var ErrNested = errors.New("called within Update, which would take a second connection: call the method of Tx instead")

// updating marks the context of an Update's function.
type updating struct{}

// outside returns ErrNested within an Update.
func outside(ctx context.Context) error {
	if ctx.Value(updating{}) != nil {
		return ErrNested
	}
	return nil
}

// wrap adds the errors that callers test for to those of the database.
func wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrUnknown
	case sqliteCode(err) == sqlite3.SQLITE_FULL, postgresCode(err) == "53100":
		return fmt.Errorf("%w (%w)", ErrFull, err)
	case missingTable(err):
		return fmt.Errorf("%w: run \"zfarm db migrate\" (%w)", ErrSchema, err)
	}
	return err
}

// sqliteCode returns the primary result code, 0 for other errors.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// postgresCode returns the SQLSTATE, "" for other errors.
func postgresCode(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

func missingTable(err error) bool {
	return postgresCode(err) == "42P01" ||
		sqliteCode(err) == sqlite3.SQLITE_ERROR && strings.Contains(err.Error(), "no such table")
}

// contended reports that the database preferred another transaction and changed
// nothing.
func contended(err error) bool {
	switch postgresCode(err) {
	case "40001", "40P01", "55P03":
		return true
	}
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// disconnected reports that the server went away, or has not started yet.
func disconnected(err error) bool {
	switch postgresCode(err) {
	case "57P01", "57P02", "57P03", "53300", "25P03":
		return true
	}
	var broken net.Error
	var connecting *pgconn.ConnectError
	return errors.Is(err, driver.ErrBadConn) || errors.As(err, &broken) || errors.As(err, &connecting) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "unexpected EOF")
}

// The pauses between tries double from the first to the longest. Together they last
// some seconds, which a server needs to restart.
const (
	tries        = 14
	firstPause   = 2 * time.Millisecond
	longestPause = time.Second
)

// retry calls fn again, a bounded number of times, while the database is contended or
// disconnected. fn must have changed nothing when it returns such an error, or be safe
// to repeat.
func retry(ctx context.Context, fn func() error) error { return retryAtMost(ctx, tries, fn) }

// persist is retry until ctx ends: it outlasts a server that is away for long.
func persist(ctx context.Context, fn func() error) error {
	return retryAtMost(ctx, math.MaxInt, fn)
}

func retryAtMost(ctx context.Context, most int, fn func() error) error {
	if err := outside(ctx); err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := fn()
		if err == nil || ctx.Err() != nil || n == most || errors.Is(err, ErrUncertain) || !contended(err) && !disconnected(err) {
			return wrap(err)
		}
		pause := min(firstPause<<min(n, tries), longestPause)
		select {
		case <-ctx.Done():
			return wrap(err)
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}
