// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// The PPA2 (program prolog area 2) is a block within the code in which a compiler
// describes a compile unit. At offset 12 it holds the distance to the stamp of
// the unit: 14 digits of time, 6 of version, and, if the PPA2 says so, the length
// and text of a service level. The stamp may lie beside the PPA2, as LLVM places
// it, or at the beginning of the section, as XL C does. Digits count as a stamp
// only if a PPA2 points to them.
const (
	timeSize    = 14
	versionSize = 6
	stampSize   = timeSize + versionSize
	ppa2Size    = 24
	ppa2Stamp   = 12
	ppa2Flags   = 20
	hasService  = 0x20
	maxService  = 255

	near        = 256 // distance from digits within which to search for a PPA2 of any language
	ahead       = near + ppa2Size + stampSize + 2 + maxService
	maxBuffer   = 64 << 10
	maxSegments = 1 << 12
	maxFound    = 1 << 14 // per module
	maxStamps   = 1 << 14
	maxEntries  = 1 << 12
	maxGap      = 3 * cardSize // other bytes that may lie within a stamp
)

// compiled is one stamp found, as ranges of the file.
type compiled struct {
	time, version, service stretch
	from, to               int64
	// text is set if the service level has a text; only the PPA2 can confirm it.
	text bool
}

// stretch is a range whose bytes belong together. Where they are spread over cards,
// other bytes lie in between.
type stretch struct {
	offset int64
	length int
	gaps   []gap
}

// gap is a range of other bytes within a stretch.
type gap struct {
	at    int
	bytes string
}

// segment is a contiguous run of text: its offset in the buffer and in the file,
// and the bytes between it and the previous run in the file. Runs with too many
// bytes in between are not joined.
type segment struct {
	pos     int
	at      int64
	between string
	apart   bool
}

// candidate is digits that may be a stamp, or a PPA2 that points to one.
type candidate struct {
	element uint32
	offset  int64
	// header is the offset of its PPA2, or -1; flags are those of the PPA2.
	header int64
	flags  byte
	stamp  compiled
}

// header is bytes that may be a PPA2.
type header struct {
	element        uint32
	offset, target int64
	flags          byte
}

// scanner searches the text of one module, element by element, as it is read.
type scanner struct {
	found *[]compiled

	element uint32
	next    int64 // offset in the element of the byte behind the buffer
	fileEnd int64 // end in the file of the last record
	buf     []byte
	tail    string // bytes of the last record behind its data
	apart   bool   // tail was cut
	segs    []segment
	scanned int

	stamps  []candidate
	headers []header
	entries []int64
	crowded bool // there are more entries than are kept
}

// reserve allocates the buffer for a file of that size, so that it need not grow
// repeatedly.
func (s *scanner) reserve(size int64) {
	s.buf = make([]byte, 0, max(min(size, maxBuffer), 0))
	s.segs = make([]segment, 0, max(min(size/cardSize, maxSegments), 0))
}

// take adds one text record. If entry is not 0, the text consists of entries of
// that many bytes that point to PPA2s.
func (s *scanner) take(at int64, raw record, entry int) {
	id, offset := binary.BigEndian.Uint32(raw[4:]), int64(binary.BigEndian.Uint32(raw[12:]))
	from, to := raw.data()
	if entry > 0 {
		s.register(raw.joined(from, to), entry)
	}
	if raw[3]&0x0f != 0 || binary.BigEndian.Uint16(raw[20:]) != 0 {
		return // not the bytes as loaded
	}
	if id != s.element || offset != s.next || at != s.fileEnd || from == to {
		s.flush(true)
	}
	s.element, s.next, s.fileEnd = id, offset+int64(to-from), at+int64(len(raw))
	g := segment{between: s.tail + string(raw[:textData]), apart: s.apart}
	s.buf, s.segs = slices.Grow(s.buf, to-from), slices.Grow(s.segs, (to-from)/payload+2)
	for x := from; x < to; {
		p := place(x)
		n := min(to-x, cardSize-p%cardSize)
		if x > from {
			g = segment{between: prefix(raw[p-prefixSize:])}
		}
		g.pos, g.at = len(s.buf), at+int64(p)
		s.segs, s.buf = append(s.segs, g), append(s.buf, raw[p:p+n]...)
		x += n
	}
	rest := raw[place(to-1)+1:]
	s.tail, s.apart = string(rest[:min(len(rest), maxGap)]), len(rest) > maxGap
	if len(s.buf) >= maxBuffer || len(s.segs) >= maxSegments {
		s.flush(false)
	}
}

