// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// handle is an open input.
type handle struct {
	in Input
	rc io.ReadCloser
	// at reads the size bytes of the input in place; nil if that is not possible.
	at   io.ReaderAt
	size int64
}

func openInput(in Input) (*handle, error) {
	h := &handle{in: in}
	rc, err := in.Open()
	if err != nil {
		return h, fmt.Errorf("opening %s: %w", in.Name, err)
	}
	h.rc = rc
	at, ok := rc.(io.ReaderAt)
	if !ok {
		return h, nil
	}
	switch f := rc.(type) {
	case interface{ Size() int64 }:
		h.at, h.size = at, f.Size()
	case fs.File:
		// A pipe has no size and cannot be read in place.
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			h.at, h.size = at, info.Size()
		}
	}
	return h, nil
}

func (h *handle) close() {
	if h.rc != nil {
		h.rc.Close()
	}
}

// reader returns a reader from the beginning. An input that cannot be read in place
// can be read only once, until reopen.
func (h *handle) reader() io.Reader {
	if h.at != nil {
		return io.NewSectionReader(h.at, 0, h.size)
	}
	return h.rc
}

// reopen reopens an input that cannot be read in place, so that it can be read once
// more.
func (h *handle) reopen() error {
	if h.at != nil {
		return nil
	}
	h.rc.Close()
	rc, err := h.in.Open()
	if h.rc = rc; err != nil {
		h.rc = nil
		return fmt.Errorf("opening %s: %w", h.in.Name, err)
	}
	return nil
}

// artifact is an input that was read to its end. A few bytes of each member are in
// memory; the content is in a file.
type artifact struct {
	layers []string // outermost first
	gzip   []gzip.Header
	tree   *tree
	read   int64
	// fault is the error in the bytes, nil if there is none.
	fault error
	spool *spool

	handle  *handle
	owns    bool  // close closes handle
	failure error // an error that is not caused by the bytes
}

// inPlace reports whether the input is read without a spool.
func (a *artifact) inPlace() bool { return a.spool == nil }

func (a *artifact) close() {
	if a.owns {
		a.handle.close()
	}
	if a.spool != nil {
		_ = a.spool.Close() // it is only temporary
	}
}

const (
	maxLayers  = 4
	readBuffer = 256 << 10
)

// readFunc is a function as an io.Reader.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// writeFunc is a function as an io.Writer.
type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// load reads the whole input. Errors in the bytes are stored in a.fault. It returns
// an error if reading the input or writing the spool failed, or if ctx ended.
func (a *artifact) load(ctx context.Context, h *handle, l Limits, sum func(string) uint64) error {
	a.handle, a.tree = h, &tree{index: memberIndex{sum: sum}}
	data, size, err := a.data(ctx, l)
	if err == nil {
		a.tree.data, a.tree.size = data, size
		err = a.index(ctx, path.Base(h.in.Name), l)
		if err != nil && !errors.Is(err, pax.ErrFormat) && !errors.Is(err, errTooLarge) {
			a.failure = fmt.Errorf("reading %s: %w", h.in.Name, err)
		}
	}
	if a.failure != nil {
		return a.failure
	}
	a.fault = err
	return nil
}

// source returns a reader of the rest of the input that stores read errors.
func (a *artifact) source(ctx context.Context, from io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if a.failure = ctx.Err(); a.failure != nil {
			return 0, a.failure
		}
		n, err := from.Read(p)
		a.read += int64(n)
		if err != nil && err != io.EOF {
			a.failure = fmt.Errorf("reading %s: %w", a.handle.in.Name, err)
			return n, a.failure
		}
		return n, err
	})
}

