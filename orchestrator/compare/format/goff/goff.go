// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package goff names the parts of GOFF object modules, as z/OS compilers and
// assemblers write them: which byte belongs to which field, which element a text
// lies in, and where the compile times are.
//
// Open indexes a module once and then finds the part of any byte. Records and
// Append read and write the records themselves. The package neither links nor
// relocates. The layout follows "z/OS MVS Program Management: Advanced Facilities"
// (SA23-1392), checked on objects of the High Level Assembler and of LLVM;
// docs/formats/goff.md lists it as tables. orchestrator/compare/format/obj reads
// the older object modules.
package goff

import (
	"encoding/binary"
	"errors"
)

// ErrFormat says that the bytes are not a GOFF object module.
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

// Offsets in the first card of a record, as in the manual.
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

// Is reports whether head begins a GOFF object module. It needs the first 48 bytes
// of a file.
func Is(head []byte) bool {
	if len(head) < headerLevel || head[0] != 3 || head[1] != byte(KindHeader)<<4 || head[2] != 0 {
		return false
	}
	return len(head) < headerLevel+4 || binary.BigEndian.Uint32(head[headerLevel:]) <= 1
}

// known reports whether a card begins like a record of a known kind.
func known(card []byte) bool {
	if card[0] != 3 || card[2] != 0 || card[1]&0x0c != 0 {
		return false
	}
	k := kindOf(card)
	return k <= KindEnd || k == KindHeader
}

func kindOf(card []byte) Kind { return Kind(card[1] >> 4) }

// chain examines the record that begins with the first of the cards. If whole is
// set, the record is the first n cards. Otherwise the first n cards are no record:
// the first one and those that would continue it. short means that there are too
// few cards to decide.
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

// record is the consecutive cards of one record.
type record []byte

func (r record) kind() Kind { return kindOf(r) }

// size returns the length of the joined record: all of the first card, and the
// others without their prefix.
func (r record) size() int { return cardSize + (len(r)/cardSize-1)*payload }

// place returns the offset in the cards of byte x of the joined record.
func place(x int) int {
	if x < cardSize {
		return x
	}
	return cardSize + (x-cardSize)/payload*cardSize + prefixSize + (x-cardSize)%payload
}

// joined returns bytes [from, to) of the joined record.
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

// data returns the range of the variable part in the joined record.
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

// fits reports whether the lengths declared in the record fit its cards.
func (r record) fits() bool {
	from, to := r.data()
	return to <= r.size() && (r.kind() != KindLengths || (to-from)%lengthSize == 0)
}
