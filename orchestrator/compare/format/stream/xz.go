// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

const (
	xzEdge    = 12 // header and footer of a stream
	xzFooter  = "YZ"
	xzLZMA2   = 0x21
	xzNearby  = 4 << 10
	minWindow = 4 << 10 // that the decoder takes
)

func isXZ(head []byte) bool { return bytes.HasPrefix(head, []byte(xzMagic)) }

// xzCheck is how the content of blocks is summed up.
type xzCheck struct {
	name string
	size int64
	hash func() hash.Hash
}

func xzCheckOf(id byte) (xzCheck, bool) {
	switch id {
	case 0:
		return xzCheck{"none", 0, nil}, true
	case 1:
		return xzCheck{"crc32", 4, func() hash.Hash { return crc32.NewIEEE() }}, true
	case 4:
		table := crc64.MakeTable(crc64.ECMA)
		return xzCheck{"crc64", 8, func() hash.Hash { return crc64.New(table) }}, true
	case 10:
		return xzCheck{"sha256", 32, sha256.New}, true
	}
	return xzCheck{}, false
}

// xzBlock is one block: its data and what is said of it.
type xzBlock struct {
	data, packed, size int64
	window             int64
	check              xzCheck
	sum                []byte
}

// xzWalk goes over the structure of a file without decoding it: streams,
// blocks, and the chunks in them, which say how long they are.
type xzWalk struct {
	f      exact.File
	near   *exact.Window
	budget *exact.Budget // nil where it was asked before
	at     int64
	header int64 // of the stream that at lies in; -1 between streams
	flags  []byte
	check  xzCheck
	// blocks is their number in this stream, listed a sum over their sizes,
	// which the index must repeat.
	blocks   uint64
	listed   hash.Hash
	streams  count
	padding  count
	checks   series
	numbers  series
	windows  series
	declared series
	sizes    series
}

func newXZWalk(f exact.File, b *exact.Budget) *xzWalk {
	return &xzWalk{f: f, near: f.Window(xzNearby), budget: b, header: -1}
}

// next returns the next block; false behind the last.
func (x *xzWalk) next() (xzBlock, bool, error) {
	for {
		if x.header < 0 {
			if more, err := x.begin(); err != nil || !more {
				return xzBlock{}, false, err
			}
			continue
		}
		b, err := x.near.Bytes(x.at, 1)
		if err != nil {
			return xzBlock{}, false, err
		}
		if b[0] != 0 {
			block, err := x.block()
			return block, err == nil, err
		}
		if err := x.index(); err != nil {
			return xzBlock{}, false, err
		}
	}
}

// begin reads the header of a stream, if there is another, and zeros before it.
func (x *xzWalk) begin() (bool, error) {
	for x.streams > 0 && x.f.Size-x.at >= 4 {
		b, err := x.near.Bytes(x.at, 4)
		if err != nil {
			return false, err
		}
		if !zeros(b) {
			break
		}
		x.at, x.padding = x.at+4, x.padding+4
	}
	b, err := x.near.Bytes(x.at, int(min(xzEdge, x.f.Size-x.at)))
	if err != nil {
		return false, err
	}
	if !isXZ(b) && x.streams > 0 {
		return false, nil
	}
	if len(b) < xzEdge || crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return false, exact.Errorf(x.at, "the header of an xz stream is damaged")
	}
	check, ok := xzCheckOf(b[7])
	if !ok || b[6] != 0 {
		return false, exact.Errorf(x.at+6, "an xz stream has unknown flags %x", b[6:8])
	}
	x.flags, x.check, x.header = bytes.Clone(b[6:8]), check, x.at
	x.at, x.blocks, x.listed = x.at+xzEdge, 0, sha256.New()
	x.streams++
	x.checks.add(check.name)
	return true, nil
}

// varint reads a number of up to 9 bytes, 7 bits each, least first.
func varint(b []byte) (n uint64, rest []byte, ok bool) {
	for i := 0; i < len(b) && i < 9; i++ {
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return n, b[i+1:], i == 0 || b[i] != 0
		}
	}
	return 0, b, false
}