// data removes the compression and returns the content: the input itself if it can
// be read in place, else a temporary file.
func (a *artifact) data(ctx context.Context, l Limits) (io.ReaderAt, int64, error) {
	h := a.handle
	r, err := a.unwrap(bufio.NewReaderSize(a.source(ctx, h.reader()), readBuffer))
	if err != nil {
		return nil, 0, err
	}
	if h.at != nil && len(a.layers) == 0 {
		a.read = h.size
		if h.size > l.Bytes {
			return nil, 0, tooLarge(l.Bytes)
		}
		return h.at, h.size, nil
	}
	if a.spool, err = newSpool(l.Workdir); err != nil {
		a.failure = err
		return nil, 0, err
	}
	left := l.Bytes
	size, err := io.Copy(writeFunc(func(p []byte) (int, error) {
		if left -= int64(len(p)); left < 0 {
			return 0, tooLarge(l.Bytes)
		}
		n, err := a.spool.f.Write(p)
		if err != nil {
			a.failure = fmt.Errorf("keeping content of %s: %w; free some room or name another work folder", h.in.Name, err)
			err = a.failure
		}
		return n, err
	}), r)
	return a.spool.f, size, err
}

// unwrap removes the layers of compression.
func (a *artifact) unwrap(r *bufio.Reader) (*bufio.Reader, error) {
	for range maxLayers {
		head, err := r.Peek(2)
		if err != nil && err != io.EOF { //nolint:errorlint // wrapped, it is what broke the source off
			return nil, err
		}
		var inner io.Reader
		switch string(head) {
		case compress.Magic:
			if inner, err = compress.NewReader(r); err != nil {
				return nil, err
			}
			a.layers = append(a.layers, "compress")
		case "\x1f\x8b":
			z, err := gzip.NewReader(r)
			if err != nil {
				return nil, fmt.Errorf("reading gzip stream: %w", err)
			}
			inner = z
			a.layers, a.gzip = append(a.layers, "gzip"), append(a.gzip, z.Header)
		default:
			return r, nil
		}
		r = bufio.NewReaderSize(inner, readBuffer)
	}
	return nil, errors.New("it is compressed more than 4 times over")
}

var errTooLarge = errors.New("more lies inside than is read")

// tooLarge returns an error that names the bound.
func tooLarge(most int64) error {
	return fmt.Errorf("%w: more than %d bytes; raise the limit if this is expected", errTooLarge, most)
}

// limit returns an error beyond left bytes, where io.LimitReader would end
// silently.
func limit(r io.Reader, left int64) io.Reader {
	most := left
	return readFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if left -= int64(n); left < 0 {
			return 0, tooLarge(most)
		}
		return n, err
	})
}

// index reads the headers of all members into the tree's index.
func (a *artifact) index(ctx context.Context, name string, l Limits) error {
	t := a.tree
	head := make([]byte, min(paxHead, t.size))
	if _, err := io.ReadFull(io.NewSectionReader(t.data, 0, t.size), head); err != nil {
		return err
	}
	if !pax.Is(head) {
		t.kind, t.name = singleFile, name
		return nil
	}
	t.kind = "pax archive"
	r := pax.NewReaderAt(t.data, t.size, l.pax())
	for {
		if t.index.len()%screenMost == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		m, err := r.Next()
		if err == io.EOF { //nolint:errorlint // Next promises io.EOF itself
			t.globals, t.trailer = r.Globals(), r.Trailer()
			t.index.end = t.trailer.Offset - 2*blockSize
			return nil
		}
		if err == nil {
			err = t.index.add(m, r.Globals())
		}
		if err != nil {
			return err
		}
	}
}

// spool is a temporary file that holds unpacked content.
type spool struct{ f *os.File }

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "zfarm-compare-*")
	if err != nil {
		return nil, fmt.Errorf("making a file for unpacked content: %w", err)
	}
	return &spool{f}, nil
}

// Close closes and removes the file.
func (s *spool) Close() error {
	return errors.Join(s.f.Close(), os.Remove(s.f.Name()))
}

// sameContent reports whether two trees have the same bytes once unpacked.
func sameContent(ctx context.Context, a, b *tree) (bool, error) {
	if a.size != b.size {
		return false, nil
	}
	return bytediff.Equal(ctx, a.data, b.data, a.size)
}
