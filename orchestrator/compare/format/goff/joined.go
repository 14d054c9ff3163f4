// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"encoding/binary"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// maxPieces bounds the pieces of a text that are returned to either side.
const maxPieces = 128

// Joined implements span.Joiner. A name continues from card to card of its record.
// The text of an element also continues in the next record, if that record places
// it right behind.
func (f *File) Joined(offset, reach int64) []span.Stretch {
	m, ok := f.moduleAt(offset)
	if !ok {
		return nil
	}
	rec := f.recordAt(offset)
	at := int(offset - rec.at)
	if rec.raw == nil || at%cardSize < prefixSize {
		return nil
	}
	x, far := joinedAt(at), int(min(reach, maxPieces*payload))
	from, to := rec.raw.data()
	kind := rec.raw.kind()
	if x < from || x >= to || kind != KindText && kind != KindSymbol && kind != KindEnd || rec.idents != nil {
		return nil
	}
	out := rec.pieces(max(from, x-far), min(to, x+far+1))
	first, last := rec, rec
	for left := far - (x - from); left > 0 && len(out) < maxPieces && first.at > m.begin; {
		prior := f.recordAt(first.at - 1)
		if !prior.leadsTo(first) {
			break
		}
		from, to := prior.raw.data()
		out = append(prior.pieces(max(from, to-left), to), out...)
		first, left = prior, left-(to-from)
	}
	for left, most := far-(to-1-x), len(out)+maxPieces; left > 0 && len(out) < most && last.end < m.end; {
		next := f.recordAt(last.end)
		if !last.leadsTo(next) {
			break
		}
		from, to := next.raw.data()
		out = append(out, next.pieces(from, min(to, from+left))...)
		last, left = next, left-(to-from)
	}
	return out
}

// pieces returns the ranges in the file of bytes [from, to) of the joined record.
func (k lastRecord) pieces(from, to int) []span.Stretch {
	var out []span.Stretch
	for from < to {
		at := place(from)
		n := min(to-from, cardSize-at%cardSize)
		out = append(out, span.Stretch{Offset: k.at + int64(at), Length: int64(n)})
		from += n
	}
	return out
}

// leadsTo reports whether the text of next continues that of k.
func (k lastRecord) leadsTo(next lastRecord) bool {
	if k.raw == nil || next.raw == nil || k.end != next.at || k.raw.kind() != KindText || next.raw.kind() != KindText {
		return false
	}
	u32 := binary.BigEndian.Uint32
	from, to := k.raw.data()
	_, end := next.raw.data()
	const encoding = 20 // 2 bytes; 0: not encoded
	return to > from && end > textData && k.raw[3] == next.raw[3] && k.idents == nil && next.idents == nil &&
		u32(k.raw[4:]) == u32(next.raw[4:]) && uint64(u32(k.raw[12:]))+uint64(to-from) == uint64(u32(next.raw[12:])) &&
		binary.BigEndian.Uint16(k.raw[encoding:])|binary.BigEndian.Uint16(next.raw[encoding:]) == 0
}
