// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package obj

import (
	"bytes"
	"encoding/binary"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// maxPieces bounds the pieces of a text that are returned to either side.
const maxPieces = 128

// Joined implements span.Joiner. The text of a section continues in the next card,
// if that card places it right behind.
func (f *File) Joined(offset, reach int64) []span.Stretch {
	begin := offset - offset%cardSize
	here, ok := f.textAt(begin)
	if !ok || offset < here.Offset || offset >= here.End() {
		return nil
	}
	out := []span.Stretch{here.Stretch}
	first, last := here, here
	for left := reach - (offset - here.Offset); left > 0 && len(out) < maxPieces; {
		prior, ok := f.textAt(begin - cardSize)
		if !ok || !prior.leadsTo(first) {
			break
		}
		begin -= cardSize
		out = append([]span.Stretch{prior.Stretch}, out...)
		first, left = prior, left-prior.Length
	}
	begin = offset - offset%cardSize
	for left, most := reach-(here.End()-1-offset), len(out)+maxPieces; left > 0 && len(out) < most; {
		next, ok := f.textAt(begin + cardSize)
		if !ok || !last.leadsTo(next) {
			break
		}
		begin += cardSize
		out = append(out, next.Stretch)
		last, left = next, left-next.Length
	}
	return out
}

// placed is the text of a card with its address.
type placed struct {
	span.Stretch
	section [2]byte
	address uint32
}

// textAt returns the text of the card that begins at offset begin, if it has any.
func (f *File) textAt(begin int64) (placed, bool) {
	c := make([]byte, cardSize)
	if begin < 0 || begin+cardSize > f.size {
		return placed{}, false
	}
	if n, _ := f.r.ReadAt(c, begin); n < cardSize || !readable(c) || !bytes.Equal(c[1:4], []byte(kindText)) || c[0] != mark {
		return placed{}, false
	}
	n := int64(binary.BigEndian.Uint16(c[countAt:]))
	return placed{span.Stretch{Offset: begin + dataAt, Length: n}, [2]byte(c[14:16]), binary.BigEndian.Uint32(c[4:]) & 0xffffff}, n > 0
}

// leadsTo reports whether the text of next continues that of p.
func (p placed) leadsTo(next placed) bool {
	return p.section == next.section && int64(p.address)+p.Length == int64(next.address)
}