// prefix returns the prefix of a card that continues a text record.
func prefix(card []byte) string {
	if card[1] == byte(KindText)<<4|continuation {
		return "\x03\x12\x00"
	}
	return "\x03\x13\x00"
}

func (s *scanner) register(data []byte, entry int) {
	for ; len(data) >= entry; data = data[entry:] {
		if len(s.entries) == maxEntries {
			s.crowded = true
			return
		}
		var v int64
		for _, b := range data[:entry] {
			v = v<<8 | int64(b)
		}
		s.entries = append(s.entries, v)
	}
}

// flush searches the buffer and drops what is no longer needed. Without all it
// leaves the end that could continue in text still to come.
func (s *scanner) flush(all bool) {
	limit := len(s.buf)
	if !all {
		limit -= ahead
	}
	if limit > s.scanned {
		s.search(limit)
		s.scanned = limit
	}
	if all {
		s.buf, s.segs, s.scanned = s.buf[:0], s.segs[:0], 0
		return
	}
	s.drop(s.scanned - near)
}

// drop removes n bytes from the beginning of the buffer.
func (s *scanner) drop(n int) {
	i := 0
	for i+1 < len(s.segs) && s.segs[i+1].pos <= n {
		i++
	}
	if n <= 0 || i == 0 {
		return
	}
	n = s.segs[i].pos
	s.buf = s.buf[:copy(s.buf, s.buf[n:])]
	s.segs = s.segs[:copy(s.segs, s.segs[i:])]
	for j := range s.segs {
		s.segs[j].pos -= n
	}
	s.scanned -= n
}

// search searches for stamps and for PPA2s of C that begin before limit.
func (s *scanner) search(limit int) {
	base := s.next - int64(len(s.buf))
	for i := s.scanned; ; i++ {
		n := bytes.Index(s.buf[i:min(limit+2, len(s.buf))], []byte{3, 0, 0x22})
		if n < 0 {
			break
		}
		i += n
		if i+ppa2Size <= len(s.buf) && len(s.headers) < maxFound {
			s.headers = append(s.headers, header{s.element, base + int64(i), base + int64(i) + distance(s.buf[i:]), s.buf[i+ppa2Flags]})
		}
	}
	for i := s.scanned; i < limit; {
		// Testing one byte in 20 suffices: every stamp contains one of them.
		at := min(i+stampSize-1, len(s.buf)-1)
		if !digit(s.buf[at]) {
			i = at + 1
			continue
		}
		from, to := at, at+1
		for from > i && digit(s.buf[from-1]) {
			from--
		}
		for to < len(s.buf) && digit(s.buf[to]) {
			to++
		}
		if to-from >= stampSize {
			s.digits(base, from)
			if to-from > stampSize {
				s.digits(base, to-stampSize)
			}
		}
		i = to
	}
}

func digit(b byte) bool { return b >= 0xf0 && b <= 0xf9 }

// distance returns the distance from a PPA2 to its stamp.
func distance(ppa2 []byte) int64 {
	return int64(int32(binary.BigEndian.Uint32(ppa2[ppa2Stamp:])))
}

// digits stores digits that may be a stamp, with the PPA2 near them if there is
// one.
func (s *scanner) digits(base int64, at int) {
	if len(s.stamps) >= maxFound {
		return
	}
	c := candidate{element: s.element, offset: base + int64(at), header: -1}
	for p := max(at-near, 0); p+ppa2Size <= len(s.buf) && p <= at+stampSize+near; p++ {
		if distance(s.buf[p:]) == int64(at-p) && language(s.buf[p:]) {
			c.header, c.flags = base+int64(p), s.buf[p+ppa2Flags]
			break
		}
	}
	var ok bool
	if c.stamp, ok = s.stamp(at); ok {
		s.stamps = append(s.stamps, c)
	}
}

