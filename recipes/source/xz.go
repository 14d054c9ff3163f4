// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"github.com/zfarm/zfarm/recipes/source/xzfile"
)

// xzReader decompresses an .xz file (xz-file-format 1.2.1) as a stream. The
// library's own reader gives a block as much memory as its header asks for, up
// to 4 GiB; this one checks the header first. It supports only the LZMA2
// filter, which is what source archives use.
type xzReader struct {
	r          *bufio.Reader
	n          int64 // bytes read from r
	inside     bool  // whether it is within a stream
	check      xzfile.Check
	blocks     uint64
	block      *lzma.Reader2
	blockStart int64 // n at the beginning of the block's compressed data
	sum        hash.Hash
	err        error
}

var errXZ = errors.New("damaged xz data")

func newXZ(r *bufio.Reader) *xzReader { return &xzReader{r: r} }

// Read decompresses into p.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
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

// ReadByte and raw count what they read, because padding depends on the
// position.
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

// rawReader lets the LZMA2 reader read counted bytes.
type rawReader struct{ x *xzReader }

func (r rawReader) Read(p []byte) (int, error) {
	n, err := r.x.r.Read(p)
	r.x.n += int64(n)
	return n, err
}

func (r rawReader) ReadByte() (byte, error) { return r.x.ReadByte() }

// next reads on to the next block, across the end of a stream if necessary.
func (x *xzReader) next() error {
	if !x.inside {
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
	var h [xzfile.StreamHeaderSize]byte
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
	var err error
	if x.check, err = xzfile.Header(h[:]); err != nil {
		return err
	}
	x.inside, x.blocks = true, 0
	return nil
}

// beginBlock reads a block header (3.1): its only filter must be LZMA2.
func (x *xzReader) beginBlock(size byte) error {
	h := make([]byte, xzfile.BlockHeaderSize(size))
	h[0] = size
	if err := x.raw(h[1:]); err != nil {
		return err
	}
	b, err := xzfile.BlockHeader(h)
	switch {
	case err != nil:
		return err
	case !b.LZMA2:
		return errors.New("xz data with a filter other than LZMA2; have upstream's archive in another format")
	case b.Window > maxWindow:
		return fmt.Errorf("xz data needs a dictionary of %d bytes, at most %d are given", b.Window, maxWindow)
	}
	x.blockStart, x.sum, x.blocks = x.n, x.check.Hash(), x.blocks+1
	x.block, err = lzma.Reader2Config{DictCap: int(max(b.Window, lzma.MinDictCap))}.NewReader2(rawReader{x})
	return err
}

// endBlock reads padding and check (3.3, 3.4). Checks are little-endian,
// except SHA-256.
func (x *xzReader) endBlock() error {
	if !x.block.EOS() {
		return errXZ
	}
	x.block = nil
	if err := x.padding(x.blockStart); err != nil {
		return err
	}
	have := make([]byte, x.check.Size)
	if err := x.raw(have); err != nil {
		return err
	}
	if !bytes.Equal(have, xzfile.Sum(x.sum)) {
		return fmt.Errorf("%w: its check does not match", errXZ)
	}
	return nil
}

// padding reads zero bytes up to a multiple of four after begin.
func (x *xzReader) padding(begin int64) error {
	for (x.n-begin)%xzfile.Align != 0 {
		if b, err := x.ReadByte(); err != nil || b != 0 {
			return errXZ
		}
	}
	return nil
}

// endStream reads the index (4), whose first byte was read already, and the
// footer (2.1.2). It ignores the sizes in the index, which are for seeking.
func (x *xzReader) endStream() error {
	begin := x.n - 1
	count, err := xzfile.Number(x)
	if err != nil || count != x.blocks {
		return errXZ
	}
	for range 2 * count {
		if _, err := xzfile.Number(x); err != nil {
			return errXZ
		}
	}
	if err := x.padding(begin); err != nil {
		return err
	}
	var tail [4 + xzfile.StreamHeaderSize]byte // the index's CRC32, the footer
	if err := x.raw(tail[:]); err != nil {
		return err
	}
	size, err := xzfile.Footer(tail[4:], x.check)
	if err != nil {
		return err
	}
	if size != x.n-xzfile.StreamHeaderSize-begin {
		return errXZ
	}
	x.inside = false
	return nil
}

func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // wrapped, it says what broke the source off
		return io.ErrUnexpectedEOF
	}
	return err
}
