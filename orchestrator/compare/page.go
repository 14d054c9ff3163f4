// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// PageOptions say what stands above a page.
type PageOptions struct {
	// Title names what was compared; A and B the two sides.
	Title, A, B string
}

// pageRoom is how many bytes findings may take that are shown with all that is
// known of them. Those after it are told in a line, so that a page of ten
// thousand stays below 2 MiB.
const pageRoom = 400 << 10

//go:embed page.html
var pageText string

// page is the page as its template sees it.
type page struct {
	PageOptions
	Verdict
	Summary string
	Root    *branch
}

// branch is a folder or member on the page, with what lies below it.
type branch struct {
	Name     string
	Worst    Tier
	Findings []shownFinding
	Below    []*branch
	byName   map[string]*branch
}

// Leaf returns the only finding about a member of which there is little to
// tell, nil for others.
func (b *branch) Leaf() *shownFinding {
	if len(b.Findings) == 1 && len(b.Below) == 0 && len(b.Findings[0].Rows) == 0 && b.Findings[0].Cause == "" {
		return &b.Findings[0]
	}
	return nil
}

type shownFinding struct {
	Finding
	Rows []shownRow
}

// shownRow is one line of a hunk, side by side.
type shownRow struct {
	// Head stands across both sides; "" for lines.
	Head        string
	Left, Right side
}

// side is a line of one side, with what differs marked.
type side struct {
	There               bool
	Before, Mark, After string
}

// WriteHTML writes v as one page that needs nothing from anywhere else: what
// it comes to, a tree of what differs that can be searched, and both sides of
// each difference with the differing part marked.
func (v Verdict) WriteHTML(w io.Writer, o PageOptions) error {
	var text bytes.Buffer
	if err := v.writeSummary(&text); err != nil {
		return err
	}
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	p := page{PageOptions: o, Verdict: v, Summary: text.String(), Root: &branch{}}
	room := pageRoom
	for _, f := range v.Findings {
		if room -= len(f.A) + len(f.B) + len(f.Cause) + len(f.Evidence) + 2*len(f.Hunk) + 300; room < 0 {
			f.Cause, f.Evidence, f.Hunk = "", "", ""
		}
		p.Root.add(f)
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// add puts a finding where its path leads.
func (b *branch) add(f Finding) {
	b.Worst = max(b.Worst, f.Tier)
	for _, name := range strings.FieldsFunc(f.Path, func(r rune) bool { return r == '/' }) {
		next := b.byName[name]
		if next == nil {
			next = &branch{Name: name}
			if b.byName == nil {
				b.byName = map[string]*branch{}
			}
			b.byName[name] = next
			b.Below = append(b.Below, next)
		}
		b = next
		b.Worst = max(b.Worst, f.Tier)
	}
	b.Findings = append(b.Findings, shownFinding{f, rows(f.Hunk)})
}

// rows puts the lines of a hunk side by side: those that go with those that
// come in their place.
func rows(hunk string) []shownRow {
	var out []shownRow
	var gone, come []string
	flush := func() {
		for i := range max(len(gone), len(come)) {
			var r shownRow
			l, lok := at(gone, i)
			m, mok := at(come, i)
			r.Left, r.Right = marked(l, m, lok, mok)
			out = append(out, r)
		}
		gone, come = nil, nil
	}
	for line := range strings.Lines(hunk) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "-"):
			if len(come) > 0 {
				flush()
			}
			gone = append(gone, line[1:])
		case strings.HasPrefix(line, "+"):
			come = append(come, line[1:])
		default:
			flush()
			if text, ok := strings.CutPrefix(line, " "); ok {
				out = append(out, shownRow{Left: side{There: true, Before: text}, Right: side{There: true, Before: text}})
			} else {
				out = append(out, shownRow{Head: line})
			}
		}
	}
	flush()
	return out
}

func at(lines []string, i int) (string, bool) {
	if i < len(lines) {
		return lines[i], true
	}
	return "", false
}

// marked marks what lies between the common beginning and end of two lines.
func marked(a, b string, isA, isB bool) (left, right side) {
	if !isA || !isB {
		return side{There: isA, Mark: a}, side{There: isB, Mark: b}
	}
	ra, rb := []rune(a), []rune(b)
	from := 0
	for from < len(ra) && from < len(rb) && ra[from] == rb[from] {
		from++
	}
	end := 0
	for end < len(ra)-from && end < len(rb)-from && ra[len(ra)-1-end] == rb[len(rb)-1-end] {
		end++
	}
	cut := func(r []rune) side {
		return side{There: true, Before: string(r[:from]), Mark: string(r[from : len(r)-end]), After: string(r[len(r)-end:])}
	}
	return cut(ra), cut(rb)
}
