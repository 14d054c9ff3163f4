// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/workers"
)

// needsOfPorts are the numbers of dependencies that 58 published ports of the
// z/OS open tools community declare: from none (check_clang) to 29 (git).
func needsOfPorts() []int {
	var all []int
	for needs, ports := range map[int]int{0: 3, 1: 2, 2: 8, 3: 4, 4: 4, 5: 5, 6: 4, 7: 1, 8: 7, 9: 3, 10: 2, 11: 4, 12: 1, 13: 2, 14: 1, 15: 1, 16: 3, 21: 1, 26: 1, 29: 1} {
		for range ports {
			all = append(all, needs)
		}
	}
	slices.Sort(all)
	return all
}

// tools is how many ports of 300 are those that the others are built with
// (make, m4, perl, bash, coreutils, curl ...): most needs of the published
// ports are on them.
const tools = 40

// hours draws how long a port takes. The published limits of a step are the
// measure: 50 of 58 ports keep the usual 3.5 hours, so that most take minutes
// and few take hours; tar, grep and coreutils ask for 20,000 to 30,000 s,
// curl and boost for 72,000 s, autoconf and cmake for 100,000 s (28 h), and
// are taken to need most of that.
func hours(rng *rand.Rand) time.Duration {
	of := func(from, to float64) time.Duration {
		return time.Duration((from + (to-from)*rng.Float64()) * float64(time.Hour)).Round(time.Second)
	}
	switch p := rng.IntN(58); {
	case p < 2:
		return of(20, 28)
	case p < 4:
		return of(12, 20)
	case p < 7:
		return of(4, 8)
	case p < 30:
		return of(0.05, 0.5)
	default:
		return of(0.25, 3.5)
	}
}

// port is a build of the simulation: two repeats, which begin once all that it
// needs is done.
type port struct {
	name     string
	takes    time.Duration
	expected time.Duration
	needs    []int
}

// ports makes a farm's worth of ports, 300 of them. A port needs only those
// before it.
func ports(seed uint64) []port {
	rng := rand.New(rand.NewPCG(seed, 1))
	counts := needsOfPorts()
	all := make([]port, 300)
	for i := range all {
		all[i] = port{name: fmt.Sprintf("port-%03d", i), takes: hours(rng)}
		all[i].expected = all[i].takes
		for range min(counts[rng.IntN(len(counts))], i) {
			n := rng.IntN(i)
			if rng.IntN(10) < 8 { // most needs are tools
				n = rng.IntN(min(i, tools))
			}
			all[i].needs = append(all[i].needs, n)
		}
		slices.Sort(all[i].needs)
		all[i].needs = slices.Compact(all[i].needs)
	}
	return all
}

// graph is the ports as Paths sees them.
func graph(all []port, takes func(port) time.Duration) []schedule.Node {
	g := make([]schedule.Node, len(all))
	for i, p := range all {
		g[i] = schedule.Node{Build: p.name, Expected: takes(p)}
		for _, n := range p.needs {
			g[i].Needs = append(g[i].Needs, all[n].name)
		}
	}
	return g
}

func longest(paths map[string]time.Duration) time.Duration {
	l := time.Duration(0)
	for _, p := range paths {
		l = max(l, p)
	}
	return l
}

// bound returns what no schedule can beat: the longest path, and the work over
// the slots. The closer bound counts what lies before and behind the work: what
// cannot begin within the first hours, because of what it needs, must all be
// done behind them, however many slots were idle till then; and the same from
// the end.
func bound(all []port, slots int) (simple, closer time.Duration) {
	paths := schedule.Paths(graph(all, func(p port) time.Duration { return p.takes }))
	before, behind := make([]time.Duration, len(all)), make([]time.Duration, len(all))
	work := time.Duration(0)
	for i, p := range all {
		for _, n := range p.needs {
			before[i] = max(before[i], before[n]+all[n].takes)
		}
		behind[i] = paths[p.name] - p.takes
		work += 2 * p.takes
	}
	simple = max(longest(paths), work/time.Duration(slots))
	closer = simple
	for _, idle := range [][]time.Duration{before, behind} {
		for _, hours := range idle {
			work := time.Duration(0)
			for i, p := range all {
				if idle[i] >= hours {
					work += 2 * p.takes
				}
			}
			closer = max(closer, hours+work/time.Duration(slots))
		}
	}
	return simple, closer
}

// byPath orders by the path that the farm computes.
func byPath(all []port) map[string]time.Duration {
	return schedule.Paths(graph(all, func(p port) time.Duration { return p.expected }))
}

// byAge orders only by the time at which a stage became ready.
func byAge([]port) map[string]time.Duration { return nil }

// byDependants puts first what most others need, directly or not.
func byDependants(all []port) map[string]time.Duration {
	counts := make(map[string]time.Duration)
	for i := range all {
		needed := make([]bool, len(all))
		needed[i] = true
		for j := i + 1; j < len(all); j++ {
			needed[j] = slices.ContainsFunc(all[j].needs, func(n int) bool { return needed[n] })
			if needed[j] {
				counts[all[i].name]++
			}
		}
	}
	return counts
}

// farm returns workers that differ in nothing but their names.
func farm(count, slots int) []schedule.Worker {
	all := make([]schedule.Worker, count)
	for i := range all {
		all[i] = schedule.Worker{Name: fmt.Sprintf("worker-%03d", i), Slots: slots, Facts: &workers.Facts{System: "OS/390", Release: "29.00"}}
	}
	return all
}

// ending is an attempt of the simulation that goes on.
type ending struct {
	at     time.Time
	port   int
	stage  string
	worker string
}

// world is a farm in virtual time.
type world struct {
	now     time.Time
	q       schedule.Queue
	going   []ending
	waits   []int // needs that are not done
	repeats []int // repeats that are not done
	all     []port
	paths   map[string]time.Duration
	wants   schedule.Wants
}

