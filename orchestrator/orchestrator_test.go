// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package orchestrator_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
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

// unblocked returns a new build whose needs are available.
func unblocked(t *testing.T, id string, repeats int) orchestrator.Build {
	t.Helper()
	b, _, err := orchestrator.New(id, repeats, start).Unblock(start)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pass begins a stage and ends it with success.
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
	b = pass(t, b, "repeat-0") // the other repeat still ends, and shows whether it fails too
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

// TestTransitionsShareNothing: a transition from a value does not affect other
// transitions from the same value.
func TestTransitionsShareNothing(t *testing.T) {
	b, now := pass(t, unblocked(t, "b1", 1), "resolve"), start
	lose := func(b orchestrator.Build, worker string) orchestrator.Build {
		t.Helper()
		b, event, err := b.Begin("repeat-0", worker, now)
		if err != nil {
			t.Fatal(err)
		}
		if b, _, err = b.Lose("repeat-0", event.Fence, "lost", now); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, worker := range []string{"w1", "w2", "w3"} {
		b = lose(b, worker)
		now = now.Add(time.Minute)
	}
	one := lose(b, "left")
	lose(b, "right")
	s, _ := one.Stage("repeat-0")
	if diff := cmp.Diff([]string{"w1", "w2", "w3", "left"}, s.Lost); diff != "" {
		t.Errorf("lost workers, after another loss followed from the same build (-want +have):\n%s", diff)
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
	later := start.Add(time.Minute)
	b, events := b.Cancel(later)
	if !b.Over() || !b.Cancelled || b.State() != orchestrator.BuildCancelled {
		t.Errorf("not over: %v", states(b))
	}
	if s, _ := b.Stage("repeat-0"); s.Fence != event.Fence+1 {
		t.Errorf("the fence of the running repeat is %d, was %d: its holder does not learn of it", s.Fence, event.Fence)
	}
	want := []orchestrator.Event{
		{Build: "b1", At: later, Stage: "repeat-0", From: orchestrator.Running, To: orchestrator.Cancelled, Worker: "w1"},
		{Build: "b1", At: later, Stage: "repeat-1", From: orchestrator.Ready, To: orchestrator.Cancelled},
		{Build: "b1", At: later, Stage: "compare", From: orchestrator.Blocked, To: orchestrator.Cancelled},
		{Build: "b1", At: later, Stage: "attest", From: orchestrator.Blocked, To: orchestrator.Cancelled},
		{Build: "b1", At: later, Stage: "publish", From: orchestrator.Blocked, To: orchestrator.Cancelled},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +have):\n%s", diff)
	}
	if _, _, err := b.Succeed("repeat-0", event.Fence, digest.Digest{}, start); err == nil {
		t.Error("a cancelled stage was ended once more")
	}
}

func TestStageStateOver(t *testing.T) {
	for state, want := range map[orchestrator.StageState]bool{
		orchestrator.Blocked: false, orchestrator.Ready: false, orchestrator.Running: false, "": false,
		orchestrator.Succeeded: true, orchestrator.Failed: true, orchestrator.Skipped: true, orchestrator.Cancelled: true, orchestrator.Reused: true,
	} {
		if got := state.Over(); got != want {
			t.Errorf("%q.Over() = %t, want %t", state, got, want)
		}
	}
}

func TestBuildStateOver(t *testing.T) {
	for state, want := range map[orchestrator.BuildState]bool{
		orchestrator.BuildWaiting: false, orchestrator.BuildQueued: false, orchestrator.BuildRunning: false, "": false,
		orchestrator.BuildSucceeded: true, orchestrator.BuildFailed: true, orchestrator.BuildCancelled: true,
	} {
		if got := state.Over(); got != want {
			t.Errorf("%q.Over() = %t, want %t", state, got, want)
		}
	}
}

// TestBuildState checks the state of builds of two stages, whatever transitions lead
// there.
func TestBuildState(t *testing.T) {
	const (
		blocked, ready, running = orchestrator.Blocked, orchestrator.Ready, orchestrator.Running
		succeeded, failed       = orchestrator.Succeeded, orchestrator.Failed
		skipped, ended, reused  = orchestrator.Skipped, orchestrator.Cancelled, orchestrator.Reused
		asked                   = true
	)
	for _, tt := range []struct {
		first, second orchestrator.StageState
		cancelled     bool
		want          orchestrator.BuildState
	}{
		{blocked, blocked, false, orchestrator.BuildWaiting},
		{ready, blocked, false, orchestrator.BuildQueued},
		{running, blocked, false, orchestrator.BuildRunning},
		{ready, running, false, orchestrator.BuildRunning},
		{succeeded, ready, false, orchestrator.BuildQueued},
		{succeeded, blocked, false, orchestrator.BuildWaiting},
		{failed, running, false, orchestrator.BuildRunning},
		{failed, skipped, false, orchestrator.BuildFailed},
		{succeeded, failed, false, orchestrator.BuildFailed},
		{succeeded, succeeded, false, orchestrator.BuildSucceeded},
		{succeeded, reused, false, orchestrator.BuildSucceeded},
		{blocked, blocked, asked, orchestrator.BuildWaiting},
		{ready, blocked, asked, orchestrator.BuildQueued},
		{ended, running, asked, orchestrator.BuildRunning},
		{ended, ended, asked, orchestrator.BuildCancelled},
		{failed, ended, asked, orchestrator.BuildCancelled},
	} {
		t.Run(fmt.Sprintf("%s, %s, %t", tt.first, tt.second, tt.cancelled), func(t *testing.T) {
			b := orchestrator.Build{Cancelled: tt.cancelled, Stages: []orchestrator.Stage{{ID: "one", State: tt.first}, {ID: "two", State: tt.second}}}
			for i := range b.Stages {
				if b.Stages[i].State == failed {
					b.Stages[i].Failure = &orchestrator.Failure{Kind: orchestrator.FailedStep}
				}
			}
			if got := b.State(); got != tt.want {
				t.Errorf("State() = %s, want %s", got, tt.want)
			}
		})
	}
}

// TestOnlySuccessUnblocks: a stage that ended without success never lets a later one
// begin, however the value got into that state.
func TestOnlySuccessUnblocks(t *testing.T) {
	for _, state := range []orchestrator.StageState{orchestrator.Failed, orchestrator.Skipped, orchestrator.Cancelled, orchestrator.Reused} {
		b := orchestrator.Build{Stages: []orchestrator.Stage{{ID: "one", State: state}, {ID: "two", State: orchestrator.Running, Fence: 1},
			{ID: "three", State: orchestrator.Blocked, After: []string{"one", "two"}}}}
		b, _, err := b.Succeed("two", 1, digest.Digest{}, start)
		if err != nil {
			t.Fatal(err)
		}
		if s, _ := b.Stage("three"); s.State != orchestrator.Blocked {
			t.Errorf("after one that is %s, a stage is %s", state, s.State)
		}
	}
}

func TestFailureIsThatOfTheFirstFailedStage(t *testing.T) {
	first, second := &orchestrator.Failure{Kind: orchestrator.FailedStep, Message: "first"}, &orchestrator.Failure{Kind: orchestrator.FailedTests, Message: "second"}
	b := orchestrator.Build{Stages: []orchestrator.Stage{
		{ID: "retried", State: orchestrator.Succeeded, Failure: &orchestrator.Failure{Message: "overcome"}},
		{ID: "one", State: orchestrator.Failed, Failure: first}, {ID: "two", State: orchestrator.Failed, Failure: second}}}
	if got := b.Failure(); got != first {
		t.Errorf("Failure() = %v, want %v", got, first)
	}
}

func TestReadyNamesTheEarliestRetry(t *testing.T) {
	stage := func(id string, state orchestrator.StageState, after time.Duration) orchestrator.Stage {
		return orchestrator.Stage{ID: id, State: state, NotBefore: start.Add(after)}
	}
	b := orchestrator.Build{Stages: []orchestrator.Stage{stage("now", orchestrator.Ready, 0), stage("late", orchestrator.Ready, 9), stage("soon", orchestrator.Ready, 5),
		stage("later", orchestrator.Ready, 7), stage("blocked", orchestrator.Blocked, 1), stage("running", orchestrator.Running, 0)}}
	ready, next := b.Ready(start)
	if len(ready) != 1 || ready[0].ID != "now" || !next.Equal(start.Add(5)) {
		t.Errorf("Ready() = %v, %v", ready, next)
	}
	if ready, next := b.Ready(start.Add(9)); len(ready) != 4 || !next.IsZero() {
		t.Errorf("once all pauses are over, Ready() = %v, %v", ready, next)
	}
}

func TestUnknownStagesAreRefused(t *testing.T) {
	b := unblocked(t, "b1", 1)
	if _, ok := b.Stage("repeat-7"); ok {
		t.Error("a stage that is not there was found")
	}
	if _, _, err := b.Begin("repeat-7", "w", start); err == nil {
		t.Error("a stage that is not there began")
	}
	if _, _, err := b.Lose("repeat-7", 0, "lost", start); err == nil {
		t.Error("a stage that is not there was lost")
	}
	if _, _, err := b.Fail("repeat-7", 0, orchestrator.Failure{}, digest.Digest{}, start); err == nil {
		t.Error("a stage that is not there failed")
	}
}

func TestNewWaitsForWhatItNeeds(t *testing.T) {
	b := orchestrator.New("b1", 2, start)
	want := []orchestrator.Stage{
		{ID: "resolve", Kind: orchestrator.Resolve, State: orchestrator.Blocked, Since: start},
		{ID: "repeat-0", Kind: orchestrator.Repeat, State: orchestrator.Blocked, After: []string{"resolve"}, Since: start},
		{ID: "repeat-1", Kind: orchestrator.Repeat, State: orchestrator.Blocked, Repeat: 1, After: []string{"resolve"}, Since: start},
		{ID: "compare", Kind: orchestrator.Compare, State: orchestrator.Blocked, After: []string{"repeat-0", "repeat-1"}, Since: start},
		{ID: "attest", Kind: orchestrator.Attest, State: orchestrator.Blocked, After: []string{"compare"}, Since: start},
		{ID: "publish", Kind: orchestrator.Publish, State: orchestrator.Blocked, After: []string{"attest"}, Since: start},
	}
	if diff := cmp.Diff(want, b.Stages); diff != "" {
		t.Errorf("stages (-want +have):\n%s", diff)
	}
}

// TestPostponeWaitsLongerEachTime: the pause doubles with each attempt, up to a minute.
func TestPostponeWaitsLongerEachTime(t *testing.T) {
	b, now := unblocked(t, "b1", 1), start
	pauses := append([]time.Duration{2, 4, 8, 16, 32}, slices.Repeat([]time.Duration{60}, 80)...)
	for attempt, want := range pauses {
		var event orchestrator.Event
		var err error
		if b, event, err = b.Begin("resolve", "w", now); err != nil {
			t.Fatal(err)
		}
		if s, _ := b.Stage("resolve"); !s.NotBefore.IsZero() {
			t.Errorf("attempt %d has begun and may not before %s", attempt, s.NotBefore)
		}
		if b, _, err = b.Postpone("resolve", event.Fence, "disk full", now); err != nil {
			t.Fatal(err)
		}
		_, next := b.Ready(now)
		if pause := next.Sub(now); pause != want*time.Second {
			t.Errorf("pause %d is %s, want %s", attempt, pause, want*time.Second)
		}
		now = next
	}
	if s, _ := b.Stage("resolve"); len(s.Lost) != 0 || s.Worker != "" || s.State != orchestrator.Ready {
		t.Errorf("a full disk was held against a worker: %+v", s)
	}
}

func TestReuseEndsTheBuild(t *testing.T) {
	b := unblocked(t, "b1", 2)
	b, event, err := b.Begin("resolve", "", start)
	if err != nil {
		t.Fatal(err)
	}
	inputs, later := digest.Of([]byte("inputs")), start.Add(time.Minute)
	next, events, err := b.Reuse("resolve", event.Fence, inputs, "b0", later)
	if err != nil {
		t.Fatal(err)
	}
	if !next.Over() || next.State() != orchestrator.BuildSucceeded || next.SameAs != "b0" {
		t.Errorf("the build is %s, the same as %q: %v", next.State(), next.SameAs, states(next))
	}
	if s, _ := next.Stage("resolve"); s.Output != inputs {
		t.Errorf("what was resolved is %s, want %s", s.Output, inputs)
	}
	want := []orchestrator.Event{{Build: "b1", At: later, Stage: "resolve", From: orchestrator.Running, To: orchestrator.Succeeded, Fence: 1, Detail: "the inputs are those of build b0"}}
	for _, id := range []string{"repeat-0", "repeat-1", "compare", "attest", "publish"} {
		want = append(want, orchestrator.Event{Build: "b1", At: later, Stage: id, From: orchestrator.Blocked, To: orchestrator.Reused})
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +have):\n%s", diff)
	}
	b = pass(t, unblocked(t, "b2", 2), "resolve")
	if b, event, err = b.Begin("repeat-0", "w", start); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Reuse("repeat-0", event.Fence, inputs, "b0", start); err == nil {
		t.Error("a build whose repeats run was ended as another one's")
	}
}

func TestFailNeedEndsABuildThatWaits(t *testing.T) {
	b, events, err := orchestrator.New("b1", 1, start).FailNeed("zlib has failed", start)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&orchestrator.Failure{Kind: orchestrator.FailedNeed, Message: "zlib has failed"}, b.Failure()); diff != "" {
		t.Errorf("failure (-want +have):\n%s", diff)
	}
	if b.State() != orchestrator.BuildFailed || len(events) != len(b.Stages) || events[0].Detail != "zlib has failed" {
		t.Errorf("%s after %v", b.State(), events)
	}
	if _, _, err := unblocked(t, "b2", 1).FailNeed("zlib has failed", start); err == nil {
		t.Error("a build that has what it needs was given up")
	}
	if _, _, err := unblocked(t, "b3", 1).Unblock(start); err == nil {
		t.Error("a build was unblocked twice")
	}
}
