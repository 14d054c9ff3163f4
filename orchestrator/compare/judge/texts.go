// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/judge/textdiff"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
)

const (
	// maxText and maxLines bound the texts that are shown with all their edits.
	// Longer ones are shown around the first difference.
	maxText  = 2 << 20
	maxLines = 200_000
	maxEdits = 1000
	maxLine  = 300
	// excerpt is how many bytes of a longer text are read to show it.
	excerpt = 64 << 10
)

// texts holds two members that are both text, by their tags or content, of any
// length.
type texts struct {
	a, b         File
	pageA, pageB charset
	inA, inB     summary
	first        int64 // offset of the first byte that differs
}

// readTexts reads both files; it returns nil if either is not text.
func readTexts(ctx context.Context, a, b File) (*texts, error) {
	if !likelyText(a) || !likelyText(b) {
		return nil, nil
	}
	t := &texts{a: a, b: b, pageA: charsetOf(a.Tag), pageB: charsetOf(b.Tag)}
	seed := maphash.MakeSeed()
	var okA, okB bool
	var err error
	if t.inA, okA, err = summarise(ctx, a, t.pageA, seed); err != nil {
		return nil, err
	}
	if t.inB, okB, err = summarise(ctx, b, t.pageB, seed); err != nil {
		return nil, err
	}
	// A text in another code page that has no tag does not read as text.
	switch {
	case okA && !okB && t.pageB.table == nil:
		okB, err = guess(ctx, b, &t.pageB, &t.inB, t.inA, seed)
	case okB && !okA && t.pageA.table == nil:
		okA, err = guess(ctx, a, &t.pageA, &t.inA, t.inB, seed)
	}
	if err != nil || !okA || !okB {
		return nil, err
	}
	t.first = min(a.Size, b.Size)
	ranges, err := bytediff.Diff(ctx, a.R, b.R, t.first, 1)
	if err != nil {
		return nil, err
	}
	if len(ranges) > 0 {
		t.first = ranges[0].Offset
	}
	return t, nil
}

// guess reports whether a file is the same text as the other in IBM-1047.
func guess(ctx context.Context, f File, p *charset, s *summary, other summary, seed maphash.Seed) (bool, error) {
	*p = charsetNumber("1047")
	var ok bool
	var err error
	*s, ok, err = summarise(ctx, f, *p, seed)
	return ok && s.normal == other.normal, err
}

// likelyText reports whether a file has no NUL near its beginning.
func likelyText(f File) bool {
	buf := make([]byte, min(f.Size, 4096))
	n, _ := f.R.ReadAt(buf, 0) // a read error shows up again when the file is compared
	return bytes.IndexByte(buf[:n], 0) < 0
}

// codePages reports whether both files are the same text in two code pages.
func (t *texts) codePages() bool { return t.inA.text == t.inB.text }

// permuted reports whether both files have the same lines in another order.
func (t *texts) permuted() bool {
	return t.inA.set == t.inB.set && t.inA.lines == t.inB.lines && t.inA.normal != t.inB.normal
}

// cause names the kind of difference between the texts, "" if it is unclear.
func (t *texts) cause() string {
	switch {
	case t == nil:
		return ""
	case t.codePages():
		return "the same text in another code page"
	case t.inA.normal == t.inB.normal:
		cause := fmt.Sprintf("the same lines, ended by %s in A and by %s in B", t.inA.endings(t.pageA), t.inB.endings(t.pageB))
		if t.pageA.number != t.pageB.number {
			cause += ", in another code page"
		}
		return cause
	case t.permuted():
		return "the same lines in another order"
	}
	return ""
}

// hunk returns the lines that differ.
func (t *texts) hunk() string {
	if t.codePages() {
		return ""
	}
	clean := func(s string) string { return codepage.Value(s, maxLine) }
	if max(t.a.Size, t.b.Size) <= maxText && max(t.inA.lines, t.inB.lines) <= maxLines {
		a, b := linesFrom(t.a, t.pageA, 0, maxText), linesFrom(t.b, t.pageB, 0, maxText)
		edits, _ := textdiff.Diff(a, b, maxEdits)
		return textdiff.Unified(a, b, edits, verdict.MaxHunk, clean)
	}
	return t.excerpt(clean)
}

