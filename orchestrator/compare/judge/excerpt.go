// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"encoding/hex"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// show returns the bytes of a range of A or B for display: the characters in text,
// the whole string around the range in a string table, hex otherwise.
func (d *difference) show(inB bool, r bytediff.Range) string {
	f, in, p := d.a, d.inA, charset{}
	if inB {
		f, in = d.b, d.inB
	}
	if d.text != nil {
		if p = d.text.pageA; inB {
			p = d.text.pageB
		}
	}
	r.Length = min(r.Length, verdict.MaxValue, f.Size-r.Offset)
	if r.Length <= 0 {
		return ""
	}
	if s, ok := in.At(r.Offset); ok && s.Kind == span.Strings && d.text == nil {
		return stringAt(f, s, r.Offset)
	}
	if d.text == nil {
		r.Length = min(r.Length, verdict.MaxValue/2)
		return hexText(f.R, r)
	}
	buf := make([]byte, r.Length)
	n, _ := f.R.ReadAt(buf, r.Offset) // on an error, show what was read
	if s, ok := p.decode(buf[:n]); ok {
		return s
	}
	return string(buf[:n])
}

// stringAt returns the NUL-delimited string that contains a byte.
func stringAt(f File, s span.Span, at int64) string {
	from := max(s.Offset, at-verdict.MaxValue/2)
	buf := make([]byte, min(s.Offset+s.Length, at+verdict.MaxValue/2, f.Size)-from)
	n, _ := f.R.ReadAt(buf, from) // on an error, show what was read
	i := min(int(at-from), n)
	begin := bytes.LastIndexByte(buf[:i], 0) + 1
	text, _, _ := bytes.Cut(buf[i:n], []byte{0})
	return string(buf[begin : i+len(text)])
}

func hexText(r io.ReaderAt, at bytediff.Range) string {
	buf := make([]byte, at.Length)
	n, _ := r.ReadAt(buf, at.Offset) // on an error, show what was read
	return hex.EncodeToString(buf[:n])
}

// hunk returns the surroundings of the ranges, or "" if the verdict has no room for
// more.
func (d *difference) hunk(ranges []bytediff.Range) string {
	if d.out.Full(verdict.Forbidden) {
		return ""
	}
	if d.text != nil {
		return d.text.hunk()
	}
	return bytediff.Hex(d.a.R, d.b.R, d.a.Size, d.b.Size, ranges, verdict.MaxHunk)
}
