// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
)

// ioFailure keeps the first error in reading or storing bytes that is not caused by
// the bytes themselves. A comparison with such an error has no verdict: the reader
// of a format cannot tell a bad disk from a bad file, and would report the files as
// different.
type ioFailure struct{ first atomic.Pointer[error] }

func (t *ioFailure) record(err error) { t.first.CompareAndSwap(nil, &err) }

func (t *ioFailure) err() error {
	if first := t.first.Load(); first != nil {
		return *first
	}
	return nil
}

// endError returns the error that ends the comparison regardless of the bytes: that ctx
// ended, or that reading or storing failed.
func (c *comparison) endError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.failure.err()
}

// reader returns r with its errors recorded in t.
func (t *ioFailure) reader(r io.ReaderAt) io.ReaderAt { return recordingReader{r, t} }

type recordingReader struct {
	r io.ReaderAt
	t *ioFailure
}

func (x recordingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := x.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		x.t.record(fmt.Errorf("reading %d bytes at %d: %w", len(p), off, err))
	}
	return n, err
}

// writer returns w, which stores unpacked content, with its errors recorded in t.
func (t *ioFailure) writer(w io.Writer) io.Writer {
	return writeFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		if err != nil {
			t.record(fmt.Errorf("keeping unpacked content: %w; free some room or name another work folder", err))
		}
		return n, err
	})
}
