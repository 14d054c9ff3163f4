// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// Defaults for what the settings leave open.
const (
	defaultAging   = time.Hour
	defaultReserve = 15 * time.Minute
)

// Assign returns which stage gets which free slot now, the most urgent first. It never
// assigns more slots of a worker than are free, and none of a worker that is
// unavailable or does not fit.
//
// Stages go in this order:
//
//  1. Those for which a slot is reserved: they have waited longer than
//     Settings.Reserve, and others that want the slot have at least twice as many
//     workers to choose from. Those with the fewest workers come first.
//  2. The higher effective priority: one more than it was given for each
//     Settings.Aging that a stage has waited, up to the highest priority among
//     those that could begin now. Aging does not lift a stage above its equals,
//     because a batch of one owner would then be built in the order of its age.
//  3. The owner who holds the fewest slots for its weight in Settings.Shares.
//  4. The longest path. With one owner, this is list scheduling by the longest
//     path, which fills the slots and shortens the chain that lasts longest.
//  5. The longest wait, then the names of build and stage.
//
// So that nobody starves, a stage that has waited eight times as long as the
// longest path takes (eight days at least) goes before the others of its
// owner; and if its owner holds nothing on the workers that it may go to, it
// goes before everything.
//
// A stage goes to the worker that the fewest other waiting stages depend on: a stage
// that fits three workers depends on each by a third. Ties go to the worker with the
// most free slots, then to the first by name. Where repeats should be apart and no
// worker differs in every fact of Settings.Spread, the one least like those used comes
// first.
func Assign(now time.Time, q Queue, p Settings) []Assignment {
	d := newDecision(now, q, p)
	d.decide(q.Stages, nil)
	all := make([]Assignment, 0, len(d.assigned))
	for _, g := range d.assigned {
		all = append(all, Assignment{Build: g.to.stage.Build, Stage: g.to.stage.ID, Worker: d.workers[g.worker].Name})
	}
	return all
}

// decision is the state of one call of Assign.
type decision struct {
	now       time.Time
	settings  Settings
	workers   []Worker // by name
	at        map[string]int
	free      []int
	open      set // workers that accept new work and have a free slot
	slots     int // free slots in total
	accepting set // workers that accept new work
	groups    []*group
	of        map[*Wants]*group
	spread    *spread
	owners    map[string]*owner
	// demand is how much the waiting stages depend on each worker, in units.
	demand []int64
	// siblings are the workers that this decision assigned to repeats of a build.
	siblings map[string][]string
	assigned []assigned
}

// group is the set of stages that fit the same workers.
type group struct {
	fit     set // and accept new work
	choices int
	waiting int
}

// assigned is one assignment of the decision.
type assigned struct {
	to     *candidate
	worker int
}

// unit is the demand of a stage that depends on one worker alone.
const unit = 1 << 30

func newDecision(now time.Time, q Queue, p Settings) *decision {
	p.Aging, p.Reserve = cmp.Or(max(p.Aging, 0), defaultAging), cmp.Or(max(p.Reserve, 0), defaultReserve)
	d := &decision{now: now, settings: p, workers: slices.Clone(q.Workers), siblings: make(map[string][]string)}
	slices.SortStableFunc(d.workers, func(a, b Worker) int { return cmp.Compare(a.Name, b.Name) })
	n := len(d.workers)
	d.at, d.free, d.demand = make(map[string]int, n), make([]int, n), make([]int64, n)
	d.open, d.accepting = newSet(n), newSet(n)
	d.owners = make(map[string]*owner)
	for i := range d.workers {
		d.addWorker(i)
	}
	d.spread = newSpread(p.Spread, d.workers, d.at)
	d.computeFits(q.Stages)
	return d
}

// addWorker adds a worker with its slots.
func (d *decision) addWorker(i int) {
	w := &d.workers[i]
	d.at[w.Name] = i
	for _, h := range w.Held {
		d.owner(h.Owner).addSlot(i)
	}
	if w.Unavailable != "" || w.Quarantine != nil {
		return
	}
	d.accepting.add(i)
	if n := w.Slots - len(w.Held); n > 0 {
		d.free[i] = n
		d.slots += n
		d.open.add(i)
	}
}

