// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// worker returns one with free slots and held ones, and facts to change.
func worker(name string, free int, changes ...func(*schedule.Worker)) schedule.Worker {
	w := schedule.Worker{Name: name, Slots: free, Labels: map[string]string{},
		Facts: &workers.Facts{System: "OS/390", Release: "29.00", Host: name, Tools: map[string]workers.Tool{"make": {Version: "4.4"}}}}
	for _, change := range changes {
		change(&w)
	}
	return w
}

// held takes n slots more, which the worker has besides its free ones.
func held(n int, owner string) func(*schedule.Worker) {
	return func(w *schedule.Worker) {
		for range n {
			w.Slots++
			w.Held = append(w.Held, schedule.Held{Build: "other", Stage: "baseline", Owner: owner, Until: noon.Add(2 * time.Hour)})
		}
	}
}

func quarantined(w *schedule.Worker) {
	w.Quarantine = &workers.Quarantine{Code: workers.QuarantineUnreachable, Detail: "No route to host."}
}

func out(why string) func(*schedule.Worker) { return func(w *schedule.Worker) { w.Unavailable = why } }

func label(name, value string) func(*schedule.Worker) {
	return func(w *schedule.Worker) { w.Labels[name] = value }
}

func release(r string) func(*schedule.Worker) {
	return func(w *schedule.Worker) { w.Facts.Release = r }
}

