// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package containertest measures, for tests of the packages that read
// containers, how much memory they take whatever the bytes are, and makes
// files that are larger than memory.
package containertest

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

const (
	// Most is how much memory may be in use by a reader beside the window of a
	// decoder, garbage apart. The collector lets garbage be as much again, so
	// that no more than 64 MiB are taken; how much of it there is at a time
	// depends on what else the machine does.
	Most = 32 << 20
	// All is how much a reader of a small input may take, all together and
	// garbage included.
	All = 64 << 20
)

// every is after how many bytes read the memory is looked at.
const every = 1 << 20

// Watch is an io.ReaderAt that looks at the memory in use as it is read.
type Watch struct {
	r          io.ReaderAt
	read       int64
	base, peak uint64
}

// NewWatch returns a Watch over r; what is in use by now does not count.
func NewWatch(r io.ReaderAt) *Watch {
	return &Watch{r: r, base: inUse()}
}

// inUse is what is left once garbage is collected.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// ReadAt reads, and looks now and then.
func (w *Watch) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.r.ReadAt(p, at)
	if w.read += int64(n); w.read >= every {
		w.read = 0
		w.Look()
	}
	return n, err
}

// Look looks at once.
func (w *Watch) Look() { w.peak = max(w.peak, inUse()) }

// Peak is the most memory that was in use.
func (w *Watch) Peak() uint64 { return w.peak - min(w.base, w.peak) }

// Open opens a container and demands that no more than most bytes were in use
// meanwhile. The answer is what open returned.
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

// Little demands that what reads takes no more than most bytes of memory, all
// that was ever taken together. It is for inputs that are small themselves.
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

// Part is a piece of a Virtual file: times repetitions of Size bytes each.
type Part struct {
	Size, Times int64
	// Make returns one repetition; it must have Size bytes.
	Make func(i int64) []byte
}

// Bytes is a Part of its own.
func Bytes(b []byte) Part {
	return Part{Size: int64(len(b)), Times: 1, Make: func(int64) []byte { return b }}
}

// Zeros is a Part of that many zeros.
func Zeros(n int64) Part {
	const piece = 64 << 10
	b := make([]byte, piece)
	return Part{Size: piece, Times: n / piece, Make: func(int64) []byte { return b }}
}

// Virtual is a file that is made as it is read.
type Virtual []Part

// Size is how long it is.
func (v Virtual) Size() (n int64) {
	for _, p := range v {
		n += p.Size * p.Times
	}
	return n
}

// ReadAt reads.
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