// computeFits computes which workers each stage fits, once for all stages with the same
// wants, and how much the stages depend on each worker.
func (d *decision) computeFits(stages []Stage) {
	fitting := newFitting(d.workers)
	d.of = make(map[*Wants]*group)
	same := make(map[string]*group)
	for i := range stages {
		w := stages[i].Wants
		g := d.of[w]
		if g == nil {
			g = d.group(fitting.of(cmp.Or(w, &Wants{})), same)
			d.of[w] = g
		}
		g.waiting++
	}
	for _, g := range d.groups {
		for w := range g.fit.all() {
			d.demand[w] += int64(g.waiting) * (unit / int64(g.choices))
		}
	}
}

func (d *decision) group(fit set, same map[string]*group) *group {
	fit.intersect(d.accepting)
	key := make([]byte, 0, 8*len(fit))
	for _, word := range fit {
		key = binary.LittleEndian.AppendUint64(key, word)
	}
	g := same[string(key)]
	if g == nil {
		g = &group{fit: fit, choices: fit.count()}
		same[string(key)] = g
		d.groups = append(d.groups, g)
	}
	return g
}

// may returns the workers that a stage may go to, now or when they have a free slot.
// apart means that it would differ from the other repeats of its build in every fact
// there. The caller must not change the set.
func (d *decision) may(s *Stage, g *group) (may set, apart bool) {
	used := d.used(s)
	if len(used) == 0 && len(s.Lost) == 0 {
		return g.fit, true
	}
	may, apart = g.fit.clone(), true
	if len(used) > 0 {
		apart = d.spread.keepApart(may, used)
	}
	if len(s.Lost) > 0 {
		d.spread.without(may, s.Lost)
	}
	return may, apart
}

// used returns the workers that a repeat should avoid.
func (d *decision) used(s *Stage) []string {
	if s.Wants == nil || !s.Wants.Apart {
		return nil
	}
	if now := d.siblings[s.Build]; len(now) > 0 {
		return slices.Concat(s.Used, now)
	}
	return s.Used
}

// decide gives slots to the candidates in their order. It calls before, if any, at the
// turn of each, with the workers that it may go to.
func (d *decision) decide(stages []Stage, before func(*candidate, set)) {
	for band := range bands(d.candidates(stages)) {
		for c := range turns(band) {
			if d.slots == 0 {
				return
			}
			d.turn(c, before)
		}
	}
}

// turn gives a slot to a candidate, if one is still free.
func (d *decision) turn(c *candidate, before func(*candidate, set)) {
	may, apart := c.may, c.apart
	if len(d.siblings[c.stage.Build]) > 0 {
		may, apart = d.may(c.stage, c.group)
	}
	if before != nil {
		before(c, may)
	}
	if !may.meets(d.open) {
		return
	}
	var used []string
	if !apart {
		used = d.used(c.stage)
	}
	d.assign(c, d.best(may, used))
}

// best returns the best open worker of those in may.
func (d *decision) best(may set, used []string) int {
	best, bestSimilar := -1, 0
	for w := range may.in(d.open) {
		similar := 0
		if len(used) > 0 {
			similar = d.spread.similarity(w, used)
		}
		if best < 0 || cmp.Or(cmp.Compare(similar, bestSimilar), cmp.Compare(d.demand[w], d.demand[best]), cmp.Compare(d.free[best], d.free[w])) < 0 {
			best, bestSimilar = w, similar
		}
	}
	return best
}

func (d *decision) assign(c *candidate, w int) {
	d.assigned = append(d.assigned, assigned{c, w})
	d.slots--
	if d.free[w]--; d.free[w] == 0 {
		d.open.remove(w)
	}
	for other := range c.group.fit.all() {
		d.demand[other] -= unit / int64(c.group.choices)
	}
	d.owner(c.stage.Owner).addSlot(w)
	if c.stage.Wants != nil && c.stage.Wants.Apart {
		d.siblings[c.stage.Build] = append(d.siblings[c.stage.Build], d.workers[w].Name)
	}
}
