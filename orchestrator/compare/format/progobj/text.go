// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// The stamp of a compile unit is 20 digits: the time, then version, release and
// modification of the compiler.
const (
	stampLength   = 20
	timeLength    = 14
	versionLength = stampLength - timeLength
	// ppa2Pointer is the offset in a PPA2 of the distance to its stamp.
	ppa2Pointer = 12
	maxService  = 128
	// A PPA2 begins with the number of its language; its fourth byte is the level
	// of its layout.
	maxMember, maxLevel = 0x20, 0x10

	window    = 1 << 18
	overlap   = 512
	maxStamps = 1 << 16
)

// findStamps finds the stamps of compile units in text. Twenty digits alone do not
// count: a PPA2 must point to them, or they must be a time followed by the service
// level of a compiler.
func (f *File) findStamps() error {
	for _, g := range f.regions {
		if g.name != text {
			continue
		}
		s := stampScan{region: g, room: maxStamps - len(f.stamps)}
		if err := f.windows(g, s.findDigits); err != nil {
			return err
		}
		if len(s.stamps) > 0 {
			if err := f.windows(g, s.pointers); err != nil {
				return err
			}
		}
		if s.full {
			f.fault("there are more than %d times of compiling; the rest are not told apart", maxStamps)
		}
		for _, c := range s.stamps {
			if c.certain {
				f.stamps = append(f.stamps, c.offset)
			}
		}
	}
	return nil
}

// windows calls findDigits with overlapping windows of a region. Bytes in the overlap are
// seen twice, and so every stamp is whole in at least one window.
func (f *File) windows(g region, find func(b []byte, at int64)) error {
	buf := make([]byte, min(window, g.end-g.start))
	for at := g.start; ; {
		b := buf[:min(window, g.end-at)]
		if n, err := f.r.ReadAt(b, at); n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading text at byte %d: %w", at, err)
		}
		find(b, at)
		if at += int64(len(b)); at >= g.end {
			return nil
		}
		at -= overlap
	}
}

// stampScan collects possible stamps of one region, in order.
type stampScan struct {
	region region
	stamps []candidate
	room   int
	full   bool
}

type candidate struct {
	offset  int64
	certain bool
}

func digit(c byte) bool { return c >= 0xf0 && c <= 0xf9 }

// findDigits finds the runs of exactly 20 digits in a window.
func (s *stampScan) findDigits(b []byte, at int64) {
	for i := stampLength - 1; i < len(b); i += stampLength {
		if !digit(b[i]) {
			continue
		}
		from, to := i, i+1
		for from > 0 && digit(b[from-1]) {
			from--
		}
		for to < len(b) && digit(b[to]) {
			to++
		}
		i = to - 1
		if to-from == stampLength && s.whole(b, at, from, to) {
			dated := !compiled(b[from : from+timeLength]).From.IsZero()
			s.add(candidate{at + int64(from), dated && serviced(b[to:])})
		}
	}
}

// whole reports whether the window shows the surroundings of a run. If not, another
// window does.
func (s *stampScan) whole(b []byte, at int64, from, to int) bool {
	return (from > 0 || at == s.region.start) && (to+2+maxService <= len(b) || at+int64(len(b)) == s.region.end)
}

// add adds a candidate, unless an overlapping window already had it.
func (s *stampScan) add(c candidate) {
	n := len(s.stamps)
	switch {
	case n > 0 && s.stamps[n-1].offset >= c.offset:
	case n >= s.room:
		s.full = true
	default:
		s.stamps = append(s.stamps, c)
	}
}

// serviced reports whether b begins with the service level of a compiler: a length
// and that many characters.
func serviced(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	n := int(u16(b))
	if n == 0 || n > maxService || n > len(b)-2 {
		return false
	}
	for _, c := range b[2 : 2+n] {
		if c < 0x40 || c == 0xff {
			return false
		}
	}
	return true
}

// pointers confirms the stamps to which a PPA2 points.
func (s *stampScan) pointers(b []byte, at int64) {
	first, last := s.stamps[0].offset, s.stamps[len(s.stamps)-1].offset
	for i := ppa2Pointer; i+4 <= len(b); i += 4 {
		ppa2 := at + int64(i) - ppa2Pointer
		target := ppa2 + int64(int32(binary.BigEndian.Uint32(b[i:]))) //nolint:gosec // the distance is signed
		if target < first || target > last {
			continue
		}
		member, level := b[i-ppa2Pointer], b[i-ppa2Pointer+3]
		if member == 0 || member > maxMember || level == 0 || level > maxLevel {
			continue
		}
		n := sort.Search(len(s.stamps), func(n int) bool { return s.stamps[n].offset >= target })
		if s.stamps[n].offset == target {
			s.stamps[n].certain = true
		}
	}
}

// stampAt narrows the span of a byte of text to the stamp that contains it.
func (f *File) stampAt(offset int64, s span.Span) span.Span {
	i := sort.Search(len(f.stamps), func(i int) bool { return f.stamps[i] > offset }) - 1
	if i < 0 || offset >= f.stamps[i]+stampLength {
		return s
	}
	at := f.stamps[i]
	if offset < at+timeLength {
		return span.Span{Name: "ppa2.compiled", Offset: at, Length: timeLength, Kind: span.Stamp, Read: compiled}
	}
	return span.Span{Name: "ppa2.version", Offset: at + timeLength, Length: versionLength, Kind: span.Fixed, Read: ebcdic}
}
