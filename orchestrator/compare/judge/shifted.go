// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
	"github.com/zfarm/zfarm/workers/humanize"
)

const (
	maxTold   = 128 // fields reported of one member
	maxListed = 6   // values of one field that are shown
)

// shifted compares by name the parts of files of unequal size that have a layout,
// regardless of offsets: element by element, symbol by symbol, value by value. It
// returns a note about what was left out.
func (d *difference) shifted(ctx context.Context) (string, error) {
	seed := maphash.MakeSeed()
	a, err := newInventory(ctx, d.inA, d.a, seed)
	if err != nil {
		return "", err
	}
	b, err := newInventory(ctx, d.inB, d.b, seed)
	if err != nil || len(a.order) == 0 || len(b.order) == 0 {
		return "", err
	}
	names := fieldsOfBoth(a, b)
	before, left := len(d.findings), 0
	d.symbols(a, b)
	for _, frames := range []bool{false, true} {
		if frames && len(d.findings) > before {
			break // record headers differ because their content does
		}
		for _, name := range names {
			if d.inA.frame(name) != frames {
				continue
			}
			if len(d.findings)-before >= maxTold {
				left++
				continue
			}
			if err := d.field(ctx, name, a.fields[name], b.fields[name]); err != nil {
				return "", err
			}
		}
	}
	note := ""
	if left > 0 {
		note = humanize.Count(left, "further field") + " were not compared"
	}
	if !a.whole || !b.whole {
		note = join(note, fmt.Sprintf("only the first %s were told apart", humanize.Count(maxParts, "part")))
	}
	return note, nil
}

// fieldsOfBoth returns the names of all fields. Those whose values the format reads
// come first, so that they are reported even if there are many others.
func fieldsOfBoth(a, b *inventory) []string {
	read := func(name string) int {
		for _, v := range []*inventory{a, b} {
			if e := v.fields[name]; e != nil && len(e.order) > 0 {
				return 0
			}
		}
		return 1
	}
	names := slices.Concat(a.order, b.order)
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(cmp.Compare(read(x), read(y)), cmp.Compare(x, y)) })
	return slices.Compact(names)
}

// field compares all parts of one name; a or b may be nil.
func (d *difference) field(ctx context.Context, name string, a, b *entry) error {
	if a == nil {
		a = &entry{}
	}
	if b == nil {
		b = &entry{}
	}
	onlyA, onlyB := a.without(b), b.without(a)
	if len(onlyA)+len(onlyB) > 0 {
		d.add(d.j.values(name, onlyA, onlyB))
	}
	return d.texts(ctx, name, &a.plain, &b.plain)
}

// without returns the values that occur more often in e than in other.
func (e *entry) without(other *entry) []*countedValue {
	var out []*countedValue
	for _, s := range e.order {
		if n := other.values[s.key]; n == nil || n.count < s.count || n.kind != s.kind {
			out = append(out, s)
		}
	}
	return out
}

// symbols compares symbols of the same name attribute by attribute. Where a name
// occurs more than once, the first is compared with the first.
func (d *difference) symbols(a, b *inventory) {
	v := changes{}
	names := a.names
	for _, n := range b.names {
		if len(a.symbols[n]) == 0 {
			names = append(names, n)
		}
	}
	for _, n := range names {
		inA, inB := a.symbols[n], b.symbols[n]
		for i := range max(len(inA), len(inB)) {
			switch {
			case i >= len(inB):
				v.add(d.inA.of.Symbol.Name, inA[i].at, n, "")
			case i >= len(inA):
				v.add(d.inA.of.Symbol.Name, inB[i].at, "", n)
			default:
				v.pair(n, inA[i].attributes, inB[i].attributes)
			}
		}
	}
	for _, field := range v.order {
		c := v.fields[field]
		f := verdict.Finding{Field: field, Offset: c.at, A: shortList(c.a), B: shortList(c.b), Tier: verdict.Forbidden, Cause: d.j.fixedCause(field)}
		if n := max(c.countA, c.countB); n > 1 {
			f.Evidence = humanize.Count(n, "symbol")
		}
		switch {
		case field != d.inA.of.Symbol.Name:
		case c.countA == 0:
			f.Cause = "only B has it, or oftener"
		case c.countB == 0:
			f.Cause = "only A has it, or oftener"
		default:
			f.Cause = "each has symbols that the other has not, or not so often"
		}
		d.add(f)
	}
}

// changes collects the differences between symbols, by field.
type changes struct {
	fields map[string]*changed
	order  []string
}

// changed is the difference in one field.
type changed struct {
	at             int64
	a, b           []string
	countA, countB int
}

// add adds a value of A, of B or of both.
func (v *changes) add(field string, at int64, a, b string) {
	c := v.fields[field]
	if c == nil {
		if v.fields == nil {
			v.fields = map[string]*changed{}
		}
		c = &changed{at: at}
		v.fields[field], v.order = c, append(v.order, field)
	}
	if a != "" {
		c.countA++
		c.a = append(c.a, a)[:min(len(c.a)+1, maxListed+1)]
	}
	if b != "" {
		c.countB++
		c.b = append(c.b, b)[:min(len(c.b)+1, maxListed+1)]
	}
}

