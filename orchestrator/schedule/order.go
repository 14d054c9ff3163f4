// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"
	"strings"
	"time"
)

// A stage starves when it has waited patience times the duration of the longest path,
// which counts as leastPath at least. On a farm that keeps up, an order by path alone
// never makes a stage wait that long, so this changes nothing there.
const (
	patience  = 8
	leastPath = 24 * time.Hour
)

// candidate is a stage that could have a slot now.
type candidate struct {
	stage *Stage
	group *group
	owner *owner
	// may are the workers it may go to, choices their number; apart means that it
	// differs there from the other repeats of its build in every fact.
	may     set
	choices int
	apart   bool
	waited  time.Duration
	// level is the effective priority.
	level int
	// reserved means that a slot is reserved for it. A starving stage has waited too
	// long; so has a first one, whose owner also holds nothing where it may go.
	reserved, starving, first bool
}

// candidates returns the stages that could get one of the free slots, in the order of
// their bands and, within each, in the order of byPath.
func (d *decision) candidates(stages []Stage) []*candidate {
	all := make([]candidate, 0, len(stages))
	for i := range stages {
		s := &stages[i]
		g := d.of[s.Wants]
		if !g.fit.meets(d.open) {
			continue
		}
		if may, apart := d.may(s, g); may.meets(d.open) {
			all = append(all, candidate{stage: s, group: g, owner: d.owner(s.Owner), may: may, apart: apart,
				choices: may.count(), waited: max(0, d.now.Sub(s.Since))})
		}
	}
	d.rank(all)
	sorted := make([]*candidate, len(all))
	for i := range all {
		sorted[i] = &all[i]
	}
	slices.SortFunc(sorted, func(a, b *candidate) int { return cmp.Or(a.byBand(b), a.byPath(b)) })
	return sorted
}

// rank computes the level of each candidate, and whether it starves or is first.
func (d *decision) rank(all []candidate) {
	if len(all) == 0 {
		return
	}
	top, longest := all[0].stage.Priority, leastPath
	for i := range all {
		top, longest = max(top, all[i].stage.Priority), max(longest, all[i].stage.Path)
	}
	widest := d.widest()
	for i := range all {
		c := &all[i]
		c.level = aged(c.stage.Priority, top, int64(c.waited/d.settings.Aging))
		// Division instead of multiplication, which could overflow.
		c.starving = c.level == top && c.waited/patience > longest
		c.first = c.starving && !c.owner.holds.meets(c.may)
		c.reserved = c.waited > d.settings.Reserve && c.narrow(widest, d.open)
	}
}

// aged adds steps to a priority, up to top.
func aged(priority, top int, steps int64) int {
	// The difference of any two is right as an unsigned number.
	if uint64(steps) >= uint64(top)-uint64(priority) {
		return top
	}
	return priority + int(steps)
}

// widest returns, for each worker, the largest number of workers that any stage which
// wants this one may choose from.
func (d *decision) widest() []int {
	widest := make([]int, len(d.workers))
	for _, g := range d.groups {
		for w := range g.fit.all() {
			widest[w] = max(widest[w], g.choices)
		}
	}
	return widest
}

// narrow reports whether others that want an open worker of c have at least
// twice as many to choose from.
func (c *candidate) narrow(widest []int, open set) bool {
	for w := range c.may.in(open) {
		if widest[w] >= 2*c.choices {
			return true
		}
	}
	return false
}

// byBand compares by the criteria that come before the shares of owners.
func (c *candidate) byBand(o *candidate) int {
	switch {
	case c.first != o.first:
		return before(c.first)
	case c.reserved != o.reserved:
		return before(c.reserved)
	case c.reserved && c.choices != o.choices:
		return cmp.Compare(c.choices, o.choices)
	}
	return cmp.Compare(o.level, c.level)
}

// byPath orders the stages of one owner; it also decides between owners with the same
// share.
func (c *candidate) byPath(o *candidate) int {
	a, b := c.stage, o.stage
	if c.starving != o.starving {
		return before(c.starving)
	}
	if !c.starving && a.Path != b.Path {
		return cmp.Compare(b.Path, a.Path)
	}
	return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Build, b.Build), strings.Compare(a.ID, b.ID))
}

func before(first bool) int {
	if first {
		return -1
	}
	return 1
}

// bands splits sorted candidates into groups that only shares and paths order.
func bands(sorted []*candidate) iter.Seq[[]*candidate] {
	return func(yield func([]*candidate) bool) {
		for from, to := 0, 0; from < len(sorted); from = to {
			for to = from + 1; to < len(sorted) && sorted[from].byBand(sorted[to]) == 0; to++ {
			}
			if !yield(sorted[from:to]) {
				return
			}
		}
	}
}

// owner is a submitter of builds with the slots that their stages hold.
type owner struct {
	weight float64
	slots  int
	holds  set // the workers with these slots
}

// noWeight is the weight of an owner whose share is 0: such stages get only the
// slots that nobody else can use.
const noWeight = 1e-9

func (d *decision) owner(name string) *owner {
	o := d.owners[name]
	if o == nil {
		o = &owner{weight: 1, holds: newSet(len(d.workers))}
		if w, ok := d.settings.Shares[name]; ok {
			o.weight = max(w, noWeight)
			if w != w { // NaN
				o.weight = 1
			}
		}
		d.owners[name] = o
	}
	return o
}

func (o *owner) addSlot(worker int) {
	o.slots++
	o.holds.add(worker)
}

func (o *owner) share() float64 { return float64(o.slots) / o.weight }

// turns yields the candidates of a band: each time the first one of the owner with the
// smallest share. A slot that the consumer gives to an owner counts at once.
func turns(band []*candidate) iter.Seq[*candidate] {
	return func(yield func(*candidate) bool) {
		q := queues{}
		at := make(map[*owner]int)
		for _, c := range band {
			i, ok := at[c.owner]
			if !ok {
				i = len(q)
				at[c.owner] = i
				q = append(q, nil)
			}
			q[i] = append(q[i], c)
		}
		for heap.Init(&q); len(q) > 0; {
			if !yield(q[0][0]) {
				return
			}
			if q[0] = q[0][1:]; len(q[0]) == 0 {
				heap.Pop(&q)
			} else {
				heap.Fix(&q, 0)
			}
		}
	}
}

// queues is a heap of the owners' waiting candidates.
type queues [][]*candidate

func (q queues) Len() int      { return len(q) }
func (q queues) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q queues) Less(i, j int) bool {
	a, b := q[i][0], q[j][0]
	return cmp.Or(cmp.Compare(a.owner.share(), b.owner.share()), a.byPath(b)) < 0
}

// Push implements heap.Interface.
func (q *queues) Push(x any) { *q = append(*q, x.([]*candidate)) }

// Pop implements heap.Interface.
func (q *queues) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
