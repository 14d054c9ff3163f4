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

// show returns the bytes of a range of A or B: as they are in text and as all
// of the text that they lie in among strings, else as hex.
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
	n, _ := f.R.ReadAt(buf, r.Offset) // shown as far as it can be read
	if s, ok := p.decode(buf[:n]); ok {
		return s
	}
	return string(buf[:n])
}

// stringAt returns the text in which a byte lies, up to its NULs.
func stringAt(f File, s span.Span, at int64) string {
	from := max(s.Offset, at-verdict.MaxValue/2)
	buf := make([]byte, min(s.Offset+s.Length, at+verdict.MaxValue/2, f.Size)-from)
	n, _ := f.R.ReadAt(buf, from) // shown as far as it can be read
	i := min(int(at-from), n)
	begin := bytes.LastIndexByte(buf[:i], 0) + 1
	text, _, _ := bytes.Cut(buf[i:n], []byte{0})
	return string(buf[begin : i+len(text)])
}

func hexText(r io.ReaderAt, at bytediff.Range) string {
	buf := make([]byte, at.Length)
	n, _ := r.ReadAt(buf, at.Offset) // shown as far as it can be read
	return hex.EncodeToString(buf[:n])
}

// hunk shows the surroundings, if there is still room in the verdict.
func (d *difference) hunk(ranges []bytediff.Range) string {
	if d.out.Full(verdict.Forbidden) {
		return ""
	}
	if d.text != nil {
		return d.text.hunk()
	}
	return bytediff.Hex(d.a.R, d.b.R, d.a.Size, d.b.Size, ranges, verdict.MaxHunk)
}
