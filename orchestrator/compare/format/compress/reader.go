// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package compress reads and writes the .Z format of compress(1): LZW with codes of
// 9 to 16 bits, as POSIX describes compress and as z/OS pax -z writes it.
//
// The layout: the bytes 1F 9D, a byte of flags (low five bits the widest code, 0x80
// block mode), then codes, least significant bit first. Codes come in groups of
// eight; whenever the width changes, and after CLEAR, the rest of the group is
// padding. The format has neither checksum nor end mark. Whatever cannot occur in a
// whole stream is an error here; other damage must be detected by the format of the
// content (see orchestrator/compare/format/pax).
//
// The standard library's compress/lzw is another format (GIF, TIFF, PDF).
package compress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFormat says that the stream is damaged or not in .Z format.
var ErrFormat = errors.New("not a whole .Z stream")

// Magic begins every .Z stream.
const Magic = "\x1f\x9d"

const (
	minBits   = 9
	maxBits   = 16
	clearCode = 256
	blockMode = 0x80
	bitsMask  = 0x1f

	inSize  = 64 << 10
	outSize = 64 << 10
	// slack lets eight bytes be loaded or stored at any offset.
	slack = 8
	// longest is the longest string that a code can denote.
	longest = 1 << maxBits
)

// entry is the string that a code denotes. The string is cut into chunks of eight
// bytes from its beginning: tail is the last chunk, parent the code of everything
// before it. So a string is copied in steps of eight bytes, and most strings in one
// step.
type entry struct {
	tail   uint64
	length uint32
	parent uint16
}

// Reader decompresses.
type Reader struct {
	r      io.Reader
	err    error // to return after the bytes in out
	srcEOF bool

	in   []byte
	have int // bytes in in
	pos  int // next bit of in
	base int // bit at which the current run of groups began; may be negative
	// unpadded is the bit at which padding was last skipped.
	unpadded int
	shifted  int64 // bytes dropped from the front of in

	width, most uint
	first, next int // first free code of an empty table; next free code
	prev        int // previous code, -1 after the beginning and CLEAR

	out      []byte
	outR     int
	outW     int
	table    []entry
	blocking bool
}

// NewReader reads the header of r and returns a Reader of the content. Errors about
// the bytes wrap ErrFormat; those of r are returned as they are.
func NewReader(r io.Reader) (*Reader, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: it ends within the header", ErrFormat)
		}
		return nil, fmt.Errorf("reading .Z header: %w", err)
	}
	most := uint(head[2] & bitsMask)
	switch {
	case string(head[:2]) != Magic:
		return nil, fmt.Errorf("%w: it begins with %x, not 1f9d", ErrFormat, head[:2])
	case most < minBits || most > maxBits:
		return nil, fmt.Errorf("%w: codes of up to %d bits; want 9 to 16", ErrFormat, most)
	case head[2]&^(blockMode|bitsMask) != 0:
		return nil, fmt.Errorf("%w: unknown flags %#x", ErrFormat, head[2]&^(blockMode|bitsMask))
	}
	z := &Reader{
		r: r, most: most, blocking: head[2]&blockMode != 0, first: 256, prev: -1, width: minBits,
		in:    make([]byte, inSize+slack),
		out:   make([]byte, outSize+longest+slack),
		table: make([]entry, 1<<maxBits),
	}
	if z.blocking {
		z.first = clearCode + 1
	}
	z.next = z.first
	for c := range 256 {
		z.table[c] = entry{tail: uint64(c), length: 1}
	}
	return z, nil
}

// Read reads decompressed bytes.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for z.outR == z.outW {
		if z.err != nil {
			return 0, z.err
		}
		z.fill()
	}
	n := copy(p, z.out[z.outR:z.outW])
	z.outR += n
	return n, nil
}

// WriteTo writes everything that is left to w.
func (z *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if z.outR < z.outW {
			n, err := w.Write(z.out[z.outR:z.outW])
			total += int64(n)
			z.outR += n
			if err != nil {
				return total, err
			}
			continue
		}
		if z.err == io.EOF { //nolint:errorlint // wrapped, it is what broke the source off
			return total, nil
		}
		if z.err != nil {
			return total, z.err
		}
		z.fill()
	}
}

// fill decodes into the empty out until it is full enough or z.err is set.
func (z *Reader) fill() {
	z.outR, z.outW = 0, 0
	for z.err == nil && z.outW < outSize {
		if z.have*8-z.pos < maxBits*16 && !z.srcEOF {
			if z.refill(); z.err != nil {
				return
			}
		}
		z.decode()
	}
}

