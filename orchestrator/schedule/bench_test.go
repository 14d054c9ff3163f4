// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// large is a farm of 200 workers of several kinds with 600 slots, of which
// held are taken, and 10,000 stages of 5,000 builds of 8 owners that wait.
func large(rng *rand.Rand, held int) schedule.Queue {
	var q schedule.Queue
	for i := range 200 {
		w := schedule.Worker{Name: fmt.Sprintf("worker-%03d", i), Slots: 3, Labels: map[string]string{"zone": fmt.Sprint(i % 4)}}
		if i%10 == 0 {
			w.Labels["openxl"] = "2.1"
		}
		w.Facts = &workers.Facts{System: "OS/390", Release: fmt.Sprintf("%d.00", 27+i%3), Host: w.Name, Tools: map[string]workers.Tool{
			"make": {Version: fmt.Sprintf("4.%d", i%5)}, "awk": {Version: "5.1.0"}, "perl": {Version: fmt.Sprintf("5.%d.0", 30+i%8)}, "patch": {}, "m4": {Version: "1.4.19"},
		}}
		q.Workers = append(q.Workers, w)
	}
	for i := range held {
		w := &q.Workers[i%200]
		w.Held = append(w.Held, schedule.Held{Build: fmt.Sprint("held-", i), Stage: "baseline", Owner: fmt.Sprint("owner-", i%8), Until: noon.Add(time.Hour)})
	}
	for i := range 5000 {
		q.Stages = append(q.Stages, pair(rng, i)...)
	}
	rng.Shuffle(len(q.Stages), func(i, j int) { q.Stages[i], q.Stages[j] = q.Stages[j], q.Stages[i] })
	return q
}

// pair is the two repeats of a build; every second one has a sibling that ran.
func pair(rng *rand.Rand, i int) []schedule.Stage {
	w := &schedule.Wants{Apart: true, Patch: i%2 == 0, Tools: []recipes.Tool{{Name: "make", Version: recipes.Range(fmt.Sprintf(">= 4.%d", i%4))}, {Name: "awk"}}}
	switch i % 5 {
	case 0:
		w.Tools = append(w.Tools, recipes.Tool{Name: "perl", Version: recipes.Range(fmt.Sprintf(">= 5.%d", 30+i%7))})
	case 1:
		w.Worker = recipes.Worker{Labels: []string{"openxl=2.1"}, System: "OS/390", Release: ">= 28"}
	case 2:
		w.Worker = recipes.Worker{System: "OS/390", Release: ">= 27, < 29"}
	}
	s := schedule.Stage{Build: fmt.Sprintf("build-%04d", i), ID: "baseline", Owner: fmt.Sprint("owner-", i%8), Priority: i % 3, Wants: w,
		Since: noon.Add(-time.Duration(rng.IntN(600)) * time.Minute), Path: time.Duration(rng.IntN(6000)) * time.Minute}
	other := s
	other.ID = "varied-1"
	if i%2 == 0 {
		s.Used, other.Used = []string{fmt.Sprintf("worker-%03d", rng.IntN(200))}, []string{fmt.Sprintf("worker-%03d", rng.IntN(200))}
	}
	if i%20 == 0 {
		s.Lost = []string{fmt.Sprintf("worker-%03d", rng.IntN(200))}
	}
	return []schedule.Stage{s, other}
}

// BenchmarkAssign measures one decision over 10,000 stages and 200 workers. It reports
// the slowest of a hundred besides the mean.
func BenchmarkAssign(b *testing.B) {
	for _, held := range []int{0, 300, 599, 600} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			q := large(rand.New(rand.NewPCG(1, 1)), held)
			p := schedule.Settings{Spread: []string{"worker", "host"}, Shares: map[string]float64{"owner-1": 3}}
			var took []time.Duration
			given := 0
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				given = len(schedule.Assign(noon, q, p))
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(given), "given")
		})
	}
}

func BenchmarkExplain(b *testing.B) {
	q := large(rand.New(rand.NewPCG(1, 1)), 599)
	for b.Loop() {
		schedule.Explain(noon, q, schedule.Settings{}, "build-0042", "baseline")
	}
}

func BenchmarkPaths(b *testing.B) {
	var g []schedule.Node
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		n := schedule.Node{Build: fmt.Sprint(i), Expected: time.Hour}
		for range min(i, 10) {
			n.Needs = append(n.Needs, fmt.Sprint(rng.IntN(i)))
		}
		g = append(g, n)
	}
	for b.Loop() {
		schedule.Paths(g)
	}
}
