// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package report shows verdicts: as text for a terminal, as one HTML page, and as
// JSON for programs.
//
// It reads only verdicts. The names and gravity of fields come from the formats
// (orchestrator/compare/format). It compares nothing; orchestrator/compare makes
// verdicts.
package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/zfarm/zfarm/orchestrator/compare/format/registry"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
	"github.com/zfarm/zfarm/workers/humanize"
)

// Options say how much Text shows, and how.
type Options struct {
	// A and B name the two sides; "" leaves them out.
	A, B string
	// Hunks shows the surroundings of each difference.
	Hunks bool
	// MaxMembers bounds the members shown; 0 shows all.
	MaxMembers int
	// Colour highlights text for a terminal; the text is the same without it.
	Colour bool
}

// Bounds on a report, in bytes: findings beyond the first are shown without their
// hunk, those beyond the second are left out.
const (
	hunkRoom   = 1 << 20
	reportRoom = 3 << 19
	// maxGroups bounds the fields listed in a summary.
	maxGroups = 12
	// tabular is the width of the first column of a summary.
	tabular = 22
	example = 100 // characters of an example
)

// Text writes v for people at a terminal: the summary first, with what decides and
// what was masked, then the findings member by member, those that decide first.
// Control characters of the artifacts are escaped, and the whole text stays below 2
// MB.
func Text(w io.Writer, v verdict.Verdict, o Options) error {
	r := &report{out: bufio.NewWriter(w), v: v, o: o, colour: painter(o.Colour)}
	r.summary(summarise(v, registry.New()))
	r.members()
	return r.out.Flush()
}

// JSON writes v for programs (docs/verdict-v1.schema.json). A long verdict is
// written without indentation, so that it also stays below 2 MB.
func JSON(w io.Writer, v verdict.Verdict) error {
	if v.Allowed == nil {
		v.Allowed = []verdict.Tier{}
	}
	if v.Findings == nil {
		v.Findings = []verdict.Finding{}
	}
	var long bytes.Buffer
	enc := json.NewEncoder(&long)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the verdict: %w", err)
	}
	text := codepage.JSON(long.Bytes())
	if len(text) <= hunkRoom {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err != nil {
			return fmt.Errorf("writing the verdict: %w", err)
		}
		text = indented.Bytes()
	}
	_, err := w.Write(text)
	return err
}

// report is a report that is being written. Its writer keeps the first error until
// Flush.
type report struct {
	out     *bufio.Writer
	v       verdict.Verdict
	o       Options
	colour  painter
	written int
}

func (r *report) say(format string, args ...any) {
	n, _ := fmt.Fprintf(r.out, format, args...)
	r.written += n
}

// painter colours text if it is true.
type painter bool

// Escape sequences for colours.
const (
	bold    = "1"
	reverse = "7"
	red     = "31"
	green   = "32"
	yellow  = "33"
	cyan    = "36"
)

