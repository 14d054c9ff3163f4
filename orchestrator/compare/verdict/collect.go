// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/zfarm/zfarm/workers/codepage"
)

// Bounds on the texts of a finding, in bytes.
const (
	MaxPath  = 512
	MaxValue = 256
	MaxHunk  = 4 << 10
	// hunkBudget and findingBudget bound the JSON of all findings together, in
	// bytes: findings beyond the first lose their hunk, those beyond the second are
	// left out.
	hunkBudget    = 1 << 20
	findingBudget = 3 << 19
)

// maxFields bounds the fields that are counted; the others count as otherFields.
const (
	maxFields   = 500
	otherFields = "(others)"
)

// Collector keeps a bounded number of findings. It still counts the tiers and
// fields of those that it drops.
type Collector struct {
	most   int
	kept   map[Tier][]Finding
	count  map[Tier]int
	fields map[tierField]int
}

type tierField struct {
	tier  Tier
	field string
}

// NewCollector returns a Collector that keeps at most most findings.
func NewCollector(most int) *Collector {
	return &Collector{most: most, kept: map[Tier][]Finding{}, count: map[Tier]int{}, fields: map[tierField]int{}}
}

// Full reports whether the Collector drops further findings of that tier.
func (c *Collector) Full(t Tier) bool { return len(c.kept[t]) >= c.most }

// Add adds a finding and escapes its texts, except for the hunk.
func (c *Collector) Add(f Finding) {
	c.count[f.Tier]++
	f.Field = codepage.Value(f.Field, MaxValue)
	key := tierField{f.Tier, f.Field}
	if c.fields[key] == 0 && len(c.fields) >= maxFields {
		key.field = otherFields
	}
	c.fields[key]++
	if c.Full(f.Tier) {
		return
	}
	f.Path = codepage.Value(f.Path, MaxPath)
	f.A, f.B = codepage.Value(f.A, MaxValue), codepage.Value(f.B, MaxValue)
	f.Cause, f.Evidence = codepage.Value(f.Cause, 4*MaxValue), codepage.Value(f.Evidence, 4*MaxValue)
	c.kept[f.Tier] = append(c.kept[f.Tier], f)
}

// Total returns the number of findings added.
func (c *Collector) Total() int {
	n := 0
	for _, count := range c.count {
		n += count
	}
	return n
}

// Tiers returns the tiers of all findings, in ascending order.
func (c *Collector) Tiers() []Tier {
	var out []Tier
	for t := range c.count {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// Counts returns the number of findings about each field, high tiers first.
func (c *Collector) Counts() []FieldCount { return counts(c.fields) }

// CountFields counts findings as Counts does. It serves verdicts written before
// Verdict.Fields existed.
func CountFields(all []Finding) []FieldCount {
	fields := map[tierField]int{}
	for _, f := range all {
		fields[tierField{f.Tier, f.Field}]++
	}
	return counts(fields)
}

func counts(fields map[tierField]int) []FieldCount {
	out := make([]FieldCount, 0, len(fields))
	for k, n := range fields {
		out = append(out, FieldCount{Tier: k.tier, Field: k.field, Findings: n})
	}
	slices.SortFunc(out, func(a, b FieldCount) int {
		return cmp.Or(cmp.Compare(b.Tier, a.Tier), cmp.Compare(a.Field, b.Field))
	})
	return out
}

// Take returns the findings to show, sorted by path, and how many are left out. If
// there are too many, it keeps those of high tiers.
func (c *Collector) Take() ([]Finding, int) {
	total, size := c.Total(), 0
	tiers := c.Tiers()
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
