// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package diagnostics

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcled"
)

// Source is a file that has faults.
type Source struct {
	Name  string
	Bytes []byte
	// File is the parsed file; nil if it could not be parsed.
	File *hcl.File
	// Secrets are parts of it that diagnostics must not show.
	Secrets []hcl.Range
}

// List converts HCL's diagnostics: in order of place, each once, at most Max,
// with their lines of source.
func (s Source) List(in hcl.Diagnostics) List {
	type fault struct {
		summary, detail string
		line, column    int
	}
	in = slices.Clone(in)
	slices.SortStableFunc(in, func(a, b *hcl.Diagnostic) int { return cmp.Compare(offset(a), offset(b)) })
	lines := s.lines()
	var out List
	seen := make(map[fault]bool)
	for _, h := range in {
		d := s.plain(h)
		key := fault{d.Summary, d.Detail, d.Line, d.Column}
		if seen[key] {
			continue
		}
		seen[key] = true
		if len(out) == Max {
			return append(out, Diagnostic{
				Severity: SeverityError, Summary: "Too many faults", File: printable(s.Name, ""),
				Detail: "There are more, which are not shown. Correct these first.",
			})
		}
		if h.Subject != nil && h.Subject.Filename == s.Name && h.Subject.CanSliceBytes(s.Bytes) {
			d.context, d.snippet = s.context(h.Subject.Start.Byte), lines.show(*h.Subject)
		}
		out = append(out, d)
	}
	return out
}

// offset returns where d is in the file; -1, which sorts first, if it has no
// place.
func offset(d *hcl.Diagnostic) int {
	if d.Subject == nil {
		return -1
	}
	return d.Subject.Start.Byte
}

// plain converts one diagnostic of HCL, without lines of source.
func (s Source) plain(h *hcl.Diagnostic) Diagnostic {
	d := Diagnostic{Severity: SeverityError, Summary: printable(h.Summary, ""), Detail: printable(h.Detail, "\n"), File: printable(s.Name, "")}
	if h.Severity == hcl.DiagWarning {
		d.Severity = SeverityWarning
	}
	if h.Subject != nil {
		d.File = printable(h.Subject.Filename, "")
		d.Line, d.Column = h.Subject.Start.Line, h.Subject.Start.Column
	}
	return d
}

// context names the blocks around an offset.
func (s Source) context(at int) string {
	if s.File == nil || s.File.Body == nil {
		return ""
	}
	return printable(hcled.ContextString(s.File, at), "")
}

// lines is a source with its secrets hidden.
type lines struct {
	bytes  []byte
	starts []int // offset of each line
}

func (s Source) lines() lines {
	l := lines{bytes: bytes.Clone(s.Bytes), starts: []int{0}}
	for _, secret := range s.Secrets {
		if !secret.CanSliceBytes(l.bytes) {
			continue
		}
		for i, c := range secret.SliceBytes(l.bytes) {
			if c != '\n' {
				l.bytes[secret.Start.Byte+i] = '*'
			}
		}
	}
	for i, c := range l.bytes {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// show returns the lines of rng, at most maxSnippet.
func (l lines) show(rng hcl.Range) []snippetLine {
	var shown []snippetLine
	first, found := slices.BinarySearch(l.starts, rng.Start.Byte)
	if !found {
		first--
	}
	for i := first; i < len(l.starts) && len(shown) < maxSnippet; i++ {
		if i > first && l.starts[i] >= rng.End.Byte {
			break
		}
		shown = append(shown, l.line(i, rng))
	}
	return shown
}

// line returns line i, cut to about maxLine bytes around the mark.
func (l lines) line(i int, mark hcl.Range) snippetLine {
	start, end := l.starts[i], len(l.bytes)
	if i+1 < len(l.starts) {
		end = l.starts[i+1] - 1
	}
	from := min(max(mark.Start.Byte, start), end)
	to := min(max(mark.End.Byte, from), end)
	left, right := max(start, from-maxLine/3), min(end, from+maxLine)
	to = min(to, right)
	s := snippetLine{
		number: i + 1,
		before: printable(string(l.bytes[left:from]), "\t"),
		marked: printable(string(l.bytes[from:to]), "\t"),
		after:  printable(string(l.bytes[to:right]), "\t"),
	}
	if left > start {
		s.before = "... " + s.before
	}
	if right < end {
		s.after += " ..."
	}
	return s
}
