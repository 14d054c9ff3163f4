// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcled"
)

// What a list of diagnostics may hold. The text of a hostile recipe ends up
// in them.
const (
	maxDiagnostics = 100
	maxText        = 2000 // bytes of a summary or detail
	maxSnippet     = 4    // lines of source
	maxLine        = 240  // bytes of a line of source
)

// The severities of a diagnostic.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Diagnostic is one fault of a recipe, in text that is safe for a terminal.
type Diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	// Detail says what is wrong and what to write instead.
	Detail string `json:"detail,omitempty"`
	// File is slash-separated, below the recipe's folder.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 when the fault has no place. Columns
	// count characters as people do (grapheme clusters).
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`

	context string // the blocks around the place
	snippet []snippetLine
}

// snippetLine is one line of source; marked is what the fault is about.
type snippetLine struct {
	number                int
	before, marked, after string
}

// Diagnostics are the faults of a recipe, in the order of their places.
type Diagnostics []Diagnostic

// HasErrors reports whether d holds more than warnings.
func (d Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(d, func(x Diagnostic) bool { return x.Severity == SeverityError })
}

// Err returns d as an error if it holds one, else nil.
func (d Diagnostics) Err() error {
	if d.HasErrors() {
		return d
	}
	return nil
}

// Error names the first fault and the number of others.
func (d Diagnostics) Error() string {
	if len(d) == 0 {
		return "no faults"
	}
	first := d[0]
	text := first.Summary
	if first.Detail != "" {
		text += "; " + first.Detail
	}
	if first.Line > 0 {
		text = fmt.Sprintf("%s:%d,%d: %s", first.File, first.Line, first.Column, text)
	}
	if n := len(d) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// MarshalJSON writes a list, also where there is nothing in it.
func (d Diagnostics) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]Diagnostic{}, d...))
}

// WriteText writes every diagnostic with the lines of source it is about, in
// the layout known from HCL's tools. Details are wrapped at width columns;
// 0 does not wrap.
func (d Diagnostics) WriteText(w io.Writer, width int, colour bool) error {
	var b bytes.Buffer
	for _, x := range d {
		x.writeText(&b, width, colour)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (d Diagnostic) writeText(b *bytes.Buffer, width int, colour bool) {
	title, hue, underline, reset := "Error", "\x1b[31m", "\x1b[1;4m", "\x1b[0m"
	if d.Severity == SeverityWarning {
		title, hue = "Warning", "\x1b[33m"
	}
	if !colour {
		hue, underline, reset = "", "", ""
	}
	fmt.Fprintf(b, "%s%s%s: %s\n\n", hue, title, reset, d.Summary)
	switch {
	case d.Line > 0:
		in := ""
		if d.context != "" {
			in = ", in " + d.context
		}
		fmt.Fprintf(b, "  on %s line %d%s:\n", d.File, d.Line, in)
		for _, l := range d.snippet {
			fmt.Fprintf(b, "%4d: %s", l.number, l.before)
			if l.marked != "" {
				b.WriteString(underline + l.marked + reset)
			}
			b.WriteString(l.after + "\n")
		}
		b.WriteByte('\n')
	case d.File != "":
		fmt.Fprintf(b, "  on %s\n\n", d.File)
	}
	if d.Detail != "" {
		b.WriteString(wrap(d.Detail, width) + "\n\n")
	}
}

// wrap breaks the lines of s at spaces so that they take at most width
// characters, where words allow it.
func wrap(s string, width int) string {
	if width <= 0 {
		return s
	}
	var b strings.Builder
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		column := 0
		for j, word := range strings.Split(line, " ") {
			n := utf8.RuneCountInString(word)
			switch {
			case j == 0:
			case column+1+n > width:
				b.WriteByte('\n')
				column = 0
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
	}
	return b.String()
}

// text is a source text, with what it takes to show lines of it.
type text struct {
	name   string
	bytes  []byte
	file   *hcl.File // nil when it could not be parsed
	starts []int     // offset of each line
}

func newText(name string, b []byte) *text {
	t := &text{name: name, bytes: b, starts: []int{0}}
	for i, c := range b {
		if c == '\n' {
			t.starts = append(t.starts, i+1)
		}
	}
	return t
}

// diagnostics turns those of HCL into ours: in order, each once, not too
// many, with their lines of source.
func (t *text) diagnostics(in hcl.Diagnostics) Diagnostics {
	type fault struct {
		summary, detail string
		line, column    int
	}
	in = slices.Clone(in)
	slices.SortStableFunc(in, func(a, b *hcl.Diagnostic) int { return cmp.Compare(offset(a), offset(b)) })
	var out Diagnostics
	seen := make(map[fault]bool)
	for _, h := range in {
		d := plain(h)
		key := fault{d.Summary, d.Detail, d.Line, d.Column}
		if seen[key] {
			continue
		}
		seen[key] = true
		if len(out) == maxDiagnostics {
			return append(out, Diagnostic{
				Severity: SeverityError, Summary: "Too many faults", File: t.name,
				Detail: "There are more, which are not shown. Mend these first.",
			})
		}
		if h.Subject != nil {
			d.context, d.snippet = t.show(*h.Subject)
		}
		out = append(out, d)
	}
	return out
}

// offset sorts diagnostics without a place first.
func offset(d *hcl.Diagnostic) int {
	if d.Subject == nil {
		return -1
	}
	return d.Subject.Start.Byte
}

// plain turns one diagnostic of HCL into ours, still without source.
func plain(h *hcl.Diagnostic) Diagnostic {
	d := Diagnostic{Severity: SeverityError, Summary: printable(h.Summary, ""), Detail: printable(h.Detail, "\n")}
	if h.Severity == hcl.DiagWarning {
		d.Severity = SeverityWarning
	}
	if h.Subject != nil {
		d.File = h.Subject.Filename
		d.Line, d.Column = h.Subject.Start.Line, h.Subject.Start.Column
	}
	return d
}

// show returns the names of the blocks around rng, and its lines.
func (t *text) show(rng hcl.Range) (string, []snippetLine) {
	if rng.Filename != t.name || !rng.CanSliceBytes(t.bytes) {
		return "", nil
	}
	context := ""
	if t.file != nil {
		context = printable(hcled.ContextString(t.file, rng.Start.Byte), "")
	}
	var lines []snippetLine
	first, found := slices.BinarySearch(t.starts, rng.Start.Byte)
	if !found {
		first--
	}
	for i := first; i < len(t.starts) && len(lines) < maxSnippet; i++ {
		if i > first && t.starts[i] >= rng.End.Byte {
			break
		}
		lines = append(lines, t.line(i, rng))
	}
	return context, lines
}

// line returns line i of t, cut to a bearable length around the mark.
func (t *text) line(i int, mark hcl.Range) snippetLine {
	start, end := t.starts[i], len(t.bytes)
	if i+1 < len(t.starts) {
		end = t.starts[i+1] - 1
	}
	from := min(max(mark.Start.Byte, start), end)
	to := min(max(mark.End.Byte, from), end)
	left, right := max(start, from-maxLine/3), min(end, from+maxLine)
	to = min(to, right)
	l := snippetLine{
		number: i + 1,
		before: printable(string(t.bytes[left:from]), "\t"),
		marked: printable(string(t.bytes[from:to]), "\t"),
		after:  printable(string(t.bytes[to:right]), "\t"),
	}
	if left > start {
		l.before = "... " + l.before
	}
	if right < end {
		l.after += " ..."
	}
	return l
}

// printable replaces everything that a terminal might obey, or that might be
// shown elsewhere than it stands (direction marks), by its escaped form. It
// keeps the characters in keep, and cuts what is too long.
func printable(s, keep string) string {
	cut := len(s) > maxText
	if cut {
		s = s[:maxText]
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "\\x%02x", s[i])
		case unicode.IsPrint(r), strings.ContainsRune(keep, r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	if cut {
		b.WriteString("...")
	}
	return b.String()
}
