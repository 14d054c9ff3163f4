// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"io"
	"sort"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// pieces is a text whose pieces lie apart in a file. It reads as one text.
type pieces struct {
	r    io.ReaderAt
	list []span.Stretch
	ends []int64 // end offset of each piece within the text
}

func (p *pieces) add(s span.Stretch) {
	if n := len(p.list); n > 0 && p.list[n-1].End() == s.Offset {
		p.list[n-1].Length += s.Length
		p.ends[n-1] += s.Length
		return
	}
	p.list, p.ends = append(p.list, s), append(p.ends, p.size()+s.Length)
}

func (p *pieces) size() int64 {
	if n := len(p.ends); n > 0 {
		return p.ends[n-1]
	}
	return 0
}

// place returns the file offset of byte at of the text, and how many bytes of the
// text follow it without a gap.
func (p *pieces) place(at int64) span.Stretch {
	i := sort.Search(len(p.ends), func(i int) bool { return p.ends[i] > at })
	if i == len(p.ends) {
		return span.Stretch{}
	}
	left := p.ends[i] - at
	return span.Stretch{Offset: p.list[i].End() - left, Length: left}
}

// ReadAt reads the text.
func (p *pieces) ReadAt(b []byte, at int64) (int, error) {
	done := 0
	for done < len(b) {
		s := p.place(at + int64(done))
		if s.Length == 0 {
			return done, io.EOF
		}
		n := min(int(s.Length), len(b)-done)
		if got, err := p.r.ReadAt(b[done:done+n], s.Offset); got < n {
			return done + max(got, 0), fmt.Errorf("reading %d bytes at %d: %w", n, s.Offset, err)
		}
		done += n
	}
	return done, nil
}

// bytes returns the bytes of a stretch of a file.
func (f File) bytes(s span.Stretch) ([]byte, error) {
	b := make([]byte, s.Length)
	if n, err := f.R.ReadAt(b, s.Offset); n < len(b) {
		return nil, fmt.Errorf("reading %d bytes at %d: %w", s.Length, s.Offset, err)
	}
	return b, nil
}
