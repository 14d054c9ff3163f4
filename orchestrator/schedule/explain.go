// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explain says for each worker, sorted by name, whether it can take a stage of q now,
// and why not. Free is true for the workers that have a slot when the stage's turn
// comes: Assign gives it one of them. Explain returns nil if there is no such stage.
func Explain(now time.Time, q Queue, p Settings, build, stage string) []Reason {
	i := slices.IndexFunc(q.Stages, func(s Stage) bool { return s.Build == build && s.ID == stage })
	if i < 0 {
		return nil
	}
	d := newDecision(now, q, p)
	w := watch{decision: d, stage: &q.Stages[i]}
	w.group = d.of[w.stage.Wants]
	w.before, w.used = slices.Clone(d.free), d.used(w.stage)
	w.may, _ = d.may(w.stage, w.group)
	d.decide(q.Stages, w.turn)
	if w.left == nil { // the stage had no turn: no slot was left
		w.left, w.ahead = d.free, len(d.assigned)
	}
	reasons := make([]Reason, len(d.workers))
	for i := range d.workers {
		reasons[i] = w.reason(i)
		reasons[i].Worker = d.workers[i].Name
	}
	return reasons
}

// watch records the state of a decision at the turn of one stage.
type watch struct {
	*decision
	stage *Stage
	group *group
	// before and left are the free slots at the start, and at its turn.
	before, left []int
	// At its turn: the workers it may go to, those it should avoid, and how many slots
	// others got before.
	may   set
	used  []string
	ahead int
}

func (w *watch) turn(c *candidate, may set) {
	if c.stage != w.stage {
		return
	}
	w.left, w.may = slices.Clone(w.free), may.clone()
	w.used, w.ahead = slices.Clone(w.decision.used(c.stage)), len(w.assigned)
}

// reason says whether worker i can take the stage. It checks first what has to be fixed
// first.
func (w *watch) reason(i int) Reason {
	var wants Wants
	if w.stage.Wants != nil {
		wants = *w.stage.Wants
	}
	worker := &w.workers[i]
	if lacks := Mismatches(wants, *worker); len(lacks) > 0 {
		return Reason{Cause: Mismatch, Why: strings.Join(lacks, "; ")}
	}
	r := Reason{Fits: true}
	switch {
	case worker.Unavailable != "":
		r.Cause, r.Why = Unavailable, "it gets no new work: "+worker.Unavailable
	case worker.Quarantine != nil:
		r.Cause, r.Quarantine = Quarantined, worker.Quarantine
		r.Why = "it is quarantined (" + worker.Quarantine.Code.Label() + "): " + worker.Quarantine.Detail
	case !w.may.has(i):
		r.Cause, r.Why = w.avoided(i)
	case w.left[i] > 0:
		r.Free = true
		r.Cause, r.Why = Spare, "it has a free slot, but another worker is a better choice"
		if w.ahead < len(w.assigned) && w.assigned[w.ahead].worker == i {
			r.Cause, r.Why = Assigned, "it has a free slot, which this stage gets"
		}
	case w.before[i] > 0:
		r.Cause, r.Why = w.passed(i)
	default:
		r.Cause, r.Why, r.Until = held(worker, w.now)
	}
	return r
}

// avoided says why the stage avoids a worker that fits.
func (w *watch) avoided(i int) (Cause, string) {
	apart := w.group.fit.clone()
	if len(w.used) > 0 {
		w.spread.keepApart(apart, w.used)
	}
	if apart.has(i) {
		return Lost, "it was lost during an earlier attempt of this repeat, and other workers fit too"
	}
	for _, u := range w.used {
		if u == w.workers[i].Name {
			return Used, "another repeat of this build runs or ran there, and other workers fit too"
		}
	}
	for _, u := range w.used {
		if same := w.spread.same(i, u); len(same) > 0 {
			return Used, fmt.Sprintf("it does not differ in %s from %s, where another repeat runs or ran, and other workers do", list(same), u)
		}
	}
	return Used, "the repeats of this build should be on different workers" // unreachable: such a worker would be in the set
}

