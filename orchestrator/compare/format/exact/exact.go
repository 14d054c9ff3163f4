// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package exact provides what the readers of containers (ar, zip, stream) share:
// reads within the bounds of a file and a budget, errors that name their offset,
// and sums over hidden bytes.
//
// It knows no format. Errors in the bytes wrap container.ErrFormat. Errors of the
// underlying reader do not; they are returned as they are.
package exact

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

// Errorf returns an error about the bytes at offset at.
func Errorf(at int64, format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %w", container.ErrFormat, at, fmt.Errorf(format, args...))
}

// File is the file that a container is read from.
type File struct {
	R    io.ReaderAt
	Size int64
}

// Read fills p with the bytes at offset at.
func (f File) Read(p []byte, at int64) error {
	if at < 0 || at > f.Size || int64(len(p)) > f.Size-at {
		return Errorf(at, "%d bytes should be here, and the file ends at %d", len(p), f.Size)
	}
	n, err := f.R.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return Errorf(at+int64(n), "the file ends")
	}
	return fmt.Errorf("reading at byte %d: %w", at, err)
}

// RangeReader returns a reader of length bytes from offset at on.
func (f File) RangeReader(at, length int64) *RangeReader {
	return &RangeReader{r: io.NewSectionReader(f.R, at, length)}
}

// RangeReader reads a range of a file and keeps its read error, since a decoder in
// between may hide it.
type RangeReader struct {
	r       *io.SectionReader
	read    int64
	readErr error
}

// Read implements io.Reader.
func (s *RangeReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.readErr = fmt.Errorf("reading: %w", err)
	}
	return n, err
}

// ReadError returns the read error of the file, nil if there was none.
func (s *RangeReader) ReadError() error { return s.readErr }

// Count returns how many bytes were read.
func (s *RangeReader) Count() int64 { return s.read }

// Fault turns the error of a decoder that reads s into the read error of the file,
// if there was one, or else into an error in the bytes around at. It returns nil
// for nil and io.EOF.
func (s *RangeReader) Fault(err error, at int64, doing string) error {
	switch {
	case s.readErr != nil:
		return s.readErr
	case err == nil, err == io.EOF: //nolint:errorlint // wrapped, it is what broke a decoder off
		return nil
	case errors.Is(err, container.ErrFormat):
		return err
	}
	return Errorf(at, "%s: %w", doing, err)
}

// Window reads small pieces of a file that lie close together.
type Window struct {
	f    File
	at   int64
	buf  []byte
	size int
}

// Window returns a window that reads size bytes at a time.
func (f File) Window(size int) *Window { return &Window{f: f, size: size} }

// Bytes returns length bytes from offset at on. They are valid until the next call.
func (w *Window) Bytes(at int64, length int) ([]byte, error) {
	if from := at - w.at; from >= 0 && from <= int64(len(w.buf)) && int64(length) <= int64(len(w.buf))-from {
		return w.buf[from : from+int64(length)], nil
	}
	if at < 0 || at > w.f.Size || int64(length) > w.f.Size-at {
		return nil, Errorf(at, "%d bytes should be here, and the file ends at %d", length, w.f.Size)
	}
	want := int(min(int64(max(length, w.size)), w.f.Size-at))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf = w.buf[:want]
	if err := w.f.Read(w.buf, at); err != nil {
		w.buf = w.buf[:0]
		return nil, err
	}
	w.at = at
	return w.buf[:length], nil
}

// window is how many bytes Sum reads at a time.
const window = 64 << 10

// Sum adds length bytes from offset at on to h, which may be several hashes.
func (f File) Sum(h io.Writer, at, length int64) error {
	if at < 0 || length < 0 || length > f.Size-at {
		return Errorf(at, "%d bytes should be here, and the file ends at %d", length, f.Size)
	}
	buf := make([]byte, min(length, window))
	for length > 0 {
		p := buf[:min(length, window)]
		if err := f.Read(p, at); err != nil {
			return err
		}
		if _, err := h.Write(p); err != nil {
			return fmt.Errorf("summing up: %w", err)
		}
		at, length = at+int64(len(p)), length-int64(len(p))
	}
	return nil
}

