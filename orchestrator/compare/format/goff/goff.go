// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package goff knows the parts of GOFF object modules, as z/OS compilers and
// assemblers write them: which byte belongs to which field, which element text
// lies in, and where the times of compiling stand.
//
// Open reads a module once and answers for each byte from the record at hand;
// Records and Append read and write the records themselves. Nothing is linked
// or relocated here. The layout is that of "z/OS MVS Program Management:
// Advanced Facilities" (SA23-1392), checked on objects of the High Level
// Assembler and of LLVM; docs/formats/goff.md has it as tables. Old object
// modules are the business of orchestrator/compare/format/obj.
package goff

import (
	"encoding/binary"
	"errors"
)

// ErrFormat: the bytes are not a GOFF object module.
var ErrFormat = errors.New("not a readable GOFF object module")

// Sizes of cards, the physical records.
const (
	cardSize   = 80
	prefixSize = 3
	payload    = cardSize - prefixSize
	// maxCards bounds one record: 65,535 bytes of data need 852 cards.
	maxCards = 1024
)

// Kind is the type of a record.
type Kind uint8

// The kinds.
const (
	KindSymbol      Kind = 0
	KindText        Kind = 1
	KindRelocations Kind = 2
	KindLengths     Kind = 3
	KindEnd         Kind = 4
	KindHeader      Kind = 15
)

// Bits of the second byte of a card.
const (
	continued    = 1
	continuation = 2
)

// Offsets in the first card of a record, as the manual counts them.
const (
	headerLevel    = 48
	headerLength   = 52
	headerData     = 60
	symbolNameSize = 70
	symbolName     = 72
	textData       = 24
	listLength     = 4 // of relocations and lengths
	listData       = 6
	endNameSize    = 24
	endName        = 26
	lengthSize     = 12
)

// Is reports whether head, at least the first 48 bytes of a file, begins a
// GOFF object module.
func Is(head []byte) bool {
	if len(head) < headerLevel || head[0] != 3 || head[1] != byte(KindHeader)<<4 || head[2] != 0 {
		return false
	}
	return len(head) < headerLevel+4 || binary.BigEndian.Uint32(head[headerLevel:]) <= 1
}

// known reports whether a card begins as one of a kind we know.
func known(card []byte) bool {
	if card[0] != 3 || card[2] != 0 || card[1]&0x0c != 0 {
		return false
	}
	k := kindOf(card)
	return k <= KindEnd || k == KindHeader
}

func kindOf(card []byte) Kind { return Kind(card[1] >> 4) }

// chain looks at the record that begins with the first of the cards: n of them
// make it up if it is whole. Otherwise they are none, the first and those that
// would continue it, up to n; where there are too few cards to tell, short.
func chain(cards []byte) (n int, whole, short bool) {
	if len(cards) < cardSize {
		return 0, false, true
	}
	first := cards[:cardSize]
	if !known(first) || first[1]&continuation != 0 {
		return 1, false, false
	}
	for n = 1; cards[(n-1)*cardSize+1]&continued != 0; n++ {
		if n == maxCards || kindOf(first) == KindHeader {
			return n, false, false
		}
		if len(cards) < (n+1)*cardSize {
			return n, false, true
		}
		next := cards[n*cardSize:]
		if !known(next) || next[1]&continuation == 0 || kindOf(next) != kindOf(first) {
			return n, false, false
		}
	}
	return n, true, false
}

// record is the cards of one record, in a row.
type record []byte

func (r record) kind() Kind { return kindOf(r) }

// size is how many bytes the record has when its cards are joined: those of
// the first card, and of each other one without its prefix.
func (r record) size() int { return cardSize + (len(r)/cardSize-1)*payload }

// place returns where the byte x of the joined record lies in the cards.
func place(x int) int {
	if x < cardSize {
		return x
	}
	return cardSize + (x-cardSize)/payload*cardSize + prefixSize + (x-cardSize)%payload
}

// joined returns the bytes from to to of the joined record.
func (r record) joined(from, to int) []byte {
	out := make([]byte, 0, max(to-from, 0))
	for from < to {
		at := place(from)
		n := min(to-from, cardSize-at%cardSize)
		out = append(out, r[at:at+n]...)
		from += n
	}
	return out
}

// data returns where, in the joined record, the part of variable length is.
func (r record) data() (from, to int) {
	u16 := func(at int) int { return int(binary.BigEndian.Uint16(r[at:])) }
	switch r.kind() {
	case KindHeader:
		return headerData, headerData + u16(headerLength)
	case KindSymbol:
		return symbolName, symbolName + u16(symbolNameSize)
	case KindText:
		return textData, textData + u16(textData-2)
	case KindEnd:
		return endName, endName + u16(endNameSize)
	default:
		return listData, listData + u16(listLength)
	}
}

// fits reports whether what the record says of its length is true.
func (r record) fits() bool {
	from, to := r.data()
	return to <= r.size() && (r.kind() != KindLengths || (to-from)%lengthSize == 0)
}