// excerpt returns the first lines that differ of a long text.
func (t *texts) excerpt(clean func(string) string) string {
	back := min(t.first, 4096)
	buf := make([]byte, back)
	n, _ := t.a.R.ReadAt(buf, t.first-back) // on an error, show what was read
	from := t.first
	for buf = buf[:n]; ; {
		i := bytes.LastIndexByte(buf, t.pageA.newline)
		if i < 0 {
			if back == t.first {
				from = 0
			}
			break
		}
		from = t.first - back + int64(i) + 1
		if t.first-from > maxLine { // enough context before it
			break
		}
		buf = buf[:i]
	}
	a, b := linesFrom(t.a, t.pageA, from, excerpt), linesFrom(t.b, t.pageB, from, excerpt)
	edits, _ := textdiff.Diff(a, b, maxEdits/4)
	if n := len(edits); n > 1 && (edits[n-1].A1 == len(a) || edits[n-1].B1 == len(b)) {
		edits = edits[:n-1] // made by the end of the excerpt, not by the text
	}
	begin := fmt.Sprintf("from byte %d on\n", from)
	return begin + textdiff.Unified(a, b, edits, verdict.MaxHunk-len(begin), clean)
}

// linesFrom decodes at most most bytes of a text, from offset from on.
func linesFrom(f File, p charset, from, most int64) []string {
	buf := make([]byte, max(min(f.Size-from, most), 0))
	n, _ := f.R.ReadAt(buf, from) // on an error, show what was read
	s, ok := p.decode(buf[:n])
	if !ok {
		s = strings.ToValidUTF8(s, "?") // the cut may split a character
	}
	return textdiff.Lines(s)
}

// substituted returns a finding if replacing one known value by its counterpart
// turns one text into the other.
func (t *texts) substituted(ctx context.Context, known []knownValue) (verdict.Finding, bool, error) {
	alive := make([]substitution, len(known))
	for i, k := range known {
		alive[i] = substitution{k: k, there: true, back: true}
	}
	a, b := newLineReader(t.a, t.pageA), newLineReader(t.b, t.pageB)
	for left := len(alive); left > 0; {
		if err := ctx.Err(); err != nil {
			return verdict.Finding{}, false, err
		}
		la, _, errA := a.next()
		lb, _, errB := b.next()
		if errA == io.EOF && errB == io.EOF { //nolint:errorlint // as readers return it
			break
		}
		if errA == io.EOF || errB == io.EOF { //nolint:errorlint // as readers return it
			return verdict.Finding{}, false, nil // not the same number of lines
		}
		if err := errors.Join(errA, errB); err != nil {
			return verdict.Finding{}, false, fmt.Errorf("reading text: %w", err)
		}
		left = 0
		for i := range alive {
			if alive[i].line(la, lb); alive[i].there || alive[i].back {
				left++
			}
		}
	}
	for _, s := range alive {
		if s.seen && (s.there || s.back) {
			return s.k.finding(t.first), true, nil
		}
	}
	return verdict.Finding{}, false, nil
}

// substitution tests whether replacing a known value of A by that of B turns the
// text of A into that of B, or the reverse.
type substitution struct {
	k                 knownValue
	there, back, seen bool
}

func (s *substitution) line(a, b []byte) {
	if bytes.Equal(a, b) && !bytes.Contains(a, []byte(s.k.a)) && !bytes.Contains(b, []byte(s.k.b)) {
		return
	}
	s.seen = s.seen || !bytes.Equal(a, b)
	s.there = s.there && bytes.Equal(bytes.ReplaceAll(a, []byte(s.k.a), []byte(s.k.b)), b)
	s.back = s.back && bytes.Equal(bytes.ReplaceAll(b, []byte(s.k.b), []byte(s.k.a)), a)
}
