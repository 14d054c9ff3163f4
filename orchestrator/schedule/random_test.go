// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// random makes small queues in which everything happens often.
func random(rng *rand.Rand) (schedule.Queue, schedule.Settings) {
	var q schedule.Queue
	for i := range rng.IntN(8) {
		q.Workers = append(q.Workers, randomWorker(rng, i))
	}
	names := make([]string, len(q.Workers)+1)
	names[len(q.Workers)] = "gone"
	for i, w := range q.Workers {
		names[i] = w.Name
	}
	for i := range rng.IntN(12) {
		q.Stages = append(q.Stages, randomBuild(rng, i, names)...)
	}
	p := schedule.Settings{Shares: map[string]float64{"owner-0": float64(rng.IntN(4))}, Aging: time.Duration(rng.IntN(3)) * time.Hour, Reserve: time.Duration(rng.IntN(3)) * time.Hour}
	for _, f := range []string{"worker", "host", "release", "machine", "label:x", "tool:make", "nonsense"} {
		if rng.IntN(4) == 0 {
			p.Spread = append(p.Spread, f)
		}
	}
	return q, p
}

func randomWorker(rng *rand.Rand, i int) schedule.Worker {
	w := schedule.Worker{Name: fmt.Sprintf("worker-%d", i), Slots: rng.IntN(5), Labels: map[string]string{}}
	if rng.IntN(8) > 0 {
		w.Facts = &workers.Facts{System: "OS/390", Release: fmt.Sprintf("%d.00", 27+rng.IntN(3)), Host: fmt.Sprint("host-", rng.IntN(5)),
			Tools: map[string]workers.Tool{"make": {Version: fmt.Sprint("4.", rng.IntN(3))}}}
	}
	if rng.IntN(2) == 0 {
		w.Labels["x"] = fmt.Sprint(rng.IntN(2))
	}
	switch rng.IntN(12) {
	case 0, 1:
		w.Unavailable = "draining"
	case 2:
		w.Quarantine = &workers.Quarantine{Code: workers.QuarantineDiskFull, Detail: "full"}
	}
	for range rng.IntN(4) {
		w.Held = append(w.Held, schedule.Held{Build: "held", Stage: "baseline", Owner: fmt.Sprint("owner-", rng.IntN(3)), Until: noon.Add(time.Duration(rng.IntN(9)) * time.Hour)})
	}
	return w
}

func randomBuild(rng *rand.Rand, i int, names []string) []schedule.Stage {
	w := &schedule.Wants{Apart: rng.IntN(4) > 0}
	if rng.IntN(4) == 0 {
		w.Tools = []recipes.Tool{{Name: "make", Version: recipes.Range(fmt.Sprint(">= 4.", rng.IntN(4)))}}
	}
	if rng.IntN(4) == 0 {
		w.Worker.Labels = []string{[]string{"x", "x=1", "y"}[rng.IntN(3)]}
	}
	s := schedule.Stage{Build: fmt.Sprint("build-", i), Owner: fmt.Sprint("owner-", rng.IntN(3)), Priority: rng.IntN(3), Wants: w}
	some := func() []string {
		var list []string
		for rng.IntN(3) == 0 {
			list = append(list, names[rng.IntN(len(names))])
		}
		return list
	}
	s.Used = some()
	var all []schedule.Stage
	for k := range 1 + rng.IntN(3) {
		s.ID = fmt.Sprint("repeat-", k)
		s.Since = noon.Add(time.Hour - time.Duration(rng.IntN(300))*time.Hour)
		s.Path = time.Duration(rng.IntN(4)) * time.Hour
		s.Lost = some()
		all = append(all, s)
	}
	return all
}

