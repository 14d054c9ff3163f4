// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

const (
	bzip2Block = 0x314159265359
	bzip2Final = 0x177245385090
	bzip2Head  = 10
	levelAt    = 4 // length of the magic and the level
	lowest     = '1'
	// Length of a stream without blocks, and its bytes behind the level.
	emptySize = 14
	emptyRest = "\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"
	// maxBzip2 bounds the streams of a file, since each needs a decoder of up to 4
	// MB. Parallel compressors write a stream for every 900 kB.
	maxBzip2 = 1 << 16
	// maxFalseEnds bounds the false ends of a stream, since each costs another
	// decoding from the beginning of the stream. By chance they occur once in 2^45
	// bytes, but a hostile file can contain them on purpose: the set of bytes that
	// a block uses is encoded as bits that the author controls.
	maxFalseEnds = 16
)

// isBzip2 checks the magic, and that a block or the end of the stream follows it.
func isBzip2(head []byte) bool {
	if len(head) < bzip2Head || string(head[:3]) != bzip2Magic || head[3] < '1' || head[3] > '9' {
		return false
	}
	next := binary.BigEndian.Uint64(head[2:]) & (1<<48 - 1)
	return next == bzip2Block || next == bzip2Final
}

// finder passes bytes on and ends before the byte that follows the end of a stream.
// That end is 48 known bits, a checksum of 32 bits, and up to 7 bits of padding.
// Streams do not contain their length, and the decoder does not say where it
// stopped.
type finder struct {
	input  *exact.RangeReader
	buf    *bufio.Reader
	at     int64
	last   uint64 // the last 4 bytes
	before uint64 // the 7 before them
	count  int64
	// shifts maps a byte to one more than the number of bits by which the 48 bits
	// are shifted if it is the fourth of the 7 bytes; 0 if it cannot be.
	shifts [256]byte
	not    map[int64]bool // false ends found before
	stop   int64          // offset of the end, -1 if none was found
	level  byte           // level that the decoder sees
}

func newFinder(f exact.File, from int64, not map[int64]bool, level byte) *finder {
	x := &finder{input: f.RangeReader(from, f.Size-from), at: from, not: not, stop: -1, level: level}
	x.buf = bufio.NewReaderSize(x.input, readBuffer)
	for p := range 8 {
		x.shifts[byte(uint64(bzip2Final)<<p>>24)] = byte(p + 1)
	}
	return x
}

func (x *finder) ReadByte() (byte, error) {
	if x.count >= 14 && x.ends() && !x.not[x.at] {
		x.stop = x.at
		return 0, io.EOF
	}
	b, err := x.buf.ReadByte()
	if err != nil {
		return 0, err
	}
	x.before = (x.before<<8 | x.last>>24) & (1<<56 - 1)
	x.last = (x.last<<8 | uint64(b)) & (1<<32 - 1)
	x.at, x.count = x.at+1, x.count+1
	if x.count == levelAt {
		return x.level, nil
	}
	return b, nil
}

func (x *finder) ends() bool {
	p := x.shifts[byte(x.before>>24)]
	return p != 0 && x.before>>(p-1)&(1<<48-1) == bzip2Final
}

// Read implements io.Reader, which the decoder requires; it only uses ReadByte.
func (x *finder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := x.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// bzip2Stream is one stream: its end, and the level at which it can be decoded, 0
// if it is empty.
type bzip2Stream struct {
	end   int64
	level byte
}

// measure decodes the stream at offset from, and returns its end and the size of
// its content. The memory of a decoder depends only on the level, so small streams
// are decoded at the lowest level, as there may be many.
func measure(f exact.File, from, most int64, level byte) (s bzip2Stream, size int64, err error) {
	whole := make([]byte, min(emptySize, f.Size-from))
	if err := f.Read(whole, from); err != nil {
		return s, 0, err
	}
	if string(whole[4:]) == emptyRest {
		return bzip2Stream{end: from + emptySize}, 0, nil
	}
	if level > lowest {
		if s, size, err = measureAt(f, from, most, lowest); err == nil {
			return s, size, nil
		}
	}
	return measureAt(f, from, most, level)
}

func measureAt(f exact.File, from, most int64, level byte) (s bzip2Stream, size int64, err error) {
	not := map[int64]bool{}
	for range maxFalseEnds {
		x := newFinder(f, from, not, level)
		size, err = drainTo(bzip2.NewReader(x), most)
		if err == nil {
			return bzip2Stream{x.at, level}, size, nil
		}
		if x.input.ReadError() != nil || x.stop < 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			return s, 0, x.input.Fault(err, x.at, "decoding bzip2")
		}
		not[x.stop] = true
	}
	return s, 0, exact.Errorf(from, "what looks like the end of a bzip2 stream is none, %d times", maxFalseEnds)
}

// drainTo reads r to its end, or until little more than most bytes were read.
func drainTo(r io.Reader, most int64) (int64, error) {
	buf := make([]byte, readBuffer)
	for n := int64(0); ; {
		k, err := r.Read(buf)
		n += int64(k)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil || n > most:
			return n, err
		}
	}
}

func openBzip2(s *source) error {
	var streams count
	var levels series
	var found []bzip2Stream
	for {
		head := make([]byte, min(bzip2Head, s.f.Size-s.end))
		if err := s.f.Read(head, s.end); err != nil {
			return err
		}
		if !isBzip2(head) {
			break
		}
		if streams++; streams > maxBzip2 {
			return exact.Errorf(s.end, "it has more than %d bzip2 streams", maxBzip2)
		}
		levels.add(string(head[3]))
		one, size, err := measure(s.f, s.end, s.budget.ContentLeft(), head[3])
		if err != nil {
			return err
		}
		if err := s.budget.Content(s.end, uint64(size)); err != nil {
			return err
		}
		s.end, s.size = one.end, s.size+size
		found = append(found, one)
	}
	s.open = func() (io.ReadCloser, error) { return content{Reader: &bzip2Reader{f: s.f, left: found}}, nil }
	s.field("bzip2.streams", container.Form, streams)
	s.field("bzip2.level", container.Form, &levels)
	return s.compressed(0, s.end)
}

// bzip2Reader decodes streams whose ends are known.
type bzip2Reader struct {
	f     exact.File
	left  []bzip2Stream
	from  int64
	input *exact.RangeReader
	inner io.Reader
}

func (b *bzip2Reader) Read(p []byte) (int, error) {
	for {
		if b.inner == nil {
			if len(b.left) == 0 {
				return 0, io.EOF
			}
			if b.left[0].level == 0 {
				b.from, b.left = b.left[0].end, b.left[1:]
				continue
			}
			b.input = b.f.RangeReader(b.from, b.left[0].end-b.from)
			b.inner = bzip2.NewReader(bufio.NewReaderSize(&levelReader{r: b.input, level: b.left[0].level}, int(min(readBuffer, b.left[0].end-b.from))))
		}
		n, err := b.inner.Read(p)
		if err == io.EOF {
			b.inner, b.from, b.left = nil, b.left[0].end, b.left[1:]
		}
		if err := b.input.Fault(err, b.from, "decoding bzip2"); n > 0 || err != nil {
			return n, err
		}
	}
}

// levelReader reads a stream with its level replaced.
type levelReader struct {
	r     io.Reader
	at    int64
	level byte
}

func (l *levelReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if i := levelAt - 1 - l.at; i >= 0 && i < int64(n) {
		p[i] = l.level
	}
	l.at += int64(n)
	return n, err
}