// stage returns the baseline of a build that has waited for a minute.
func stage(build string, changes ...func(*schedule.Stage)) schedule.Stage {
	s := schedule.Stage{Build: build, ID: "baseline", Owner: "anna", Since: noon.Add(-time.Minute), Wants: &schedule.Wants{Apart: true}}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func waited(d time.Duration) func(*schedule.Stage) {
	return func(s *schedule.Stage) { s.Since = noon.Add(-d) }
}
func path(d time.Duration) func(*schedule.Stage) { return func(s *schedule.Stage) { s.Path = d } }
func priority(n int) func(*schedule.Stage)       { return func(s *schedule.Stage) { s.Priority = n } }
func owner(name string) func(*schedule.Stage)    { return func(s *schedule.Stage) { s.Owner = name } }
func used(names ...string) func(*schedule.Stage) { return func(s *schedule.Stage) { s.Used = names } }
func lost(names ...string) func(*schedule.Stage) { return func(s *schedule.Stage) { s.Lost = names } }
func varied(s *schedule.Stage)                   { s.ID = "varied-1" }
func together(s *schedule.Stage)                 { s.Wants = &schedule.Wants{} }
func labels(names ...string) func(*schedule.Stage) {
	return func(s *schedule.Stage) { s.Wants = &schedule.Wants{Apart: true, Worker: recipes.Worker{Labels: names}} }
}

type (
	ws = []schedule.Worker
	ss = []schedule.Stage
)

// TestAssign: "build stage worker" of each assignment, in order; the stage is
// left out where it is the baseline.
func TestAssign(t *testing.T) {
	for _, tt := range []struct {
		name     string
		workers  ws
		stages   ss
		settings schedule.Settings
		want     string
	}{
		{"nothing", nil, nil, schedule.Settings{}, ""},
		{"no worker", nil, ss{stage("a")}, schedule.Settings{}, ""},
		{"no stage", ws{worker("w", 1)}, nil, schedule.Settings{}, ""},
		{"no wants", ws{worker("w", 1)}, ss{stage("a", func(s *schedule.Stage) { s.Wants = nil })}, schedule.Settings{}, "a w"},
		{"free slots only", ws{worker("w", 1, held(2, "bob"))}, ss{stage("a"), stage("b")}, schedule.Settings{}, "a w"},
		{"held beyond its slots", ws{worker("w", 0, held(2, "bob"), func(w *schedule.Worker) { w.Slots = 1 })}, ss{stage("a")}, schedule.Settings{}, ""},
		{"out", ws{worker("w", 2, out("draining"))}, ss{stage("a")}, schedule.Settings{}, ""},
		{"not probed", ws{worker("w", 2, func(w *schedule.Worker) { w.Facts = nil })}, ss{stage("a")}, schedule.Settings{}, ""},
		{"misfit", ws{worker("w", 2)}, ss{stage("a", labels("gpu")), stage("b")}, schedule.Settings{}, "b w"},

		{"the longest path first", ws{worker("w", 2)}, ss{stage("a", path(1)), stage("b", path(3)), stage("c", path(2))}, schedule.Settings{}, "b w, c w"},
		{"the longest wait among equals", ws{worker("w", 1)}, ss{stage("a", waited(1)), stage("b", waited(2))}, schedule.Settings{}, "b w"},
		{"age does not come before path", ws{worker("w", 1)}, ss{stage("a", waited(100*time.Hour), path(1)), stage("b", path(2))}, schedule.Settings{}, "b w"},
		{"the name among twins", ws{worker("w", 1)}, ss{stage("b"), stage("a")}, schedule.Settings{}, "a w"},
		{"priority before path", ws{worker("w", 1)}, ss{stage("a", path(9)), stage("b", priority(1))}, schedule.Settings{}, "b w"},
		{"aging lifts", ws{worker("w", 1)}, ss{stage("a", path(9), waited(3*time.Hour)), stage("b", priority(3), path(8))}, schedule.Settings{}, "a w"},
		{"aging lifts not so fast", ws{worker("w", 1)}, ss{stage("a", path(9), waited(3*time.Hour-1)), stage("b", priority(3), path(8))}, schedule.Settings{}, "b w"},
		{"aging as the settings say", ws{worker("w", 1)}, ss{stage("a", path(9), waited(3*time.Hour)), stage("b", priority(3))}, schedule.Settings{Aging: 2 * time.Hour}, "b w"},
		{"aging lifts to equals only", ws{worker("w", 1)}, ss{stage("a", path(1), waited(9*time.Hour)), stage("b", priority(3), path(8))}, schedule.Settings{}, "b w"},
		{"a priority that waits for another worker lifts nobody", ws{worker("v", 0, held(1, "")), worker("w", 1)},
			ss{stage("a", priority(9), used("w")), stage("b", path(1), waited(9*time.Hour)), stage("c", path(2))}, schedule.Settings{}, "c w"},
		{"waits from the future", ws{worker("w", 1)}, ss{stage("a", waited(-time.Hour)), stage("b", waited(-2*time.Hour))}, schedule.Settings{}, "a w"},
		{"a wait from the future lifts nobody", ws{worker("w", 1)}, ss{stage("a", path(9), waited(-2*time.Hour)), stage("b", priority(1))}, schedule.Settings{}, "b w"},
		{"extreme priorities", ws{worker("w", 1)}, ss{stage("a", priority(-1<<63), waited(1<<62)), stage("b", priority(1<<63-1))}, schedule.Settings{}, "b w"},

		{"owners in turn", ws{worker("w", 4)}, ss{stage("a", path(9)), stage("b", path(8)), stage("c", path(7)), stage("d", owner("bob")), stage("e", owner("bob"))},
			schedule.Settings{}, "a w, d w, b w, e w"},
		{"what is held counts", ws{worker("v", 0, held(2, "anna")), worker("w", 3)}, ss{stage("a", path(9)), stage("b", path(8)), stage("d", owner("bob")), stage("e", owner("bob"))},
			schedule.Settings{}, "d w, e w, a w"},
		{"weights", ws{worker("w", 5)}, ss{stage("a"), stage("b"), stage("c"), stage("d"), stage("e", owner("bob")), stage("f", owner("bob"))},
			schedule.Settings{Shares: map[string]float64{"anna": 3}}, "a w, e w, b w, c w, d w"},
		{"no weight is behind all", ws{worker("w", 4)}, ss{stage("a"), stage("b"), stage("c"), stage("d", owner("bob")), stage("e", owner("bob")), stage("f", owner("bob"))},
			schedule.Settings{Shares: map[string]float64{"anna": 0}}, "a w, d w, e w, f w"},
		{"a weight that is no number is 1", ws{worker("w", 3)}, ss{stage("a", path(9)), stage("b"), stage("d", owner("bob"))},
			schedule.Settings{Shares: map[string]float64{"anna": math.NaN()}}, "a w, d w, b w"},
		{"priority before shares", ws{worker("w", 2)}, ss{stage("a", priority(1)), stage("b", priority(1)), stage("d", owner("bob"))}, schedule.Settings{}, "a w, b w"},

		{"the freest worker", ws{worker("u", 1), worker("v", 3), worker("w", 2)}, ss{stage("a")}, schedule.Settings{}, "a v"},
		{"spread over the freest", ws{worker("u", 2), worker("v", 2)}, ss{stage("a"), stage("b"), stage("c"), stage("d")}, schedule.Settings{}, "a u, b v, c u, d v"},
		{"the rare worker is left alone", ws{worker("rare", 9, label("gpu", "")), worker("w", 1)}, ss{stage("a", path(9)), stage("b", labels("gpu"))}, schedule.Settings{}, "a w, b rare"},
		{"the rare worker once what needs it has its slot", ws{worker("rare", 9, label("gpu", "")), worker("w", 1)}, ss{stage("a"), stage("b", labels("gpu"), path(9))}, schedule.Settings{}, "b rare, a rare"},
		{"who has much choice hardly depends on a worker", ws{worker("u", 9, label("a", ""), label("only", "")), worker("v", 1, label("a", ""), label("wide", "")),
			worker("x", 0, label("wide", "")), worker("y", 0, label("wide", "")), worker("z", 0, label("wide", ""))},
			ss{stage("a", labels("a"), path(9)), stage("b", labels("wide")), stage("c", labels("wide")), stage("d", labels("only"), path(8))}, schedule.Settings{}, "a v, d u"},
		{"many depend more than one", ws{worker("u", 1, label("a", ""), label("p", "")), worker("v", 9, label("a", ""), label("q", ""))},
			ss{stage("a", labels("a"), path(9)), stage("b", labels("p"), path(8)), stage("c", labels("q")), stage("d", labels("q"))}, schedule.Settings{}, "a u, c v, d v"},
		{"nobody waits for the rare worker", ws{worker("rare", 9, label("gpu", "")), worker("w", 1)}, ss{stage("a")}, schedule.Settings{}, "a rare"},
	} {
		t.Run(tt.name, func(t *testing.T) { assigned(t, tt.workers, tt.stages, tt.settings, tt.want) })
	}
}

func assigned(t *testing.T, workers ws, stages ss, p schedule.Settings, want string) {
	t.Helper()
	var got []string
	for _, a := range schedule.Assign(noon, schedule.Queue{Stages: stages, Workers: workers}, p) {
		got = append(got, strings.ReplaceAll(fmt.Sprint(a.Build, " ", a.Stage, " ", a.Worker), " baseline", ""))
	}
	if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
		t.Errorf("assigned (-want +got):\n%s", diff)
	}
}