// language reports whether ppa2 begins like a PPA2: a member language of the
// run-time (C, COBOL, FORTRAN, PL/I, assembler, the run-time's own), no subdivision
// of it, and a known level.
func language(ppa2 []byte) bool {
	switch ppa2[0] {
	case 1, 3, 5, 7, 10, 15:
		return ppa2[1] == 0 && ppa2[3] >= 1 && ppa2[3] <= 4
	}
	return false
}

// stamp returns the range in the file of the stamp at offset at of the buffer, and
// of the bytes that may be its service level.
func (s *scanner) stamp(at int) (compiled, bool) {
	var c compiled
	var ok bool
	if c.time, ok = s.stretch(at, at+timeSize); !ok {
		return c, false
	}
	if c.version, ok = s.stretch(at+timeSize, at+stampSize); !ok {
		return c, false
	}
	c.from, c.to = c.time.offset, c.version.end()
	end := at + stampSize + 2
	if end > len(s.buf) {
		return c, true
	}
	n := int(binary.BigEndian.Uint16(s.buf[end-2:]))
	if n > maxService || end+n > len(s.buf) {
		return c, true
	}
	if service, ok := s.stretch(end-2, end+n); ok {
		c.service, c.text = service, n > 0
	}
	return c, true
}

// end returns the offset behind the stretch.
func (s stretch) end() int64 { return s.offset + int64(s.length) }

// stretch returns the range in the file of bytes of the buffer. It reports false if
// too many other bytes lie in between.
func (s *scanner) stretch(from, to int) (stretch, bool) {
	i, _ := slices.BinarySearchFunc(s.segs, from, func(g segment, p int) int {
		if g.pos <= p {
			return -1
		}
		return 1
	})
	i-- // the last segment that begins at or before from
	out := stretch{offset: s.segs[i].at + int64(from-s.segs[i].pos), length: to - from}
	for ; ; i++ {
		end := len(s.buf)
		if i+1 < len(s.segs) {
			end = s.segs[i+1].pos
		}
		if to <= end {
			return out, true
		}
		next := s.segs[i+1]
		if next.apart {
			return out, false
		}
		at := s.segs[i].at + int64(end-s.segs[i].pos)
		out.gaps = append(out.gaps, gap{int(at - out.offset), next.between})
		if out.length += len(next.between); out.length-(to-from) > maxGap {
			return out, false
		}
	}
}

// end selects the stamps of a module: digits to which a PPA2 points. If the module
// registers its PPA2s and one of them was found, only registered ones count.
func (s *scanner) end() {
	s.flush(true)
	type place struct {
		element uint32
		offset  int64
	}
	leads := make(map[place]header, len(s.headers))
	for _, h := range s.headers {
		leads[place{h.element, h.target}] = h
	}
	entries := make(map[int64]bool, len(s.entries))
	for _, e := range s.entries {
		entries[e] = true
	}
	understood := false
	kept := s.stamps[:0]
	for _, c := range s.stamps {
		if h, ok := leads[place{c.element, c.offset}]; ok && c.header < 0 {
			c.header, c.flags = h.offset, h.flags
		}
		if c.header >= 0 {
			kept = append(kept, c)
			understood = understood || !s.crowded && entries[c.header]
		}
	}
	for _, c := range kept {
		if !understood || entries[c.header] {
			s.store(c)
		}
	}
	*s = scanner{found: s.found, buf: s.buf, segs: s.segs}
}

// store stores a confirmed stamp, unless it overlaps the previous one.
func (s *scanner) store(c candidate) {
	if c.stamp.text && c.flags&hasService == 0 {
		c.stamp.service = stretch{}
	}
	c.stamp.to = max(c.stamp.to, c.stamp.service.end())
	n := len(*s.found)
	if n == maxStamps || n > 0 && (*s.found)[n-1].to > c.stamp.from {
		return
	}
	*s.found = append(*s.found, c.stamp)
}
