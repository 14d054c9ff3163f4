// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package exact is how the readers of containers (ar, zip, stream) read:
// never outside of a file, within a budget, with every error naming its byte,
// and with a sum over the bytes that belong to nobody.
//
// It knows no format. A fault of the bytes wraps container.ErrFormat; a fault
// of what the bytes are read from does not, and is passed on as it is.
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

// Errorf returns an error about the bytes from at on.
func Errorf(at int64, format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %w", container.ErrFormat, at, fmt.Errorf(format, args...))
}

// File is what a container is read from.
type File struct {
	R    io.ReaderAt
	Size int64
}

// Read fills p with the bytes from at on.
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

// Stretch returns a reader of length bytes from at on.
func (f File) Stretch(at, length int64) *Stretch {
	return &Stretch{r: io.NewSectionReader(f.R, at, length)}
}

// Stretch reads a stretch of a file and remembers why it could not, since a
// decoder in between may hide that.
type Stretch struct {
	r      *io.SectionReader
	read   int64
	broken error
}

// Read reads on.
func (s *Stretch) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.broken = fmt.Errorf("reading: %w", err)
	}
	return n, err
}

// Broken is why the file could not be read, if that is so.
func (s *Stretch) Broken() error { return s.broken }

// Count is how many bytes were read.
func (s *Stretch) Count() int64 { return s.read }

// Fault says what err of a decoder that reads s is: that the file could not be
// read, or that the bytes around at are wrong. It is nil for nil and io.EOF.
func (s *Stretch) Fault(err error, at int64, doing string) error {
	switch {
	case s.broken != nil:
		return s.broken
	case err == nil, err == io.EOF: //nolint:errorlint // wrapped, it is what broke a decoder off
		return nil
	case errors.Is(err, container.ErrFormat):
		return err
	}
	return Errorf(at, "%s: %w", doing, err)
}

// Window reads small pieces that lie close together.
type Window struct {
	f    File
	at   int64
	buf  []byte
	size int
}

// Window returns a window that reads size bytes at once.
func (f File) Window(size int) *Window { return &Window{f: f, size: size} }

// Bytes returns length bytes from at on, which are those of the window: they
// last until it is asked again.
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

// window is how much is read at once where bytes are only summed up.
const window = 64 << 10

// Sum adds length bytes from at on to h, which is one hash or several.
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

// Hidden collects stretches of bytes that belong to nobody. The sum is over
// the bytes of each stretch followed by its length as eight big-endian bytes,
// so that bytes cannot move from one to another.
type Hidden struct {
	h hash.Hash
	v container.Hidden
}

// Add adds a stretch; one without bytes is none.
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

// From adds all that r gives, which stands at that place, as one stretch.
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

// Value returns what was collected.
func (h *Hidden) Value() container.Hidden {
	if h.h != nil {
		h.h.Sum(h.v.Sum[:0])
	}
	return h.v
}

// Budget is what is left of limits.
type Budget struct {
	left, all container.Limits
	// last are the fields told last, one of each name.
	last []container.Field
}

// NewBudget returns the budget of one container.
func NewBudget(l container.Limits) *Budget {
	l = l.WithDefaults()
	return &Budget{left: l, all: l}
}

// Members takes count members.
func (b *Budget) Members(at int64, count uint64) error {
	if count > uint64(b.left.Members) {
		return Errorf(at, "it has more than %d members; raise the bound if that is right", b.all.Members)
	}
	b.left.Members -= int(count)
	return nil
}

// Names takes length bytes of names and fields.
func (b *Budget) Names(at, length int64) error {
	if b.left.Names -= length; b.left.Names < 0 {
		return Errorf(at, "names and fields need more than %d bytes; raise the bound if that is right", b.all.Names)
	}
	return nil
}

const (
	// entrySize is what an entry takes of memory in a slice that grows as they
	// are met, and is copied then.
	entrySize = 256
	// fieldSize is what a field takes beside its value, textSize a value
	// beside its bytes.
	fieldSize = 40
	textSize  = 16
	maxLast   = 64
)

// Entry takes an entry of a slice that grows, beside its name and fields.
func (b *Budget) Entry(at int64, name string) error {
	return b.Names(at, int64(entrySize+textSize+len(name)))
}

// Fields takes fields. Values that those before had as well are shared with
// them and take nothing.
func (b *Budget) Fields(at int64, fields []container.Field) error {
	length := int64(fieldSize * len(fields))
	for i := range fields {
		if !b.shared(&fields[i]) {
			length += int64(textSize + len(fields[i].Value))
		}
	}
	return b.Names(at, length)
}

// shared makes f share its value with the one before of that name, if it can.
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

// Content takes length bytes of content.
func (b *Budget) Content(at int64, length uint64) error {
	if length > uint64(b.left.Content) {
		return Errorf(at, "more than %d bytes lie inside; raise the bound if that is right", b.all.Content)
	}
	b.left.Content -= int64(length)
	return nil
}

// ContentLeft is how much content may still be taken.
func (b *Budget) ContentLeft() int64 { return b.left.Content }
