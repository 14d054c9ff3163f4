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

// collector keeps a bounded number of findings, and never loses sight of the
// tiers that it did not keep.
type collector struct {
	most  int
	kept  map[Tier][]Finding
	count map[Tier]int
}

func newCollector(most int) *collector {
	return &collector{most: most, kept: map[Tier][]Finding{}, count: map[Tier]int{}}
}

// full reports whether no more finding of that tier will be kept.
func (c *collector) full(t Tier) bool { return len(c.kept[t]) >= c.most }

// add adds a finding; its texts may be raw, except for the hunk.
func (c *collector) add(f Finding) {
	c.count[f.Tier]++
	if c.full(f.Tier) {
		return
	}
	f.Path, f.Field = printable(f.Path, maxPath), printable(f.Field, maxValue)
	f.A, f.B = printable(f.A, maxValue), printable(f.B, maxValue)
	f.Evidence = printable(f.Evidence, 4*maxValue)
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