// TestRandom tries what must hold for any queue.
func TestRandom(t *testing.T) {
	given := 0
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		q, p := random(rng)
		got := schedule.Assign(noon, q, p)
		given += len(got)
		checkSlots(t, q, got)
		checkRepeats(t, q, got)
		checkWorkConserving(t, q, p, got)
		checkExplained(t, q, p, got)
		shuffled := schedule.Queue{Stages: slices.Clone(q.Stages), Workers: slices.Clone(q.Workers)}
		rng.Shuffle(len(q.Stages), func(i, j int) {
			shuffled.Stages[i], shuffled.Stages[j] = shuffled.Stages[j], shuffled.Stages[i]
		})
		rng.Shuffle(len(q.Workers), func(i, j int) {
			shuffled.Workers[i], shuffled.Workers[j] = shuffled.Workers[j], shuffled.Workers[i]
		})
		if diff := cmp.Diff(got, schedule.Assign(noon, shuffled, p)); diff != "" {
			t.Errorf("another order of the same queue (-had +got):\n%s", diff)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if given < 3000 {
		t.Errorf("%d slots were given in all: the queues are too dull", given)
	}
}

func find(q schedule.Queue, a schedule.Assignment) (*schedule.Stage, *schedule.Worker) {
	s := slices.IndexFunc(q.Stages, func(s schedule.Stage) bool { return s.Build == a.Build && s.ID == a.Stage })
	w := slices.IndexFunc(q.Workers, func(w schedule.Worker) bool { return w.Name == a.Worker })
	return &q.Stages[s], &q.Workers[w]
}

// checkSlots: no slot is given that is not free, nothing to a worker that does
// not fit or is out, and no stage twice.
func checkSlots(t *testing.T, q schedule.Queue, got []schedule.Assignment) {
	t.Helper()
	count := make(map[string]int)
	seen := make(map[string]bool)
	for _, a := range got {
		s, w := find(q, a)
		if count[a.Worker]++; count[a.Worker] > w.Slots-len(w.Held) {
			t.Errorf("%d slots of %s are given, %d of %d are held", count[a.Worker], a.Worker, len(w.Held), w.Slots)
		}
		if lacks := schedule.Mismatches(*s.Wants, *w); len(lacks) > 0 || w.Unavailable != "" || w.Quarantine != nil {
			t.Errorf("%s is given to %s: %q, %q, %v", a.Build, a.Worker, lacks, w.Unavailable, w.Quarantine)
		}
		if name := a.Build + " " + a.Stage; seen[name] {
			t.Errorf("%s is given twice", name)
		} else {
			seen[name] = true
		}
	}
}

// checkRepeats: no repeat goes where another was, or where it was lost, as long
// as another worker fits and is not out.
func checkRepeats(t *testing.T, q schedule.Queue, got []schedule.Assignment) {
	t.Helper()
	others := make(map[string][]string)
	for _, a := range got {
		s, _ := find(q, a)
		var away []string
		if s.Wants.Apart {
			away = slices.Concat(s.Used, others[a.Build])
			others[a.Build] = append(others[a.Build], a.Worker)
		}
		for _, list := range [][]string{away, s.Lost} {
			if !slices.Contains(list, a.Worker) {
				continue
			}
			// Off the workers that lost it only as far as repeats stay apart.
			for _, w := range q.Workers {
				bad := w.Unavailable != "" || w.Quarantine != nil || len(schedule.Mismatches(*s.Wants, w)) > 0 || slices.Contains(list, w.Name) || slices.Contains(away, w.Name)
				if !bad && (len(away) == 0 || &list[0] == &away[0]) {
					t.Errorf("%s %s is given to %s, from which it should keep away; %s fits", a.Build, a.Stage, a.Worker, w.Name)
				}
			}
		}
	}
}

// checkWorkConserving: what could go to any worker without repeats or losses
// does not wait while a slot is free on one that fits.
func checkWorkConserving(t *testing.T, q schedule.Queue, p schedule.Settings, got []schedule.Assignment) {
	t.Helper()
	given := make(map[string]bool)
	taken := make(map[string]int)
	for _, a := range got {
		given[a.Build+" "+a.Stage] = true
		taken[a.Worker]++
	}
	for _, s := range q.Stages {
		if given[s.Build+" "+s.ID] || s.Wants.Apart || len(s.Lost) > 0 {
			continue
		}
		for _, w := range q.Workers {
			if w.Unavailable == "" && w.Quarantine == nil && w.Slots-len(w.Held)-taken[w.Name] > 0 && len(schedule.Mismatches(*s.Wants, w)) == 0 {
				t.Errorf("%s %s waits while %s is free under %v", s.Build, s.ID, w.Name, p)
			}
		}
	}
}

// checkExplained: a stage is given a slot if and only if some worker is said
// to be free for it, and that is one of them.
func checkExplained(t *testing.T, q schedule.Queue, p schedule.Settings, got []schedule.Assignment) {
	t.Helper()
	for _, s := range q.Stages {
		to := ""
		if i := slices.IndexFunc(got, func(a schedule.Assignment) bool { return a.Build == s.Build && a.Stage == s.ID }); i >= 0 {
			to = got[i].Worker
		}
		said, free := "", false
		for _, r := range schedule.Explain(noon, q, p, s.Build, s.ID) {
			free = free || r.Free
			if r.Cause == schedule.Assigned {
				said += r.Worker
			}
			if r.Why == "" || r.Worker == "" || r.Fits != (r.Cause != schedule.Mismatch) || r.Free != (r.Cause == schedule.Assigned || r.Cause == schedule.Spare) {
				t.Errorf("%s %s: odd reason %+v", s.Build, s.ID, r)
			}
		}
		if said != to || free != (to != "") {
			t.Errorf("%s %s goes to %q; it is said to go to %q, a worker is free for it: %t", s.Build, s.ID, to, said, free)
		}
	}
}

// stream drives a farm for as long as it is told: whenever a slot is free,
// more builds are waiting, and a few stages are watched.
type stream struct {
	now      time.Time
	q        schedule.Queue
	settings schedule.Settings
	next     int
	waiting  int // stages kept waiting
	make     func(i int) schedule.Stage
}

// until drives the farm in steps of a quarter of an hour until the stage of
// the build has begun, and says how long that took.
func (s *stream) until(t *testing.T, build string, most time.Duration) time.Duration {
	t.Helper()
	begin := s.now
	for s.now.Sub(begin) <= most {
		for len(s.q.Stages) < s.waiting {
			st := s.make(s.next)
			st.Build, st.ID, st.Since = fmt.Sprint("stream-", s.next), "baseline", s.now
			s.q.Stages = append(s.q.Stages, st)
			s.next++
		}
		for _, a := range schedule.Assign(s.now, s.q, s.settings) {
			if a.Build == build {
				return s.now.Sub(begin)
			}
			st, w := find(s.q, a)
			w.Held = append(w.Held, schedule.Held{Build: a.Build, Stage: a.Stage, Owner: st.Owner, Until: s.now.Add(st.Expected)})
			s.q.Stages = slices.DeleteFunc(s.q.Stages, func(x schedule.Stage) bool { return x.Build == a.Build })
		}
		s.now = s.now.Add(15 * time.Minute)
		for i := range s.q.Workers {
			w := &s.q.Workers[i]
			w.Held = slices.DeleteFunc(w.Held, func(h schedule.Held) bool { return !h.Until.After(s.now) })
		}
	}
	t.Fatalf("%s has not begun within %s", build, most)
	return 0
}

// TestNobodyStarves: whatever is more urgent and goes on arriving, a stage
// begins within a bound.
func TestNobodyStarves(t *testing.T) {
	const takes = 4 * time.Hour
	wide := &schedule.Wants{}
	narrow := &schedule.Wants{Worker: recipes.Worker{Labels: []string{"gpu"}}}
	for _, tt := range []struct {
		name  string
		other schedule.Stage // the stream
		low   schedule.Stage // the stage that must begin
		bound time.Duration
	}{
		{"low priority", schedule.Stage{Owner: "bob", Priority: 5, Wants: wide, Path: 100 * time.Hour},
			schedule.Stage{Owner: "anna", Wants: wide}, 5*time.Hour + takes},
		{"low priority and no share", schedule.Stage{Owner: "bob", Priority: 5, Wants: wide, Path: 100 * time.Hour},
			schedule.Stage{Owner: "none", Wants: wide}, 5*time.Hour + 8*100*time.Hour + takes},
		{"a short path among long ones of the same owner", schedule.Stage{Owner: "bob", Wants: wide, Path: 30 * time.Hour},
			schedule.Stage{Owner: "bob", Wants: wide}, 8*30*time.Hour + takes},
		{"low priority among long ones of the same owner", schedule.Stage{Owner: "bob", Priority: 5, Wants: wide, Path: 30 * time.Hour},
			schedule.Stage{Owner: "bob", Wants: wide}, 5*time.Hour + 8*30*time.Hour + takes},
		{"a rare worker", schedule.Stage{Owner: "bob", Priority: 5, Wants: wide, Path: 100 * time.Hour},
			schedule.Stage{Owner: "bob", Wants: narrow}, 15*time.Minute + takes},
		{"a rare worker and an old stream", schedule.Stage{Owner: "bob", Priority: 1000, Wants: wide, Path: 100 * time.Hour},
			schedule.Stage{Owner: "bob", Wants: narrow, Priority: -1000}, 15*time.Minute + takes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stream{now: noon, waiting: 40, settings: schedule.Settings{Shares: map[string]float64{"none": 0}}, make: func(int) schedule.Stage {
				st := tt.other
				st.Expected = takes
				return st
			}}
			s.q.Workers = farm(4, 2)
			s.q.Workers[3].Labels = map[string]string{"gpu": ""}
			s.until(t, "stream-99", 100*takes) // the farm is full, and the queue old
			low := tt.low
			low.Build, low.ID, low.Since, low.Expected = "low", "baseline", s.now, takes
			s.q.Stages = append(s.q.Stages, low)
			s.waiting++
			took := s.until(t, "low", tt.bound+15*time.Minute)
			t.Logf("it began after %s of %s", took, tt.bound)
		})
	}
}
