// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/plugins"
)

// maxDepth is how deep subtests are read; deeper ones are text.
const maxDepth = 8

// nameSeparator separates the name of a subtest's parent from the subtest's own.
const nameSeparator = " / "

// ReadTAP reads the output of one producer of the Test Anything Protocol (the
// specification at testanything.org, versions 12 to 14). Subtests are named
// "parent / child" and replace their parent. A missing plan, or one that is
// not met, is an Errored test named "plan"; a producer that bailed out is one
// named "bail out".
func ReadTAP(r io.Reader) ([]plugins.Case, error) {
	t := newTAP(true)
	l := &lines{each: t.line}
	if _, err := io.Copy(l, r); err != nil {
		return nil, fmt.Errorf("reading TAP: %w", err)
	}
	l.end()
	var out cases
	for _, c := range t.end() {
		out.add(c)
	}
	return out.list, out.err()
}

// tap reads one or several streams of TAP in turn.
type tap struct {
	// strict means that there is only TAP, and that a stream must have a plan.
	strict bool
	// dir qualifies the names of tests; "" does not.
	dir string
	// planned says whether any stream had a plan, numbered whether any had a
	// numbered test without a plan.
	planned, numbered bool

	done   []plugins.Case
	kept   int      // bytes of details
	levels []*level // of subtests; the first is the stream's own
	yaml   int      // indentation of the open YAML block; -1 if none is open
	yamlAt int      // the level that the block belongs to
}

// level is a stream or a subtest.
type level struct {
	name   string // of a subtest, as announced by a comment
	plan   int    // -1 if there is none yet
	seen   int
	last   int // the number of the last test
	bailed bool
	dir    string // of a stream
	tests  []plugins.Case
	// open says whether the last line was about the last test, so that
	// comments belong to that test.
	open bool
}

func newTAP(strict bool) *tap {
	return &tap{strict: strict, yaml: -1, levels: []*level{{plan: -1}}}
}

// line reads one line.
func (t *tap) line(s string) {
	text := strings.TrimLeft(s, " ")
	indent := len(s) - len(text)
	if t.inYAML(indent, text) {
		return
	}
	depth := indent / 4
	if indent%4 == 2 && text == "---" && depth < len(t.levels) && t.levels[depth].open {
		t.yaml, t.yamlAt = indent, depth
		return
	}
	if indent%4 != 0 || depth > maxDepth || depth > len(t.levels) {
		return
	}
	// The inner levels stay until their parent's line.
	p, isPoint := parsePoint(text)
	plan, isPlan := parsePlan(text)
	switch {
	case isPoint && t.accepts(depth, p):
		t.point(depth, p)
	case isPlan:
		t.plan(depth, plan)
	case strings.HasPrefix(text, "Bail out!"):
		t.bail(strings.TrimSpace(strings.TrimPrefix(text, "Bail out!")))
	case strings.HasPrefix(text, "TAP version ") && depth == 0:
		t.next()
	case strings.HasPrefix(text, "#"):
		t.comment(depth, strings.TrimSpace(text[1:]))
	}
}

// inYAML takes the lines of a YAML block. A block without an end ends before
// the first line that is less indented.
func (t *tap) inYAML(indent int, text string) bool {
	if t.yaml < 0 {
		return false
	}
	if text == "..." && indent == t.yaml || text != "" && indent < t.yaml {
		t.yaml = -1
		return text == "..."
	}
	t.explain(t.levels[t.yamlAt], text)
	return true
}

// accepts refuses lines that only look like a test among other output: without
// number and dash, a test must be in a stream whose plan is not yet met.
func (t *tap) accepts(depth int, p point) bool {
	if t.strict || p.number > 0 || p.dash || depth > 0 {
		return true
	}
	l := t.levels[0]
	return l.plan > l.seen
}

// at returns the level of that depth; a new one if that is one deeper than
// before.
func (t *tap) at(depth int) *level {
	if depth == len(t.levels) {
		t.levels = append(t.levels, &level{plan: -1})
	}
	return t.levels[depth]
}