// block reads a block: its header, the sizes of its chunks, padding and sum.
func (x *xzWalk) block() (xzBlock, error) {
	from := x.at
	if x.budget != nil {
		if err := x.budget.Members(from, 1); err != nil {
			return xzBlock{}, err
		}
	}
	packed, size, window, err := x.blockHeader()
	if err != nil {
		return xzBlock{}, err
	}
	b := xzBlock{data: x.at, window: window, check: x.check}
	if err := x.chunks(&b); err != nil {
		return b, err
	}
	if packed >= 0 && packed != b.packed || size >= 0 && size != b.size {
		return b, exact.Errorf(from, "the header of an xz block says %d bytes of %d, and there are %d of %d", packed, size, b.packed, b.size)
	}
	unpadded := uint64(x.at - from + x.check.size)
	fill := int(-x.at & 3)
	end, err := x.near.Bytes(x.at, fill+int(x.check.size))
	if err != nil {
		return b, err
	}
	if !zeros(end[:fill]) {
		return b, exact.Errorf(x.at, "the padding of an xz block is not zero")
	}
	b.sum = bytes.Clone(end[fill:])
	x.at += int64(len(end))
	x.list(unpadded, uint64(b.size))
	x.sizes.add(fmt.Sprint(b.size))
	return b, nil
}

// list adds a line of the index, as it is or as it should be.
func (x *xzWalk) list(unpadded, size uint64) {
	x.blocks++
	listLine(x.listed, unpadded, size)
}

func listLine(h hash.Hash, unpadded, size uint64) {
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, unpadded), size))
}

// blockHeader reads a header; sizes are -1 where it does not say them.
func (x *xzWalk) blockHeader() (packed, size, window int64, err error) {
	at := x.at
	b, err := x.near.Bytes(at, 1)
	if err != nil {
		return 0, 0, 0, err
	}
	length := (int(b[0]) + 1) * 4
	if b, err = x.near.Bytes(at, length); err != nil {
		return 0, 0, 0, err
	}
	body := b[1 : length-4]
	if crc32.ChecksumIEEE(b[:length-4]) != binary.LittleEndian.Uint32(b[length-4:]) {
		return 0, 0, 0, exact.Errorf(at, "the header of an xz block is damaged")
	}
	flags, rest := body[0], body[1:]
	sizes := [2]int64{-1, -1}
	var says []string
	for i, name := range []string{"packed", "size"} {
		if flags&(0x40<<i) == 0 {
			continue
		}
		n, left, ok := varint(rest)
		if !ok || n > 1<<62 {
			return 0, 0, 0, exact.Errorf(at, "the header of an xz block has no readable sizes")
		}
		sizes[i], rest, says = int64(n), left, append(says, name)
	}
	if flags&0x3c != 0 {
		return 0, 0, 0, exact.Errorf(at+1, "an xz block has unknown flags %02x", flags)
	}
	if flags&3 != 0 || len(rest) < 3 || rest[0] != xzLZMA2 || rest[1] != 1 {
		return 0, 0, 0, exact.Errorf(at, "an xz block is made by other filters than LZMA2 alone, which is what is read")
	}
	if window, err = xzWindow(at, rest[2]); err != nil {
		return 0, 0, 0, err
	}
	if !zeros(rest[3:]) {
		return 0, 0, 0, exact.Errorf(at, "the padding of the header of an xz block is not zero")
	}
	x.at += int64(length)
	x.windows.add(fmt.Sprint(window))
	x.declared.add(fmt.Sprintf("%d bytes, says %s", length, strings.Join(says, " and ")))
	return sizes[0], sizes[1], window, nil
}

// xzWindow is the size of a dictionary, two numbers for each power of two.
func xzWindow(at int64, code byte) (int64, error) {
	if code > 40 {
		return 0, exact.Errorf(at, "an xz block has an unknown dictionary %d", code)
	}
	if n := (int64(2) | int64(code&1)) << (code/2 + 11); n <= maxWindow {
		return n, nil
	}
	return 0, exact.Errorf(at, "an xz block needs a dictionary of more than %d bytes, which is not read", maxWindow)
}

// chunks adds up the chunks of LZMA2: a byte of control, sizes less one, and
// for some a byte of properties.
func (x *xzWalk) chunks(b *xzBlock) error {
	for {
		head, err := x.near.Bytes(x.at, 1)
		if err != nil {
			return err
		}
		control, length := head[0], 3
		switch {
		case control == 0:
			x.at++
			b.packed = x.at - b.data
			return nil
		case control >= 0xc0:
			length = 6
		case control >= 0x80:
			length = 5
		case control > 2:
			return exact.Errorf(x.at, "a chunk of LZMA2 has the unknown control %02x", control)
		}
		if head, err = x.near.Bytes(x.at, length); err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint16(head[1:])) + 1
		packed := size
		if control >= 0x80 {
			size += int64(control&0x1f) << 16
			packed = int64(binary.BigEndian.Uint16(head[3:])) + 1
		}
		x.at, b.size = x.at+int64(length)+packed, b.size+size
	}
}

