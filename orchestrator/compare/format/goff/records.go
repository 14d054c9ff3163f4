// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Record is one of Header, Symbol, Text, Relocations, Lengths, End and Unknown.
// Tail is what follows the last byte that the record describes. It is nil if the
// last card is filled up with zeros and no further card follows.
type Record interface {
	// parts returns the components of the record; an Unknown has no kind.
	parts() (kind Kind, head, data, tail []byte)
}

// Header begins a module.
type Header struct {
	Reserved   [45]byte
	Level      uint32 // of the architecture: 0 or 1
	Reserved2  [6]byte
	Properties []byte
	Tail       []byte
}

// Symbol is an external symbol (ESD).
type Symbol struct {
	Type       byte // 0 section, 1 element, 2 label, 3 part, 4 reference
	ID, Owner  uint32
	Reserved   uint32
	Offset     uint32
	Reserved2  uint32
	Length     uint32
	ExtID      uint32 // of extended attributes
	ExtOffset  uint32
	Reserved3  uint32
	Space      byte // of names
	Flags      byte
	Fill       byte
	Reserved4  byte
	Associated uint32 // ESDID of associated data
	Priority   uint32
	Signature  [8]byte
	Attributes [10]byte
	Name       []byte // EBCDIC
	Tail       []byte
}

// Text is bytes of an element or part (TXT).
type Text struct {
	Style    byte // 0 bytes, 1 structured, 2 unstructured; the upper half is reserved
	Element  uint32
	Reserved uint32
	Offset   uint32
	True     uint32 // length when unpacked
	Encoding uint16 // 0: not encoded
	Data     []byte
	Tail     []byte
}

// Relocations lists relocations (RLD).
type Relocations struct {
	Reserved byte
	Data     []byte
	Tail     []byte
}

// Length is the length of an element, given after its symbol.
type Length struct{ ID, Reserved, Length uint32 }

// Lengths lists lengths given late (LEN).
type Lengths struct {
	Reserved byte
	Items    []Length
	Tail     []byte
}

// End ends a module.
type End struct {
	Flags     byte
	Amode     byte
	Reserved  [3]byte
	Records   uint32 // of the module, or 0
	Element   uint32
	Reserved2 uint32
	Offset    uint32
	Name      []byte
	Tail      []byte
}

// Unknown holds cards that are not a record.
type Unknown struct{ Bytes []byte }

func (h Header) parts() (Kind, []byte, []byte, []byte) {
	b := append([]byte(nil), h.Reserved[:]...)
	b = binary.BigEndian.AppendUint32(b, h.Level)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.Properties)))
	return KindHeader, append(b, h.Reserved2[:]...), h.Properties, h.Tail
}

func (s Symbol) parts() (Kind, []byte, []byte, []byte) {
	b := []byte{s.Type}
	for _, v := range []uint32{s.ID, s.Owner, s.Reserved, s.Offset, s.Reserved2, s.Length, s.ExtID, s.ExtOffset, s.Reserved3} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(b, s.Space, s.Flags, s.Fill, s.Reserved4)
	b = binary.BigEndian.AppendUint32(b, s.Associated)
	b = binary.BigEndian.AppendUint32(b, s.Priority)
	b = append(append(b, s.Signature[:]...), s.Attributes[:]...)
	return KindSymbol, binary.BigEndian.AppendUint16(b, uint16(len(s.Name))), s.Name, s.Tail
}

func (t Text) parts() (Kind, []byte, []byte, []byte) {
	b := []byte{t.Style}
	for _, v := range []uint32{t.Element, t.Reserved, t.Offset, t.True} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint16(b, t.Encoding)
	return KindText, binary.BigEndian.AppendUint16(b, uint16(len(t.Data))), t.Data, t.Tail
}

func (r Relocations) parts() (Kind, []byte, []byte, []byte) {
	return KindRelocations, binary.BigEndian.AppendUint16([]byte{r.Reserved}, uint16(len(r.Data))), r.Data, r.Tail
}

func (l Lengths) parts() (Kind, []byte, []byte, []byte) {
	var data []byte
	for _, i := range l.Items {
		for _, v := range []uint32{i.ID, i.Reserved, i.Length} {
			data = binary.BigEndian.AppendUint32(data, v)
		}
	}
	return KindLengths, binary.BigEndian.AppendUint16([]byte{l.Reserved}, uint16(len(data))), data, l.Tail
}

func (e End) parts() (Kind, []byte, []byte, []byte) {
	b := append([]byte{e.Flags, e.Amode}, e.Reserved[:]...)
	for _, v := range []uint32{e.Records, e.Element, e.Reserved2, e.Offset} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return KindEnd, binary.BigEndian.AppendUint16(b, uint16(len(e.Name))), e.Name, e.Tail
}

func (u Unknown) parts() (Kind, []byte, []byte, []byte) { return 0, nil, u.Bytes, nil }

