// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
)

// broken is the first error in reading or keeping bytes that is no fault of
// theirs. A comparison that met one has no verdict: a reader of a format cannot
// tell a bad disk from a bad file, and would have called them different.
type broken struct{ first atomic.Pointer[error] }

func (t *broken) note(err error) { t.first.CompareAndSwap(nil, &err) }

func (t *broken) err() error {
	if first := t.first.Load(); first != nil {
		return *first
	}
	return nil
}

// cut says what ends a comparison whatever the bytes are, nil if nothing does.
func (c *comparison) cut(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.broken.err()
}

// read notes the errors of r.
func (t *broken) read(r io.ReaderAt) io.ReaderAt { return noting{r, t} }

type noting struct {
	r io.ReaderAt
	t *broken
}

func (x noting) ReadAt(p []byte, off int64) (int, error) {
	n, err := x.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		x.t.note(fmt.Errorf("reading %d bytes at %d: %w", len(p), off, err))
	}
	return n, err
}

// keep notes the errors of w, which keeps what was unpacked.
func (t *broken) keep(w io.Writer) io.Writer {
	return writeFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		if err != nil {
			t.note(fmt.Errorf("keeping unpacked content: %w; free some room or name another work folder", err))
		}
		return n, err
	})
}
