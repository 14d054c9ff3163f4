// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"bytes"
	"hash"
	"io"

	"github.com/ulikunitz/xz/lzma"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
	"github.com/zfarm/zfarm/recipes/source/xzfile"
)

// xzReader decodes the blocks in order.
type xzReader struct {
	walk  *xzWalk
	block xzBlock
	input *exact.RangeReader
	buf   *bufio.Reader
	inner io.Reader
	sum   hash.Hash
	left  int64
}

func (r *xzReader) Read(p []byte) (int, error) {
	for {
		if r.inner == nil {
			if err := r.begin(); err != nil {
				return 0, err
			}
		}
		n, err := r.inner.Read(p)
		if r.left -= int64(n); r.left < 0 {
			return 0, exact.Errorf(r.block.data, "an xz block holds more than its chunks say")
		}
		if r.sum != nil {
			r.sum.Write(p[:n])
		}
		if err == io.EOF { //nolint:errorlint // wrapped, it is a fault
			err = r.end()
		} else {
			err = r.input.Fault(err, r.block.data, "decoding LZMA2")
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *xzReader) begin() error {
	block, more, err := r.walk.next()
	if err != nil {
		return err
	}
	if !more {
		return io.EOF
	}
	r.block, r.left, r.sum = block, block.size, block.check.Hash()
	r.input = r.walk.f.RangeReader(block.data, block.packed)
	if r.buf == nil {
		r.buf = bufio.NewReaderSize(r.input, readBuffer)
	} else {
		r.buf.Reset(r.input)
	}
	// No data before the block can be referred to, so a small block needs no large
	// dictionary, whatever its header requests.
	window := max(minWindow, min(block.window, block.size))
	inner, err := lzma.Reader2Config{DictCap: int(window)}.NewReader2(r.buf)
	if err != nil {
		return r.input.Fault(err, block.data, "decoding LZMA2")
	}
	r.inner = inner
	return nil
}

func (r *xzReader) end() error {
	r.inner = nil
	if r.left != 0 || r.input.Count() != r.block.packed || r.buf.Buffered() != 0 {
		return exact.Errorf(r.block.data, "an xz block holds less than its chunks say")
	}
	if r.sum != nil {
		if sum := xzfile.Sum(r.sum); !bytes.Equal(sum, r.block.sum) {
			return exact.Errorf(r.block.data, "the %s of the content is %x, and should be %x", r.block.check.Name, sum, r.block.sum)
		}
	}
	return nil
}
