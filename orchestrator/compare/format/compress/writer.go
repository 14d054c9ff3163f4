// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compress

import (
	"errors"
	"fmt"
	"io"
)

const (
	// checkGap is how many bytes of input pass between two checks of the ratio once
	// the table is full.
	checkGap = 10000

	slotBits = 17
	slots    = 1 << slotBits
)

// Writer compresses in block mode with codes of up to 16 bits. The output depends
// only on the input, not on how it is split into writes.
type Writer struct {
	w   io.Writer
	err error

	// table is a hash table with open addressing. An element holds the 24 bits of
	// (prefix, byte) plus one, above the 16 bits of the code; 0 is free.
	table []uint64
	next  int // next free code; 1<<16 when full
	codes int // codes written since the table was empty

	ent    int // code of the input read but not yet written; -1 at the beginning
	width  uint
	acc    uint64
	bits   uint
	begun  bool
	group  int // bytes since the width changed, to find the end of the group
	buf    []byte
	inLen  int64
	outLen int64
	check  int64 // offset in the input of the next check of the ratio
	best   int64 // ratio at the last check
}

// NewWriter returns a Writer to w. Close must be called; it does not close w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, table: make([]uint64, slots), next: clearCode + 1, ent: -1, width: minBits,
		buf: make([]byte, 0, outSize+64)}
}

// Write compresses p.
func (z *Writer) Write(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	z.begin()
	rest := p
	for len(rest) > 0 && z.err == nil {
		if z.ent < 0 {
			z.ent, rest = int(rest[0]), rest[1:]
			z.inLen++
			continue
		}
		// The check is due at a fixed offset of the input, however it is split.
		n := len(rest)
		if z.next == 1<<maxBits {
			n = int(min(int64(n), max(z.check-z.inLen, 1)))
		}
		n = z.code(rest[:n])
		z.inLen += int64(n)
		rest = rest[n:]
		if z.next == 1<<maxBits && z.inLen >= z.check {
			z.checkRatio()
		}
	}
	if z.err != nil {
		return 0, z.err
	}
	return len(p), nil
}

func (z *Writer) begin() {
	if !z.begun {
		z.buf = append(z.buf, Magic[0], Magic[1], blockMode|maxBits)
		z.begun = true
	}
}

// code encodes bytes of p and returns how many. It stops early when the table
// becomes full.
func (z *Writer) code(p []byte) int {
	table, ent := (*[slots]uint64)(z.table), z.ent
	full := z.next == 1<<maxBits
	for i, c := range p {
		key := uint64(ent)<<8 | uint64(c)
		slot := uint32(key*0x9E3779B97F4A7C15>>(64-slotBits)) & (slots - 1)
		for table[slot] != 0 && table[slot]>>16 != key+1 {
			slot = (slot + 1) & (slots - 1)
		}
		if found := table[slot]; found != 0 {
			ent = int(found & 0xffff)
			continue
		}
		z.put(ent)
		ent = int(c)
		if full {
			continue
		}
		table[slot] = (key+1)<<16 | uint64(z.next)
		if z.next++; z.next == 1<<maxBits {
			z.ent, z.check, z.best = ent, z.inLen+int64(i)+1, 0
			return i + 1
		}
	}
	z.ent = ent
	return len(p)
}

// put writes one code, and widens the next one at the same point as the reader.
func (z *Writer) put(code int) {
	z.acc |= uint64(code) << z.bits
	z.bits += z.width
	for z.bits >= 8 {
		z.buf = append(z.buf, byte(z.acc))
		z.acc >>= 8
		z.bits -= 8
		z.group++
		z.outLen++
	}
	z.codes++
	if z.width < maxBits && clearCode+z.codes >= 1<<z.width {
		z.pad()
		z.width++
	}
	if len(z.buf) >= outSize {
		z.flush()
	}
}

// pad fills the group of eight codes, which is width bytes long.
func (z *Writer) pad() {
	if z.bits > 0 {
		z.buf = append(z.buf, byte(z.acc))
		z.acc, z.bits = 0, 0
		z.group++
	}
	for z.group%int(z.width) != 0 {
		z.buf = append(z.buf, 0)
		z.group++
	}
	z.group = 0
}

// checkRatio clears the table if the compression ratio has become worse.
func (z *Writer) checkRatio() {
	z.check = z.inLen + checkGap
	ratio := z.inLen << 8 / max(z.outLen, 1)
	if ratio >= z.best {
		z.best = ratio
		return
	}
	z.put(z.ent)
	z.put(clearCode)
	z.pad()
	clear(z.table)
	z.next, z.codes, z.width, z.ent, z.best = clearCode+1, 0, minBits, -1, 0
}

func (z *Writer) flush() {
	if z.err == nil && len(z.buf) > 0 {
		if _, err := z.w.Write(z.buf); err != nil {
			z.err = fmt.Errorf("writing .Z stream: %w", err)
		}
	}
	z.buf = z.buf[:0]
}

// errClosed is returned by a closed Writer.
var errClosed = errors.New("writing to a closed .Z stream")

// Close writes the remaining codes.
func (z *Writer) Close() error {
	if errors.Is(z.err, errClosed) {
		return nil
	}
	z.begin()
	if z.ent >= 0 {
		z.put(z.ent)
	}
	if z.bits > 0 {
		z.buf = append(z.buf, byte(z.acc))
		z.bits = 0
	}
	z.flush()
	err := z.err
	z.err = errClosed
	return err
}