// passed says which stages got the free slots of worker i.
func (w *watch) passed(i int) (Cause, string) {
	var others []string
	for _, g := range w.assigned[:w.ahead] {
		if g.worker != i {
			continue
		}
		if g.to.reserved {
			return Reserved, fmt.Sprintf("its free slot is reserved for build %s, which has waited long and has fewer workers to choose from", g.to.stage.Build)
		}
		others = append(others, g.to.stage.Build)
	}
	if len(others) == 1 {
		return Behind, "its free slot goes to build " + others[0] + ", which comes first"
	}
	return Behind, fmt.Sprintf("its %d free slots go to builds that come first: %s", len(others), list(others))
}

// held says who holds the slots of a busy worker.
func held(w *Worker, now time.Time) (Cause, string, time.Time) {
	if len(w.Held) == 0 {
		return Busy, "it has no slots", time.Time{}
	}
	first := slices.MinFunc(w.Held, func(a, b Held) int {
		if a.Until.IsZero() != b.Until.IsZero() {
			return before(b.Until.IsZero())
		}
		if c := a.Until.Compare(b.Until); c != 0 {
			return c
		}
		return strings.Compare(a.Build+" "+a.Stage, b.Build+" "+b.Stage)
	})
	why := "it has no free slot: build " + first.Build + " holds it"
	if len(w.Held) > 1 {
		why = fmt.Sprintf("it has no free slot: the first of %d to come free is held by build %s", len(w.Held), first.Build)
	}
	switch {
	case first.Until.IsZero():
		return Busy, why + ", for an unknown time", time.Time{}
	case first.Until.Before(now):
		return Busy, why + ", longer than expected", now
	}
	until := first.Until.In(now.Location())
	return Busy, why + " until about " + moment(until), until
}

// moment formats an estimate: to the minute and in the zone of whoever asks, where
// humanize.Time is exact and in UTC.
func moment(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }

// list joins names for people; of many it shows only the first.
func list(names []string) string {
	const most = 3
	if n := len(names); n > most+1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n-most)
	} else if n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// Sentence summarizes what Explain returned.
func Sentence(reasons []Reason) string {
	by := make(map[Cause][]Reason)
	for _, r := range reasons {
		by[r.Cause] = append(by[r.Cause], r)
	}
	switch {
	case len(reasons) == 0:
		return "It waits for a worker: none is registered."
	case len(by[Assigned]) > 0:
		return "It can begin now on " + list(names(by[Assigned])) + "."
	case len(by[Reserved])+len(by[Behind]) > 0:
		return "It waits for its turn: other builds come first on " + list(names(slices.Concat(by[Reserved], by[Behind]))) + "."
	case len(by[Busy]) > 0:
		return busy(by[Busy], len(by[Used])+len(by[Lost]))
	case len(by[Unavailable])+len(by[Quarantined]) > 0:
		closed := slices.Concat(by[Unavailable], by[Quarantined])
		are := "are"
		if len(closed) == 1 {
			are = "is"
		}
		return "It waits for " + list(names(closed)) + ", which " + are + " quarantined, draining or removed; no other worker fits."
	}
	return fmt.Sprintf("No worker fits: %s; register one that does, or change the recipe.", list(each(by[Mismatch])))
}

// busy summarizes workers none of which has a free slot.
func busy(workers []Reason, avoided int) string {
	s := "It waits for a slot on " + list(names(workers))
	if avoided > 0 {
		s += ", because repeats go to different workers, and not to one that was lost during an earlier attempt"
	}
	var first time.Time
	for _, r := range workers {
		if !r.Until.IsZero() && (first.IsZero() || r.Until.Before(first)) {
			first = r.Until
		}
	}
	if first.IsZero() {
		return s + "."
	}
	return s + "; the first slot may come free about " + moment(first) + "."
}

func names(reasons []Reason) []string {
	var all []string
	for _, r := range reasons {
		all = append(all, r.Worker)
	}
	return all
}

// each returns the workers with their reasons.
func each(reasons []Reason) []string {
	var all []string
	for _, r := range reasons {
		all = append(all, r.Worker+" ("+r.Why+")")
	}
	return all
}