// TestApart: repeats keep apart, and off workers that lost them.
func TestApart(t *testing.T) {
	spread := func(facts ...string) schedule.Settings { return schedule.Settings{Spread: facts} }
	for _, tt := range []struct {
		name     string
		workers  ws
		stages   ss
		settings schedule.Settings
		want     string
	}{
		{"both at once", ws{worker("u", 5), worker("v", 1)}, ss{stage("a"), stage("a", varied)}, schedule.Settings{}, "a u, a varied-1 v"},
		{"not asked for", ws{worker("u", 5), worker("v", 1)}, ss{stage("a", together), stage("a", together, varied)}, schedule.Settings{}, "a u, a varied-1 u"},
		{"waits for another", ws{worker("u", 5), worker("v", 0, held(1, ""))}, ss{stage("a", used("u"))}, schedule.Settings{}, ""},
		{"another name is apart where the settings say nothing", ws{worker("u", 9), worker("v", 9, func(w *schedule.Worker) { w.Facts.Host = "u" }), worker("w", 0, held(1, ""))},
			ss{stage("a", used("u"))}, schedule.Settings{}, "a v"},
		{"the other is out", ws{worker("u", 5), worker("v", 1, out("draining"))}, ss{stage("a", used("u"))}, schedule.Settings{}, "a u"},
		{"the other does not fit", ws{worker("u", 5, label("x", "")), worker("v", 1)}, ss{stage("a", labels("x"), used("u"))}, schedule.Settings{}, "a u"},
		{"three on two", ws{worker("u", 1), worker("v", 9)}, ss{stage("a", used("u", "v", "v"))}, schedule.Settings{}, "a u"},
		{"used and gone", ws{worker("u", 1)}, ss{stage("a", used("gone"))}, schedule.Settings{}, "a u"},

		{"differs in the release", ws{worker("u", 9), worker("v", 9), worker("w", 1, release("28.00"))}, ss{stage("a", used("u"))}, spread("worker", "release"), "a w"},
		{"waits for the release", ws{worker("u", 9), worker("v", 9), worker("w", 0, release("28.00"), held(1, ""))}, ss{stage("a", used("u"))}, spread("release"), ""},
		{"no other release", ws{worker("u", 9), worker("v", 1)}, ss{stage("a", used("u"))}, spread("release"), "a v"},
		{"no other release, waits for another worker", ws{worker("u", 9), worker("v", 0, held(1, ""))}, ss{stage("a", used("u"))}, spread("release"), ""},
		{"as unlike as can be", ws{worker("u", 9, label("site", "1")), worker("v", 9, label("site", "1")), worker("w", 1, label("site", "2"))}, ss{stage("a", used("u"))}, spread("release", "label:site"), "a w"},
		{"every fact", ws{worker("u", 9), worker("v", 9, release("28.00"), label("site", "1")), worker("w", 1, release("28.00"), label("site", "2"))},
			ss{stage("a", used("u", "x")), stage("b", used("v"))}, spread("worker", "release", "label:site"), "a v, b u"},
		{"of one that left nothing is known but its name", ws{worker("u", 9), worker("v", 9), worker("w", 0, release("28.00"), held(1, ""))},
			ss{stage("a", used("u", "gone"))}, spread("release"), "a v"},
		{"of one that tells nothing, nothing is known", ws{worker("u", 9, release("")), worker("v", 9), worker("w", 0, release("28.00"), held(1, "")), worker("x", 1)},
			ss{stage("a", used("u", "v"))}, spread("release"), "a x"},
		{"one that left has another name", ws{worker("u", 9), worker("v", 9)}, ss{stage("a", used("u", "gone"))}, spread("worker"), "a v"},
		{"the same worker is less apart than any other", ws{worker("u", 1), worker("v", 1), worker("w", 1), worker("x", 9, release("28.00"))},
			ss{stage("a", used("u", "v", "w", "x", "x"))}, spread("release"), "a u"},
		{"one host with two names", ws{worker("u", 9), worker("v", 9, func(w *schedule.Worker) { w.Facts.Host = "u" }), worker("w", 1)}, ss{stage("a", used("u"))}, spread("host"), "a w"},
		{"machine", ws{worker("u", 9, func(w *schedule.Worker) { w.Facts.Machine = "8561" }), worker("v", 9, func(w *schedule.Worker) { w.Facts.Machine = "8561" }),
			worker("w", 1, func(w *schedule.Worker) { w.Facts.Machine = "9175" })}, ss{stage("a", used("u"))}, spread("machine"), "a w"},
		{"compiler", ws{worker("u", 9), worker("v", 9), worker("w", 1, func(w *schedule.Worker) { w.Facts.Tools["make"] = workers.Tool{Version: "4.3"} })},
			ss{stage("a", used("u"))}, spread("tool:make"), "a w"},
		{"the banner of a tool without a version", ws{worker("u", 9), worker("v", 9), worker("w", 1, func(w *schedule.Worker) { w.Facts.Tools["make"] = workers.Tool{Banner: "make of another kind"} })},
			ss{stage("a", used("u"))}, spread("tool:make"), "a w"},
		{"a label that is not there does not differ", ws{worker("u", 9, label("site", "1")), worker("v", 9), worker("w", 0, label("site", "2"), held(1, ""))},
			ss{stage("a", used("u"))}, spread("label:site"), ""},
		{"what is not known does not differ", ws{worker("u", 9), worker("v", 9), worker("w", 1, func(w *schedule.Worker) { w.Facts.Release = "" })}, ss{stage("a", used("u"))}, spread("release"), "a v"},

		{"off the one that lost it", ws{worker("u", 9), worker("v", 1)}, ss{stage("a", lost("u"))}, schedule.Settings{}, "a v"},
		{"waits for one that did not lose it", ws{worker("u", 9), worker("v", 0, held(1, ""))}, ss{stage("a", lost("u"))}, schedule.Settings{}, ""},
		{"all lost it", ws{worker("u", 9), worker("v", 1)}, ss{stage("a", lost("u", "v"))}, schedule.Settings{}, "a u"},
		{"the other is out and this lost it", ws{worker("u", 9), worker("v", 1, out("unreachable"))}, ss{stage("a", lost("u"))}, schedule.Settings{}, "a u"},
		{"apart matters more", ws{worker("u", 9), worker("v", 1)}, ss{stage("a", lost("v"), used("u"))}, schedule.Settings{}, "a v"},
	} {
		t.Run(tt.name, func(t *testing.T) { assigned(t, tt.workers, tt.stages, tt.settings, tt.want) })
	}
}

