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

// PageOptions say what stands above a page.
type PageOptions struct {
	// Title names what was compared; A and B the two sides.
	Title, A, B string
}

// Bounds on a page, in bytes: findings are told in a line, without their
// surroundings, beyond the first, and only counted beyond the second. So a page
// of ten thousand stays below 2 MB whatever they hold.
const (
	detailRoom = 500 << 10
	lineRoom   = 1_200_000
	// mostOpen bounds the findings that are unfolded when a page is opened.
	mostOpen = 150
	// deepest bounds the folders within folders; what lies deeper has the rest
	// of its path as its name.
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

// page is the page as its template sees it.
type page struct {
	PageOptions
	verdict.Verdict
	Summary summary
	Root    *branch
	Policy  string
	Style   template.CSS
	Script  template.JS
	// Findings shown, and how many there are in all.
	Shown, All int
}

// branch is a folder or member on the page, with what lies below it.
type branch struct {
	Name     string
	Findings []shownFinding
	Below    []*branch
	// Count is of the findings below, Worst the gravest tier of those that
	// decide, else of all; Decides says that there are some.
	Count   int
	Worst   verdict.Tier
	Decides bool
	Open    bool
	byName  map[string]*branch
}

// Leaf returns the only finding about a member of which there is little to
// tell, nil for others.
func (b *branch) Leaf() *shownFinding {
	if len(b.Findings) == 1 && len(b.Below) == 0 && b.Findings[0].brief() {
		return &b.Findings[0]
	}
	return nil
}

// shownFinding is a finding with what is made of it.
type shownFinding struct {
	verdict.Finding
	Decides bool
	// Text is what its field is.
	Text string
	Rows []row
	// Left and Right are the values, with what differs marked, where they are
	// too long for a line.
	Left, Right []stretch
}

// Class is that of a finding's element: whether it decides or was masked.
func (f shownFinding) Class() string { return class(f.Decides) }

// Class is that of a branch's line.
func (b *branch) Class() string { return class(b.Decides) }

func class(decides bool) string {
	if decides {
		return "d"
	}
	return "m"
}

// brief reports whether a line says it all.
func (f shownFinding) brief() bool {
	return len(f.Rows) == 0 && f.Left == nil && f.Right == nil && f.Cause == "" && f.Evidence == ""
}

// shortValue is how many bytes two values have together that stand in a line.
const shortValue = 90

// HTML writes v as one page that needs nothing from anywhere else: what it
// comes to, a tree of what differs that can be searched and filtered by tier,
// and both sides of each difference with the differing part marked. Without
// scripts it is the same page, only not searched. The page runs no script but
// its own: its policy names the digest.
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
	Left    int  // fields that are not shown
}

type listedGroup struct {
	group
	Class string
}

// listed makes groups a table.
func listed(title string, decides bool, groups []group) groupTable {
	l := groupTable{Title: title, Left: max(len(groups)-maxGroups, 0)}
	for _, g := range groups[:len(groups)-l.Left] {
		l.All = append(l.All, listedGroup{g, class(decides)})
		l.Several = l.Several || g.Count > 1
	}
	return l
}

// fill makes the tree. What decides comes before what was allowed, and first
// gets what room there is.
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

// namesOf splits a path.
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

// shortened is what a line says.
func (f shownFinding) shortened() shownFinding {
	f.A, f.B, f.Hunk, f.Cause, f.Evidence = codepage.Clip(f.A, shortValue/2), codepage.Clip(f.B, shortValue/2), "", "", ""
	return shownFinding{Finding: f.Finding, Decides: f.Decides}
}

// detailed works out what a line does not say.
func (f *shownFinding) detailed(fields *registry.Registry) {
	f.Text, f.Rows = fields.Field(f.Field).Text, rows(f.Hunk)
	if len(f.Rows) == 0 && len(f.A)+len(f.B) > shortValue {
		f.Left, f.Right = marked(f.A, f.B)
	}
	if len(f.Rows) > 0 && len(f.A)+len(f.B) > shortValue {
		f.A, f.B = "", "" // the rows show them
	}
}

// lineCost is how many bytes of the page the line of a finding takes at most.
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

// growth is how many bytes the folders take that names would add.
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

// detailCost is how many bytes the rest takes.
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

// add puts a finding where its path leads.
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

// note keeps what is said of a branch beside its name.
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

// merge makes folders that hold nothing but one folder one line.
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