// Hidden collects ranges of hidden bytes. Its sum is over the bytes of each range
// followed by its length as eight big-endian bytes, so that moving bytes between
// ranges changes it.
type Hidden struct {
	h hash.Hash
	v container.Hidden
}

// Add adds a range. An empty range is ignored.
func (h *Hidden) Add(f File, at, length int64) error {
	if length <= 0 {
		return nil
	}
	if h.h == nil {
		h.h, h.v.First = sha256.New(), at
	}
	if err := f.Sum(h.h, at, length); err != nil {
		return err
	}
	h.h.Write(binary.BigEndian.AppendUint64(nil, uint64(length)))
	h.v.Count += length
	return nil
}

// From adds all bytes of r as one range that begins at offset at.
func (h *Hidden) From(r io.Reader, at int64) error {
	began := h.h
	if began == nil {
		began = sha256.New()
	}
	length, err := io.Copy(began, r)
	if err != nil || length == 0 {
		return err
	}
	if h.h == nil {
		h.h, h.v.First = began, at
	}
	h.h.Write(binary.BigEndian.AppendUint64(nil, uint64(length)))
	h.v.Count += length
	return nil
}

// Value returns the sum over all ranges.
func (h *Hidden) Value() container.Hidden {
	if h.h != nil {
		h.h.Sum(h.v.Sum[:0])
	}
	return h.v
}

// Budget is what remains of the limits for one container.
type Budget struct {
	left, all container.Limits
	// last are the latest fields of each name.
	last []container.Field
}

// NewBudget returns the budget of one container.
func NewBudget(l container.Limits) *Budget {
	l = l.WithDefaults()
	return &Budget{left: l, all: l}
}

// Members takes count members from the budget.
func (b *Budget) Members(at int64, count uint64) error {
	if count > uint64(b.left.Members) {
		return Errorf(at, "it has more than %d members; raise the limit if this is expected", b.all.Members)
	}
	b.left.Members -= int(count)
	return nil
}

// Names takes length bytes of names and fields from the budget.
func (b *Budget) Names(at, length int64) error {
	if b.left.Names -= length; b.left.Names < 0 {
		return Errorf(at, "names and fields need more than %d bytes; raise the limit if this is expected", b.all.Names)
	}
	return nil
}

const (
	// entrySize is the memory for an entry, in bytes, in a slice that is copied as
	// it grows.
	entrySize = 256
	// fieldSize is the memory for a field without its value, textSize for a value
	// without its bytes.
	fieldSize = 40
	textSize  = 16
	maxLast   = 64
)

// Entry takes an entry of a growing slice from the budget, without its name and
// fields.
func (b *Budget) Entry(at int64, name string) error {
	return b.Names(at, int64(entrySize+textSize+len(name)))
}

// Fields takes fields from the budget. Values that equal earlier ones are shared
// with them and cost nothing.
func (b *Budget) Fields(at int64, fields []container.Field) error {
	length := int64(fieldSize * len(fields))
	for i := range fields {
		if !b.shared(&fields[i]) {
			length += int64(textSize + len(fields[i].Value))
		}
	}
	return b.Names(at, length)
}

// shared reports whether f has the same value as the last field of that name, and
// makes them share it.
func (b *Budget) shared(f *container.Field) bool {
	for i := range b.last {
		if b.last[i].Name != f.Name {
			continue
		}
		if b.last[i].Value == f.Value {
			f.Value = b.last[i].Value
			return true
		}
		b.last[i] = *f
		return false
	}
	if len(b.last) < maxLast {
		b.last = append(b.last, *f)
	}
	return f.Value == ""
}

// Content takes length bytes of content from the budget.
func (b *Budget) Content(at int64, length uint64) error {
	if length > uint64(b.left.Content) {
		return Errorf(at, "more than %d bytes lie inside; raise the limit if this is expected", b.all.Content)
	}
	b.left.Content -= int64(length)
	return nil
}

// ContentLeft returns how many bytes of content remain in the budget.
func (b *Budget) ContentLeft() int64 { return b.left.Content }