// TestReserve: a stage that few workers fit gets the next slot there, once it
// has waited.
func TestReserve(t *testing.T) {
	rare := ws{worker("rare", 1, label("gpu", "")), worker("w", 0, held(2, "bob"))}
	for _, tt := range []struct {
		name     string
		workers  ws
		stages   ss
		settings schedule.Settings
		want     string
	}{
		{"not yet", rare, ss{stage("a", path(9)), stage("b", labels("gpu"), waited(15*time.Minute))}, schedule.Settings{}, "a rare"},
		{"kept", rare, ss{stage("a", path(9), waited(9*time.Hour)), stage("b", labels("gpu"), waited(16*time.Minute))}, schedule.Settings{}, "b rare"},
		{"kept as the policy says", rare, ss{stage("a", path(9)), stage("b", labels("gpu"), waited(2*time.Minute))}, schedule.Settings{Reserve: time.Minute}, "b rare"},
		{"before priority and shares", rare, ss{stage("a", priority(99), owner("carl")), stage("b", owner("bob"), labels("gpu"), waited(16*time.Minute))}, schedule.Settings{}, "b rare"},
		{"nobody has more choice", rare, ss{stage("a", labels("gpu"), path(9), waited(time.Hour)), stage("b", labels("gpu"), waited(9*time.Hour))}, schedule.Settings{}, "a rare"},
		{"one slot only", ws{worker("rare", 2, label("gpu", "")), worker("w", 0, held(2, "bob"))}, ss{stage("a", path(9)), stage("b", labels("gpu"), waited(time.Hour))}, schedule.Settings{}, "b rare, a rare"},
		{"hardly less choice is none", ws{worker("u", 1, label("gpu", "")), worker("v", 0, label("gpu", "")), worker("w", 0)},
			ss{stage("a", path(9), waited(time.Hour)), stage("b", labels("gpu"), waited(time.Hour))}, schedule.Settings{}, "a u"},
		{"the least choice first", ws{worker("u", 1, label("x", ""), label("y", "")), worker("v", 0, label("x", "")), worker("w", 0), worker("z", 0)},
			ss{stage("a"), stage("b", labels("x"), path(9), waited(time.Hour)), stage("c", labels("x", "y"), waited(time.Hour))}, schedule.Settings{}, "c u"},
		{"apart is less choice too", ws{worker("u", 1), worker("v", 0, held(1, ""))},
			ss{stage("a", path(9)), stage("b", used("v"), waited(time.Hour))}, schedule.Settings{}, "b u"},
	} {
		t.Run(tt.name, func(t *testing.T) { assigned(t, tt.workers, tt.stages, tt.settings, tt.want) })
	}
}