// index reads the index and the footer, which end a stream.
func (x *xzWalk) index() error {
	from := x.at
	sum := crc32.NewIEEE()
	eat := func(n int) ([]byte, error) {
		b, err := x.near.Bytes(x.at, n)
		if err == nil {
			sum.Write(b)
			x.at += int64(n)
		}
		return b, err
	}
	number := func() (uint64, error) {
		b, err := x.near.Bytes(x.at, int(min(9, x.f.Size-x.at)))
		if err != nil {
			return 0, err
		}
		n, rest, ok := varint(b)
		if !ok {
			return 0, exact.Errorf(x.at, "the index of an xz stream is not readable")
		}
		_, err = eat(len(b) - len(rest))
		return n, err
	}
	if _, err := eat(1); err != nil {
		return err
	}
	if err := x.lines(number); err != nil {
		return err
	}
	fill, err := eat(int((from - x.at) & 3))
	if err != nil {
		return err
	}
	if !zeros(fill) {
		return exact.Errorf(x.at, "the padding of the index of an xz stream is not zero")
	}
	b, err := x.near.Bytes(x.at, 4)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) != sum.Sum32() {
		return exact.Errorf(x.at, "the index of an xz stream is damaged")
	}
	x.at += 4
	return x.footer(x.at - from)
}

// lines reads the lines of an index and compares them with the blocks.
func (x *xzWalk) lines(number func() (uint64, error)) error {
	at, n, err := x.at, uint64(0), error(nil)
	if n, err = number(); err != nil {
		return err
	}
	if n != x.blocks {
		return exact.Errorf(at, "the index of an xz stream lists %d blocks, and there are %d", n, x.blocks)
	}
	h := sha256.New()
	for range n {
		unpadded, err := number()
		if err != nil {
			return err
		}
		size, err := number()
		if err != nil {
			return err
		}
		listLine(h, unpadded, size)
	}
	if !bytes.Equal(h.Sum(nil), x.listed.Sum(nil)) {
		return exact.Errorf(at, "the index of an xz stream lists other blocks than there are")
	}
	x.numbers.add(fmt.Sprint(n))
	return nil
}

func (x *xzWalk) footer(index int64) error {
	b, err := x.near.Bytes(x.at, xzEdge)
	if err != nil {
		return err
	}
	switch {
	case string(b[10:]) != xzFooter, crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b):
		return exact.Errorf(x.at, "the footer of an xz stream is damaged")
	case (int64(binary.LittleEndian.Uint32(b[4:]))+1)*4 != index:
		return exact.Errorf(x.at+4, "the footer of an xz stream says another size of its index than %d", index)
	case !bytes.Equal(b[8:10], x.flags):
		return exact.Errorf(x.at+8, "header and footer of an xz stream have unlike flags")
	}
	x.at, x.header = x.at+xzEdge, -1
	return nil
}

func openXZ(s *source) error {
	x := newXZWalk(s.f, s.budget)
	var total uint64
	for {
		b, more, err := x.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		// Before anything is decoded, since each chunk says its size.
		if total += uint64(b.size); total > uint64(s.budget.ContentLeft()) {
			return s.budget.Content(b.data, total)
		}
	}
	s.end = x.at
	within := exact.File{R: s.f.R, Size: s.end}
	s.open = func() (io.ReadCloser, error) { return content{Reader: &xzReader{walk: newXZWalk(within, nil)}}, nil }
	s.field("xz.streams", container.Form, x.streams)
	s.field("xz.check", container.Form, &x.checks)
	s.field("xz.blocks", container.Form, &x.numbers)
	s.field("xz.dictionary", container.Form, &x.windows)
	s.field("xz.headers", container.Form, &x.declared)
	s.field("xz.sizes", container.Form, &x.sizes)
	s.field("xz.padding", container.Form, x.padding)
	if err := s.verify(); err != nil {
		return err
	}
	return s.compressed(0, s.end)
}
