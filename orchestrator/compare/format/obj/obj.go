// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package obj names the parts of old object modules (OBJ): cards of 80 bytes that
// assemblers and compilers have written since OS/360, possibly with control
// statements of the linkage editor between them.
//
// Each card is read by itself, so the package keeps nothing of a file in memory. It
// does not link. The layout follows "HLASM Programmer's Guide" (SC26-4941, object
// deck output), checked on an object of the High Level Assembler;
// docs/formats/obj.md lists it as tables. orchestrator/compare/format/goff reads
// GOFF, the newer form.
package obj

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// ErrFormat says that the bytes are not an old object module.
var ErrFormat = errors.New("not a readable object module")

const (
	cardSize  = 80
	mark      = 2 // first byte of every card that is not a control statement
	sequence  = 72
	countAt   = 10
	dataAt    = 16
	dataSize  = sequence - dataAt
	itemSize  = 16
	maxItems  = 3
	blank     = 0x40
	feedCards = 4096
)

// Kinds of cards, in EBCDIC.
const (
	kindSymbols     = "\xc5\xe2\xc4" // ESD
	kindText        = "\xe3\xe7\xe3" // TXT
	kindRelocations = "\xd9\xd3\xc4" // RLD
	kindEnd         = "\xc5\xd5\xc4" // END
	kindTest        = "\xe2\xe8\xd4" // SYM
)

// Is reports whether head begins an old object module.
func Is(head []byte) bool {
	if len(head) < 4 || head[0] != mark {
		return false
	}
	switch string(head[1:4]) {
	case kindSymbols, kindText, kindRelocations, kindEnd, kindTest:
		return true
	}
	return false
}

// File is an object file that was read to its end. It is a span.Layout, and safe
// for concurrent use.
type File struct {
	r     io.ReaderAt
	size  int64
	fault error
}

// Open reads the object file in r once, size bytes long. Errors are those of r, or
// wrap ErrFormat if the file does not begin as a module. Fault returns errors
// behind that beginning; the bytes concerned are "obj.unknown".
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	at, ended := int64(0), false
	for c, err := range cards(io.NewSectionReader(r, 0, size)) {
		if err != nil {
			return nil, fmt.Errorf("reading object module at byte %d: %w", at, err)
		}
		if at == 0 && !Is(c) {
			return nil, fmt.Errorf("%w: it does not begin with a card of one", ErrFormat)
		}
		switch {
		case !readable(c):
			f.complain(at, "no card that can be read")
		case c[0] == mark:
			ended = string(c[1:4]) == kindEnd
		}
		at += int64(len(c))
	}
	switch {
	case size <= 0:
		return nil, fmt.Errorf("%w: it is empty", ErrFormat)
	case at != size:
		return nil, fmt.Errorf("reading object module at byte %d of %d: %w", at, size, io.ErrUnexpectedEOF)
	case !ended:
		f.complain(size, "the last module has no END card")
	}
	return f, nil
}

func (f *File) complain(at int64, what string) {
	if f.fault == nil {
		f.fault = fmt.Errorf("%w: at byte %d: %s", ErrFormat, at, what)
	}
}

// Fault returns the first deviation from the format as an error that wraps
// ErrFormat, or nil.
func (f *File) Fault() error { return f.fault }

// At returns the span that contains a byte. Every byte of a readable file has one.
func (f *File) At(offset int64) (span.Span, bool) {
	if offset < 0 || offset >= f.size {
		return span.Span{}, false
	}
	begin := offset - offset%cardSize
	c := make([]byte, min(cardSize, f.size-begin))
	if n, _ := f.r.ReadAt(c, begin); n < len(c) {
		return span.Span{}, false
	}
	fd := fieldAt(c, int(offset-begin))
	return span.Span{Name: fd.name, Offset: begin + int64(fd.from), Length: int64(fd.to - fd.from), Kind: fd.kind, Read: fd.read}, true
}

// End returns the end of the span that contains the byte at offset, at most limit.
func (f *File) End(offset, limit int64) int64 {
	if s, ok := f.At(offset); ok {
		return min(limit, s.Offset+s.Length)
	}
	return limit
}

// cards yields the cards of a stream; the last may be short. A card is valid until
// the next one.
func cards(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, feedCards*cardSize)
		for {
			n, err := io.ReadFull(r, buf)
			for at := 0; at < n; at += cardSize {
				if !yield(buf[at:min(at+cardSize, n)], nil) {
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// readable reports whether a card is of a known kind, with plausible lengths.
func readable(c []byte) bool {
	switch {
	case len(c) < cardSize:
		return false
	case c[0] >= blank:
		return true // a control statement
	case !Is(c):
		return false
	}
	n := int(binary.BigEndian.Uint16(c[countAt:]))
	switch string(c[1:4]) {
	case kindEnd:
		return true
	case kindSymbols:
		return n <= maxItems*itemSize && n%itemSize == 0
	default:
		return n <= dataSize
	}
}

// Card is one of Symbols, Text, Relocations, Test, End, Statement and Unknown. Rest
// is the columns without a meaning of their own, including the unused end of the
// data field.
type Card interface {
	// put writes the card to 80 blank columns, or returns the bytes of an Unknown.
	put(c []byte) ([]byte, error)
}

// Symbols are external symbols (ESD).
type Symbols struct {
	ID    [2]byte // of the first symbol with an ESDID; may be blank
	Items []Symbol
	Rest  Rest
}

// Symbol is one of them.
type Symbol struct {
	Name    [8]byte // EBCDIC
	Type    byte
	Address [3]byte
	Flag    byte
	Length  [3]byte // or the ESDID of a label, or blank
}

// Text is bytes of a section (TXT).
type Text struct {
	Address [3]byte
	ID      [2]byte
	Data    []byte // at most 56 bytes
	Rest    Rest
}

// Relocations lists relocations (RLD).
type Relocations struct {
	Data []byte // at most 56 bytes
	Rest Rest
}

// Test holds symbols for a debugger (SYM).
type Test struct {
	Data []byte // at most 56 bytes
	Rest Rest
}

// End ends a module.
type End struct {
	Entry      [3]byte // address, or blank
	ID         [2]byte
	Name       [8]byte // of the entry
	Length     [4]byte // of a section whose ESD has none
	Count      byte    // of Identifications used: EBCDIC 1 or 2, or blank
	Identified [2]Identification
	Rest       Rest
}

// Identification names the tool that made a module, in EBCDIC.
type Identification struct {
	Product [10]byte
	Version [4]byte // version and release, two digits each
	Date    [5]byte // yyddd
}

// Statement is a control statement in EBCDIC.
type Statement struct{ Columns [cardSize]byte }

// Unknown is a card that cannot be read, or a short one at the end.
type Unknown struct{ Bytes []byte }

// Rest is the columns of a card outside its fields; nil if they are blank.
type Rest []byte

// Cards yields the cards of r in order. It stops after the first read error.
func Cards(r io.Reader) iter.Seq2[Card, error] {
	return func(yield func(Card, error) bool) {
		for c, err := range cards(r) {
			if err != nil {
				yield(nil, fmt.Errorf("reading cards: %w", err))
				return
			}
			if !yield(decode(c), nil) {
				return
			}
		}
	}
}

// Append appends a card to dst. A card from Cards gives the same bytes again.
func Append(dst []byte, c Card) ([]byte, error) {
	b, err := c.put(bytes.Repeat([]byte{blank}, cardSize))
	return append(dst, b...), err
}
