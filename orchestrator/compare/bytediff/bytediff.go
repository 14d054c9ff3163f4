// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package bytediff finds the ranges in which two files differ, byte by byte and
// without holding the files in memory, and shows ranges as hex.
//
// It does not explain or align anything: orchestrator/compare/judge explains
// ranges, and orchestrator/compare/judge/textdiff compares lines.
package bytediff

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Range is a stretch of bytes.
type Range struct {
	Offset, Length int64
}

// End returns the offset of the first byte behind the range.
func (r Range) End() int64 { return r.Offset + r.Length }

const (
	window = 256 << 10
	// Small files are read in small pieces: most files compared are small, and
	// allocating a large buffer for each takes longer than reading.
	smallFile   = 1 << 20
	smallWindow = 32 << 10
	stride      = 512
)

// windowOf returns how many bytes to read at once of files of that size.
func windowOf(size int64) int64 {
	if size <= smallFile {
		return min(size, smallWindow)
	}
	return window
}

// Diff returns the ranges in which the first size bytes of a and b differ. No range
// contains an equal byte, except that after limit ranges the last one extends to
// the last byte that differs.
func Diff(ctx context.Context, a, b io.ReaderAt, size int64, limit int) ([]Range, error) {
	var ranges []Range
	step := windowOf(size)
	bufA, bufB := make([]byte, step), make([]byte, step)
	for off := int64(0); off < size; off += step {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(step, size-off)
		if err := readBoth(a, b, bufA[:n], bufB[:n], off); err != nil {
			return nil, err
		}
		ranges = inWindow(ranges, bufA[:n], bufB[:n], off, limit)
	}
	return ranges, nil
}

// Equal reports whether the first size bytes of a and b are the same.
func Equal(ctx context.Context, a, b io.ReaderAt, size int64) (bool, error) {
	step := windowOf(size)
	bufA, bufB := make([]byte, step), make([]byte, step)
	for off := int64(0); off < size; off += step {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n := min(step, size-off)
		if err := readBoth(a, b, bufA[:n], bufB[:n], off); err != nil {
			return false, err
		}
		if !bytes.Equal(bufA[:n], bufB[:n]) {
			return false, nil
		}
	}
	return true, nil
}

func readBoth(a, b io.ReaderAt, bufA, bufB []byte, off int64) error {
	for _, x := range []struct {
		r   io.ReaderAt
		buf []byte
	}{{a, bufA}, {b, bufB}} {
		if n, err := x.r.ReadAt(x.buf, off); n < len(x.buf) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading %d bytes at %d: %w", len(x.buf), off, err)
		}
	}
	return nil
}

// inWindow appends the ranges of one window, which begins at offset off.
func inWindow(ranges []Range, a, b []byte, off int64, limit int) []Range {
	for at := 0; at < len(a); at += stride {
		end := min(at+stride, len(a))
		if bytes.Equal(a[at:end], b[at:end]) {
			continue
		}
		for i := at; i < end; i++ {
			if a[i] == b[i] {
				continue
			}
			pos := off + int64(i)
			if n := len(ranges); n > 0 && (ranges[n-1].End() == pos || n >= limit) {
				ranges[n-1].Length = pos + 1 - ranges[n-1].Offset
			} else {
				ranges = append(ranges, Range{pos, 1})
			}
		}
	}
	return ranges
}

// Merge joins ranges with fewer than gap bytes between them.
func Merge(ranges []Range, gap int64) []Range {
	var out []Range
	for _, r := range ranges {
		if n := len(out); n > 0 && r.Offset-out[n-1].End() < gap {
			out[n-1].Length = r.End() - out[n-1].Offset
		} else {
			out = append(out, r)
		}
	}
	return out
}

// row is how many bytes one line of Hex shows.
const row = 16

// Hex shows ranges of a and b as rows of 16 bytes, "- " for a and "+ " for b. sizeA
// and sizeB are the sizes of the files. It stops before the text exceeds limit
// bytes.
func Hex(a, b io.ReaderAt, sizeA, sizeB int64, ranges []Range, limit int) string {
	var out strings.Builder
	shown := int64(-1)
	for _, r := range ranges {
		for at := max(r.Offset/row*row, shown); at < r.End(); at += row {
			lines := hexRow("- ", a, sizeA, at) + hexRow("+ ", b, sizeB, at)
			if out.Len()+len(lines)+4 > limit {
				if out.Len()+4 <= limit {
					out.WriteString("...\n")
				}
				return out.String()
			}
			out.WriteString(lines)
			shown = at + row
		}
	}
	return out.String()
}

func hexRow(mark string, r io.ReaderAt, size, at int64) string {
	if at >= size {
		return ""
	}
	buf := make([]byte, min(row, size-at))
	n, _ := r.ReadAt(buf, at) // on an error, show what was read
	buf = buf[:n]
	text := make([]byte, n)
	for i, c := range buf {
		text[i] = '.'
		if c >= ' ' && c < 0x7f {
			text[i] = c
		}
	}
	return fmt.Sprintf("%s%08x  %-32s  %s\n", mark, at, hex.EncodeToString(buf), text)
}
