// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strconv"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

// Flags of a gzip header (RFC 1952, section 2.3.1).
const (
	gzipCRC      = 1 << 1
	gzipExtra    = 1 << 2
	gzipName     = 1 << 3
	gzipComment  = 1 << 4
	gzipReserved = 0xe0

	maxGzipText = 64 << 10 // bytes of a name or comment
)

// isGzip checks the magic and for deflate, the only method.
func isGzip(head []byte) bool {
	return len(head) > 3 && string(head[:2]) == gzipMagic && head[2] == 8 && head[3]&gzipReserved == 0
}

// gzipHeader is the header of one member.
type gzipHeader struct {
	flags, level, os byte
	time             uint32
	name, comment    string
	extra            []byte
}

// gzipReader reads members sequentially.
type gzipReader struct {
	f       exact.File
	input   *exact.RangeReader
	buf     *bufio.Reader
	inflate io.ReadCloser
	crc     hash.Hash32
	size    uint32 // of the content, modulo 2^32
	from    int64  // offset of the compressed data of this member
	inside  bool
	ended   bool
	// began and done are called for each member; they may be nil.
	began func(gzipHeader) error
	done  func(from, to int64) error
}

func newGzipReader(f exact.File) *gzipReader {
	g := &gzipReader{f: f, crc: crc32.NewIEEE()}
	g.input = f.RangeReader(0, f.Size)
	g.buf = bufio.NewReaderSize(g.input, readBuffer)
	return g
}

// at returns the offset of the next byte.
func (g *gzipReader) at() int64 { return g.input.Count() - int64(g.buf.Buffered()) }

