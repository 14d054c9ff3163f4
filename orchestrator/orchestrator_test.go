// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package orchestrator_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// states is the state of each stage, by id.
func states(b orchestrator.Build) map[string]orchestrator.StageState {
	m := map[string]orchestrator.StageState{}
	for _, s := range b.Stages {
		m[s.ID] = s.State
	}
	return m
}

// unblocked returns a new build that needs nothing any more.
func unblocked(t *testing.T, id string, repeats int) orchestrator.Build {
	t.Helper()
	b, _, err := orchestrator.New(id, repeats, start).Unblock(start)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pass begins and ends a stage well.
func pass(t *testing.T, b orchestrator.Build, id string) orchestrator.Build {
	t.Helper()
	b, event, err := b.Begin(id, "w", start)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err = b.Succeed(id, event.Fence, digest.Digest{}, start)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuildPassesItsStagesInOrder(t *testing.T) {
	b := unblocked(t, "b1", 2)
	for _, want := range [][]string{{"resolve"}, {"repeat-0", "repeat-1"}, {"compare"}, {"attest"}, {"publish"}} {
		ready, _ := b.Ready(start)
		var have []string
		for _, s := range ready {
			have = append(have, s.ID)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("ready stages (-want +have):\n%s", diff)
		}
		for _, id := range have {
			b = pass(t, b, id)
		}
	}
	if !b.Over() || b.Failure() != nil {
		t.Fatalf("build is not over well: %v", states(b))
	}
}

func TestOneRepeatAloneDoesNotUnblockTheComparison(t *testing.T) {
	b := pass(t, unblocked(t, "b1", 3), "resolve")
	b = pass(t, pass(t, b, "repeat-0"), "repeat-2")
	if s, _ := b.Stage("compare"); s.State != orchestrator.Blocked {
		t.Errorf("compare is %s with a repeat missing", s.State)
	}
}

func TestFailureSkipsWhatFollows(t *testing.T) {
	b := pass(t, unblocked(t, "b1", 2), "resolve")
	b, event, err := b.Begin("repeat-1", "w2", start)
	if err != nil {
		t.Fatal(err)
	}
	failure := orchestrator.Failure{Kind: orchestrator.FailedStep, Message: "make exited with 2"}
	b, events, err := b.Fail("repeat-1", event.Fence, failure, digest.Digest{}, start)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]orchestrator.StageState{"resolve": orchestrator.Succeeded, "repeat-0": orchestrator.Ready,
		"repeat-1": orchestrator.Failed, "compare": orchestrator.Skipped, "attest": orchestrator.Skipped, "publish": orchestrator.Skipped}
	if diff := cmp.Diff(want, states(b)); diff != "" {
		t.Errorf("states (-want +have):\n%s", diff)
	}
	if len(events) != 4 {
		t.Errorf("%d events, want one for each stage that changed: %v", len(events), events)
	}
	b = pass(t, b, "repeat-0") // the other repeat still ends, and tells whether it fails too
	if !b.Over() {
		t.Errorf("build is not over: %v", states(b))
	}
	if diff := cmp.Diff(&failure, b.Failure()); diff != "" {
		t.Errorf("failure (-want +have):\n%s", diff)
	}
}

func TestLostWorkerCostsAnAttempt(t *testing.T) {
	b := pass(t, unblocked(t, "b1", 2), "resolve")
	now := start
	for try := 1; try < orchestrator.MaxAttempts; try++ {
		var event orchestrator.Event
		var err error
		if b, event, err = b.Begin("repeat-0", "w1", now); err != nil {
			t.Fatal(err)
		}
		if b, _, err = b.Lose("repeat-0", event.Fence, "connection reset", now); err != nil {
			t.Fatal(err)
		}
		s, _ := b.Stage("repeat-0")
		if s.State != orchestrator.Ready || s.Attempts != try || len(s.Lost) != try {
			t.Fatalf("after loss %d: %+v", try, s)
		}
		if _, _, err := b.Begin("repeat-0", "w1", now); err == nil {
			t.Fatal("the retry began before its pause was over")
		}
		_, next := b.Ready(now)
		if pause := next.Sub(now); pause != time.Second<<(try-1) {
			t.Errorf("pause %d is %s", try, pause)
		}
		now = next
	}
	b, event, err := b.Begin("repeat-0", "w1", now)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err = b.Lose("repeat-0", event.Fence, "connection reset", now)
	if err != nil {
		t.Fatal(err)
	}
	if f := b.Failure(); f == nil || f.Kind != orchestrator.Infrastructure {
		t.Errorf("after the last attempt: %+v", f)
	}
}

func TestAnOlderFenceIsRefused(t *testing.T) {
	b := pass(t, unblocked(t, "b1", 1), "resolve")
	b, first, err := b.Begin("repeat-0", "w1", start)
	if err != nil {
		t.Fatal(err)
	}
	if b, _, err = b.Lose("repeat-0", first.Fence, "frozen", start); err != nil {
		t.Fatal(err)
	}
	later := start.Add(time.Hour)
	b, second, err := b.Begin("repeat-0", "w2", later)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Succeed("repeat-0", first.Fence, digest.Digest{}, later); err == nil {
		t.Error("the first holder ended the stage that the second holds")
	}
	if _, _, err := b.Succeed("repeat-0", second.Fence, digest.Digest{}, later); err != nil {
		t.Error(err)
	}
}

func TestCancelEndsEverything(t *testing.T) {
	b := pass(t, unblocked(t, "b1", 2), "resolve")
	b, event, err := b.Begin("repeat-0", "w1", start)
	if err != nil {
		t.Fatal(err)
	}
	b, _ = b.Cancel(start)
	if !b.Over() || !b.Cancelled {
		t.Errorf("not over: %v", states(b))
	}
	if _, _, err := b.Succeed("repeat-0", event.Fence, digest.Digest{}, start); err == nil {
		t.Error("a cancelled stage was ended once more")
	}
}

// TestNoSequenceBreaksABuild throws transitions at builds at random, with
// right and wrong fences, through JSON in between, and checks what must hold.
func TestNoSequenceBreaksABuild(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := unblocked(t, "b", 1+rng.IntN(4))
		now := start
		for step := 0; step < 400 && !b.Over(); step++ {
			before := b
			b = disturb(t, rng, b, now)
			now = now.Add(time.Duration(rng.IntN(20)) * time.Second)
			checkTransition(t, seed, before, b)
			b = remembered(t, b)
		}
		if !b.Over() {
			t.Fatalf("seed %d: never over: %v", seed, states(b))
		}
	}
}

