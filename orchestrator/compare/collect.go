// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"cmp"
	"encoding/json"
	"slices"
)

// Bounds on what people are shown.
const (
	maxPath  = 512
	maxValue = 256
	maxHunk  = 4 << 10
	// hunkBudget and findingBudget bound the JSON of all findings together:
	// hunks are left out beyond the first, findings beyond the second.
	hunkBudget    = 1 << 20
	findingBudget = 3 << 19
)

// maxFields bounds the fields that are counted; the rest count as otherFields.
const (
	maxFields   = 500
	otherFields = "(others)"
)

// collector keeps a bounded number of findings, and never loses sight of the
// tiers and fields of those that it did not keep.
type collector struct {
	most   int
	kept   map[Tier][]Finding
	count  map[Tier]int
	fields map[tierField]int
}

type tierField struct {
	tier  Tier
	field string
}

func newCollector(most int) *collector {
	return &collector{most: most, kept: map[Tier][]Finding{}, count: map[Tier]int{}, fields: map[tierField]int{}}
}

// full reports whether no more finding of that tier will be kept.
func (c *collector) full(t Tier) bool { return len(c.kept[t]) >= c.most }

// add adds a finding; its texts may be raw, except for the hunk.
func (c *collector) add(f Finding) {
	c.count[f.Tier]++
	f.Field = printable(f.Field, maxValue)
	key := tierField{f.Tier, f.Field}
	if c.fields[key] == 0 && len(c.fields) >= maxFields {
		key.field = otherFields
	}
	c.fields[key]++
	if c.full(f.Tier) {
		return
	}
	f.Path = printable(f.Path, maxPath)
	f.A, f.B = printable(f.A, maxValue), printable(f.B, maxValue)
	f.Cause, f.Evidence = printable(f.Cause, 4*maxValue), printable(f.Evidence, 4*maxValue)
	c.kept[f.Tier] = append(c.kept[f.Tier], f)
}

// total returns how many findings there were.
func (c *collector) total() int {
	n := 0
	for _, count := range c.count {
		n += count
	}
	return n
}

// tiers returns the tiers of all findings.
func (c *collector) tiers() []Tier {
	var out []Tier
	for t := range c.count {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// counts returns how many findings there were about each field, high tiers first.
func (c *collector) counts() []FieldCount {
	out := make([]FieldCount, 0, len(c.fields))
	for k, n := range c.fields {
		out = append(out, FieldCount{Tier: k.tier, Field: k.field, Findings: n})
	}
	slices.SortFunc(out, func(a, b FieldCount) int {
		return cmp.Or(cmp.Compare(b.Tier, a.Tier), cmp.Compare(a.Field, b.Field))
	})
	return out
}

// take returns the findings to show, those of high tiers first when not all
// can be, sorted by path, and how many were left out.
func (c *collector) take() ([]Finding, int) {
	total, size := c.total(), 0
	tiers := c.tiers()
	slices.Reverse(tiers)
	out := []Finding{}
	for _, t := range tiers {
		for _, f := range c.kept[t] {
			if len(out) == c.most {
				break
			}
			if size > hunkBudget {
				f.Hunk = ""
			}
			b, err := json.Marshal(f)
			if err != nil || size+len(b)+1 > findingBudget {
				continue
			}
			size += len(b) + 1
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.Path, b.Path) })
	return out, total - len(out)
}
