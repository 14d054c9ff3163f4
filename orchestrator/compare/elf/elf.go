// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package elf names the parts of an ELF file: its headers and sections.
//
// It reads the section table only, of either width and byte order, with
// bounds of its own: files come from builds that nobody trusts, and debug/elf
// of the standard library is not made for that.
package elf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/span"
)

// ErrFormat: the file is not an ELF file whose sections can be read.
var ErrFormat = errors.New("not a readable ELF file")

const (
	magic       = "\x7fELF"
	maxSections = 8192
	maxNames    = 1 << 20
	maxName     = 100
	noBits      = 8
	buildID     = ".note.gnu.build-id"
)

// Is reports whether head begins an ELF file.
func Is(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// layout is where things stand in headers of one width.
type layout struct {
	order                   binary.ByteOrder
	wide                    bool
	ehSize, shSize          int64
	phoff, shoff, phentsize int
	offset, size            int
}

func layoutOf(ident []byte) (layout, error) {
	var l layout
	switch ident[4] {
	case 1:
		l = layout{ehSize: 52, shSize: 40, phoff: 28, shoff: 32, phentsize: 42, offset: 16, size: 20}
	case 2:
		l = layout{wide: true, ehSize: 64, shSize: 64, phoff: 32, shoff: 40, phentsize: 54, offset: 24, size: 32}
	default:
		return l, fmt.Errorf("%w: unknown class %d", ErrFormat, ident[4])
	}
	switch ident[5] {
	case 1:
		l.order = binary.LittleEndian
	case 2:
		l.order = binary.BigEndian
	default:
		return l, fmt.Errorf("%w: unknown byte order %d", ErrFormat, ident[5])
	}
	return l, nil
}

// word reads an address-sized number.
func (l layout) word(b []byte) uint64 {
	if l.wide {
		return l.order.Uint64(b)
	}
	return uint64(l.order.Uint32(b))
}

// Spans returns the parts of the file in r: "elf.header", "elf.segments" and
// "elf.sections" for the tables, and "elf" followed by the name for each
// section that has bytes, e.g. "elf.text". Sections that lie outside the file
// are left out.
func Spans(r io.ReaderAt, size int64) ([]span.Span, error) {
	head := make([]byte, 64)
	if n, err := r.ReadAt(head, 0); n < 52 {
		return nil, fmt.Errorf("%w: %d bytes: %w", ErrFormat, n, orEOF(err))
	}
	if !Is(head) {
		return nil, fmt.Errorf("%w: it does not begin with its magic", ErrFormat)
	}
	l, err := layoutOf(head)
	if err != nil {
		return nil, err
	}
	shoff := l.word(head[l.shoff:])
	tail := head[l.phentsize:]
	phentsize, phnum := l.order.Uint16(tail), l.order.Uint16(tail[2:])
	shentsize, shnum, names := l.order.Uint16(tail[4:]), l.order.Uint16(tail[6:]), l.order.Uint16(tail[8:])
	spans := []span.Span{{Name: "elf.header", Length: l.ehSize}}
	spans = add(spans, size, "elf.segments", l.word(head[l.phoff:]), uint64(phentsize)*uint64(phnum))
	if shnum == 0 {
		return spans, nil
	}
	if int64(shentsize) != l.shSize || shnum > maxSections || names >= shnum {
		return spans, fmt.Errorf("%w: %d sections of %d bytes", ErrFormat, shnum, shentsize)
	}
	if !within(size, shoff, uint64(shentsize)*uint64(shnum)) {
		return spans, fmt.Errorf("%w: its section table lies outside", ErrFormat)
	}
	table := make([]byte, int(shentsize)*int(shnum))
	if _, err := r.ReadAt(table, int64(shoff)); err != nil {
		return spans, fmt.Errorf("%w: reading section table: %w", ErrFormat, err)
	}
	spans = add(spans, size, "elf.sections", shoff, uint64(len(table)))
	return l.sections(r, size, table, int(names), spans)
}

func (l layout) sections(r io.ReaderAt, size int64, table []byte, names int, spans []span.Span) ([]span.Span, error) {
	header := func(i int) (name, kind uint32, offset, length uint64) {
		b := table[i*int(l.shSize):]
		return l.order.Uint32(b), l.order.Uint32(b[4:]), l.word(b[l.offset:]), l.word(b[l.size:])
	}
	_, _, offset, length := header(names)
	if !within(size, offset, length) {
		return spans, fmt.Errorf("%w: its section names lie outside", ErrFormat)
	}
	text := make([]byte, min(length, maxNames))
	if _, err := r.ReadAt(text, int64(offset)); err != nil && len(text) > 0 {
		return spans, fmt.Errorf("%w: reading section names: %w", ErrFormat, err)
	}
	for i := range len(table) / int(l.shSize) {
		at, kind, offset, length := header(i)
		if kind == noBits || kind == 0 {
			continue
		}
		name := nameAt(text, at)
		spans = add(spans, size, field(name), offset, length)
		if last := &spans[len(spans)-1]; name == buildID && last.Name == field(name) {
			l.markBuildID(r, last)
		}
	}
	return spans, nil
}

// markBuildID narrows the span of a build id to the digest in it, if it is a
// note as it should be: nothing else may pass as a digest.
func (l layout) markBuildID(r io.ReaderAt, s *span.Span) {
	note := make([]byte, 16)
	if _, err := r.ReadAt(note, s.Offset); err != nil {
		return
	}
	nameSize, size, kind := l.order.Uint32(note), l.order.Uint32(note[4:]), l.order.Uint32(note[8:])
	if nameSize == 4 && kind == 3 && string(note[12:]) == "GNU\x00" && size >= 8 && size <= 64 && int64(size) == s.Length-16 {
		s.Offset, s.Length, s.Kind = s.Offset+16, int64(size), span.Digest
	}
}

// nameAt returns the name at that place of the table of names.
func nameAt(text []byte, at uint32) string {
	if int64(at) >= int64(len(text)) {
		return "?"
	}
	name, _, _ := bytes.Cut(text[at:], []byte{0})
	return string(name[:min(len(name), maxName)])
}

// field makes the name of a field of a section's name.
func field(name string) string {
	if len(name) > 0 && name[0] == '.' {
		return "elf" + name
	}
	return "elf." + name
}

func add(spans []span.Span, size int64, name string, offset, length uint64) []span.Span {
	if length == 0 || !within(size, offset, length) {
		return spans
	}
	return append(spans, span.Span{Name: name, Offset: int64(offset), Length: int64(length)})
}

func within(size int64, offset, length uint64) bool {
	return offset <= uint64(size) && length <= uint64(size)-offset
}

func orEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
