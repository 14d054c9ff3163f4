// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
	"github.com/zfarm/zfarm/recipes/source/xzfile"
)

const (
	xzNearby  = 4 << 10
	minWindow = 4 << 10 // minimum that the decoder accepts
)

func isXZ(head []byte) bool { return bytes.HasPrefix(head, []byte(xzMagic)) }

// xzBlock is one block: its data and its metadata.
type xzBlock struct {
	data, packed, size int64
	window             int64
	check              xzfile.Check
	sum                []byte
}

// xzWalk walks the structure of a file without decoding it: streams, blocks, and
// the chunks in them, which contain their lengths.
type xzWalk struct {
	f      exact.File
	near   *exact.Window
	budget *exact.Budget // nil on a second walk, which takes nothing from it
	at     int64
	header int64 // offset of the current stream's header; -1 between streams
	check  xzfile.Check
	// blocks is the number of blocks in this stream, listed a sum over their sizes.
	// The index must agree with both.
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

// begin skips zeros and reads the header of the next stream, if there is one.
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
	b, err := x.near.Bytes(x.at, int(min(xzfile.StreamHeaderSize, x.f.Size-x.at)))
	if err != nil {
		return false, err
	}
	if !isXZ(b) && x.streams > 0 {
		return false, nil
	}
	check, err := xzfile.Header(b)
	if err != nil {
		return false, x.fault(x.at, err)
	}
	x.check, x.header = check, x.at
	x.at, x.blocks, x.listed = x.at+xzfile.StreamHeaderSize, 0, sha256.New()
	x.streams++
	x.checks.add(check.Name)
	return true, nil
}

// fault adds the offset of a part to an error in it.
func (*xzWalk) fault(at int64, err error) error {
	var f *xzfile.Fault
	if errors.As(err, &f) {
		return exact.Errorf(at+int64(f.At), "%s", f.Text)
	}
	return err
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
	unpadded := uint64(x.at - from + int64(x.check.Size))
	fill := int(-x.at & 3)
	end, err := x.near.Bytes(x.at, fill+x.check.Size)
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

// list adds the sizes of one block to a sum, from the index or as computed.
func (x *xzWalk) list(unpadded, size uint64) {
	x.blocks++
	listLine(x.listed, unpadded, size)
}

func listLine(h hash.Hash, unpadded, size uint64) {
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, unpadded), size))
}

// blockHeader reads a block header. Sizes that it does not contain are -1.
func (x *xzWalk) blockHeader() (packed, size, window int64, err error) {
	at := x.at
	b, err := x.near.Bytes(at, 1)
	if err != nil {
		return 0, 0, 0, err
	}
	length := xzfile.BlockHeaderSize(b[0])
	if b, err = x.near.Bytes(at, length); err != nil {
		return 0, 0, 0, err
	}
	header, err := xzfile.BlockHeader(b)
	switch {
	case err != nil:
		return 0, 0, 0, x.fault(at, err)
	case !header.LZMA2:
		return 0, 0, 0, exact.Errorf(at, "an xz block is made by other filters than LZMA2 alone, which is what is read")
	case header.Window > maxWindow:
		return 0, 0, 0, exact.Errorf(at, "an xz block needs a dictionary of more than %d bytes, which is not read", maxWindow)
	}
	var says []string
	if header.Packed >= 0 {
		says = append(says, "packed")
	}
	if header.Size >= 0 {
		says = append(says, "size")
	}
	x.at += int64(length)
	x.windows.add(fmt.Sprint(header.Window))
	x.declared.add(fmt.Sprintf("%d bytes, says %s", length, strings.Join(says, " and ")))
	return header.Packed, header.Size, header.Window, nil
}

// chunks adds up the chunks of LZMA2: a control byte, sizes less one, and for some
// a byte of properties.
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
		r := bytes.NewReader(b)
		n, err := xzfile.Number(r)
		if err != nil {
			return 0, exact.Errorf(x.at, "the index of an xz stream is not readable")
		}
		_, err = eat(len(b) - r.Len())
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

// lines reads the entries of an index and compares them with the blocks.
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
	b, err := x.near.Bytes(x.at, xzfile.StreamHeaderSize)
	if err != nil {
		return err
	}
	size, err := xzfile.Footer(b, x.check)
	if err != nil {
		return x.fault(x.at, err)
	}
	if size != index {
		return exact.Errorf(x.at+4, "the footer of an xz stream says another size of its index than %d", index)
	}
	x.at, x.header = x.at+xzfile.StreamHeaderSize, -1
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
		// Chunks contain their sizes, so this check comes before any decoding.
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