// TestStarving: a stage that has waited far too long goes before longer ones of its
// owner, and before all while its owner holds nothing.
func TestStarving(t *testing.T) {
	const long = 8*24*time.Hour + patienceStep
	bobs := ws{worker("u", 1, held(1, "bob"))}
	for _, tt := range []struct {
		name    string
		workers ws
		stages  ss
		want    string
	}{
		{"not yet", ws{worker("w", 1)}, ss{stage("a", path(9)), stage("b", waited(8*24*time.Hour))}, "a w"},
		{"own stages", ws{worker("w", 1)}, ss{stage("a", path(9)), stage("b", waited(long))}, "b w"},
		{"the longest wait among starving ones", ws{worker("w", 1)}, ss{stage("a", path(9), waited(long)), stage("b", path(1), waited(long+time.Hour))}, "b w"},
		{"the longest path counts", ws{worker("w", 1)}, ss{stage("a", path(48*time.Hour)), stage("b", waited(long))}, "a w"},
		{"before others' shares", ws{worker("u", 1, label("x", "")), worker("v", 0, label("x", "")), worker("w", 0, held(1, "anna"))},
			ss{stage("a", owner("carl")), stage("b", labels("x"), waited(long))}, "b u"},
		{"not by a while", ws{worker("u", 1, label("x", "")), worker("v", 0, label("x", "")), worker("w", 0, held(1, "anna"))},
			ss{stage("a", owner("carl")), stage("b", labels("x"), waited(time.Hour))}, "a u"},
		{"not while the owner has a slot there", bobs, ss{stage("a", owner("carl")), stage("b", owner("bob"), waited(long))}, "a u"},
		{"not before a higher priority", ws{worker("w", 1)}, ss{stage("a", priority(1000)), stage("b", waited(long))}, "a w"},
	} {
		t.Run(tt.name, func(t *testing.T) { assigned(t, tt.workers, tt.stages, schedule.Settings{}, tt.want) })
	}
}

