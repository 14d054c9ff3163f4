// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/pax"
)

// artifact is an input that was read to its end: its index in memory, its
// content in a file.
type artifact struct {
	layers []string // outermost first
	gzip   []gzip.Header
	tree   *tree
	read   int64
	// fault is why the bytes cannot be read, if they cannot.
	fault   error
	closers []io.Closer
}

func (a *artifact) close() {
	for _, c := range a.closers {
		_ = c.Close() // opened for reading, or to be thrown away
	}
}

const (
	maxLayers  = 4
	readBuffer = 256 << 10
)

// readFunc is an io.Reader.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// writeFunc is an io.Writer.
type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// load reads the whole input. Faults of the bytes are kept in a; what is
// returned is that the input or the place for its content failed, or that ctx
// ended.
func (a *artifact) load(ctx context.Context, in Input, o Options) error {
	rc, err := in.Open()
	if err != nil {
		return fmt.Errorf("opening %s: %w", in.Name, err)
	}
	a.closers = append(a.closers, rc)
	var broken error // what is not the fault of the bytes
	source := readFunc(func(p []byte) (int, error) {
		if broken = ctx.Err(); broken != nil {
			return 0, broken
		}
		n, err := rc.Read(p)
		a.read += int64(n)
		if err != nil && err != io.EOF {
			broken = fmt.Errorf("reading %s: %w", in.Name, err)
			return n, broken
		}
		return n, err
	})
	a.tree = &tree{}
	r, err := a.unwrap(bufio.NewReaderSize(source, readBuffer))
	if err == nil {
		var data io.Reader = r
		if at, ok := rc.(io.ReaderAt); ok && len(a.layers) == 0 {
			a.tree.data = at
		} else {
			s, err := newSpool(o.Workdir)
			if err != nil {
				return err
			}
			a.closers = append(a.closers, s)
			a.tree.data = s.f
			data = io.TeeReader(r, writeFunc(func(p []byte) (int, error) {
				n, err := s.f.Write(p)
				if err != nil {
					broken = fmt.Errorf("keeping content of %s: %w; free some room or name another work folder", in.Name, err)
					err = broken
				}
				return n, err
			}))
		}
		err = a.index(r, limit(data, o.MaxBytes), in.Name, o)
	}
	if broken != nil {
		return broken
	}
	a.fault = err
	return nil
}

// unwrap takes compression off.
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

var errTooLarge = errors.New("more lies inside than is read; raise the bound if that is right")

// limit ends with an error where a limit of io.LimitReader would end silently.
func limit(r io.Reader, left int64) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if left -= int64(n); left < 0 {
			return 0, errTooLarge
		}
		return n, err
	})
}

// index reads all of data, of which peek shows the beginning, and sums up the
// content of each member.
func (a *artifact) index(peek *bufio.Reader, data io.Reader, name string, o Options) error {
	head, err := peek.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}
	h := sha256.New()
	buf := make([]byte, readBuffer)
	if !pax.Is(head) {
		a.tree.kind = "single file"
		n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{data}, buf)
		if err != nil {
			return err
		}
		e := entry{Member: &pax.Member{Name: path.Base(name), Type: pax.Regular, Size: n}}
		h.Sum(e.sum[:0])
		a.tree.entries, a.tree.size = []entry{e}, n
		return nil
	}
	a.tree.kind = "pax archive"
	r := pax.NewReaderLimits(data, pax.Limits{Members: o.MaxMembers})
	for {
		m, err := r.Next()
		if err == io.EOF { //nolint:errorlint // wrapped, it is what broke the source off
			a.tree.globals, a.tree.trailer, a.tree.size = r.Globals(), r.Trailer(), r.Offset()
			return nil
		}
		if err != nil {
			return err
		}
		h.Reset()
		if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, buf); err != nil {
			return err
		}
		e := entry{Member: m}
		h.Sum(e.sum[:0])
		a.tree.entries = append(a.tree.entries, e)
	}
}

// spool is a file without a name that holds unpacked content.
type spool struct{ f *os.File }

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "zfarm-compare-*")
	if err != nil {
		return nil, fmt.Errorf("making a file for unpacked content: %w", err)
	}
	return &spool{f}, nil
}

// Close removes the file.
func (s *spool) Close() error {
	return errors.Join(s.f.Close(), os.Remove(s.f.Name()))
}

// sameContent reports whether two trees are the same bytes once unpacked.
func sameContent(ctx context.Context, a, b *tree) (bool, error) {
	if a.size != b.size {
		return false, nil
	}
	return bytediff.Equal(ctx, a.data, b.data, a.size)
}