// point adds a test, and the subtests before it.
func (t *tap) point(depth int, p point) {
	if l := t.levels[0]; depth == 0 && !t.strict && p.number == 1 && l.seen > 0 && (l.last >= 1 && l.plan <= l.seen) {
		t.next() // the numbers begin anew: another producer
	}
	if t.levels[0].bailed {
		return
	}
	l := t.at(depth)
	t.levels[0].dir = t.dir
	t.numbered = t.numbered || p.number > 0 && depth == 0
	l.seen++
	l.last = p.number
	if len(t.done)+len(l.tests) > plugins.MaxCases {
		return // only counted; the collector reports it
	}
	children, name := t.close(depth + 1)
	c := p.test(l.seen)
	if p.name == "" && name != "" {
		c.Name = name
	}
	if t.kept += len(c.Detail); t.kept > maxDetails {
		c.Detail = ""
	}
	l.tests = append(l.tests, children.withParent(c)...)
	if len(children) == 0 || Bad(c.Outcome) && !AnyBad(children) {
		l.tests = append(l.tests, c)
	}
	l.open = true
}

// tests are the tests of a subtest.
type tests []plugins.Case

// withParent puts the parent's name before the names of the tests. A failure in a
// subtest that is expected to fail counts as expected, too.
func (ts tests) withParent(parent plugins.Case) []plugins.Case {
	for i := range ts {
		ts[i].Name = plugins.Line(parent.Name+nameSeparator+ts[i].Name, plugins.MaxName)
		if parent.Outcome == plugins.ExpectedFail && ts[i].Outcome == plugins.Failed {
			ts[i].Outcome = plugins.ExpectedFail
		}
	}
	return ts
}

// close ends the levels from that depth on and returns their tests and the
// announced name.
func (t *tap) close(depth int) (tests, string) {
	if depth >= len(t.levels) {
		return nil, ""
	}
	l := t.levels[depth]
	if orphans, name := t.close(depth + 1); len(orphans) > 0 {
		if name != "" {
			orphans = orphans.withParent(plugins.Case{Name: name})
		}
		l.tests = append(l.tests, orphans...)
	}
	t.levels = t.levels[:depth]
	if c, ok := l.verdict(t.strict); !ok {
		l.tests = append(l.tests, c)
	}
	return l.tests, l.name
}

// verdict returns a test that reports a plan that was not met.
func (l *level) verdict(needsPlan bool) (plugins.Case, bool) {
	c := plugins.Case{Name: "plan", Outcome: plugins.Errored}
	switch {
	case l.bailed || l.plan == l.seen || l.plan < 0 && (!needsPlan || l.seen == 0):
		return c, true
	case l.plan < 0:
		c.Detail = fmt.Sprintf("no plan after %d tests: the suite may have ended early", l.seen)
	case l.plan > l.seen:
		c.Detail = fmt.Sprintf("%d of %d planned tests are missing", l.plan-l.seen, l.plan)
	default:
		c.Detail = fmt.Sprintf("%d tests were planned, but %d came", l.plan, l.seen)
	}
	return c, false
}

// plan takes a plan, before or after the tests.
func (t *tap) plan(depth int, p plan) {
	l := t.at(depth)
	if depth == 0 {
		if l.plan >= 0 && !t.strict {
			t.next()
			l = t.levels[0]
		}
		t.planned = true
		l.dir = t.dir
	}
	l.plan = p.count
	if p.count == 0 {
		l.tests = append(l.tests, plugins.Case{Name: "all", Outcome: plugins.Skipped, Detail: plugins.Line(p.reason, plugins.MaxName)})
	} else if depth == 0 && l.seen > 0 && !t.strict {
		t.next()
	}
}

// bail ends the stream, because the producer bailed out.
func (t *tap) bail(reason string) {
	l := t.levels[0]
	if l.bailed {
		return
	}
	rest, _ := t.close(1)
	l.tests = append(append(l.tests, rest...), plugins.Case{Name: "bail out", Outcome: plugins.Errored, Detail: reason})
	l.bailed = true
	if !t.strict {
		t.next()
	}
}

// comment announces a subtest or belongs to the last test.
func (t *tap) comment(depth int, text string) {
	if name, ok := strings.CutPrefix(text, "Subtest:"); ok && depth < maxDepth {
		name = plugins.Line(name, plugins.MaxName)
		// Older producers indent the announcement like the subtest.
		if depth == len(t.levels) {
			t.at(depth).name = name
		} else if depth+1 == len(t.levels) {
			t.at(depth + 1).name = name
		}
		return
	}
	if depth < len(t.levels) {
		t.explain(t.levels[depth], text)
	}
}