// patienceStep is more than the rounding error of a wait divided by eight.
const patienceStep = time.Microsecond

func TestMisfits(t *testing.T) {
	w := worker("w", 1, label("compiler", "openxl"), label("zos-3.1", ""), func(w *schedule.Worker) {
		w.Facts.Tools["perl"] = workers.Tool{Version: "5.34.0"}
		w.Facts.Tools["awk"] = workers.Tool{Banner: "\x1b[2J"}
		w.Facts.Absent = []string{"cmake", "patch", "x"}
		w.Facts.Tools["bad"] = workers.Tool{Version: "\x1b[2J" + strings.Repeat("x", 1000)}
	})
	linux := worker("l", 1, func(w *schedule.Worker) { w.Facts.System, w.Facts.Release = "Linux", "6.1.0-18-amd64" })
	tool := func(name string, r recipes.Range) schedule.Wants {
		return schedule.Wants{Tools: []recipes.Tool{{Name: name, Version: r}}}
	}
	on := func(w recipes.Worker) schedule.Wants { return schedule.Wants{Worker: w} }
	for _, tt := range []struct {
		name   string
		wants  schedule.Wants
		worker schedule.Worker
		want   []string
	}{
		{"nothing wanted", schedule.Wants{}, w, nil},
		{"not probed", schedule.Wants{}, schedule.Worker{Name: "n"}, []string{"it has not been probed yet"}},
		{"tool", tool("make", ">= 4"), w, nil},
		{"tool of any version", tool("awk", ""), w, nil},
		{"no tool", tool("cmake", ""), w, []string{"it has no cmake"}},
		{"no tool of a version", tool("cmake", ">= 3"), w, []string{"it has no cmake, the recipe requires >= 3"}},
		{"old tool", tool("perl", ">= 5.36"), w, []string{`its perl is "5.34.0", the recipe requires >= 5.36`}},
		{"tool without a version", tool("awk", ">= 1"), w, []string{"the version of its awk is not known, the recipe requires >= 1"}},
		{"tool that lies", tool("bad", ">= 1"), w, []string{`its bad is "\x1b[2J` + strings.Repeat("x", 60) + `", the recipe requires >= 1`}},
		{"tool nobody looked for", tool("ninja", ">= 1"), w, []string{"it has not been probed for ninja yet"}},
		{"told once", schedule.Wants{Tools: []recipes.Tool{{Name: "x"}, {Name: "x"}}}, w, []string{"it has no x"}},
		{"patch", schedule.Wants{Patch: true}, w, []string{"it has no patch"}},
		{"label", on(recipes.Worker{Labels: []string{"zos-3.1", "compiler", "compiler=openxl"}}), w, nil},
		{"no label", on(recipes.Worker{Labels: []string{"gpu", "site=1"}}), w, []string{"it has no label gpu", "it has no label site"}},
		{"another value", on(recipes.Worker{Labels: []string{"compiler=xlc"}}), w, []string{`its label compiler is "openxl", the recipe requires "xlc"`}},
		{"system", on(recipes.Worker{System: "OS/390", Release: ">= 28, < 30"}), w, nil},
		{"release of a kernel", on(recipes.Worker{Release: ">= 6.1"}), linux, nil},
		{"another system", on(recipes.Worker{System: "OS/390", Release: ">= 28"}), linux,
			[]string{`its system is "Linux", the recipe requires OS/390`, `its release is "6.1.0-18-amd64", the recipe requires >= 28`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, schedule.Mismatches(tt.wants, tt.worker)); diff != "" {
				t.Errorf("Mismatches (-want +got):\n%s", diff)
			}
			q := schedule.Queue{Stages: ss{stage("a", func(s *schedule.Stage) { s.Wants = &tt.wants })}, Workers: ws{tt.worker}}
			if given := len(schedule.Assign(noon, q, schedule.Settings{})); tt.worker.Slots > 0 && given == 1 != (len(tt.want) == 0) {
				t.Errorf("%d slots are given", given)
			}
		})
	}
}