// Read reads content. Behind the last member it returns io.EOF, and at returns the
// offset of the end.
func (g *gzipReader) Read(p []byte) (int, error) {
	for !g.ended {
		if !g.inside {
			if err := g.begin(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := g.inflate.Read(p)
		g.crc.Write(p[:n])
		g.size += uint32(n)
		if err == io.EOF { //nolint:errorlint // wrapped, it is a fault
			err = g.trailer()
		} else {
			err = g.input.Fault(err, g.from, "inflating")
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// begin reads the header of the next member, if there is one.
func (g *gzipReader) begin() error {
	head, _ := g.buf.Peek(4) // fewer bytes are no header
	if err := g.input.ReadError(); err != nil {
		return err
	}
	if !isGzip(head) {
		g.ended = true
		return nil
	}
	h, err := g.header()
	if err != nil {
		return err
	}
	if g.began != nil {
		if err := g.began(h); err != nil {
			return err
		}
	}
	if g.inflate == nil {
		g.inflate = flate.NewReader(g.buf)
	} else if err := g.inflate.(flate.Resetter).Reset(g.buf, nil); err != nil {
		return fmt.Errorf("beginning to inflate: %w", err)
	}
	g.crc.Reset()
	g.size, g.from, g.inside = 0, g.at(), true
	return nil
}

func (g *gzipReader) header() (gzipHeader, error) {
	at, sum := g.at(), crc32.NewIEEE()
	head := make([]byte, 10)
	if err := g.full(head); err != nil {
		return gzipHeader{}, err
	}
	sum.Write(head)
	h := gzipHeader{flags: head[3], time: binary.LittleEndian.Uint32(head[4:]), level: head[8], os: head[9]}
	if h.flags&gzipExtra != 0 {
		b := make([]byte, 2)
		if err := g.full(b); err != nil {
			return h, err
		}
		h.extra = make([]byte, binary.LittleEndian.Uint16(b))
		if err := g.full(h.extra); err != nil {
			return h, err
		}
		sum.Write(b)
		sum.Write(h.extra)
	}
	for _, x := range []struct {
		flag byte
		to   *string
	}{{gzipName, &h.name}, {gzipComment, &h.comment}} {
		if h.flags&x.flag == 0 {
			continue
		}
		b, err := g.text()
		if err != nil {
			return h, err
		}
		sum.Write(b)
		*x.to = strconv.Quote(string(b[:len(b)-1]))
	}
	if h.flags&gzipCRC != 0 {
		b := make([]byte, 2)
		if err := g.full(b); err != nil {
			return h, err
		}
		if binary.LittleEndian.Uint16(b) != uint16(sum.Sum32()) {
			return h, exact.Errorf(at, "the sum of a gzip header is wrong")
		}
	}
	return h, nil
}

// full fills p.
func (g *gzipReader) full(p []byte) error {
	at := g.at()
	if _, err := io.ReadFull(g.buf, p); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return g.input.Fault(err, at, "reading gzip header")
	}
	return nil
}

// text reads up to and including a zero.
func (g *gzipReader) text() ([]byte, error) {
	at := g.at()
	var b []byte
	for {
		part, err := g.buf.ReadSlice(0)
		b = append(b, part...)
		switch {
		case len(b) > maxGzipText:
			return nil, exact.Errorf(at, "a name or comment has more than %d bytes", maxGzipText)
		case err == nil:
			return b, nil
		case err == bufio.ErrBufferFull: //nolint:errorlint // it is what ReadSlice returns
		case err == io.EOF:
			return nil, g.input.Fault(io.ErrUnexpectedEOF, at, "reading gzip header")
		default:
			return nil, g.input.Fault(err, at, "reading gzip header")
		}
	}
}

// trailer checks the checksum and size behind the compressed data of a member.
func (g *gzipReader) trailer() error {
	at := g.at()
	b := make([]byte, 8)
	if err := g.full(b); err != nil {
		return err
	}
	if sum := binary.LittleEndian.Uint32(b); sum != g.crc.Sum32() {
		return exact.Errorf(at, "the sum of the content is %08x, and should be %08x", g.crc.Sum32(), sum)
	}
	if size := binary.LittleEndian.Uint32(b[4:]); size != g.size {
		return exact.Errorf(at+4, "the size of the content is %d, and should be %d", g.size, size)
	}
	g.inside = false
	if g.done != nil {
		return g.done(g.from, at)
	}
	return nil
}

func openGzip(s *source) error {
	var members count
	var times, names, comments, extras, systems, levels, flags series
	g := newGzipReader(s.f)
	g.began = func(h gzipHeader) error {
		members++
		at := g.at()
		if err := s.budget.Members(at, 1); err != nil {
			return err
		}
		times.add(gzipTime(h.time))
		names.add(h.name)
		comments.add(h.comment)
		extras.add(hexOf(h.extra))
		systems.add(fmt.Sprint(h.os))
		levels.add(fmt.Sprint(h.level))
		flags.add(fmt.Sprintf("%02x", h.flags))
		return s.budget.Names(at, int64(len(h.name)+len(h.comment)+len(h.extra)))
	}
	g.done = s.packedBetween
	size, err := s.drain(g, 0)
	if err != nil {
		return err
	}
	s.size, s.end = size, g.at()
	s.open = func() (io.ReadCloser, error) { return content{Reader: newGzipReader(s.f)}, nil }
	s.field("gzip.members", container.Form, members)
	s.field("gzip.time", container.Header, &times)
	s.field("gzip.name", container.Header, &names)
	s.field("gzip.comment", container.Meaning, &comments)
	s.field("gzip.extra", container.Meaning, &extras)
	s.field("gzip.os", container.Form, &systems)
	s.field("gzip.level", container.Form, &levels)
	s.field("gzip.flags", container.Form, &flags)
	return nil
}

func (s *source) packedBetween(from, to int64) error { return s.compressed(from, to-from) }

// gzipTime formats the time of a member; 0 means none.
func gzipTime(t uint32) string {
	if t == 0 {
		return "none"
	}
	return time.Unix(int64(t), 0).UTC().Format(time.RFC3339)
}
