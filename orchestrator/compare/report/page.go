// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/registry"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
)

// PageOptions are the title and sides of a page.
type PageOptions struct {
	// Title names what was compared, A and B the two sides.
	Title, A, B string
}

// Bounds on a page, in bytes. Findings beyond the first show one line without their
// surroundings; those beyond the second are only counted. So a page of ten thousand
// findings stays below 2 MB, whatever they contain.
const (
	detailRoom = 500 << 10
	lineRoom   = 1_200_000
	// mostOpen bounds the findings that are unfolded when the page opens.
	mostOpen = 150
	// deepest bounds nested folders. A deeper path is shown as one name from there
	// on.
	deepest = 24
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// page is the data of the page's template.
type page struct {
	PageOptions
	verdict.Verdict
	Summary summary
	Root    *branch
	Policy  string
	Style   template.CSS
	Script  template.JS
	// Shown counts the findings on the page, All those of the verdict.
	Shown, All int
}

// branch is a folder or member on the page, with its children.
type branch struct {
	Name     string
	Findings []shownFinding
	Below    []*branch
	// Count counts the findings in the branch. Decides is set if one of them
	// decides the verdict. Worst is the gravest tier of those that decide, else of
	// all.
	Count   int
	Worst   verdict.Tier
	Decides bool
	Open    bool
	byName  map[string]*branch
}

// Leaf returns the finding of a member that has only one and fits on its line, else
// nil.
func (b *branch) Leaf() *shownFinding {
	if len(b.Findings) == 1 && len(b.Below) == 0 && b.Findings[0].brief() {
		return &b.Findings[0]
	}
	return nil
}

// shownFinding is a finding with its rendering.
type shownFinding struct {
	verdict.Finding
	Decides bool
	// Text describes the field.
	Text string
	Rows []row
	// Left and Right are the values with their differing parts marked, if they are
	// too long for a line.
	Left, Right []stretch
}

// Class is the CSS class of the finding's element: it decides or was masked.
func (f shownFinding) Class() string { return class(f.Decides) }

// Class is the CSS class of the branch's line.
func (b *branch) Class() string { return class(b.Decides) }

func class(decides bool) string {
	if decides {
		return "d"
	}
	return "m"
}

// brief reports whether a single line shows all of the finding.
func (f shownFinding) brief() bool {
	return len(f.Rows) == 0 && f.Left == nil && f.Right == nil && f.Cause == "" && f.Evidence == ""
}

// shortValue bounds the length of both values together on one line, in bytes.
const shortValue = 90

// HTML writes v as one page that loads nothing from elsewhere: a summary, a tree of
// the differences that can be searched and filtered by tier, and both sides of each
// difference with the differing part marked. Without scripts the page is the same
// but cannot be searched. Its content security policy names the digest of its own
// script and allows no other.
func HTML(w io.Writer, v verdict.Verdict, o PageOptions) error {
	t, err := template.New("page").Funcs(template.FuncMap{"listed": listed}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	fields := registry.New()
	sum := sha256.Sum256([]byte(pageScript))
	p := page{PageOptions: o, Verdict: v, Summary: summarise(v, fields), Root: &branch{},
		Policy: "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'",
		Style:  template.CSS(pageStyle), //nolint:gosec // our own
		Script: template.JS(pageScript), //nolint:gosec // our own
		All:    len(v.Findings) + v.Omitted}
	p.fill(fields)
	p.Root.merge()
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// groupTable is one table of the summary.
type groupTable struct {
	Title   string
	All     []listedGroup
	Several bool // some field differs more than once
	Left    int  // number of fields not shown
}

type listedGroup struct {
	group
	Class string
}

// listed makes a table of groups.
func listed(title string, decides bool, groups []group) groupTable {
	l := groupTable{Title: title, Left: max(len(groups)-maxGroups, 0)}
	for _, g := range groups[:len(groups)-l.Left] {
		l.All = append(l.All, listedGroup{g, class(decides)})
		l.Several = l.Several || g.Count > 1
	}
	return l
}

// fill builds the tree. Findings that decide come before allowed ones and use the
// room on the page first.
func (p *page) fill(fields *registry.Registry) {
	detail, line := detailRoom, lineRoom
	for _, decides := range []bool{true, false} {
		for _, f := range p.Findings {
			if p.Allows(f.Tier) == decides {
				continue
			}
			s := shownFinding{Finding: f, Decides: decides}
			names := namesOf(f.Path)
			if line -= s.lineCost() + p.Root.growth(names); line < 0 {
				return
			}
			s.detailed(fields)
			if cost := s.detailCost(); cost <= detail {
				detail -= cost
			} else {
				s = s.shortened()
			}
			p.Shown++
			p.Root.add(names, s, p.Shown <= mostOpen)
		}
	}
}

// namesOf splits a path into at most deepest names.
func namesOf(path string) []string {
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(names) == 0 {
		return []string{"the artifact as a whole"}
	}
	if len(names) > deepest {
		names = append(names[:deepest-1], strings.Join(names[deepest-1:], "/"))
	}
	return names
}

// shortened returns the finding as it fits on one line.
func (f shownFinding) shortened() shownFinding {
	f.A, f.B, f.Hunk, f.Cause, f.Evidence = codepage.Clip(f.A, shortValue/2), codepage.Clip(f.B, shortValue/2), "", "", ""
	return shownFinding{Finding: f.Finding, Decides: f.Decides}
}

// detailed adds the details that do not fit on the line.
func (f *shownFinding) detailed(fields *registry.Registry) {
	f.Text, f.Rows = fields.Field(f.Field).Text, rows(f.Hunk)
	if len(f.Rows) == 0 && len(f.A)+len(f.B) > shortValue {
		f.Left, f.Right = marked(f.A, f.B)
	}
	if len(f.Rows) > 0 && len(f.A)+len(f.B) > shortValue {
		f.A, f.B = "", "" // the rows show them
	}
}

// lineCost returns the maximum size of a finding's line on the page, in bytes.
func (f *shownFinding) lineCost() int {
	const markup = 60
	cost := markup + len(template.HTMLEscapeString(f.Field))
	for _, s := range []string{f.A, f.B} {
		if s != "" {
			cost += len("<q></q>") + len(template.HTMLEscapeString(codepage.Clip(s, shortValue/2)))
		}
	}
	return cost
}

// growth returns the size of the folders on the page that names would add, in
// bytes.
func (b *branch) growth(names []string) int {
	const folder, last = 90, 30
	cost := 0
	for i, name := range names {
		if b != nil {
			b = b.byName[name]
		}
		switch {
		case b != nil:
		case i < len(names)-1:
			cost += folder + len(template.HTMLEscapeString(name))
		default:
			cost += last + len(template.HTMLEscapeString(name))
		}
	}
	return cost
}

// detailCost returns the size of the details on the page, in bytes.
func (f *shownFinding) detailCost() int {
	const markup = 150
	cost := markup + len(f.Text)
	for _, s := range []string{f.Cause, f.Evidence, f.A, f.B} {
		cost += len(template.HTMLEscapeString(s))
	}
	stretches := func(all []stretch) {
		for _, p := range all {
			cost += len(template.HTMLEscapeString(p.Text)) + 13
		}
	}
	stretches(f.Left)
	stretches(f.Right)
	for _, r := range f.Rows {
		cost += 60 + len(template.HTMLEscapeString(r.Head))
		stretches(r.Left)
		stretches(r.Right)
	}
	return cost
}

// add adds a finding below the path names.
func (b *branch) add(names []string, f shownFinding, open bool) {
	b.note(f, open)
	for _, name := range names {
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
		b.note(f, open)
	}
	b.Findings = append(b.Findings, f)
}

// note updates the counts and tier of a branch for a new finding.
func (b *branch) note(f shownFinding, open bool) {
	switch {
	case f.Decides && !b.Decides:
		b.Worst, b.Decides = f.Tier, true
	case f.Decides == b.Decides:
		b.Worst = max(b.Worst, f.Tier)
	}
	b.Count++
	b.Open = b.Open || open && f.Decides
}

// merge joins a folder whose only content is one folder with that folder.
func (b *branch) merge() {
	for _, next := range b.Below {
		for len(next.Findings) == 0 && len(next.Below) == 1 && len(next.Below[0].Below) > 0 {
			only := next.Below[0]
			only.Name = next.Name + "/" + only.Name
			*next = *only
		}
		next.merge()
	}
}
