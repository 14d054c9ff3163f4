// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pkg/sftp"
)

// chunkSize is the size of one sftp packet.
const chunkSize = 32 << 10

// reader reads a range of a file with many requests in flight and returns the bytes in
// order.
type reader struct {
	c         *conn
	f         *sftp.File
	path      string
	off, size int64

	order chan chan chunk // answers, in the order of the file
	now   chunk           // what Read is returning
	end   context.CancelCauseFunc
	ended <-chan struct{}
	why   func() error
}

type chunk struct {
	b   []byte
	err error
}

func newReader(ctx context.Context, c *conn, f *sftp.File, path string, offset, size int64) *reader {
	reading, end := context.WithCancelCause(ctx)
	r := &reader{
		c: c, f: f, path: path, off: offset, size: size, order: make(chan chan chunk, packets),
		end: end, ended: reading.Done(), why: func() error { return context.Cause(reading) },
	}
	// Do not wait for the close: after reading, its answer means nothing, and the
	// server may be slow or gone.
	context.AfterFunc(reading, func() { _ = f.Close() })
	go r.request()
	return r
}

// request keeps requests in flight until the end of the range.
func (r *reader) request() {
	defer close(r.order)
	for off := r.off; off < r.size; off += chunkSize {
		answer := make(chan chunk, 1)
		select {
		case r.order <- answer:
		case <-r.ended:
			return
		}
		go func() {
			b := make([]byte, min(chunkSize, r.size-off))
			// A short packet is requested again until it is complete, so a server that
			// answers short costs time only.
			n, err := r.f.ReadAt(b, off)
			if n == len(b) {
				err = nil
			}
			answer <- chunk{b[:n], err}
		}()
	}
}

// Read returns the next bytes.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.now.b) == 0 {
		if r.now.err != nil {
			return 0, r.now.err
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.now.b)
	r.now.b = r.now.b[n:]
	return n, nil
}

func (r *reader) next() error {
	if r.isEnded() {
		return r.endErr()
	}
	select {
	case answer, more := <-r.order:
		if !more {
			if r.isEnded() {
				return r.endErr()
			}
			return io.EOF
		}
		select {
		case r.now = <-answer:
			r.now.err = r.explain(r.now.err)
			return nil
		case <-r.ended:
			return r.endErr()
		}
	case <-r.ended:
		return r.endErr()
	}
}

func (r *reader) isEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (r *reader) endErr() error { return fmt.Errorf("reading %s: %w", r.path, r.why()) }

func (r *reader) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case r.isEnded():
		return r.endErr()
	case errors.Is(err, io.EOF) && r.c.alive():
		return fmt.Errorf("reading %s: it became shorter than the %d bytes it had: %w", r.path, r.size, io.ErrUnexpectedEOF)
	}
	return r.c.sftpErr(context.Background(), err, "reading", r.path)
}

// Close ends the reading.
func (r *reader) Close() error {
	r.end(fs.ErrClosed)
	return nil
}
