// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farmfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcled"

	"github.com/zfarm/zfarm/workers/codepage"
)

// What a list of diagnostics may hold.
const (
	maxDiagnostics = 100
	maxDetail      = 2000 // bytes
	maxSnippet     = 4    // lines of source
)

// The severities of a diagnostic.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Diagnostic is one fault of a farm's file, in text that is safe for a
// terminal. It has the form of a recipe's diagnostic.
type Diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	// Detail says what is wrong and what to write instead.
	Detail string `json:"detail,omitempty"`
	File   string `json:"file,omitempty"`
	// Line and Column count from 1; 0 when the fault has no place.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`

	subject *hcl.Range
	source  *hcl.File
}

// Diagnostics are the faults of a file, in the order of their places.
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

// Error names the first error and the number of other diagnostics.
func (d Diagnostics) Error() string {
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

// MarshalJSON writes a list, also where there is nothing in it.
func (d Diagnostics) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]Diagnostic{}, d...))
}

// WriteText writes every diagnostic with the lines of source it is about, in
// the layout of HCL's tools. Details are wrapped at width columns; 0 does not
// wrap. Passwords in the source are not shown.
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
	case d.subject != nil:
		d.writeSource(b, underline, reset)
	case d.File != "":
		fmt.Fprintf(b, "  on %s\n\n", d.File)
	}
	column := 0
	for i, word := range strings.Fields(d.Detail) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width > 0 && column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteString("\n\n")
}

// writeSource shows the lines that d is about, and marks what it is about.
func (d Diagnostic) writeSource(b *bytes.Buffer, mark, unmark string) {
	src, from, to := d.source.Bytes, d.subject.Start.Byte, d.subject.End.Byte
	in := ""
	if d.source.Body != nil {
		if context := hcled.ContextString(d.source, from); context != "" {
			in = ", in " + safe(context)
		}
	}
	fmt.Fprintf(b, "  on %s line %d%s:\n", d.File, d.Line, in)
	start := bytes.LastIndexByte(src[:from], '\n') + 1
	for no := d.Line; start <= to && start < len(src) && no < d.Line+maxSnippet; no++ {
		end := len(src)
		if n := bytes.IndexByte(src[start:], '\n'); n >= 0 {
			end = start + n
		}
		left := min(max(from, start), end)
		right := min(max(to, left), end)
		fmt.Fprintf(b, "%4d: %s", no, src[start:left])
		if left < right {
			fmt.Fprintf(b, "%s%s%s", mark, src[left:right], unmark)
		}
		fmt.Fprintf(b, "%s\n", src[right:end])
		start = end + 1
		if start >= to {
			break
		}
	}
	b.WriteByte('\n')
}

// diagnostics turns those of HCL into ours: in order, each once, not too many.
func (r *reader) diagnostics() Diagnostics {
	type fault struct {
		summary, detail string
		line, column    int
	}
	in := slices.Clone(r.diags)
	slices.SortStableFunc(in, func(a, b *hcl.Diagnostic) int { return cmp.Compare(offset(a), offset(b)) })
	source := &hcl.File{Bytes: visible(r.src, r.secrets)}
	if r.file != nil {
		source.Body, source.Nav = r.file.Body, r.file.Nav
	}
	var out Diagnostics
	seen := make(map[fault]bool)
	for _, h := range in {
		d := r.plain(h)
		d.source = source
		key := fault{d.Summary, d.Detail, d.Line, d.Column}
		if seen[key] {
			continue
		}
		seen[key] = true
		if len(out) == maxDiagnostics {
			return append(out, Diagnostic{
				Severity: SeverityError, Summary: "Too many faults", File: r.name,
				Detail: "There are more, which are not shown. Mend these first.",
			})
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

func (r *reader) plain(h *hcl.Diagnostic) Diagnostic {
	d := Diagnostic{Severity: SeverityError, Summary: safe(h.Summary), Detail: safe(h.Detail), File: r.name}
	if h.Severity == hcl.DiagWarning {
		d.Severity = SeverityWarning
	}
	if h.Subject != nil {
		d.Line, d.Column = h.Subject.Start.Line, h.Subject.Start.Column
		if h.Subject.CanSliceBytes(r.src) {
			d.subject = h.Subject
		}
	}
	return d
}

// visible returns src with what a terminal might obey, and what nobody should
// read there, replaced byte by byte, so that places stay where they are.
func visible(src []byte, secrets []hcl.Range) []byte {
	shown := bytes.Clone(src)
	for i := 0; i < len(src); {
		if c := src[i]; c >= ' ' && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && size == 1 || codepage.PrintableString(string(r)) != string(r) {
			fill(shown[i:i+size], '?')
		}
		i += size
	}
	for _, s := range secrets {
		if s.CanSliceBytes(shown) {
			fill(s.SliceBytes(shown), '*')
		}
	}
	// Also where the file cannot be parsed.
	password := regexp.MustCompile(`://[^"\n/@:]*:([^"\n]*)@|[Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]=([^"\n&]*)`)
	for _, m := range password.FindAllSubmatchIndex(shown, -1) {
		for i := 2; i < len(m); i += 2 {
			if m[i] >= 0 {
				fill(shown[m[i]:m[i+1]], '*')
			}
		}
	}
	return shown
}

func fill(b []byte, with byte) {
	for i := range b {
		if b[i] != '\n' {
			b[i] = with
		}
	}
}

// safe is the text as a terminal may have it, cut to a bearable length.
func safe(s string) string {
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "..."
	}
	return codepage.PrintableString(s)
}