// Append appends the cards of r to dst. A record from Records gives the same bytes
// again.
func Append(dst []byte, r Record) ([]byte, error) {
	kind, head, data, tail := r.parts()
	if _, ok := r.(Unknown); ok {
		return append(dst, data...), nil
	}
	if len(data) > 1<<16-1 {
		return dst, fmt.Errorf("%w: %d bytes are too many for one record: divide them", ErrFormat, len(data))
	}
	body := append(append(head, data...), tail...)
	if n := (len(body) + payload - 1) / payload; n > maxCards || n > 1 && kind == KindHeader {
		return dst, fmt.Errorf("%w: a record of %d cards: keep its tail shorter", ErrFormat, n)
	}
	flags := byte(0)
	for {
		n := min(payload, len(body))
		if n < len(body) {
			flags |= continued
		} else {
			flags &^= continued
		}
		dst = append(append(dst, 3, byte(kind)<<4|flags, 0), body[:n]...)
		dst = append(dst, make([]byte, payload-n)...)
		if body = body[n:]; len(body) == 0 {
			return dst, nil
		}
		flags = continuation
	}
}

// Records yields the records of r in order. Bytes that are not a record, including
// a short last card, are yielded as Unknown. It stops after the first read error.
func Records(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		cards := newFeed(r, feedSize)
		for {
			raw, ok, err := cards.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(nil, fmt.Errorf("reading GOFF records: %w", err))
				}
				return
			}
			var rec Record = Unknown{bytes.Clone(raw)}
			if ok {
				rec = decode(raw)
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// decode decodes a record whose lengths fit.
func decode(raw record) Record {
	from, to := raw.data()
	d := decoder{raw[prefixSize:]}
	data, tail := raw.joined(from, to), raw.joined(to, raw.size())
	// Zeros up to the end of the last card needed are implied.
	if len(tail) < payload && len(bytes.Trim(tail, "\x00")) == 0 {
		tail = nil
	}
	switch raw.kind() {
	case KindHeader:
		h := Header{Reserved: [45]byte(d.take(45)), Level: d.u32()}
		d.take(2)
		h.Reserved2, h.Properties, h.Tail = [6]byte(d.take(6)), data, tail
		return h
	case KindSymbol:
		return Symbol{Type: d.u8(), ID: d.u32(), Owner: d.u32(), Reserved: d.u32(), Offset: d.u32(), Reserved2: d.u32(), Length: d.u32(),
			ExtID: d.u32(), ExtOffset: d.u32(), Reserved3: d.u32(), Space: d.u8(), Flags: d.u8(), Fill: d.u8(), Reserved4: d.u8(),
			Associated: d.u32(), Priority: d.u32(), Signature: [8]byte(d.take(8)), Attributes: [10]byte(d.take(10)), Name: data, Tail: tail}
	case KindText:
		return Text{Style: d.u8(), Element: d.u32(), Reserved: d.u32(), Offset: d.u32(), True: d.u32(),
			Encoding: binary.BigEndian.Uint16(d.take(2)), Data: data, Tail: tail}
	case KindRelocations:
		return Relocations{Reserved: d.u8(), Data: data, Tail: tail}
	case KindLengths:
		l := Lengths{Reserved: d.u8(), Tail: tail}
		for in := (decoder{data}); len(in.b) > 0; {
			l.Items = append(l.Items, Length{in.u32(), in.u32(), in.u32()})
		}
		return l
	default:
		return End{Flags: d.u8(), Amode: d.u8(), Reserved: [3]byte(d.take(3)), Records: d.u32(), Element: d.u32(), Reserved2: d.u32(),
			Offset: d.u32(), Name: data, Tail: tail}
	}
}

// decoder consumes fields from bytes that are known to suffice.
type decoder struct{ b []byte }

func (d *decoder) take(n int) []byte {
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) u8() byte    { return d.take(1)[0] }
func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }

// feed splits a stream into records.
type feed struct {
	r    io.Reader
	buf  []byte
	from int // offset of the bytes not yet returned
	err  error
	// at is how many bytes were returned before.
	at int64
}

// feedSize is the buffer size, enough for several of the largest records.
const feedSize = 512 << 10

// newFeed returns a feed of a stream of at most most bytes.
func newFeed(r io.Reader, most int64) *feed {
	return &feed{r: r, buf: make([]byte, 0, max(min(feedSize, most), 0)+1)}
}

// next returns the next record. If it reports false, the bytes cannot be read as a
// record. The bytes are valid until the next call.
func (f *feed) next() (record, bool, error) {
	if len(f.buf)-f.from < (maxCards+1)*cardSize && f.err == nil {
		f.fill()
	}
	rest := f.buf[f.from:]
	if len(rest) == 0 {
		return nil, false, f.err
	}
	if f.err != nil && !errors.Is(f.err, io.EOF) {
		return nil, false, f.err
	}
	n, whole, _ := chain(rest)
	raw := record(rest[:min(max(n, 1)*cardSize, len(rest))])
	ok := whole && raw.fits()
	f.from += len(raw)
	f.at += int64(len(raw))
	return raw, ok, nil
}

func (f *feed) fill() {
	rest := copy(f.buf[:cap(f.buf)], f.buf[f.from:])
	var n int
	n, f.err = io.ReadFull(f.r, f.buf[rest:cap(f.buf)])
	if errors.Is(f.err, io.ErrUnexpectedEOF) {
		f.err = io.EOF
	}
	f.buf, f.from = f.buf[:rest+n], 0
}