func disturb(t *testing.T, rng *rand.Rand, b orchestrator.Build, now time.Time) orchestrator.Build {
	t.Helper()
	s := b.Stages[rng.IntN(len(b.Stages))]
	fence := s.Fence - int64(rng.IntN(6)/5) // now and then a stale one
	var next orchestrator.Build
	var err error
	stale := fence != s.Fence || s.State != orchestrator.Running
	switch op := rng.IntN(20); {
	case s.State == orchestrator.Ready:
		next, _, err = b.Begin(s.ID, "w", now)
		stale = false
	case op < 12:
		next, _, err = b.Succeed(s.ID, fence, digest.Digest{}, now)
	case op < 17:
		next, _, err = b.Lose(s.ID, fence, "lost", now)
	default:
		next, _, err = b.Fail(s.ID, fence, orchestrator.Failure{Kind: orchestrator.FailedStep}, digest.Digest{}, now)
	}
	if stale && err == nil {
		t.Fatalf("a stale holder (fence %d of %+v) was believed", fence, s)
	}
	return next
}

func checkTransition(t *testing.T, seed uint64, before, after orchestrator.Build) {
	t.Helper()
	for i, s := range after.Stages {
		was := before.Stages[i]
		if was.State.Over() && was.State != s.State {
			t.Fatalf("seed %d: stage %s was over (%s) and became %s", seed, s.ID, was.State, s.State)
		}
		if s.Fence < was.Fence || s.Attempts < was.Attempts {
			t.Fatalf("seed %d: stage %s went back: %+v -> %+v", seed, s.ID, was, s)
		}
		for _, id := range s.After {
			if a, _ := after.Stage(id); s.State == orchestrator.Running && a.State != orchestrator.Succeeded {
				t.Fatalf("seed %d: stage %s runs while %s is %s", seed, s.ID, id, a.State)
			}
		}
	}
}

// remembered is b after it was written down and read again.
func remembered(t *testing.T, b orchestrator.Build) orchestrator.Build {
	t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var again orchestrator.Build
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, again); diff != "" {
		t.Fatalf("a build read back (-want +have):\n%s", diff)
	}
	return again
}

func TestTally(t *testing.T) {
	suite := recipes.Test{MinTests: 4, KnownFailures: []recipes.KnownFailure{{Name: "b"}, {Name: "gone"}, {Name: "e"}}}
	report := plugins.Report{Cases: []plugins.Case{
		{Name: "a", Outcome: plugins.Passed}, {Name: "b", Outcome: plugins.Failed}, {Name: "c", Outcome: plugins.Skipped},
		{Name: "d", Outcome: plugins.ExpectedFail}, {Name: "e", Outcome: plugins.Passed}, {Name: "f", Outcome: plugins.Errored},
		{Name: "g", Outcome: plugins.UnexpectedPass},
	}}
	want := orchestrator.Tally{Total: 7, Passed: 3, Skipped: 1, Expected: 2, Failed: []string{"f"}, UnexpectedlyPassed: []string{"e", "g"}, Missing: []string{"gone"}, MinTests: 4}
	have := orchestrator.TallyUp(report, suite)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("tally (-want +have):\n%s", diff)
	}
	if have.OK() {
		t.Error("an unexpected failure is no good suite")
	}
	shrunk := orchestrator.TallyUp(plugins.Report{Cases: report.Cases[:1]}, suite)
	if !shrunk.Shrunk || shrunk.OK() {
		t.Errorf("one test of at least four is no good suite: %+v", shrunk)
	}
}

func TestInputsDigestLeavesNotesOut(t *testing.T) {
	in := orchestrator.Inputs{Sources: []orchestrator.Input{{Name: "a", Note: "signed by x"}}, Epoch: 1}
	first, err := in.Digest()
	if err != nil {
		t.Fatal(err)
	}
	in.Sources[0].Note = "signed by x, whose key has expired since"
	second, err := in.Digest()
	if err != nil {
		t.Fatal(err)
	}
	in.Epoch = 2
	third, err := in.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if first != second || first == third {
		t.Errorf("digests %s, %s, %s: the first two alike, the third not", first, second, third)
	}
}
