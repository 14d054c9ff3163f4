// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/zfarm/zfarm/recipes/source/xzfile"
	"github.com/zfarm/zfarm/workers/codepage"
)

// Bounds on decompression. Real source archives shrink 3 to 30 times. One that
// shrinks more is a decompression bomb, unless it is small.
const (
	// MaxExpanded is the most bytes that one archive may expand to.
	MaxExpanded = 8 << 30
	// MaxRatio is how many times larger than its compressed form an archive
	// may be, after the first ratioFree bytes.
	MaxRatio  = 250
	ratioFree = 64 << 20
	// maxWindow is the most memory, in bytes, that a decompressor gets for its
	// window; xz -9 needs 64 MiB.
	maxWindow = 128 << 20
)

// The first bytes of the formats (RFC 1952; xz-file-format 1.2.1, 2.1.1.1;
// RFC 8878, 3.1.1).
const (
	magicGzip = "\x1f\x8b"
	magicBzip = "BZh"
	magicXZ   = xzfile.Magic
	magicZstd = "\x28\xb5\x2f\xfd"
)

// Expand returns the plain bytes of r, which may be compressed by gzip, bzip2,
// xz or zstd. It recognises the format by the content; the name is for errors
// only. isArchive reports whether the plain bytes are a tar archive. Reading
// fails with an ErrArchive beyond MaxExpanded, or if the compression exceeds
// MaxRatio. The caller closes rd, which does not close r.
func Expand(name string, r io.Reader) (rd io.ReadCloser, isArchive bool, err error) {
	return expand(name, r, bounds{MaxExpanded, MaxRatio, ratioFree})
}

// bounds are the limits of one decompression.
type bounds struct{ bytes, ratio, free int64 }

func expand(name string, r io.Reader, limit bounds) (io.ReadCloser, bool, error) {
	in := &countingReader{r: r}
	buffered := bufio.NewReaderSize(in, 64<<10)
	head, err := buffered.Peek(len(magicXZ))
	if err != nil && err != io.EOF {
		return nil, false, fmt.Errorf("reading %s: %w", name, err)
	}
	plain, end, openErr := decompressor(head, buffered)
	if openErr != nil {
		return nil, false, fmt.Errorf("decompressing %s: %w: %w", name, ErrArchive, openErr)
	}
	out := &boundedReader{in: in, limit: limit, name: codepage.Line(name, maxText), end: end}
	out.r = bufio.NewReaderSize(&damageReader{plain, out.name}, 64<<10)
	block, peekErr := out.r.Peek(tarBlock)
	if peekErr != nil && peekErr != io.EOF {
		out.end()
		return nil, false, peekErr
	}
	return out, isTar(block), nil
}

func decompressor(head []byte, r *bufio.Reader) (plain io.Reader, end func(), err error) {
	end = func() {}
	switch {
	case bytes.HasPrefix(head, []byte(magicGzip)):
		plain, err = gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte(magicBzip)):
		plain = bzip2.NewReader(r)
	case bytes.HasPrefix(head, []byte(magicXZ)):
		plain = newXZ(r)
	case bytes.HasPrefix(head, []byte(magicZstd)):
		var d *zstd.Decoder
		d, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(2*maxWindow))
		if err == nil {
			plain, end = d, d.Close
		}
	default:
		plain = r
	}
	return plain, end, err
}

// countingReader counts the bytes read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// damageReader makes an error of the decompressor an ErrArchive.
type damageReader struct {
	r    io.Reader
	name string
}

func (d *damageReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("decompressing %s: %w: %w", d.name, ErrArchive, err)
	}
	return n, err
}

// boundedReader returns plain bytes within the limits.
type boundedReader struct {
	r     *bufio.Reader
	in    *countingReader
	n     int64
	limit bounds
	name  string
	end   func()
}

func (e *boundedReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.n += int64(n)
	switch {
	case e.n > e.limit.bytes:
		return 0, fmt.Errorf("decompressing %s: %w: it expands to more than %d bytes", e.name, ErrArchive, e.limit.bytes)
	case e.n > e.limit.free && e.n/e.limit.ratio > e.in.n:
		return 0, fmt.Errorf("decompressing %s: %w: it expands more than %d times, as a decompression bomb does",
			e.name, ErrArchive, e.limit.ratio)
	}
	return n, err
}

// Close ends the decompressor.
func (e *boundedReader) Close() error {
	e.end()
	return nil
}

const tarBlock = 512

// isTar reports whether a block is the header of a tar member. It uses the
// checksum, because archives older than POSIX have no magic number.
func isTar(block []byte) bool {
	if len(block) < tarBlock || block[0] == 0 {
		return false
	}
	_, err := tar.NewReader(bytes.NewReader(block)).Next()
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
