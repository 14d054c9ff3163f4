// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package orchestrator_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
)

// step is one attempted transition, and its result.
type step struct {
	op     string
	stage  orchestrator.Stage // before
	fence  int64              // under which it was tried
	output digest.Digest
	now    time.Time
	before orchestrator.Build
	after  orchestrator.Build
	events []orchestrator.Event
	err    error
}

// TestNoSequenceBreaksABuild applies random transitions to builds, with right and wrong
// fences, through JSON in between, and checks the invariants: a refused step changes
// nothing, an accepted one changes what it should, and exactly one event reports each
// stage that changed.
func TestNoSequenceBreaksABuild(t *testing.T) {
	accepted, ends := map[string]int{}, map[orchestrator.BuildState]int{}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := orchestrator.New("b", 1+rng.IntN(4), start)
		now := start
		for n := 0; n < 1000 && !b.Over(); n++ {
			s := disturb(rng, b, now, n)
			checkStep(t, s)
			if t.Failed() {
				t.Fatalf("seed %d, step %d: %s of %+v under fence %d: error %v", seed, n, s.op, s.stage, s.fence, s.err)
			}
			if b = s.after; s.err == nil {
				accepted[s.op]++
				b = remembered(t, b)
			}
			now = now.Add(time.Duration(rng.IntN(20)) * time.Second)
		}
		if !b.Over() {
			t.Fatalf("seed %d: never over: %v", seed, states(b))
		}
		ends[b.State()]++
	}
	for _, op := range []string{"unblock", "fail need", "begin", "succeed", "reuse", "lose", "postpone", "fail", "cancel"} {
		if accepted[op] < 10 {
			t.Errorf("%s was accepted %d times only: the test is too dull", op, accepted[op])
		}
	}
	for _, end := range []orchestrator.BuildState{orchestrator.BuildSucceeded, orchestrator.BuildFailed, orchestrator.BuildCancelled} {
		if ends[end] < 10 {
			t.Errorf("%d builds are %s in the end: the test is too dull", ends[end], end)
		}
	}
}

// disturb tries a transition on a stage, both at random.
func disturb(rng *rand.Rand, b orchestrator.Build, now time.Time, n int) step {
	s := step{before: b, now: now, stage: b.Stages[rng.IntN(len(b.Stages))], output: digest.Of(fmt.Append(nil, n))}
	s.fence = s.stage.Fence - int64(rng.IntN(6)/5) // now and then a stale one
	id := s.stage.ID
	one := func(next orchestrator.Build, event orchestrator.Event, err error) {
		s.after, s.events, s.err = next, []orchestrator.Event{event}, err
	}
	switch op := rng.IntN(200); {
	case op < 70:
		s.op = "begin"
		one(b.Begin(id, "w-"+id, now))
	case op < 80:
		s.op = "unblock"
		one(b.Unblock(now))
	case op < 81:
		s.op = "fail need"
		s.after, s.events, s.err = b.FailNeed("the need has failed", now)
	case op < 82:
		s.op = "cancel"
		s.after, s.events = b.Cancel(now)
	case op < 92:
		s.op = "reuse"
		s.after, s.events, s.err = b.Reuse(id, s.fence, s.output, "twin", now)
	case op < 150:
		s.op = "succeed"
		s.after, s.events, s.err = b.Succeed(id, s.fence, s.output, now)
	case op < 170:
		s.op = "lose"
		s.after, s.events, s.err = b.Lose(id, s.fence, "connection reset", now)
	case op < 195:
		s.op = "postpone"
		s.after, s.events, s.err = b.Postpone(id, s.fence, "disk full", now)
	default:
		s.op = "fail"
		s.after, s.events, s.err = b.Fail(id, s.fence, orchestrator.Failure{Kind: orchestrator.FailedStep, Message: "make"}, s.output, now)
	}
	return s
}

func checkStep(t *testing.T, s step) {
	t.Helper()
	if may := s.may(); may != (s.err == nil) {
		t.Errorf("it may be done: %t; error: %v", may, s.err)
	}
	if s.err != nil {
		same(t, "a build after a step that was refused", s.before, s.after)
		return
	}
	var told []orchestrator.Event
	for i, was := range s.before.Stages {
		is := s.after.Stages[i]
		if was.State == is.State {
			same(t, "a stage in the same state", was, is)
			continue
		}
		told = append(told, orchestrator.Event{Build: "b", At: s.now, Stage: was.ID, From: was.State, To: is.State})
		same(t, "stage "+was.ID, s.changed(was, is.State), is)
	}
	for i := range s.events {
		e := &s.events[i]
		is, _ := s.after.Stage(e.Stage)
		if e.Stage == s.stage.ID && s.op != "cancel" && s.op != "fail need" && e.Fence != is.Fence {
			t.Errorf("the event of stage %s has fence %d, the stage %d", e.Stage, e.Fence, is.Fence)
		}
		if worker, detail := s.told(*e, is); e.Worker != worker || e.Detail != detail {
			t.Errorf("the event of stage %s names worker %q, %q, want %q, %q", e.Stage, e.Worker, e.Detail, worker, detail)
		}
		e.Fence, e.Worker, e.Detail = 0, "", ""
	}
	byStage := func(a, b orchestrator.Event) int { return s.index(a.Stage) - s.index(b.Stage) }
	slices.SortFunc(s.events, byStage)
	same(t, "events", told, s.events)
	checkEdges(t, s.after)
	if want := s.op == "cancel" || s.before.Cancelled; s.after.Cancelled != want {
		t.Errorf("cancelled is %t, want %t", s.after.Cancelled, want)
	}
	if want := map[bool]string{true: "twin"}[s.op == "reuse"]; s.after.SameAs != want {
		t.Errorf("the build is the same as %q, want %q", s.after.SameAs, want)
	}
}

