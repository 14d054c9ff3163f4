// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package containertest measures how much memory readers of containers use for
// hostile input, and makes virtual files that are larger than memory.
package containertest

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

const (
	// Most bounds the memory in use by a reader, in bytes, without garbage and the
	// window of a decoder. The collector allows as much garbage again, so that no
	// more than 64 MiB are allocated at a time; how much garbage there really is
	// depends on other load on the machine.
	Most = 32 << 20
	// All bounds all that a reader of a small input allocates, in bytes, garbage
	// included.
	All = 64 << 20
)

// every is how many bytes are read between two measurements.
const every = 1 << 20

// Watch is an io.ReaderAt that measures the memory in use while it is read.
type Watch struct {
	r          io.ReaderAt
	read       int64
	base, peak uint64
}

// NewWatch returns a Watch over r. Memory in use at this time does not count.
func NewWatch(r io.ReaderAt) *Watch {
	return &Watch{r: r, base: inUse()}
}

// inUse returns the bytes in use after a garbage collection.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// ReadAt reads from r, and measures now and then.
func (w *Watch) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.r.ReadAt(p, at)
	if w.read += int64(n); w.read >= every {
		w.read = 0
		w.Look()
	}
	return n, err
}

// Look measures now.
func (w *Watch) Look() { w.peak = max(w.peak, inUse()) }

// Peak returns the most memory that was in use, in bytes.
func (w *Watch) Peak() uint64 { return w.peak - min(w.base, w.peak) }

// Open opens a container and fails the test if more than most bytes were in use
// meanwhile. It returns the results of open.
func Open(t testing.TB, r io.ReaderAt, size int64, l container.Limits, most uint64,
	open func(io.ReaderAt, int64, container.Limits) (*container.Container, error)) (*container.Container, error) {
	t.Helper()
	w := NewWatch(r)
	c, err := open(w, size, l)
	w.Look()
	if w.Peak() > most {
		t.Errorf("%d bytes of memory in use; no more than %d are allowed (error %v)", w.Peak(), most, err)
	}
	runtime.KeepAlive(c)
	return c, err
}

// Little fails the test if reads allocates more than most bytes in total. It is for
// small inputs.
func Little(t testing.TB, most uint64, reads func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	reads()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > most {
		t.Errorf("it took %d bytes of memory; no more than %d are allowed", took, most)
	}
}

// Part is a piece of a Virtual file: a number of repetitions of Size bytes each.
type Part struct {
	Size, Times int64
	// Make returns repetition i; it must have Size bytes.
	Make func(i int64) []byte
}

// Bytes returns a Part that consists of b.
func Bytes(b []byte) Part {
	return Part{Size: int64(len(b)), Times: 1, Make: func(int64) []byte { return b }}
}

// Zeros returns a Part of n zeros.
func Zeros(n int64) Part {
	const piece = 64 << 10
	b := make([]byte, piece)
	return Part{Size: piece, Times: n / piece, Make: func(int64) []byte { return b }}
}

// Virtual is a file whose content is computed when it is read.
type Virtual []Part

// Size returns the length of the file.
func (v Virtual) Size() (n int64) {
	for _, p := range v {
		n += p.Size * p.Times
	}
	return n
}

// ReadAt implements io.ReaderAt.
func (v Virtual) ReadAt(b []byte, at int64) (int, error) {
	n, from := 0, int64(0)
	for _, p := range v {
		to := from + p.Size*p.Times
		for at < to && at >= from && n < len(b) {
			i, in := (at-from)/p.Size, (at-from)%p.Size
			made := p.Make(i)
			if int64(len(made)) != p.Size {
				return n, fmt.Errorf("a part of %d bytes was made with %d", p.Size, len(made))
			}
			k := copy(b[n:], made[in:])
			n, at = n+k, at+int64(k)
		}
		from = to
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