// refill moves the rest of in to its front and reads more behind it.
func (z *Reader) refill() {
	// The base moves to the start of the group in which pos lies.
	group := int(z.width) * 8
	z.base = z.pos - (z.pos-z.base)%group
	drop := min(z.pos/8, z.have)
	copy(z.in, z.in[drop:z.have])
	z.have -= drop
	z.pos -= drop * 8
	z.base -= drop * 8
	z.unpadded -= drop * 8
	z.shifted += int64(drop)
	for empty := 0; z.have < inSize && !z.srcEOF; {
		n, err := z.r.Read(z.in[z.have:inSize])
		z.have += n
		if err == io.EOF {
			z.srcEOF = true
		} else if err != nil {
			z.err = fmt.Errorf("reading .Z stream: %w", err)
			return
		}
		if empty++; n > 0 {
			empty = 0
		} else if empty > 100 {
			z.err = io.ErrNoProgress
			return
		}
	}
}

// decode decodes codes until out is full, in has too few bytes, or the stream ends.
// It keeps its state in local variables.
func (z *Reader) decode() {
	in, out, table := z.in, z.out, (*[1 << maxBits]entry)(z.table)
	pos, next, prev, w := z.pos, z.next, z.prev, z.outW
	width, full := z.width, 1<<z.most
	limit := z.have*8 - int(width)
	mask := uint64(1)<<width - 1
	widen := 1 << width
	if width == z.most {
		widen = full + 1 // never
	}
	for w < outSize {
		if next >= widen {
			break
		}
		if pos > limit {
			break
		}
		code := int(binary.LittleEndian.Uint64(in[pos>>3:]) >> (pos & 7) & mask)
		pos += int(width)
		if code == clearCode && z.blocking {
			z.pos, z.prev, z.outW = pos, -1, w
			z.align()
			z.next, z.width, z.base = z.first, minBits, z.pos
			return
		}
		if prev < 0 {
			if code > 255 {
				z.corrupt(pos, code)
				return
			}
			out[w] = byte(code)
			w++
			prev = code
			continue
		}
		if code >= next {
			// Only the code about to be defined may be used before it is.
			if code > next || next == full {
				z.corrupt(pos, code)
				return
			}
			code = prev
			e := table[code]
			n := int(e.length)
			expand(out[w:], table, e)
			out[w+n] = out[w]
			table[next] = extend(e, uint16(prev), out[w])
			prev = next
			next++
			w += n + 1
			continue
		}
		e := table[code]
		if e.length <= 8 {
			binary.LittleEndian.PutUint64(out[w:], e.tail)
		} else {
			expand(out[w:], table, e)
		}
		if next < full {
			table[next] = extend(table[prev], uint16(prev), out[w])
			next++
		}
		prev = code
		w += int(e.length)
	}
	z.pos, z.next, z.prev, z.outW = pos, next, prev, w
	switch {
	case next >= widen:
		z.align()
		z.width++
		z.base = z.pos
	case pos > limit && z.srcEOF:
		z.end()
	}
}

// expand writes the string of e to out, from its end to its beginning. It may
// overwrite up to seven bytes behind the string.
func expand(out []byte, table *[1 << maxBits]entry, e entry) {
	at := (int(e.length) - 1) &^ 7
	for {
		binary.LittleEndian.PutUint64(out[at:], e.tail)
		if at == 0 {
			return
		}
		at -= 8
		e = table[e.parent]
	}
}

// extend returns the entry for the string of e, which has the given code, followed
// by c.
func extend(e entry, code uint16, c byte) entry {
	in := e.length & 7
	if in == 0 {
		return entry{tail: uint64(c), length: e.length + 1, parent: code}
	}
	e.tail |= uint64(c) << (8 * in)
	e.length++
	return e
}

// align skips the rest of the group. The padding may extend beyond in, or beyond
// the end of the stream.
func (z *Reader) align() {
	z.unpadded = z.pos
	group := int(z.width) * 8
	if odd := (z.pos - z.base) % group; odd != 0 {
		z.pos += group - odd
	}
}

// end checks the end of the stream: only unused zero bits of the last byte may be
// left. Writers pad a group only when a code follows, so a stream may end where
// padding would begin, but not within it.
func (z *Reader) end() {
	from := z.pos
	if z.have*8 < z.pos {
		from = z.unpadded
	}
	left := z.have*8 - from
	switch {
	case left == 0:
		z.err = io.EOF
	case left < 0 || left >= 8:
		z.err = fmt.Errorf("%w: it ends within a code: %w", ErrFormat, io.ErrUnexpectedEOF)
	case z.in[from/8]>>(from&7) != 0:
		z.err = fmt.Errorf("%w: bits behind the last code", ErrFormat)
	default:
		z.err = io.EOF
	}
}

func (z *Reader) corrupt(pos, code int) {
	z.err = fmt.Errorf("%w: code %d before byte %d was never made", ErrFormat, code, z.shifted+int64(pos+7)/8+3)
}
