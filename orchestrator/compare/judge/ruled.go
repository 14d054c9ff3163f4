// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/humanize"
)

// compareByRules compares two texts line by line if a rule of the recipe applies to some
// line. Otherwise it reports false and adds no finding. Rules apply only to texts
// with the same number of lines and code page, and not to lines in another order.
func (d *difference) compareByRules(ctx context.Context) (bool, error) {
	t := d.text
	rules := d.j.rules.fitting(formatText, d.path)
	if len(rules) == 0 || t.inA.lines != t.inB.lines || t.pageA.number != t.pageB.number || t.permuted() || t.inA.normal == t.inB.normal {
		return false, nil
	}
	l := &ruleLines{d: &difference{j: d.j, out: d.out, path: d.path, a: d.a, b: d.b, text: t, seen: map[seenKey]int{}, tentative: true}, rules: rules}
	a, b := newLineReader(t.a, t.pageA), newLineReader(t.b, t.pageB)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		la, wholeA, errA := a.next()
		lb, wholeB, errB := b.next()
		if errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF) {
			break
		}
		if errors.Is(errA, io.EOF) || errors.Is(errB, io.EOF) {
			return false, nil
		}
		if err := errors.Join(errA, errB); err != nil {
			return false, fmt.Errorf("reading lines: %w", err)
		}
		if !bytes.Equal(la, lb) {
			if err := l.pair(la, lb, wholeA && wholeB); err != nil {
				return false, err
			}
		}
		l.at += int64(len(la))
	}
	if l.applied == 0 {
		return false, nil
	}
	for _, f := range l.d.findings {
		d.add(f)
	}
	if l.left > 0 {
		f := verdict.Finding{Field: "content", Offset: l.first, A: l.firstA, B: l.firstB, Tier: verdict.Forbidden, Cause: t.cause(), Hunk: d.hunk(nil),
			Evidence: join(humanize.Count(l.left, "line")+" that no rule explains", d.j.rules.budgetNote())}
		d.add(f)
	}
	return true, nil
}

// ruleLines collects the findings about pairs of lines. They are added only if a
// rule applies to some pair.
type ruleLines struct {
	d       *difference
	rules   []*rule
	at      int64 // offset of the line in A
	applied int
	// left counts lines without an explanation; the first is shown.
	left           int
	first          int64
	firstA, firstB string
}

// pair explains a pair of lines that differ: by stamps and known values first, then
// by a rule.
func (l *ruleLines) pair(a, b []byte, whole bool) error {
	found, ok, err := l.stamps(a, b)
	if err != nil {
		return err
	}
	if ok {
		for _, x := range found {
			x.finding.Offset += l.at
			l.d.addExplained(x, span.Span{})
		}
		return nil
	}
	textA, okA := l.d.text.pageA.decode(a)
	textB, okB := l.d.text.pageB.decode(b)
	bodyA, endA := cutEnd(textA)
	bodyB, endB := cutEnd(textB)
	if whole && okA && okB && endA == endB {
		for _, r := range l.rules {
			if va, vb, ok := r.line(l.d.j.rules, bodyA, bodyB); ok {
				l.applied++
				l.d.addExplained(explanation{finding: r.finding(va, vb, l.at)}, span.Span{})
				return nil
			}
		}
	}
	if l.left++; l.left == 1 {
		l.first, l.firstA, l.firstB = l.at, bodyA, bodyB
	}
	return nil
}

// cutEnd cuts the line ending, LF or CR LF, off a line.
func cutEnd(s string) (body, end string) {
	body = strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
	return body, s[len(body):]
}

// stamps explains every differing byte of two lines of equal length without a rule,
// all below tier X. It reports false if it cannot.
func (l *ruleLines) stamps(a, b []byte) ([]explanation, bool, error) {
	if len(a) != len(b) || l.d.misses >= maxMisses {
		return nil, false, nil
	}
	ra, rb := bytes.NewReader(a), bytes.NewReader(b)
	var found []explanation
	for at := 0; at < len(a); at++ {
		if a[at] == b[at] {
			continue
		}
		x, ok, err := l.d.j.explanation(ra, rb, int64(len(a)), int64(at))
		if err != nil || !ok || x.finding.Tier == verdict.Forbidden {
			l.d.misses++
			return nil, false, err
		}
		found = append(found, x)
		at = int(x.end) - 1
	}
	return found, true, nil
}

// byRule searches for a rule that explains a byte of files that are not text. The
// bytes explained must lie within the part s of both files.
func (d *difference) byRule(w surroundings, s span.Span) (explanation, bool, error) {
	if d.text != nil || len(d.rules) == 0 {
		return explanation{}, false, nil
	}
	all, err := views(w.a, w.b, w.size, w.at-reach, w.at+reach)
	if err != nil {
		return explanation{}, false, err
	}
	for _, v := range all {
		for _, r := range d.rules {
			from, to, ok := r.run(d.j.rules, v, int(w.at-v.from))
			if !ok || !d.inSamePart(w, v.from+int64(from), v.from+int64(to), s) {
				continue
			}
			f := r.finding(string(v.a[from:to]), string(v.b[from:to]), v.from+int64(from))
			return explanation{f, v.from + int64(to)}, true, nil
		}
	}
	return explanation{}, false, nil
}
