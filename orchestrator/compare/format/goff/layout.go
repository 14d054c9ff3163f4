// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"sort"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// Names of spans that are not in one of the tables.
const (
	unknownName  = "goff.unknown"
	reservedName = "goff.reserved"
	prefixName   = "goff.prefix"
	textName     = "goff.txt"
)

// field is a range of a joined record.
type field struct {
	from, to int
	name     string
	kind     span.Kind
	read     func([]byte) span.Value
	// whole is set if the field is one span even where it is spread over cards.
	whole bool
}

// At returns the span that contains a byte. Every byte of a readable file has one.
// A stamp or product name that is spread over cards is one span, including the
// bytes in between; its Read accepts only the in-between bytes of this file.
func (f *File) At(offset int64) (span.Span, bool) {
	if offset < 0 || offset >= f.size {
		return span.Span{}, false
	}
	if s, ok := f.stampAt(offset); ok {
		return s, true
	}
	card := offset - offset%cardSize
	unknown := span.Span{Name: unknownName, Offset: card, Length: min(cardSize, f.size-card)}
	m, ok := f.moduleAt(offset)
	if !ok {
		return unknown, true
	}
	rec := f.recordAt(offset)
	if rec.raw == nil {
		return unknown, true
	}
	return f.clip(f.within(m, rec, offset), offset), true
}

// clip cuts a span of plain bytes around offset at the boundaries of stamps.
func (f *File) clip(s span.Span, offset int64) span.Span {
	if s.Kind != span.Plain {
		return s
	}
	end := s.Offset + s.Length
	i := sort.Search(len(f.stamps), func(i int) bool { return f.stamps[i].from > offset })
	for _, c := range f.stamps[max(i-1, 0):min(i+1, len(f.stamps))] {
		for _, p := range []stretch{c.time, c.version, c.service} {
			if p.offset > offset {
				end = min(end, p.offset)
			} else {
				s.Offset = max(s.Offset, p.end())
			}
		}
	}
	s.Length = end - s.Offset
	return s
}

// End returns the end of the span that contains the byte at offset, at most limit.
func (f *File) End(offset, limit int64) int64 {
	if s, ok := f.At(offset); ok {
		return min(limit, s.Offset+s.Length)
	}
	return limit
}

// stampAt returns the part of a PPA2's stamp that contains a byte.
func (f *File) stampAt(offset int64) (span.Span, bool) {
	i := sort.Search(len(f.stamps), func(i int) bool { return f.stamps[i].from > offset }) - 1
	if i < 0 || offset >= f.stamps[i].to {
		return span.Span{}, false
	}
	c := f.stamps[i]
	for _, p := range []struct {
		s    stretch
		name string
		kind span.Kind
		read func([]byte) span.Value
	}{
		{c.time, "ppa2.compiled", span.Stamp, readCalendar},
		{c.version, "ppa2.version", span.Fixed, readText},
		{c.service, "ppa2.service", span.Fixed, readService},
	} {
		if offset >= p.s.offset && offset < p.s.end() {
			return span.Span{Name: p.name, Offset: p.s.offset, Length: int64(p.s.length), Kind: p.kind, Read: p.s.reader(p.read)}, true
		}
	}
	return span.Span{}, false
}

// reader returns a Read function for the stretch that first checks that the bytes
// in between are unchanged.
func (s stretch) reader(read func([]byte) span.Value) func([]byte) span.Value {
	if len(s.gaps) == 0 {
		return read
	}
	return func(b []byte) span.Value {
		out := make([]byte, 0, s.length)
		at := 0
		for _, g := range s.gaps {
			end := g.at + len(g.bytes)
			if end > len(b) || string(b[g.at:end]) != g.bytes {
				return span.Value{Text: "spread over other records: " + hexOf(b)}
			}
			out = append(out, b[at:g.at]...)
			at = end
		}
		return read(append(out, b[at:]...))
	}
}

// within returns the span of a byte in a record.
func (f *File) within(m module, rec lastRecord, offset int64) span.Span {
	at := int(offset - rec.at)
	if at%cardSize >= prefixSize {
		x := joinedAt(at)
		return rec.span(f.fieldAt(m, rec, x), x)
	}
	card := at - at%cardSize
	if card > 0 {
		x := joinedAt(card + prefixSize)
		if fd := f.fieldAt(m, rec, x); fd.whole && fd.from < x {
			return rec.span(fd, x)
		}
	}
	return span.Span{Name: prefixName, Offset: rec.at + int64(card), Length: prefixSize, Kind: span.Fixed, Read: readHex}
}

// joinedAt is the inverse of place.
func joinedAt(at int) int {
	if at < cardSize {
		return at
	}
	return cardSize + (at/cardSize-1)*payload + at%cardSize - prefixSize
}

// span returns the span of a field. Unless the field is read as a whole, it is the
// part of the field in the card of byte x.
func (k lastRecord) span(fd field, x int) span.Span {
	if !fd.whole {
		first := 0
		if x >= cardSize {
			first = x - (x-cardSize)%payload
		}
		last := first + payload
		if first == 0 {
			last = cardSize
		}
		fd.from, fd.to = max(fd.from, first), min(fd.to, last)
	}
	s := stretch{offset: k.at + int64(place(fd.from))}
	s.length = place(fd.to-1) + 1 - place(fd.from)
	for card := place(fd.from)/cardSize + 1; card*cardSize < place(fd.to-1); card++ {
		s.gaps = append(s.gaps, gap{card*cardSize - place(fd.from), string(k.raw[card*cardSize : card*cardSize+prefixSize])})
	}
	out := span.Span{Name: fd.name, Offset: s.offset, Length: int64(s.length), Kind: fd.kind}
	if fd.read != nil {
		out.Read = s.reader(fd.read)
	}
	return out
}
