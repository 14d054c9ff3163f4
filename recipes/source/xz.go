// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads the .xz container (xz-file-format 1.2.1) around LZMA2 data.
// The library has one too, which gives a block as much memory as its header
// asks for, up to 4 GiB; here the header is looked at first. Only the LZMA2
// filter is known, which is what source archives use.
type xzReader struct {
	r      *bufio.Reader
	n      int64 // bytes read of r
	check  byte  // kind of check in this stream; xzNoStream outside of one
	blocks uint64
	block  *lzma.Reader2
	begun  int64 // n at the begin of the compressed data of the block
	sum    hash.Hash
	err    error
}

const xzNoStream = 0xff

// The checks of a stream (2.1.1.2) and their sizes in bytes.
const (
	xzNone   = 0x0
	xzCRC32  = 0x1
	xzCRC64  = 0x4
	xzSHA256 = 0xa
)

var errXZ = errors.New("damaged xz data")

func newXZ(r *bufio.Reader) *xzReader { return &xzReader{r: r, check: xzNoStream} }

// Read decompresses into p.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.Read(p)
		x.sum.Write(p[:n])
		if err == io.EOF { //nolint:errorlint // wrapped, it is what broke the source off
			x.err = x.endBlock()
		} else {
			x.err = err
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, x.err
}

// ReadByte and raw read through counters, since padding depends on position.
func (x *xzReader) ReadByte() (byte, error) {
	b, err := x.r.ReadByte()
	if err == nil {
		x.n++
	}
	return b, err
}

func (x *xzReader) raw(p []byte) error {
	n, err := io.ReadFull(x.r, p)
	x.n += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// rawReader gives the LZMA2 reader the counted bytes.
type rawReader struct{ x *xzReader }

func (r rawReader) Read(p []byte) (int, error) {
	n, err := r.x.r.Read(p)
	r.x.n += int64(n)
	return n, err
}

func (r rawReader) ReadByte() (byte, error) { return r.x.ReadByte() }

// next goes on to the next block, through the end of a stream where need be.
func (x *xzReader) next() error {
	if x.check == xzNoStream {
		return x.beginStream()
	}
	size, err := x.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if size == 0 {
		return x.endStream()
	}
	return x.beginBlock(size)
}

// beginStream reads a stream header (2.1.1), after padding (2.2) if there is any.
func (x *xzReader) beginStream() error {
	var h [12]byte
	for {
		if _, err := x.r.Peek(1); err == io.EOF && x.n > 0 {
			return io.EOF
		}
		if err := x.raw(h[:4]); err != nil {
			return err
		}
		if x.n == 4 || h[0] != 0 || h[1] != 0 || h[2] != 0 || h[3] != 0 {
			break
		}
	}
	if err := x.raw(h[4:]); err != nil {
		return err
	}
	flags := h[6:8]
	if string(h[:6]) != magicXZ || crc32.ChecksumIEEE(flags) != binary.LittleEndian.Uint32(h[8:]) || flags[0] != 0 {
		return errXZ
	}
	x.check, x.blocks = flags[1], 0
	switch x.check {
	case xzNone, xzCRC32, xzCRC64, xzSHA256:
		return nil
	}
	return fmt.Errorf("xz check of kind %#x is not known", x.check)
}

// beginBlock reads a block header (3.1): its only filter must be LZMA2.
func (x *xzReader) beginBlock(size byte) error {
	h := make([]byte, (int(size)+1)*4)
	h[0] = size
	if err := x.raw(h[1:]); err != nil {
		return err
	}
	body, sum := h[:len(h)-4], h[len(h)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return errXZ
	}
	flags := body[1]
	r := bytes.NewReader(body[2:])
	for _, bit := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&bit != 0 {
			if _, err := binary.ReadUvarint(r); err != nil {
				return errXZ
			}
		}
	}
	var filter [3]byte
	if _, err := io.ReadFull(r, filter[:]); err != nil {
		return errXZ
	}
	if flags&0x3f != 0 || filter[0] != 0x21 || filter[1] != 1 {
		return errors.New("xz data with a filter other than LZMA2; have upstream's archive in another format")
	}
	window, err := lzma.DecodeDictCap(filter[2])
	if err != nil || window > maxWindow {
		return fmt.Errorf("xz data needs a dictionary of %d bytes, at most %d are given", window, maxWindow)
	}
	x.begun, x.sum, x.blocks = x.n, x.newSum(), x.blocks+1
	x.block, err = lzma.Reader2Config{DictCap: int(max(window, lzma.MinDictCap))}.NewReader2(rawReader{x})
	return err
}

func (x *xzReader) newSum() hash.Hash {
	switch x.check {
	case xzCRC32:
		return crc32.NewIEEE()
	case xzCRC64:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case xzSHA256:
		return sha256.New()
	}
	return noSum{}
}

// noSum is the check of streams without one.
type noSum struct{}

func (noSum) Write(p []byte) (int, error) { return len(p), nil }
func (noSum) Sum(b []byte) []byte         { return b }
func (noSum) Reset()                      {}
func (noSum) Size() int                   { return 0 }
func (noSum) BlockSize() int              { return 1 }

// endBlock reads padding and check (3.3, 3.4). Checks are little-endian, but
// for SHA-256.
func (x *xzReader) endBlock() error {
	if !x.block.EOS() {
		return errXZ
	}
	x.block = nil
	if err := x.padding(x.begun); err != nil {
		return err
	}
	have := make([]byte, x.sum.Size())
	if err := x.raw(have); err != nil {
		return err
	}
	want := x.sum.Sum(nil)
	switch x.check {
	case xzCRC32, xzCRC64:
		for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
			want[i], want[j] = want[j], want[i]
		}
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("%w: its check does not match", errXZ)
	}
	return nil
}

// padding reads zero bytes up to a multiple of four after begin.
func (x *xzReader) padding(begin int64) error {
	for (x.n-begin)%4 != 0 {
		if b, err := x.ReadByte(); err != nil || b != 0 {
			return errXZ
		}
	}
	return nil
}

// endStream reads the index (4), whose first byte is read already, and the
// footer (2.1.2). Sizes in the index serve seeking; here they are passed over.
func (x *xzReader) endStream() error {
	begin := x.n - 1
	count, err := binary.ReadUvarint(x)
	if err != nil || count != x.blocks {
		return errXZ
	}
	for range 2 * count {
		if _, err := binary.ReadUvarint(x); err != nil {
			return errXZ
		}
	}
	if err := x.padding(begin); err != nil {
		return err
	}
	var tail [4 + 12]byte // the index's CRC32, the footer
	if err := x.raw(tail[:]); err != nil {
		return err
	}
	footer := tail[4:]
	if string(footer[10:]) != "YZ" || footer[9] != x.check ||
		crc32.ChecksumIEEE(footer[4:10]) != binary.LittleEndian.Uint32(footer) {
		return errXZ
	}
	x.check = xzNoStream
	return nil
}

func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // wrapped, it says what broke the source off
		return io.ErrUnexpectedEOF
	}
	return err
}