func (p painter) in(colour, s string) string {
	if !p || s == "" || colour == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// outcome returns the coloured word of a verdict.
func (p painter) outcome(v verdict.Verdict) string {
	colour := green
	switch v.Outcome {
	case verdict.Different:
		colour = red
	case verdict.Incomparable:
		colour = yellow
	}
	return p.in(bold+";"+colour, v.String())
}

// mark returns a tier in brackets, red if it decides.
func (r *report) mark(t verdict.Tier) string {
	if r.v.Allows(t) {
		return r.colour.in(green, "["+t.String()+"]")
	}
	return r.colour.in(red, "["+t.String()+"]")
}

// summary writes the summary of the verdict.
func (r *report) summary(s summary) {
	v := r.v
	r.say("%s\n", r.colour.outcome(v))
	if s.Text != "" {
		r.say("  %s\n", codepage.Line(s.Text, 0))
	}
	if s.Advice != "" {
		r.say("  %s\n", r.colour.in(bold, s.Advice))
	}
	for _, side := range []struct{ name, what string }{{"A", r.o.A}, {"B", r.o.B}} {
		if side.what != "" {
			r.say("  %s: %s\n", side.name, codepage.Line(side.what, 0))
		}
	}
	switch v.Outcome {
	case verdict.Identical:
		if v.Bytes > 0 {
			r.say("  %s read of both\n", humanize.Bytes(v.Bytes))
		}
		return
	case verdict.Incomparable:
		return
	}
	r.say("  %s of %s members differ; %s read of both; allowed tiers: %s\n", humanize.Number(v.Differing), humanize.Number(v.Members), humanize.Bytes(v.Bytes), tiersText(v.Allowed))
	r.groups("What decides", s.Deciding)
	r.groups("What was masked", s.Masked)
}

// groups writes a table of fields with their counts and the first example of each.
func (r *report) groups(title string, all []group) {
	if len(all) == 0 {
		return
	}
	r.say("\n%s:\n", r.colour.in(bold, title))
	for i, g := range all {
		if i == maxGroups {
			rest := 0
			for _, g := range all[i:] {
				rest += g.Count
			}
			r.say("  ... %s more fields with %s\n", humanize.Number(len(all)-i), humanize.Count(rest, "difference"))
			return
		}
		r.say("  %s %-*s %s", r.mark(g.Tier), tabular, codepage.Line(g.Field, 0), humanize.Count(g.Count, "difference"))
		if f := g.First; f != nil && f.Path != "" {
			r.say(", %s%s", map[bool]string{true: "first in "}[g.Count > 1], codepage.Line(f.Path, 0))
			if text := pair(*f); text != "" {
				r.say(": %s", codepage.Clip(text, example))
			}
		}
		r.say("\n")
		if f := g.First; f != nil && f.Cause != "" {
			r.say("      %*s %s\n", tabular, "", codepage.Clip(codepage.Line(f.Cause, 0), 2*example))
		}
	}
}

// pair returns the two values as "a -> b", "" if neither is known.
func pair(f verdict.Finding) string {
	a, b := codepage.Line(f.A, 0), codepage.Line(f.B, 0)
	switch {
	case a == "" && b == "":
		return ""
	case b == "":
		b = "(none)"
	case a == "":
		a = "(none)"
	}
	return a + " -> " + b
}

// aboutMember holds the findings about one member.
type aboutMember struct {
	path     string
	findings []verdict.Finding
	decides  bool
}

// byMember groups findings by member. Members with a finding that decides come
// first.
func byMember(v verdict.Verdict) []aboutMember {
	var out []aboutMember
	for _, f := range v.Findings {
		if n := len(out); n == 0 || out[n-1].path != f.Path {
			out = append(out, aboutMember{path: f.Path})
		}
		m := &out[len(out)-1]
		m.findings = append(m.findings, f)
		m.decides = m.decides || !v.Allows(f.Tier)
	}
	slices.SortStableFunc(out, func(a, b aboutMember) int {
		switch {
		case a.decides == b.decides:
			return 0
		case a.decides:
			return -1
		}
		return 1
	})
	return out
}

// members writes the findings member by member.
func (r *report) members() {
	all := byMember(r.v)
	left := len(r.v.Findings)
	for i, m := range all {
		if r.o.MaxMembers > 0 && i == r.o.MaxMembers || r.written > reportRoom {
			r.say("\n... %s about %s; ask for all of them with --json\n", humanize.Count(left, "more finding"), humanize.Count(len(all)-i, "member"))
			break
		}
		if i > 0 && !m.decides && all[i-1].decides {
			r.say("\n%s\n", r.colour.in(bold, "Below, nothing differs but what was allowed."))
		}
		name := codepage.Line(m.path, 0)
		if name == "" {
			name = "the artifact as a whole"
		}
		r.say("\n%s\n", r.colour.in(bold, name))
		for _, f := range m.findings {
			r.finding(f)
		}
		left -= len(m.findings)
	}
	if r.v.Omitted > 0 {
		r.say("\n%s were left out, those of low tiers first; the counts above have them.\n", humanize.Count(r.v.Omitted, "further finding"))
	}
}

// finding writes one finding.
func (r *report) finding(f verdict.Finding) {
	if r.written > reportRoom {
		return
	}
	r.say("  %s %s", r.mark(f.Tier), codepage.Line(f.Field, 0))
	if text := pair(f); text != "" {
		r.say(": %s", text)
	}
	if f.Offset >= 0 {
		r.say(", at byte %d", f.Offset)
	}
	r.say("\n")
	for _, s := range []string{f.Cause, f.Evidence} {
		if s != "" {
			r.say("      %s\n", codepage.Line(s, 0))
		}
	}
	if r.o.Hunks && r.written < hunkRoom {
		r.hunk(f.Hunk)
	}
}

// hunk writes the surroundings of a difference: lines of A before the lines of B
// that replace them, bytes row by row.
func (r *report) hunk(hunk string) {
	var come []row
	flush := func() {
		for _, row := range come {
			r.side("+", green, row.Right)
		}
		come = come[:0]
	}
	for _, row := range rows(hunk) {
		if row.Same || row.Hex || row.Head != "" {
			flush()
		}
		switch {
		case row.Head != "":
			r.side("", cyan, []stretch{{Text: row.Head, Mark: true}})
		case row.Same:
			r.side(" ", "", row.Left)
		default:
			r.side("-", red, row.Left)
			come = append(come, row)
		}
	}
	flush()
}

// side writes a line of a hunk with its sign, if there is one. On a terminal it
// highlights the differing part.
func (r *report) side(sign, colour string, line []stretch) {
	if line == nil {
		return
	}
	mark := colour
	if sign != "" {
		mark += ";" + reverse
	}
	r.say("      | %s", r.colour.in(colour, sign))
	for _, p := range line {
		if p.Mark {
			r.say("%s", r.colour.in(mark, codepage.Line(p.Text, 0)))
		} else {
			r.say("%s", codepage.Line(p.Text, 0))
		}
	}
	r.say("\n")
}
