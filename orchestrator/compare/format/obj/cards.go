// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package obj

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// part is the columns of one field, and the buffer to read it into or write it
// from.
type part struct {
	at    int
	bytes []byte
}

// take copies the fields from a card and returns the other columns.
func take(c []byte, parts ...part) Rest {
	rest := bytes.Clone(c)
	blankOut(rest, 0, 4)
	for _, p := range parts {
		copy(p.bytes, c[p.at:])
		blankOut(rest, p.at, len(p.bytes))
	}
	if len(bytes.Trim(rest, "\x40")) == 0 {
		return nil
	}
	return rest
}

func blankOut(c []byte, at, n int) {
	for i := range n {
		c[at+i] = blank
	}
}

// give writes the fields to a card.
func give(c []byte, kind string, rest Rest, parts ...part) ([]byte, error) {
	if len(rest) != 0 && len(rest) != cardSize {
		return nil, fmt.Errorf("%w: the rest of a card of %d columns has %d", ErrFormat, cardSize, len(rest))
	}
	copy(c, rest)
	c[0] = mark
	copy(c[1:], kind)
	for _, p := range parts {
		copy(c[p.at:], p.bytes)
	}
	return c, nil
}

// sized returns the parts that write a count and its data.
func sized(data []byte, most int) ([]part, error) {
	if len(data) > most {
		return nil, fmt.Errorf("%w: a card holds %d bytes, not %d: divide them", ErrFormat, most, len(data))
	}
	return []part{{countAt, binary.BigEndian.AppendUint16(nil, uint16(len(data)))}, {dataAt, data}}, nil
}

// room returns the parts that read a count and its data.
func room(c []byte) (data []byte, parts []part) {
	data = make([]byte, binary.BigEndian.Uint16(c[countAt:]))
	return data, []part{{countAt, make([]byte, 2)}, {dataAt, data}}
}

// decode decodes one card.
func decode(c []byte) Card {
	switch {
	case !readable(c):
		return Unknown{bytes.Clone(c)}
	case c[0] >= blank:
		return Statement{[cardSize]byte(c)}
	}
	switch string(c[1:4]) {
	case kindSymbols:
		var s Symbols
		data, parts := room(c)
		s.Rest = take(c, append(parts, part{14, s.ID[:]})...)
		for ; len(data) > 0; data = data[itemSize:] {
			s.Items = append(s.Items, Symbol{[8]byte(data), data[8], [3]byte(data[9:]), data[12], [3]byte(data[13:])})
		}
		return s
	case kindText:
		var t Text
		var parts []part
		t.Data, parts = room(c)
		t.Rest = take(c, append(parts, part{5, t.Address[:]}, part{14, t.ID[:]})...)
		return t
	case kindRelocations:
		data, parts := room(c)
		return Relocations{data, take(c, parts...)}
	case kindTest:
		data, parts := room(c)
		return Test{data, take(c, parts...)}
	default:
		var e End
		count := make([]byte, 1)
		e.Rest = take(c, append(e.parts(), part{32, count})...)
		e.Count = count[0]
		return e
	}
}

// parts returns the fields of an END card, without its count.
func (e *End) parts() []part {
	out := []part{{5, e.Entry[:]}, {14, e.ID[:]}, {16, e.Name[:]}, {28, e.Length[:]}}
	for i := range e.Identified {
		id := &e.Identified[i]
		at := identAt + i*identSize
		out = append(out, part{at, id.Product[:]}, part{at + identProduct, id.Version[:]}, part{at + identProduct + identVersion, id.Date[:]})
	}
	return out
}

func (s Symbols) put(c []byte) ([]byte, error) {
	var data []byte
	for _, i := range s.Items {
		data = append(append(append(data, i.Name[:]...), i.Type), i.Address[:]...)
		data = append(append(data, i.Flag), i.Length[:]...)
	}
	parts, err := sized(data, maxItems*itemSize)
	if err != nil {
		return nil, err
	}
	return give(c, kindSymbols, s.Rest, append(parts, part{14, s.ID[:]})...)
}

func (t Text) put(c []byte) ([]byte, error) {
	parts, err := sized(t.Data, dataSize)
	if err != nil {
		return nil, err
	}
	return give(c, kindText, t.Rest, append(parts, part{5, t.Address[:]}, part{14, t.ID[:]})...)
}

func (r Relocations) put(c []byte) ([]byte, error) {
	parts, err := sized(r.Data, dataSize)
	if err != nil {
		return nil, err
	}
	return give(c, kindRelocations, r.Rest, parts...)
}

func (s Test) put(c []byte) ([]byte, error) {
	parts, err := sized(s.Data, dataSize)
	if err != nil {
		return nil, err
	}
	return give(c, kindTest, s.Rest, parts...)
}

func (e End) put(c []byte) ([]byte, error) {
	return give(c, kindEnd, e.Rest, append(e.parts(), part{32, []byte{e.Count}})...)
}

func (s Statement) put([]byte) ([]byte, error) { return s.Columns[:], nil }

func (u Unknown) put([]byte) ([]byte, error) { return u.Bytes, nil }
