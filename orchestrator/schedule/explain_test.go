// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/workers"
)

// TestExplain asks about the baseline of build "a".
func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		name     string
		workers  ws
		stages   ss
		settings schedule.Settings
		want     []schedule.Reason
		sentence string
	}{
		{"free", ws{worker("u", 1), worker("v", 2)}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Free: true, Cause: schedule.Spare, Why: "it has a free slot, but another worker is a better choice"},
			{Worker: "v", Fits: true, Free: true, Cause: schedule.Assigned, Why: "it has a free slot, which this stage gets"},
		}, "It can begin now on v."},
		{"no worker", nil, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{}, "It waits for a worker: none is registered."},
		{"unfit", ws{worker("u", 1), worker("v", 1, out("draining"))}, ss{stage("a", labels("gpu", "site=2"))}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Cause: schedule.Mismatch, Why: "it has no label gpu; it has no label site"},
			{Worker: "v", Cause: schedule.Mismatch, Why: "it has no label gpu; it has no label site"},
		}, "No worker fits: u (it has no label gpu; it has no label site) and v (it has no label gpu; it has no label site); register one that does, or change the recipe."},
		{"out", ws{worker("u", 1, out("draining")), worker("v", 1)}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Unavailable, Why: "it gets no new work: draining"},
			{Worker: "v", Fits: true, Free: true, Cause: schedule.Assigned, Why: "it has a free slot, which this stage gets"},
		}, "It can begin now on v."},
		{"all out", ws{worker("u", 1, out("draining")), worker("v", 1, release("28.00"), out("unreachable"))}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Unavailable, Why: "it gets no new work: draining"},
			{Worker: "v", Fits: true, Cause: schedule.Unavailable, Why: "it gets no new work: unreachable"},
		}, "It waits for u and v, which are quarantined, draining or removed; no other worker fits."},
		{"quarantined", ws{worker("u", 1, out("draining")), worker("v", 1, quarantined), worker("w", 1, quarantined, out("draining"))}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Unavailable, Why: "it gets no new work: draining"},
			{Worker: "v", Fits: true, Cause: schedule.Quarantined, Why: "it is quarantined (unreachable): No route to host.", Quarantine: &workers.Quarantine{Code: workers.QuarantineUnreachable, Detail: "No route to host."}},
			{Worker: "w", Fits: true, Cause: schedule.Unavailable, Why: "it gets no new work: draining"},
		}, "It waits for u, w and v, which are quarantined, draining or removed; no other worker fits."},
		{"busy", ws{worker("u", 0, held(1, "")), worker("v", 0, held(2, ""), soon("late", -time.Minute)), worker("w", 0, soon("x", time.Hour), held(1, "")), worker("x", 0)}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Busy, Until: noon.Add(2 * time.Hour), Why: "it has no free slot: build other holds it until about 2026-09-01 14:00 UTC"},
			{Worker: "v", Fits: true, Cause: schedule.Busy, Until: noon, Why: "it has no free slot: the first of 3 to come free is held by build late, longer than expected"},
			{Worker: "w", Fits: true, Cause: schedule.Busy, Until: noon.Add(time.Hour), Why: "it has no free slot: the first of 2 to come free is held by build x until about 2026-09-01 13:00 UTC"},
			{Worker: "x", Fits: true, Cause: schedule.Busy, Why: "it has no slots"},
		}, "It waits for a slot on u, v, w and x; the first slot may come free about 2026-09-01 12:00 UTC."},
		{"nobody knows till when", ws{worker("u", 0, func(w *schedule.Worker) { w.Slots = 1; w.Held = []schedule.Held{{Build: "b"}} })}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Busy, Why: "it has no free slot: build b holds it, for an unknown time"},
		}, "It waits for a slot on u."},
		{"what has an end comes free before what has none", ws{worker("u", 0, func(w *schedule.Worker) {
			w.Slots = 2
			w.Held = []schedule.Held{{Build: "b"}, {Build: "c", Until: noon.Add(time.Hour)}}
		})}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Busy, Until: noon.Add(time.Hour), Why: "it has no free slot: the first of 2 to come free is held by build c until about 2026-09-01 13:00 UTC"},
		}, "It waits for a slot on u; the first slot may come free about 2026-09-01 13:00 UTC."},
		{"many workers", ws{worker("u", 0), worker("v", 0), worker("w", 0), worker("x", 0), worker("y", 0)}, ss{stage("a")}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Busy, Why: "it has no slots"}, {Worker: "v", Fits: true, Cause: schedule.Busy, Why: "it has no slots"},
			{Worker: "w", Fits: true, Cause: schedule.Busy, Why: "it has no slots"}, {Worker: "x", Fits: true, Cause: schedule.Busy, Why: "it has no slots"},
			{Worker: "y", Fits: true, Cause: schedule.Busy, Why: "it has no slots"},
		}, "It waits for a slot on u, v, w and 2 more."},
		{"lost and used", ws{worker("u", 1), worker("v", 1, func(w *schedule.Worker) { w.Facts.Host = "u" }), worker("w", 0, soon("y", time.Hour)), worker("x", 1)},
			ss{stage("a", used("u"), lost("x"))}, schedule.Settings{Spread: []string{"worker", "host"}}, []schedule.Reason{
				{Worker: "u", Fits: true, Cause: schedule.Used, Why: "another repeat of this build runs or ran there, and other workers fit too"},
				{Worker: "v", Fits: true, Cause: schedule.Used, Why: "it does not differ in host from u, where another repeat runs or ran, and other workers do"},
				{Worker: "w", Fits: true, Cause: schedule.Busy, Until: noon.Add(time.Hour), Why: "it has no free slot: build y holds it until about 2026-09-01 13:00 UTC"},
				{Worker: "x", Fits: true, Cause: schedule.Lost, Why: "it was lost during an earlier attempt of this repeat, and other workers fit too"},
			}, "It waits for a slot on w, because repeats go to different workers, and not to one that was lost during an earlier attempt; the first slot may come free about 2026-09-01 13:00 UTC."},
		{"behind", ws{worker("u", 1), worker("v", 2)}, ss{stage("a"), stage("b", path(9)), stage("c", path(8)), stage("d", path(7))}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Behind, Why: "its free slot goes to build c, which comes first"},
			{Worker: "v", Fits: true, Cause: schedule.Behind, Why: "its 2 free slots go to builds that come first: b and d"},
		}, "It waits for its turn: other builds come first on u and v."},
		{"kept", ws{worker("u", 1, label("gpu", "")), worker("v", 0, held(1, ""))}, ss{stage("a", path(9)), stage("b", labels("gpu"), waited(time.Hour))}, schedule.Settings{}, []schedule.Reason{
			{Worker: "u", Fits: true, Cause: schedule.Reserved, Why: "its free slot is reserved for build b, which has waited long and has fewer workers to choose from"},
			{Worker: "v", Fits: true, Cause: schedule.Busy, Until: noon.Add(2 * time.Hour), Why: "it has no free slot: build other holds it until about 2026-09-01 14:00 UTC"},
		}, "It waits for its turn: other builds come first on u."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := schedule.Explain(noon, schedule.Queue{Stages: tt.stages, Workers: tt.workers}, tt.settings, "a", "baseline")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Explain (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.sentence, schedule.Sentence(got)); diff != "" {
				t.Errorf("Sentence (-want +got):\n%s", diff)
			}
		})
	}
	if got := schedule.Explain(noon, schedule.Queue{Workers: farm(1, 1)}, schedule.Settings{}, "a", "baseline"); got != nil {
		t.Errorf("of a stage that is not there it is said: %v", got)
	}
}

// soon takes a slot more, for a while.
func soon(build string, d time.Duration) func(*schedule.Worker) {
	return func(w *schedule.Worker) {
		w.Slots++
		w.Held = append(w.Held, schedule.Held{Build: build, Stage: "baseline", Until: noon.Add(d)})
	}
}
