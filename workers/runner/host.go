// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package runner runs named steps on a machine so that they outlive the connection and
// the orchestrator that began them: a small shell script in the workspace starts a step
// once, in its own process group, keeps its log, status and lease beside it, and ends a
// step that nobody watches any more.
//
// It makes a workers.Worker of any Host. workers/ssh and workers/local are the two
// Hosts; neither knows about steps.
package runner

import (
	"context"
	"io"
	"io/fs"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
)

// Host is a machine as the runner needs it: files as bytes, and short commands. Paths
// are absolute on the machine. The error of a connection that ended wraps
// workers.ErrLost; that of a missing file wraps fs.ErrNotExist.
type Host interface {
	// Exec runs one short command line of printable ASCII and newlines under a POSIX
	// shell and returns when it has ended. Output beyond 1 MiB is cut. The channel may
	// convert code pages: only ASCII text passes unchanged.
	Exec(ctx context.Context, command string) (Output, error)
	// Put writes a file to a temporary name and renames it over path; the parent folder
	// must exist. It returns the digest of the bytes sent, and an error if the machine
	// holds a different number of bytes.
	Put(ctx context.Context, path string, mode fs.FileMode, r io.Reader) (digest.Digest, error)
	// Open returns the bytes of a regular file from offset to its current end.
	Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error)
	// Stat describes a path without following links.
	Stat(ctx context.Context, path string) (workers.Entry, error)
	// List returns the entries of a folder, sorted by name, without following links.
	List(ctx context.Context, path string) ([]workers.Entry, error)
	// Banner is the identification of the machine's server; "" without one.
	Banner() string
	Close() error
}

// Output is the output of a short command and its exit status.
type Output struct {
	Stdout, Stderr []byte
	Code           int
}
