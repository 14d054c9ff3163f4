// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package elf names the parts of an ELF file: its headers, its sections, and the
// records in some sections that say who made the file and what it needs. It also
// lists symbols (docs/formats/elf.md).
//
// It reads files of either width and byte order within its own bounds, because they
// come from untrusted builds; the standard library's debug/elf is not made for
// hostile files.
package elf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// ErrFormat says that the file is not an ELF file with readable sections.
var ErrFormat = errors.New("not a readable ELF file")

const (
	magic       = "\x7fELF"
	maxSections = 8192
	maxNames    = 1 << 20
	maxName     = 100
	maxText     = 4096 // bytes read of a string
)

// Is reports whether head begins an ELF file.
func Is(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// layout holds the offsets in headers of one width.
type layout struct {
	order                   binary.ByteOrder
	wide                    bool
	ehSize, shSize          int64
	phoff, shoff, phentsize int
	// Offsets in a section header.
	offset, size, link, align int
}

func layoutOf(ident []byte) (layout, error) {
	var l layout
	switch ident[4] {
	case 1:
		l = layout{ehSize: 52, shSize: 40, phoff: 28, shoff: 32, phentsize: 42, offset: 16, size: 20, link: 24, align: 32}
	case 2:
		l = layout{wide: true, ehSize: 64, shSize: 64, phoff: 32, shoff: 40, phentsize: 54, offset: 24, size: 32, link: 40, align: 48}
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
// "elf.sections" for the tables, "elf" followed by the name for each section that
// has bytes, e.g. "elf.text", and the parts of some sections. Sections outside the
// file are left out.
func Spans(r io.ReaderAt, size int64) ([]span.Span, error) {
	f, err := open(r, size)
	if f == nil {
		return nil, err
	}
	spans := add(nil, size, "elf.header", 0, uint64(f.ehSize))
	spans = add(spans, size, "elf.segments", f.segments, f.segmentsSize)
	if err != nil || len(f.list) == 0 {
		return spans, err
	}
	spans = add(spans, size, "elf.sections", f.table, uint64(len(f.list))*uint64(f.shSize))
	parts := &parts{file: f}
	for _, s := range f.list {
		if s.kind == typeNone || s.kind == typeNoBits || !within(size, s.offset, s.size) || s.size == 0 {
			continue
		}
		whole, before := s.span(), len(parts.spans)
		parts.of(s)
		if !slices.ContainsFunc(parts.spans[before:], func(p span.Span) bool {
			return p.Name == whole.Name || p.Offset == whole.Offset && p.Length == whole.Length
		}) {
			spans = append(spans, whole)
		}
	}
	return append(spans, parts.spans...), nil
}

// file is an ELF file with its section table.
type file struct {
	layout
	r                             io.ReaderAt
	fileSize                      int64
	segments, segmentsSize, table uint64
	list                          []section
}

// section is one entry of the section table.
type section struct {
	name         string
	kind, link   uint32
	flags, align uint64
	offset, size uint64
}

// Types and flags of sections: System V ABI, "Sections".
const (
	typeNone    = 0
	typeSymbols = 2
	typeStrings = 3
	typeDynamic = 6
	typeNote    = 7
	typeNoBits  = 8
	typeDynSym  = 11

	flagCode    = 4
	flagStrings = 0x20
)

// span returns the section as a span.
func (s section) span() span.Span {
	out := span.Span{Name: field(s.name), Offset: int64(s.offset), Length: int64(s.size)}
	switch {
	case s.flags&flagCode != 0:
		out.Kind = span.Code
	case s.name == ".comment", s.name == ".interp":
		out.Kind, out.Read = span.Fixed, readTexts
	case s.kind == typeStrings, s.flags&flagStrings != 0:
		out.Kind = span.Strings
	}
	return out
}

// readTexts reads NUL-terminated texts.
func readTexts(b []byte) span.Value {
	var out []string
	for part := range bytes.SplitSeq(b, []byte{0}) {
		if len(part) > 0 {
			out = append(out, string(part))
		}
	}
	return span.Value{Text: strings.Join(out, "; ")}
}

// open reads the headers. The file is nil if the headers are invalid, and has no
// sections if the section table is.
func open(r io.ReaderAt, size int64) (*file, error) {
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
	tail := head[l.phentsize:]
	phentsize, phnum := l.order.Uint16(tail), l.order.Uint16(tail[2:])
	shentsize, shnum, names := l.order.Uint16(tail[4:]), l.order.Uint16(tail[6:]), l.order.Uint16(tail[8:])
	f := &file{layout: l, r: r, fileSize: size, table: l.word(head[l.shoff:]),
		segments: l.word(head[l.phoff:]), segmentsSize: uint64(phentsize) * uint64(phnum)}
	if shnum == 0 {
		return f, nil
	}
	if int64(shentsize) != l.shSize || shnum > maxSections || names >= shnum {
		return f, fmt.Errorf("%w: %d sections of %d bytes", ErrFormat, shnum, shentsize)
	}
	if !within(size, f.table, uint64(shentsize)*uint64(shnum)) {
		return f, fmt.Errorf("%w: its section table lies outside", ErrFormat)
	}
	table := make([]byte, int(shentsize)*int(shnum))
	if _, err := r.ReadAt(table, int64(f.table)); err != nil {
		return f, fmt.Errorf("%w: reading section table: %w", ErrFormat, err)
	}
	return f, f.sections(table, int(names))
}

func (f *file) sections(table []byte, names int) error {
	list := make([]section, len(table)/int(f.shSize))
	at := make([]uint32, len(list))
	for i := range list {
		b := table[i*int(f.shSize):]
		at[i] = f.order.Uint32(b)
		list[i] = section{kind: f.order.Uint32(b[4:]), flags: f.word(b[8:]), offset: f.word(b[f.offset:]), size: f.word(b[f.size:]),
			link: f.order.Uint32(b[f.link:]), align: f.word(b[f.align:])}
	}
	n := list[names]
	if !within(f.fileSize, n.offset, n.size) {
		return fmt.Errorf("%w: its section names lie outside", ErrFormat)
	}
	text := make([]byte, min(n.size, maxNames))
	if _, err := f.r.ReadAt(text, int64(n.offset)); err != nil && len(text) > 0 {
		return fmt.Errorf("%w: reading section names: %w", ErrFormat, err)
	}
	for i := range list {
		list[i].name = nameAt(text, at[i])
	}
	f.list = list
	return nil
}

// nameAt returns the name at an offset in the table of names.
func nameAt(text []byte, at uint32) string {
	if int64(at) >= int64(len(text)) {
		return "?"
	}
	name, _, _ := bytes.Cut(text[at:], []byte{0})
	return string(name[:min(len(name), maxName)])
}

// field returns the field of a section's name.
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