// explain adds a line to the detail of the last test, if that failed.
func (t *tap) explain(l *level, text string) {
	if !l.open || len(l.tests) == 0 {
		return
	}
	c := &l.tests[len(l.tests)-1]
	if c.Outcome == plugins.Passed || len(c.Detail)+len(text) >= plugins.MaxDetail || t.kept+len(text) > maxDetails {
		return
	}
	t.kept += len(text)
	if c.Detail != "" {
		c.Detail += "\n"
	}
	c.Detail += text
}

// next ends the stream and begins another.
func (t *tap) next() {
	dir := t.levels[0].dir
	finished, _ := t.close(0)
	for _, c := range finished {
		if dir != "" {
			c.Name = plugins.Line(dir+nameSeparator+c.Name, plugins.MaxName)
		}
		if len(t.done) <= plugins.MaxCases {
			t.done = append(t.done, c)
		}
	}
	t.levels = []*level{{plan: -1}}
	t.yaml = -1
}

// end returns the tests of all streams.
func (t *tap) end() []plugins.Case {
	t.next()
	return t.done
}

// point is a line "ok" or "not ok".
type point struct {
	ok        bool
	number    int // 0 if there is none
	dash      bool
	name      string
	directive string // "skip", "todo" or ""
	reason    string
}

// test returns the point as a test; n is its number in its level.
func (p point) test(n int) plugins.Case {
	c := plugins.Case{Name: plugins.Line(p.name, plugins.MaxName), Outcome: plugins.Failed, Detail: plugins.Line(p.reason, plugins.MaxName)}
	if c.Name == "" {
		c.Name = fmt.Sprintf("test %d", n)
	}
	switch {
	case p.directive == "skip":
		c.Outcome = plugins.Skipped
	case p.directive == "todo" && p.ok:
		c.Outcome = plugins.UnexpectedPass
	case p.directive == "todo":
		c.Outcome = plugins.ExpectedFail
	case p.ok:
		c.Outcome = plugins.Passed
	}
	return c
}

// maxNumber keeps counts far below overflow.
const maxNumber = 1_000_000_000

// parsePoint reads "ok 3 - name # directive reason".
func parsePoint(s string) (point, bool) {
	p := point{ok: true}
	rest, found := strings.CutPrefix(s, "not ")
	if found {
		p.ok = false
	}
	rest, found = strings.CutPrefix(rest, "ok")
	if !found || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return p, false
	}
	rest = strings.TrimSpace(rest)
	word, after, _ := strings.Cut(rest, " ")
	if n, err := strconv.Atoi(word); err == nil && n > 0 && n <= maxNumber && word[0] != '+' {
		p.number, rest = n, strings.TrimSpace(after)
	}
	if rest == "-" {
		rest = "- "
	}
	if name, ok := strings.CutPrefix(rest, "- "); ok {
		p.dash, rest = true, strings.TrimSpace(name)
	}
	rest = strings.TrimSuffix(rest, " {") // an older form of TAP 14: a subtest in braces
	p.name, p.directive, p.reason = parseDirective(rest)
	return p, true
}

// parseDirective separates the name of a test from its first directive and the
// reason, and removes the escapes from the name.
func parseDirective(s string) (name, directive, reason string) {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			continue
		}
		if s[i] != '#' || i > 0 && s[i-1] != ' ' && s[i-1] != '\t' {
			continue
		}
		text := strings.TrimSpace(s[i+1:])
		if len(text) < 4 {
			continue
		}
		switch word := strings.ToLower(text[:4]); word {
		case "skip", "todo":
			_, reason, _ = strings.Cut(text, " ")
			return unescape(strings.TrimSpace(s[:i])), word, strings.TrimSpace(reason)
		}
	}
	return unescape(s), "", ""
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\#`, `#`).Replace(s)
}

// plan is a line "1..N".
type plan struct {
	count  int
	reason string
}

func parsePlan(s string) (plan, bool) {
	rest, ok := strings.CutPrefix(s, "1..")
	if !ok {
		return plan{}, false
	}
	number, comment, _ := strings.Cut(rest, "#")
	number = strings.TrimSpace(number)
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > maxNumber || number[0] == '+' || number[0] == '-' {
		return plan{}, false
	}
	_, reason, _ := strings.Cut(strings.TrimSpace(comment), " ")
	return plan{count: n, reason: strings.TrimSpace(reason)}, true
}