// pair compares the attributes of two symbols of one name.
func (v *changes) pair(name string, a, b []attribute) {
	if name == "" {
		name = "(no name)"
	}
	for _, x := range a {
		i := slices.IndexFunc(b, func(y attribute) bool { return y.field == x.field })
		if other := ""; i < 0 || b[i].text != x.text {
			if i >= 0 {
				other = name + ": " + b[i].text
			}
			v.add(x.field, x.at, name+": "+x.text, other)
		}
	}
	for _, y := range b {
		if !slices.ContainsFunc(a, func(x attribute) bool { return y.field == x.field }) {
			v.add(y.field, y.at, "", name+": "+y.text)
		}
	}
}

// shortList joins as many values as there is room for.
func shortList(all []string) string {
	var out strings.Builder
	for i, s := range all {
		if i == maxListed {
			return out.String() + ", ..."
		}
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(codepage.Clip(s, verdict.MaxValue/4))
	}
	return out.String()
}

// values returns the finding about values of one field that occur in one file only,
// or more often there.
func (j *Judge) values(name string, a, b []*countedValue) verdict.Finding {
	f := verdict.Finding{Field: name, A: valuesText(a), B: valuesText(b), Tier: verdict.Forbidden}
	all := slices.Concat(a, b)
	f.Offset = all[0].first
	kind := all[0].kind
	for _, s := range all {
		if s.kind != kind {
			kind = span.Fixed
		}
	}
	switch {
	case kind == span.Fixed:
		f.Cause = j.fixedCause(name)
	case len(a) == 0:
		f.Cause = "it is in B only, or oftener"
	case len(b) == 0:
		f.Cause = "it is in A only, or oftener"
	case kind == span.Owner:
		f.Tier, f.Cause = verdict.Stamp, "who built it is recorded"
	case kind == span.Stamp:
		for i := range max(len(a), len(b)) {
			f.Tier, f.Evidence = verdict.Forbidden, ""
			if j.stampField(&f, a[min(i, len(a)-1)].value, b[min(i, len(b)-1)].value); f.Tier == verdict.Forbidden {
				break
			}
		}
	}
	if len(all) > 2 {
		f.Evidence = join(f.Evidence, fmt.Sprintf("%s only in A or oftener there, %s in B", humanize.Count(len(a), "value"), humanize.Number(len(b))))
	}
	return f
}

// valuesText joins values for display.
func valuesText(all []*countedValue) string {
	var out []string
	for _, s := range all[:min(len(all), maxListed+1)] {
		text := s.value.Text
		if s.count > 1 {
			text = fmt.Sprintf("%s (%s times)", codepage.Clip(text, verdict.MaxValue/4-16), humanize.Number(s.count))
		}
		out = append(out, text)
	}
	return shortList(out)
}

// texts compares the bytes of one name, joined to one text in each file. Fillers of
// records that differ only in length are not reported.
func (d *difference) texts(ctx context.Context, name string, a, b *pieces) error {
	least := min(a.size(), b.size())
	switch {
	case a.size()+b.size() == 0, a.size() != b.size() && filling(a, b):
		return nil
	case least == 0:
		only, p := "it is in A only", a
		if a.size() == 0 {
			only, p = "it is in B only", b
		}
		d.add(verdict.Finding{Field: name, Offset: p.list[0].Offset, A: sized(a), B: sized(b), Tier: verdict.Forbidden, Cause: only})
		return nil
	}
	ranges, err := bytediff.Diff(ctx, a, b, least, 1)
	if err != nil || len(ranges) == 0 && a.size() == b.size() {
		return err
	}
	f := verdict.Finding{Field: name, A: sized(a), B: sized(b), Tier: verdict.Forbidden}
	at := least
	if len(ranges) > 0 {
		at = ranges[0].Offset
		if err := d.known(name, a, b, at); err != nil {
			return err
		}
	}
	f.Offset = a.place(min(at, a.size()-1)).Offset
	f.Evidence = fmt.Sprintf("the first difference is at byte %d of it", at)
	f.Hunk = bytediff.Hex(a, b, a.size(), b.size(), []bytediff.Range{{Offset: at, Length: 1}}, verdict.MaxHunk/8)
	d.add(f)
	return nil
}

// known adds a finding if the first difference between two texts is a known value.
// The finding stays tier X.
func (d *difference) known(name string, a, b *pieces, at int64) error {
	x, ok, err := d.j.embedded(a, b, min(a.size(), b.size()), at)
	if err != nil || !ok {
		return err
	}
	x.finding.Tier, x.finding.Offset = verdict.Forbidden, a.place(x.finding.Offset).Offset
	x.end = x.finding.Offset + 1
	d.addExplained(x, span.Span{Name: name})
	return nil
}

// sized returns the bytes if they are few, else their number.
func sized(p *pieces) string {
	const few = 16
	switch n := p.size(); {
	case n == 0:
		return ""
	case n <= few:
		return hexText(p, bytediff.Range{Length: n})
	default:
		return humanize.Bytes(n)
	}
}

// filling reports whether both texts consist of zeros only, or of blanks only.
func filling(a, b *pieces) bool {
	if a.size() == 0 || b.size() == 0 {
		return false
	}
	const zero, blank = "\x00", "\x40" // EBCDIC
	return a.only(zero) && b.only(zero) || a.only(blank) && b.only(blank)
}

// only reports whether every byte of the text is c.
func (p *pieces) only(c string) bool {
	buf := make([]byte, 4096)
	for at := int64(0); at < p.size(); at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), p.size()-at)]
		if n, _ := p.ReadAt(buf, at); n < len(buf) || len(bytes.Trim(buf, c)) > 0 {
			return false
		}
	}
	return true
}