// may reports whether the state of the stage allows the step.
func (s step) may() bool {
	switch first := s.before.Stages[0]; s.op {
	case "cancel":
		return true
	case "unblock", "fail need":
		return first.State == orchestrator.Blocked
	case "begin":
		return s.stage.State == orchestrator.Ready && !s.stage.NotBefore.After(s.now)
	case "reuse":
		if s.stage.ID != first.ID {
			return false
		}
	}
	return s.stage.State == orchestrator.Running && s.fence == s.stage.Fence
}

// changed returns what a stage should be once the step has brought it into a state.
func (s step) changed(was orchestrator.Stage, to orchestrator.StageState) orchestrator.Stage {
	want := was
	want.State, want.Since = to, s.now
	target := was.ID == s.stage.ID
	switch {
	case s.op == "cancel":
		want.Fence++
	case s.op == "fail need" && was.ID == s.before.Stages[0].ID:
		want.Failure = &orchestrator.Failure{Kind: orchestrator.FailedNeed, Message: "the need has failed"}
	case !target:
	case s.op == "begin":
		want.Attempts, want.Fence = was.Attempts+1, was.Fence+1
		want.Worker, want.NotBefore = "w-"+was.ID, time.Time{}
	case s.op == "succeed", s.op == "reuse":
		want.Output = s.output
	case s.op == "fail":
		want.Output, want.Failure = s.output, &orchestrator.Failure{Kind: orchestrator.FailedStep, Message: "make"}
	case s.op == "postpone":
		want.Worker, want.NotBefore = "", s.now.Add(min(time.Minute, time.Second<<min(was.Attempts, 10)))
	case s.op == "lose" && len(was.Lost) < orchestrator.MaxAttempts-1:
		want.Worker, want.NotBefore = "", s.now.Add(time.Second<<len(was.Lost))
		want.Lost = append(slices.Clone(was.Lost), was.Worker)
	case s.op == "lose":
		want.Failure = &orchestrator.Failure{Kind: orchestrator.Infrastructure,
			Message: fmt.Sprintf("lost on %d workers, last %s: connection reset", orchestrator.MaxAttempts, was.Worker)}
	}
	return want
}

// told returns the worker and the detail that the event of a stage should name.
func (s step) told(e orchestrator.Event, is orchestrator.Stage) (worker, detail string) {
	was := s.before.Stages[s.index(e.Stage)]
	switch {
	case s.op == "cancel":
		return was.Worker, ""
	case s.op == "fail need" && is.Failure != nil:
		return "", "the need has failed"
	case e.Stage != s.stage.ID:
		return "", ""
	case s.op == "begin":
		return "w-" + e.Stage, ""
	case s.op == "reuse":
		return was.Worker, "the inputs are those of build twin"
	case s.op == "lose" && is.Failure == nil:
		return was.Worker, "connection reset"
	case s.op == "lose", s.op == "fail":
		return was.Worker, is.Failure.Message
	case s.op == "postpone":
		return "", "disk full"
	}
	return was.Worker, ""
}

func (s step) index(id string) int {
	return slices.IndexFunc(s.before.Stages, func(x orchestrator.Stage) bool { return x.ID == id })
}

// checkEdges: a stage is blocked until all stages before it have succeeded,
// and no longer; nothing waits for what has failed.
func checkEdges(t *testing.T, b orchestrator.Build) {
	t.Helper()
	for i, s := range b.Stages {
		through, gone := true, false
		for _, id := range s.After {
			a, _ := b.Stage(id)
			through = through && a.State == orchestrator.Succeeded
			gone = gone || a.State == orchestrator.Failed || a.State == orchestrator.Skipped
		}
		begun := s.State == orchestrator.Ready || s.State == orchestrator.Running || s.State == orchestrator.Succeeded || s.State == orchestrator.Failed
		if begun && !through || s.State == orchestrator.Blocked && (through && i > 0 || gone) || s.State == orchestrator.Skipped && !gone {
			t.Errorf("stage %s is %s: %v", s.ID, s.State, states(b))
		}
	}
}

func same[T any](t *testing.T, what string, want, have T) {
	t.Helper()
	if !reflect.DeepEqual(want, have) { // cmp.Diff is much slower
		t.Errorf("%s (-want +have):\n%s", what, cmp.Diff(want, have))
	}
}

// remembered returns b after encoding and decoding.
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
	same(t, "a build read back", b, again)
	return again
}
