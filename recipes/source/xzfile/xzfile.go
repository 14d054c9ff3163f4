// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package xzfile reads the parts of an .xz file, as the format's description
// defines them (xz-file-format 1.2.1): headers of streams and blocks, numbers,
// checks, footers. It keeps no position and decodes nothing.
//
// recipes/source reads these parts while a source archive streams by, and
// orchestrator/compare/format/stream seeks in a file; both use this package
// only to interpret the parts. Both read only blocks whose one filter is
// LZMA2.
package xzfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

const (
	// Magic begins a stream (2.1.1.1).
	Magic = "\xfd7zXZ\x00"
	// StreamHeaderSize is the size of the header and of the footer of a stream, in bytes.
	StreamHeaderSize = 12
	// Align is the multiple of bytes that padding fills up to.
	Align = 4

	footerMagic = "YZ"
	lzma2       = 0x21
	maxSize     = 1 << 62 // bytes that a header may state
)

// Fault says what is wrong with a part, At bytes after its beginning.
type Fault struct {
	At   int
	Text string
}

func (f *Fault) Error() string { return f.Text }

// Check is the kind of checksum over the content of blocks (2.1.1.2).
type Check struct {
	ID   byte
	Name string
	Size int // bytes
}

// CheckOf returns the check with the number; false if it is unknown.
func CheckOf(id byte) (Check, bool) {
	switch id {
	case 0x0:
		return Check{id, "none", 0}, true
	case 0x1:
		return Check{id, "crc32", 4}, true
	case 0x4:
		return Check{id, "crc64", 8}, true
	case 0xa:
		return Check{id, "sha256", sha256.Size}, true
	}
	return Check{}, false
}

// Hash returns a hash that computes the check; nil for "none".
func (c Check) Hash() hash.Hash {
	switch c.ID {
	case 0x1:
		return crc32.NewIEEE()
	case 0x4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case 0xa:
		return sha256.New()
	}
	return nil
}

// Sum returns the checksum in the byte order of the file: numbers are
// little-endian. That of nil is empty.
func Sum(h hash.Hash) []byte {
	switch h := h.(type) {
	case nil:
		return nil
	case hash.Hash32:
		return binary.LittleEndian.AppendUint32(nil, h.Sum32())
	case hash.Hash64:
		return binary.LittleEndian.AppendUint64(nil, h.Sum64())
	}
	return h.Sum(nil)
}

// Header reads the header of a stream (2.1.1), of [StreamHeaderSize] bytes.
func Header(b []byte) (Check, error) {
	if len(b) < StreamHeaderSize || !bytes.HasPrefix(b, []byte(Magic)) || crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return Check{}, &Fault{0, "the header of an xz stream is damaged"}
	}
	check, ok := CheckOf(b[7])
	if !ok || b[6] != 0 {
		return Check{}, &Fault{6, "an xz stream has unknown flags"}
	}
	return check, nil
}

// Footer reads the footer of a stream (2.1.2), of [StreamHeaderSize] bytes, and returns
// the size of the index in bytes.
func Footer(b []byte, check Check) (index int64, err error) {
	switch {
	case len(b) < StreamHeaderSize, string(b[10:StreamHeaderSize]) != footerMagic, crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b):
		return 0, &Fault{0, "the footer of an xz stream is damaged"}
	case b[8] != 0, b[9] != check.ID:
		return 0, &Fault{8, "header and footer of an xz stream have unlike flags"}
	}
	return (int64(binary.LittleEndian.Uint32(b[4:])) + 1) * Align, nil
}

// Block is the content of a block's header.
type Block struct {
	// Packed and Size are the sizes of its compressed data and its content, in
	// bytes; -1 if the header does not state them.
	Packed, Size int64
	// LZMA2 says that LZMA2 is its one filter; if it is not, Window is 0.
	LZMA2 bool
	// Window is the size of the dictionary in bytes, up to 4 GiB.
	Window int64
}

// BlockHeaderSize returns the size in bytes of the block header that begins
// with b, which is not 0: 0 begins the index.
func BlockHeaderSize(b byte) int { return (int(b) + 1) * Align }

// BlockHeader reads the header of a block (3.1), all of it.
func BlockHeader(b []byte) (Block, error) {
	if len(b) < 2*Align || len(b) != BlockHeaderSize(b[0]) {
		return Block{}, &Fault{0, "the header of an xz block is cut off"}
	}
	end := len(b) - 4
	if crc32.ChecksumIEEE(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return Block{}, &Fault{0, "the header of an xz block is damaged"}
	}
	flags, rest := b[1], bytes.NewReader(b[2:end])
	block := Block{Packed: -1, Size: -1}
	for i, size := range []*int64{&block.Packed, &block.Size} {
		if flags&(0x40<<i) == 0 {
			continue
		}
		n, err := Number(rest)
		if err != nil || n > maxSize {
			return Block{}, &Fault{0, "the header of an xz block has no readable sizes"}
		}
		*size = int64(n)
	}
	if flags&0x3c != 0 {
		return Block{}, &Fault{1, "an xz block has unknown flags"}
	}
	var filter [3]byte
	if n, _ := io.ReadFull(rest, filter[:]); n < len(filter) || flags&3 != 0 || filter[0] != lzma2 || filter[1] != 1 {
		return block, nil // a block of other filters, which callers refuse
	}
	if block.LZMA2 = true; filter[2] > 40 {
		return Block{}, &Fault{0, "an xz block has an unknown dictionary"}
	}
	// There are two sizes for each power of two.
	block.Window = (int64(2) | int64(filter[2]&1)) << (filter[2]/2 + 11)
	for rest.Len() > 0 {
		if fill, _ := rest.ReadByte(); fill != 0 {
			return Block{}, &Fault{0, "the padding of the header of an xz block is not zero"}
		}
	}
	return block, nil
}

// errNumber is returned for a number that is too long.
var errNumber = errors.New("a number in an xz file is not readable")

// Number reads a number of up to 9 bytes, 7 bits each, least significant first
// (1.2).
func Number(r io.ByteReader) (uint64, error) {
	var n uint64
	for i := range 9 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if i > 0 && b == 0 {
				return 0, errNumber
			}
			return n, nil
		}
	}
	return 0, errNumber
}