// TestFacts: what people are told is what there is.
func TestFacts(t *testing.T) {
	for _, name := range schedule.Facts() {
		if !schedule.KnownFact(name) {
			t.Errorf("%s is no fact", name)
		}
	}
	for _, name := range []string{"", "label", "label:", "tool:", "host:x", "worker:", "lpar"} {
		if schedule.KnownFact(name) {
			t.Errorf("%q is a fact", name)
		}
	}
}

func TestSettingsCheck(t *testing.T) {
	good := schedule.Settings{Spread: []string{"worker", "host", "release", "machine", "label:site", "tool:clang"}, Aging: 1, Shares: map[string]float64{"a": 0.5}}
	if err := good.Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	for want, p := range map[string]schedule.Settings{
		`spread over "lpar"`:       {Spread: []string{"lpar"}},
		`spread over "label:"`:     {Spread: []string{"label:"}},
		`spread over "tool"`:       {Spread: []string{"tool"}},
		`spread over "host:x"`:     {Spread: []string{"host:x"}},
		"aging is -1ns":            {Aging: -1},
		"reserve -1ns":             {Reserve: -1},
		`the share of "a" is 0`:    {Shares: map[string]float64{"a": 0}},
		`the share of "b" is -0.5`: {Shares: map[string]float64{"b": -0.5}},
	} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want %q in it", err, want)
		}
	}
}

func TestPaths(t *testing.T) {
	n := func(build string, hours int, needs ...string) schedule.Node {
		return schedule.Node{Build: build, Expected: time.Duration(hours) * time.Hour, Needs: needs}
	}
	for _, tt := range []struct {
		name string
		g    []schedule.Node
		want map[string]int
	}{
		{"nothing", nil, map[string]int{}},
		{"alone", []schedule.Node{n("a", 1)}, map[string]int{"a": 1}},
		{"chain", []schedule.Node{n("c", 4, "b"), n("b", 2, "a"), n("a", 1)}, map[string]int{"a": 7, "b": 6, "c": 4}},
		{"diamond", []schedule.Node{n("a", 1), n("b", 9, "a"), n("c", 2, "a"), n("d", 4, "b", "c")}, map[string]int{"a": 14, "b": 13, "c": 6, "d": 4}},
		{"unknown", []schedule.Node{n("a", 1, "x")}, map[string]int{"a": 1}},
		{"itself", []schedule.Node{n("a", 1, "a")}, map[string]int{"a": 1}},
		{"need named twice", []schedule.Node{n("a", 1), n("b", 1, "a", "a")}, map[string]int{"a": 2, "b": 1}},
		{"given twice", []schedule.Node{n("a", 1), n("x", 5), n("b", 1, "a"), n("b", 3, "x")}, map[string]int{"a": 4, "x": 8, "b": 3}},
		{"given twice, the longer first", []schedule.Node{n("a", 3), n("a", 1)}, map[string]int{"a": 3}},
		{"cycle", []schedule.Node{n("a", 1, "b"), n("b", 2, "a")}, map[string]int{"a": 1, "b": 3}},
		{"behind a cycle", []schedule.Node{n("b", 1, "c"), n("c", 2, "b"), n("d", 4, "c"), n("e", 8)}, map[string]int{"b": 1, "c": 6, "d": 4, "e": 8}},
		{"less than nothing", []schedule.Node{n("a", -1), n("b", 2, "a")}, map[string]int{"a": 2, "b": 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := make(map[string]time.Duration)
			for b, h := range tt.want {
				want[b] = time.Duration(h) * time.Hour
			}
			if diff := cmp.Diff(want, schedule.Paths(tt.g)); diff != "" {
				t.Errorf("Paths (-want +got):\n%s", diff)
			}
		})
	}
	huge := schedule.Paths([]schedule.Node{{Build: "a", Expected: 1 << 62}, {Build: "b", Expected: 1 << 62, Needs: []string{"a"}}})
	if huge["a"] != 1<<63-1 {
		t.Errorf("two times 146 years are %d", huge["a"])
	}
}
