// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
)

// zstdRepeated writes a frame with a window of 64 MiB and blocks that repeat one
// byte.
func zstdRepeated(blocks int64) containertest.Virtual {
	const block = 128 << 10
	head := binary.LittleEndian.AppendUint32(nil, zstdFrame)
	head = append(head, 0, 16<<3) // 2 to the power of 26
	line := func(last uint32) []byte {
		h := uint32(block)<<3 | 1<<1 | last
		return []byte{byte(h), byte(h >> 8), byte(h >> 16), 'x'}
	}
	return containertest.Virtual{containertest.Bytes(head), {Size: 4, Times: blocks - 1, Make: func(int64) []byte { return line(0) }},
		containertest.Bytes(line(1))}
}

// xzHead is a stream header without checks, and a block header with a dictionary of
// 64 MiB.
func xzHead() []byte {
	flags := []byte{0, 0}
	b := append([]byte(xzMagic), flags...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(flags))
	block := []byte{2, 0, 0x21, 1, 28, 0, 0, 0}
	return binary.LittleEndian.AppendUint32(append(b, block...), crc32.ChecksumIEEE(block))
}

// xzStored writes a block of chunks that are stored.
func xzStored(chunks int64) containertest.Virtual {
	const size = 1 << 16
	chunk := append([]byte{2, 0xff, 0xff}, make([]byte, size)...)
	first := append([]byte{1, 0xff, 0xff}, make([]byte, size)...)
	packed := (chunks+1)*int64(len(chunk)) + 1
	rest := make([]byte, 1+(-packed&3)) // the end of the chunks, padding
	index := binary.AppendUvarint([]byte{0, 1}, uint64(12+packed))
	index = binary.AppendUvarint(index, uint64((chunks+1)*size))
	index = append(index, make([]byte, -len(index)&3)...)
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	footer := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	footer = append(footer, 0, 0)
	rest = append(rest, index...)
	rest = binary.LittleEndian.AppendUint32(rest, crc32.ChecksumIEEE(footer))
	rest = append(append(rest, footer...), "YZ"...)
	return containertest.Virtual{containertest.Bytes(xzHead()), containertest.Bytes(first),
		{Size: int64(len(chunk)), Times: chunks, Make: func(int64) []byte { return chunk }}, containertest.Bytes(rest)}
}

// hostile are streams made to use up memory, with the memory that their window may
// take.
func hostile(t *testing.T) map[string]struct {
	in     containertest.Virtual
	window uint64
} {
	t.Helper()
	member := func(h gzip.Header) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Header = h
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	many := func(b []byte, n int64) containertest.Virtual {
		return containertest.Virtual{{Size: int64(len(b)), Times: n, Make: func(i int64) []byte {
			out := bytes.Clone(b)
			if out[3] == 0 {
				binary.LittleEndian.PutUint32(out[4:], uint32(i)) // a different time in each
			}
			return out
		}}}
	}
	long := gzip.Header{Name: strings.Repeat("n", maxGzipText-1), Comment: strings.Repeat("c", maxGzipText-1), Extra: make([]byte, 1<<16-1)}
	skipped := append(binary.LittleEndian.AppendUint32(nil, zstdSkippable), 0, 0, 0, 0)
	return map[string]struct {
		in     containertest.Virtual
		window uint64
	}{
		"members of gzip":   {many(member(gzip.Header{OS: 3}), 210_000), 0},
		"long names":        {many(member(long), 300), 0},
		"window of zstd":    {zstdRepeated(600), maxWindow},
		"frames of zstd":    {many(skipped, 210_000), 0},
		"window of xz":      {xzStored(2000), maxWindow},
		"small streams":     {many(hello, 500), 0},
		"streams of bzip2":  {many([]byte("BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"), 70_000), 0},
		"zeros behind gzip": {append(many(member(gzip.Header{}), 1), containertest.Zeros(256<<20)), 0},
	}
}

func TestHostileStreamsTakeLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads long input with one goroutine: run it without -short")
	}
	for name, c := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			got, err := containertest.Open(t, c.in, c.in.Size(), container.Limits{Members: 200_000}, containertest.Most+c.window, Open)
			if err != nil && !errors.Is(err, container.ErrFormat) {
				t.Errorf("error %v", err)
			}
			if got == nil || c.window == 0 {
				return
			}
			// Opening the content again needs no more memory.
			r, err := got.Entries[0].Open()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Error(err)
			}
		})
	}
}
