// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package diagnostics is how people and programs see the faults of an HCL
// file: a recipe or a farm's file. [Source.List] converts HCL's own
// diagnostics to a list in text that is safe for a terminal, with the lines of
// source that each is about.
//
// It finds no faults itself: recipes/parse and orchestrator/farmfile do.
package diagnostics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zfarm/zfarm/workers/codepage"
)

// Max is the most diagnostics listed for one file; one more says that there
// are more.
const Max = 100

// Bounds on diagnostics, because the text of a hostile file ends up in them.
const (
	maxText    = 2000 // bytes of a summary or detail
	maxSnippet = 4    // lines of source
	maxLine    = 240  // bytes of a line of source
)

// The severities of a diagnostic.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Diagnostic is one fault of a file, in text that is safe for a terminal.
type Diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	// Detail says what is wrong and what to write instead.
	Detail string `json:"detail,omitempty"`
	// File is the name of the file, for people. For a recipe it is
	// slash-separated, below the recipe's folder.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 if the fault has no place. Columns count
	// user-perceived characters (grapheme clusters).
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`

	context string // the blocks around the fault
	snippet []snippetLine
}

// snippetLine is one line of source; marked is the part that the fault is
// about.
type snippetLine struct {
	number                int
	before, marked, after string
}

// Unreadable returns the list for a file that could not be read at all.
func Unreadable(file, summary, detail string) List {
	return List{{Severity: SeverityError, Summary: printable(summary, ""), File: printable(file, ""), Detail: printable(detail, "")}}
}

// List holds the faults of a file, in the order of their places.
type List []Diagnostic

// HasErrors reports whether d holds more than warnings.
func (d List) HasErrors() bool {
	return slices.ContainsFunc(d, func(x Diagnostic) bool { return x.Severity == SeverityError })
}

// Err returns d as an error if it holds one, else nil.
func (d List) Err() error {
	if d.HasErrors() {
		return d
	}
	return nil
}

// Error names the first error, or the first warning if there is no error, and
// the number of other diagnostics.
func (d List) Error() string {
	if len(d) == 0 {
		return "no faults"
	}
	first := d[max(0, slices.IndexFunc(d, func(x Diagnostic) bool { return x.Severity == SeverityError }))]
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

// MarshalJSON writes a list, even if it is empty.
func (d List) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]Diagnostic{}, d...))
}

// WriteText writes every diagnostic with the lines of source it is about, in
// the layout known from HCL's tools. Details are wrapped at width columns;
// 0 does not wrap.
func (d List) WriteText(w io.Writer, width int, colour bool) error {
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

// wrap breaks the lines of s at spaces so that they have at most width
// characters, unless a word is longer.
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

// printable makes s safe for a terminal and cuts it to maxText. It keeps the
// tabs and newlines that are in keep.
func printable(s, keep string) string {
	end := ""
	if len(s) > maxText {
		s, end = s[:maxText], "..."
	}
	s = codepage.PrintableString(s)
	for sign, escaped := range map[string]string{"\t": `\t`, "\n": `\n`} {
		if !strings.Contains(keep, sign) {
			s = strings.ReplaceAll(s, sign, escaped)
		}
	}
	return s + end
}
