// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"database/sql"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// SQL opens the database without the store, for tests that tamper with it.
func SQL(tb testing.TB, url string) (*sql.DB, error) {
	tb.Helper()
	driver, name := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, name)
	if err == nil {
		tb.Cleanup(func() { db.Close() }) //nolint:errcheck // the test is over
	}
	return db, err
}
