// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

const (
	zstdSkippable = 0x184d2a50 // and the 15 behind it
	zstdFrame     = 0xfd2fb528
	zstdNearby    = 4 << 10
	zstdHead      = 18 // the longest header of a frame
)

// isZstd also accepts skippable frames, which some programs write first.
func isZstd(head []byte) bool {
	if len(head) < 8 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic == zstdFrame || magic&^0xf == zstdSkippable
}

// zstdWalk walks the structure of a file without decoding it.
type zstdWalk struct {
	s    *source
	near *exact.Window
	at   int64
	// What the walk has found.
	frames             count
	windows, contents  series
	sums, blocks, skip series
	dicts, reserved    series
}

// frame walks one frame.
func (z *zstdWalk) frame() error {
	b, err := z.near.Bytes(z.at, 8)
	if err != nil {
		return err
	}
	if err := z.s.budget.Members(z.at, 1); err != nil {
		return err
	}
	if magic := binary.LittleEndian.Uint32(b); magic != zstdFrame {
		length := int64(binary.LittleEndian.Uint32(b[4:]))
		z.skip.add(fmt.Sprintf("%08x of %d bytes", magic, length))
		z.at += 8
		if length > z.s.f.Size-z.at {
			return exact.Errorf(z.at, "a skippable frame of %d bytes does not fit in the %d that are left", length, z.s.f.Size-z.at)
		}
		err := z.s.hidden.Add(z.s.f, z.at, length)
		z.at += length
		return err
	}
	from := z.at
	z.frames++
	checked, err := z.header()
	if err != nil {
		return err
	}
	if err := z.walkBlocks(); err != nil {
		return err
	}
	if checked {
		if _, err := z.near.Bytes(z.at, 4); err != nil {
			return err
		}
		z.at += 4
	}
	return z.s.compressed(from, z.at-from)
}

// header reads the header of a frame, and reports whether the frame has a checksum.
func (z *zstdWalk) header() (checked bool, err error) {
	b, err := z.near.Bytes(z.at, int(min(zstdHead, z.s.f.Size-z.at)))
	if err != nil {
		return false, err
	}
	flags := b[4]
	single := flags&0x20 != 0
	sizes := [4]int{0, 2, 4, 8}
	content, dict := sizes[flags>>6], [4]int{0, 1, 2, 4}[flags&3]
	if single && content == 0 {
		content = 1
	}
	length := 5 + dict + content
	if !single {
		length++
	}
	if len(b) < length {
		return false, exact.Errorf(z.at, "the header of a zstd frame is cut off")
	}
	if flags&8 != 0 {
		return false, exact.Errorf(z.at+4, "a zstd frame has unknown flags %02x", flags)
	}
	fields := b[length-content-dict:]
	if id := little(fields[:dict]); id != 0 {
		return false, exact.Errorf(z.at, "a zstd frame needs the dictionary %d, which is not there", id)
	}
	size := little(fields[dict : dict+content])
	if content == 2 {
		size += 256
	}
	window := size
	if !single {
		base := uint64(1) << (b[5]>>3 + 10)
		window = base + base/8*uint64(b[5]&7)
	}
	if window > maxWindow {
		return false, exact.Errorf(z.at, "a zstd frame needs a window of %d bytes; no more than %d are given", window, maxWindow)
	}
	z.note(flags, window, size, content, dict)
	if content > 0 && size > uint64(z.s.budget.ContentLeft()) {
		return false, z.s.budget.Content(z.at, size)
	}
	z.at += int64(length)
	return flags&4 != 0, nil
}

func (z *zstdWalk) note(flags byte, window, size uint64, content, dict int) {
	z.windows.add(fmt.Sprint(window))
	text := "not said"
	if content > 0 {
		text = fmt.Sprintf("%d in %d bytes", size, content)
	}
	z.contents.add(text)
	text = "none"
	if flags&4 != 0 {
		text = "xxh64"
	}
	z.sums.add(text)
	z.dicts.add(fmt.Sprint(dict, " bytes"))
	z.reserved.add(fmt.Sprintf("%02x", flags&0x30))
}

func little(b []byte) (n uint64) {
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	return n
}

// walkBlocks walks the blocks of a frame.
func (z *zstdWalk) walkBlocks() error {
	for n := count(1); ; n++ {
		b, err := z.near.Bytes(z.at, 3)
		if err != nil {
			return err
		}
		head := int64(little(b))
		length := head >> 3
		switch head >> 1 & 3 {
		case 1: // one byte that is repeated
			length = 1
		case 3:
			return exact.Errorf(z.at, "a zstd block has an unknown type")
		}
		z.at += 3
		if length > z.s.f.Size-z.at {
			return exact.Errorf(z.at, "a zstd block of %d bytes does not fit in the %d that are left", length, z.s.f.Size-z.at)
		}
		z.at += length
		if head&1 != 0 {
			z.blocks.add(n.String())
			return nil
		}
	}
}

func openZstd(s *source) error {
	z := &zstdWalk{s: s, near: s.f.Window(zstdNearby)}
	for s.f.Size-z.at >= 8 {
		b, err := z.near.Bytes(z.at, 8)
		if err != nil {
			return err
		}
		if !isZstd(b) {
			break
		}
		if err := z.frame(); err != nil {
			return err
		}
	}
	s.end = z.at
	s.open = func() (io.ReadCloser, error) { return newZstdReader(s.f, s.end) }
	s.field("zstd.frames", container.Form, z.frames)
	s.field("zstd.window", container.Form, &z.windows)
	s.field("zstd.contentsize", container.Form, &z.contents)
	s.field("zstd.check", container.Form, &z.sums)
	s.field("zstd.blocks", container.Form, &z.blocks)
	s.field("zstd.dictionary", container.Form, &z.dicts)
	s.field("zstd.flags", container.Form, &z.reserved)
	s.field("zstd.skippable", container.Meaning, &z.skip)
	return s.verify()
}

// zstdReader decodes all frames.
type zstdReader struct {
	input *exact.RangeReader
	inner *zstd.Decoder
}

func newZstdReader(f exact.File, end int64) (io.ReadCloser, error) {
	r := &zstdReader{input: f.RangeReader(0, end)}
	inner, err := zstd.NewReader(r.input, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, r.input.Fault(err, 0, "decoding zstd")
	}
	r.inner = inner
	return r, nil
}

func (r *zstdReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	if err == nil || err == io.EOF { //nolint:errorlint // wrapped, it is a fault
		return n, err
	}
	return n, r.input.Fault(err, r.input.Count(), "decoding zstd")
}

func (r *zstdReader) Close() error {
	r.inner.Close()
	return nil
}
