// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package store

import (
	"errors"
	"io"
)

func lockFile(string) (io.Closer, error) {
	return nil, errors.New("a database file can be taken on a UNIX system only: use PostgreSQL here")
}