// makespan builds all ports and returns how long that took.
func makespan(all []port, workers []schedule.Worker, paths map[string]time.Duration) time.Duration {
	begin := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	w := world{now: begin, all: all, paths: paths, waits: make([]int, len(all)), repeats: make([]int, len(all)), wants: schedule.Wants{Apart: true}}
	w.q.Workers = slices.Clone(workers)
	for i := range all {
		w.waits[i], w.repeats[i] = len(all[i].needs), 2
		w.ready(i)
	}
	w.assign()
	for len(w.going) > 0 {
		next := slices.MinFunc(w.going, func(a, b ending) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.port, b.port)) })
		w.now = next.at
		w.end(next)
		w.assign()
	}
	if len(w.q.Stages) > 0 {
		panic(fmt.Sprintf("%d stages never began", len(w.q.Stages)))
	}
	return w.now.Sub(begin)
}

// ready queues the repeats of a port that needs nothing more.
func (w *world) ready(i int) {
	if w.waits[i] > 0 {
		return
	}
	for _, id := range []string{"baseline", "varied-1"} {
		w.q.Stages = append(w.q.Stages, schedule.Stage{Build: w.all[i].name, ID: id, Since: w.now, Wants: &w.wants,
			Expected: w.all[i].expected, Path: w.paths[w.all[i].name]})
	}
}

func (w *world) assign() {
	for _, a := range schedule.Assign(w.now, w.q, schedule.Settings{}) {
		i := slices.IndexFunc(w.all, func(p port) bool { return p.name == a.Build })
		w.q.Stages = slices.DeleteFunc(w.q.Stages, func(s schedule.Stage) bool { return s.Build == a.Build && s.ID == a.Stage })
		for k := range w.q.Stages {
			if s := &w.q.Stages[k]; s.Build == a.Build {
				s.Used = append(s.Used, a.Worker)
			}
		}
		k := slices.IndexFunc(w.q.Workers, func(x schedule.Worker) bool { return x.Name == a.Worker })
		held := schedule.Held{Build: a.Build, Stage: a.Stage, Until: w.now.Add(w.all[i].expected)}
		w.q.Workers[k].Held = append(w.q.Workers[k].Held, held)
		w.going = append(w.going, ending{w.now.Add(w.all[i].takes), i, a.Stage, a.Worker})
	}
}

func (w *world) end(e ending) {
	w.going = slices.DeleteFunc(w.going, func(x ending) bool { return x == e })
	k := slices.IndexFunc(w.q.Workers, func(x schedule.Worker) bool { return x.Name == e.worker })
	w.q.Workers[k].Held = slices.DeleteFunc(slices.Clone(w.q.Workers[k].Held), func(h schedule.Held) bool {
		return h.Build == w.all[e.port].name && h.Stage == e.stage
	})
	if w.repeats[e.port]--; w.repeats[e.port] > 0 {
		return
	}
	for i := e.port + 1; i < len(w.all); i++ {
		if slices.Contains(w.all[i].needs, e.port) {
			w.waits[i]--
			w.ready(i)
		}
	}
}

// The farm of the simulation.
const (
	simWorkers = 13
	simSlots   = 2
)

// ratio is the makespan as a multiple of the two lower bounds.
func ratio(all []port, order func([]port) map[string]time.Duration) (simple, closer float64) {
	took := makespan(all, farm(simWorkers, simSlots), order(all))
	s, c := bound(all, simWorkers*simSlots)
	return float64(took) / float64(s), float64(took) / float64(c)
}

// TestMakespan: 300 ports are built in hardly more time than is possible at
// all. Where a few long ports are needed by everything, most slots have nothing
// to do at first whatever the order, and the simple bound is out of reach; in
// all other farms it holds as well.
func TestMakespan(t *testing.T) {
	const most = 1.05
	for seed := range uint64(25) {
		all := ports(seed)
		simple, closer := ratio(all, byPath)
		s, c := bound(all, simWorkers*simSlots)
		t.Logf("seed %2d: %.3f of the closer bound %s, %.3f of the simple one %s", seed, closer, c, simple, s)
		if closer > most {
			t.Errorf("seed %d: the makespan is %.3f times the lower bound, want %.2f at most", seed, closer, most)
		}
		if reachable := float64(c) <= 1.01*float64(s); reachable && simple > most {
			t.Errorf("seed %d: the makespan is %.3f times max(longest path, work / slots), want %.2f at most", seed, simple, most)
		}
	}
}

// BenchmarkMakespan tells how far each order is from the lower bound, on
// average and at worst. With wrong, the farm expects durations that are
// wrong by a random factor from a half to two.
func BenchmarkMakespan(b *testing.B) {
	for _, o := range []struct {
		name  string
		order func([]port) map[string]time.Duration
		wrong bool
	}{{"path", byPath, false}, {"path,wrong", byPath, true}, {"age", byAge, false}, {"dependants", byDependants, false}} {
		b.Run(o.name, func(b *testing.B) {
			const seeds = 10
			var sum, worst float64
			for b.Loop() {
				sum, worst = 0, 0
				for seed := range uint64(seeds) {
					all := ports(seed)
					if o.wrong {
						mistake(all, seed)
					}
					_, r := ratio(all, o.order)
					sum, worst = sum+r, max(worst, r)
				}
			}
			b.ReportMetric(sum/seeds, "bound")
			b.ReportMetric(worst, "bound-at-worst")
		})
	}
}

// mistake makes the expected durations wrong.
func mistake(all []port, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := range all {
		factor := 0.5 + 1.5*rng.Float64()
		all[i].expected = time.Duration(float64(all[i].takes) * factor)
	}
}
