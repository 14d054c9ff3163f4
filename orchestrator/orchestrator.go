// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package orchestrator models the life of a build as values and pure functions: the
// stages and the edges between them, the legal transitions, the cost of a lost worker,
// and the records of what was observed.
//
// It does no I/O, starts no goroutine and reads no clock. The caller
// (orchestrator/engine, over orchestrator/store) passes in what happened and then acts
// on the stages that are ready. The same functions therefore work with any store that
// keeps the values between two transitions.
package orchestrator

import (
	"fmt"
	"slices"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// StageKind says what a stage does.
type StageKind string

// The kinds of stages, in the order in which a build passes them.
const (
	Resolve StageKind = "resolve" // fetch and prove every input
	Repeat  StageKind = "repeat"  // build and test once, on one worker
	Compare StageKind = "compare" // package and compare the repeats
	Attest  StageKind = "attest"  // sign statements about what was compared
	Publish StageKind = "publish" // write artifacts and bundles
)

// StageState is where a stage stands.
type StageState string

// The states of a stage. The last five are final.
const (
	Blocked   StageState = "blocked"   // waits for stages before it
	Ready     StageState = "ready"     // may begin
	Running   StageState = "running"   // has begun, under a fence
	Succeeded StageState = "succeeded" //
	Failed    StageState = "failed"    // with a Failure
	Skipped   StageState = "skipped"   // a stage before it failed
	Cancelled StageState = "cancelled" // on request
	Reused    StageState = "reused"    // another build with the same inputs has passed it
)

// Over reports whether the state is final.
func (s StageState) Over() bool {
	return s == Succeeded || s == Failed || s == Skipped || s == Cancelled || s == Reused
}

// FailureKind says who has to act when a build ends without a release.
type FailureKind string

// The kinds of failure.
const (
	FaultyRecipe   FailureKind = "recipe"         // the maintainer: the recipe is wrong
	FaultySource   FailureKind = "source"         // checksum, signature or availability of an input
	FailedNeed     FailureKind = "need"           // a port that this one needs was not built
	FailedStep     FailureKind = "step"           // the port does not build
	FailedTests    FailureKind = "tests"          // the port's suite has unexpected failures
	OverLimit      FailureKind = "limit"          // a step ran past its limit
	Infrastructure FailureKind = "infrastructure" // workers were lost too often, a disk is full ...
	NotReproduced  FailureKind = "different"      // the repeats differ by more than the recipe allows
	NotComparable  FailureKind = "incomparable"   // an output cannot be read to its end
	NotSigned      FailureKind = "signing"        // the signer refused or failed
)

// Failure is why a stage failed.
type Failure struct {
	Kind FailureKind `json:"kind"`
	// Message says what happened and what to do, for people.
	Message string `json:"message"`
}

// Stage is one node in the graph of a build.
type Stage struct {
	ID    string     `json:"id"`
	Kind  StageKind  `json:"kind"`
	State StageState `json:"state"`
	// Repeat is the number of the repeat, from 0, for stages of that kind.
	Repeat int `json:"repeat"`
	// After lists the ids of the stages that must have succeeded before.
	After []string `json:"after,omitempty"`
	// Attempts counts how often the stage has begun.
	Attempts int `json:"attempts"`
	// Fence rises with each attempt; a report from an earlier holder under an older
	// fence is refused.
	Fence int64 `json:"fence"`
	// Worker runs the current attempt; Lost lists the workers that lost earlier ones.
	Worker string   `json:"worker,omitempty"`
	Lost   []string `json:"lost,omitempty"`
	// NotBefore is the earliest time at which a retry may begin.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Since is when the stage entered its state.
	Since time.Time `json:"since,omitzero"`
	// Output names what the stage made, in the artifact store.
	Output  digest.Digest `json:"output,omitzero"`
	Failure *Failure      `json:"failure,omitempty"`
}

// Build is one recipe with pinned inputs on its way to a verdict.
type Build struct {
	ID     string  `json:"id"`
	Stages []Stage `json:"stages"`
	// Cancelled is set once the build's cancellation was requested.
	Cancelled bool `json:"cancelled,omitempty"`
	// SameAs is the build with the same inputs whose outcome this one takes over.
	SameAs string `json:"same_as,omitempty"`
}

// BuildState sums up the stages of a build.
type BuildState string

// The states of a build. The last three are final.
const (
	BuildWaiting   BuildState = "waiting"   // for the ports it needs
	BuildQueued    BuildState = "queued"    // a stage is ready, none has begun
	BuildRunning   BuildState = "running"   // a stage runs
	BuildSucceeded BuildState = "succeeded" // it may be released, or it reused a build with the same inputs
	BuildFailed    BuildState = "failed"    // with a Failure
	BuildCancelled BuildState = "cancelled" //
)

// Over reports whether the state is final.
func (s BuildState) Over() bool {
	return s == BuildSucceeded || s == BuildFailed || s == BuildCancelled
}

// State sums up the stages.
func (b Build) State() BuildState {
	over := b.Over()
	switch {
	case over && b.Cancelled:
		return BuildCancelled
	case over && b.Failure() != nil:
		return BuildFailed
	case over:
		return BuildSucceeded
	case slices.ContainsFunc(b.Stages, func(s Stage) bool { return s.State == Running }):
		return BuildRunning
	case slices.ContainsFunc(b.Stages, func(s Stage) bool { return s.State == Ready }):
		return BuildQueued
	default:
		return BuildWaiting
	}
}

// Event is one transition, for history and for watchers.
type Event struct {
	// Seq orders all events of a farm; 0 until it is stored.
	Seq    int64      `json:"seq,omitempty"`
	Build  string     `json:"build,omitempty"`
	At     time.Time  `json:"at"`
	Stage  string     `json:"stage"`
	From   StageState `json:"from"`
	To     StageState `json:"to"`
	Fence  int64      `json:"fence,omitempty"`
	Worker string     `json:"worker,omitempty"`
	Detail string     `json:"detail,omitempty"`
}

// Limits of retries after lost workers.
const (
	MaxAttempts  = 5
	firstBackoff = time.Second
	maxBackoff   = time.Minute
)

// New returns a build with that many repeats. Its first stage is blocked until
// [Build.Unblock] reports that every port the build needs is available.
func New(id string, repeats int, now time.Time) Build {
	b := Build{ID: id}
	add := func(id string, kind StageKind, repeat int, after ...string) string {
		b.Stages = append(b.Stages, Stage{ID: id, Kind: kind, State: Blocked, Repeat: repeat, After: after, Since: now})
		return id
	}
	resolve := add("resolve", Resolve, 0)
	var all []string
	for i := range repeats {
		all = append(all, add(fmt.Sprintf("repeat-%d", i), Repeat, i, resolve))
	}
	compared := add("compare", Compare, 0, all...)
	attested := add("attest", Attest, 0, compared)
	add("publish", Publish, 0, attested)
	return b
}

// Stage returns the stage of that id.
func (b Build) Stage(id string) (Stage, bool) {
	i := b.index(id)
	if i < 0 {
		return Stage{}, false
	}
	return b.Stages[i], true
}

// Ready returns the stages that may begin at now, and the earliest time at which a
// stage that waits for a retry may begin (zero if none waits).
func (b Build) Ready(now time.Time) (ready []Stage, next time.Time) {
	for _, s := range b.Stages {
		switch {
		case s.State != Ready:
		case s.NotBefore.After(now):
			if next.IsZero() || s.NotBefore.Before(next) {
				next = s.NotBefore
			}
		default:
			ready = append(ready, s)
		}
	}
	return ready, next
}

// Over reports whether every stage has ended.
func (b Build) Over() bool {
	return !slices.ContainsFunc(b.Stages, func(s Stage) bool { return !s.State.Over() })
}

// Failure returns the first failure in the order of the stages, or nil.
func (b Build) Failure() *Failure {
	for _, s := range b.Stages {
		if s.Failure != nil && s.State == Failed {
			return s.Failure
		}
	}
	return nil
}

// Unblock lets the build begin: every port that it needs is available.
func (b Build) Unblock(now time.Time) (Build, Event, error) {
	first := b.Stages[0].ID
	return b.change(first, now, Ready, func(s *Stage) error {
		if s.State != Blocked {
			return fmt.Errorf("beginning build %s: its stage %s is %s", b.ID, first, s.State)
		}
		return nil
	})
}

// FailNeed ends a build one of whose needs cannot be built.
func (b Build) FailNeed(reason string, now time.Time) (Build, []Event, error) {
	first := b.Stages[0].ID
	next, event, err := b.change(first, now, Failed, func(s *Stage) error {
		if s.State != Blocked {
			return fmt.Errorf("giving build %s up: its stage %s is %s", b.ID, first, s.State)
		}
		s.Failure = &Failure{Kind: FailedNeed, Message: reason}
		return nil
	})
	if err != nil {
		return b, nil, err
	}
	event.Detail = reason
	return next, append([]Event{event}, next.skip(first, now)...), nil
}

// Reuse ends a build in its first stage: another build had the same inputs, and this
// build takes over its outcome.
func (b Build) Reuse(id string, fence int64, output digest.Digest, other string, now time.Time) (Build, []Event, error) {
	if id != b.Stages[0].ID {
		return b, nil, fmt.Errorf("reusing build %s for build %s: stage %s is not its first", other, b.ID, id)
	}
	next, events, err := b.Succeed(id, fence, output, now)
	if err != nil {
		return b, nil, err
	}
	next.SameAs = other
	events = events[:1]
	events[0].Detail = "the inputs are those of build " + other
	for i, s := range next.Stages {
		if s.State.Over() {
			continue
		}
		next.Stages[i].State, next.Stages[i].Since = Reused, now
		events = append(events, Event{Build: b.ID, At: now, Stage: s.ID, From: Blocked, To: Reused})
	}
	return next, events, nil
}

// Begin starts a ready stage, on a worker if it is a repeat, and raises the fence.
// Every report about this attempt must name the new fence.
func (b Build) Begin(id, worker string, now time.Time) (Build, Event, error) {
	return b.change(id, now, Running, func(s *Stage) error {
		if s.State != Ready || s.NotBefore.After(now) {
			return fmt.Errorf("beginning stage %s: it is %s", id, s.State)
		}
		s.Attempts++
		s.Fence++
		s.Worker = worker
		s.NotBefore = time.Time{}
		return nil
	})
}

// Succeed ends a running stage with success, keeps its output, and unblocks the stages
// that waited for it alone.
func (b Build) Succeed(id string, fence int64, output digest.Digest, now time.Time) (Build, []Event, error) {
	next, event, err := b.change(id, now, Succeeded, func(s *Stage) error {
		s.Output = output
		return requireHold(id, fence)(s)
	})
	if err != nil {
		return b, nil, err
	}
	events := []Event{event}
	for i, s := range next.Stages {
		if s.State == Blocked && next.unblocked(s) {
			next.Stages[i].State, next.Stages[i].Since = Ready, now
			events = append(events, Event{Build: b.ID, At: now, Stage: s.ID, From: Blocked, To: Ready})
		}
	}
	return next, events, nil
}

// Fail ends a running stage with a failure and skips everything after it. Output names
// what was recorded up to then.
func (b Build) Fail(id string, fence int64, f Failure, output digest.Digest, now time.Time) (Build, []Event, error) {
	next, event, err := b.change(id, now, Failed, func(s *Stage) error {
		if err := requireHold(id, fence)(s); err != nil {
			return err
		}
		s.Failure, s.Output = &f, output
		return nil
	})
	if err != nil {
		return b, nil, err
	}
	event.Detail = f.Message
	return next, append([]Event{event}, next.skip(id, now)...), nil
}

// Lose ends the attempt of a running repeat whose worker was lost. The repeat becomes
// ready again after a pause that doubles; a loss costs an attempt, never a repeat.
// After MaxAttempts losses the stage fails with kind Infrastructure.
func (b Build) Lose(id string, fence int64, reason string, now time.Time) (Build, []Event, error) {
	stage, _ := b.Stage(id)
	if losses := len(stage.Lost) + 1; losses >= MaxAttempts {
		return b.Fail(id, fence, Failure{Kind: Infrastructure,
			Message: fmt.Sprintf("lost on %d workers, last %s: %s", losses, stage.Worker, reason)}, digest.Digest{}, now)
	}
	next, event, err := b.change(id, now, Ready, func(s *Stage) error {
		if err := requireHold(id, fence)(s); err != nil {
			return err
		}
		s.Lost = append(slices.Clone(s.Lost), s.Worker)
		s.Worker = ""
		s.NotBefore = now.Add(backoff(len(s.Lost) - 1))
		return nil
	})
	if err != nil {
		return b, nil, err
	}
	event.Worker, event.Detail = stage.Worker, reason
	return next, []Event{event}, nil
}

// Postpone takes a running stage back because the farm itself could not go on (a full
// disk, a store that does not answer). It counts no lost attempt and sets no limit: the
// stage is tried again for as long as it takes.
func (b Build) Postpone(id string, fence int64, reason string, now time.Time) (Build, []Event, error) {
	next, event, err := b.change(id, now, Ready, func(s *Stage) error {
		if err := requireHold(id, fence)(s); err != nil {
			return err
		}
		s.Worker = ""
		s.NotBefore = now.Add(backoff(s.Attempts))
		return nil
	})
	if err != nil {
		return b, nil, err
	}
	event.Detail = reason
	return next, []Event{event}, nil
}

// backoff doubles with each retry, up to maxBackoff.
func backoff(retries int) time.Duration {
	return min(firstBackoff<<min(retries, 10), maxBackoff) // beyond 10, the shift could overflow
}

// Cancel ends every stage that has not ended. It raises the fence, by which the holder
// of a running stage detects the cancellation.
func (b Build) Cancel(now time.Time) (Build, []Event) {
	next := b.clone()
	next.Cancelled = true
	var events []Event
	for i, s := range next.Stages {
		if s.State.Over() {
			continue
		}
		next.Stages[i].State, next.Stages[i].Since = Cancelled, now
		next.Stages[i].Fence++
		events = append(events, Event{Build: b.ID, At: now, Stage: s.ID, From: s.State, To: Cancelled, Worker: s.Worker})
	}
	return next, events
}

// requireHold refuses a caller that does not hold the stage under its current fence.
func requireHold(id string, fence int64) func(*Stage) error {
	return func(s *Stage) error {
		if s.State != Running || s.Fence != fence {
			return fmt.Errorf("ending stage %s under fence %d: it is %s under fence %d", id, fence, s.State, s.Fence)
		}
		return nil
	}
}

func (b Build) change(id string, now time.Time, to StageState, edit func(*Stage) error) (Build, Event, error) {
	i := b.index(id)
	if i < 0 {
		return b, Event{}, fmt.Errorf("build %s has no stage %q", b.ID, id)
	}
	next := b.clone()
	stage := &next.Stages[i]
	from := stage.State
	if err := edit(stage); err != nil {
		return b, Event{}, err
	}
	stage.State, stage.Since = to, now
	return next, Event{Build: b.ID, At: now, Stage: id, From: from, To: to, Fence: stage.Fence, Worker: stage.Worker}, nil
}

func (b Build) unblocked(s Stage) bool {
	return !slices.ContainsFunc(s.After, func(id string) bool {
		before, _ := b.Stage(id)
		return before.State != Succeeded
	})
}

// skip marks every blocked stage that depends on id, directly or not, as skipped.
// Stages are ordered after their dependencies, so one pass is enough.
func (b Build) skip(id string, now time.Time) []Event {
	gone := map[string]bool{id: true}
	var events []Event
	for i, s := range b.Stages {
		if s.State == Blocked && slices.ContainsFunc(s.After, func(a string) bool { return gone[a] }) {
			b.Stages[i].State, b.Stages[i].Since = Skipped, now
			gone[s.ID] = true
			events = append(events, Event{Build: b.ID, At: now, Stage: s.ID, From: Blocked, To: Skipped})
		}
	}
	return events
}

func (b Build) index(id string) int {
	return slices.IndexFunc(b.Stages, func(s Stage) bool { return s.ID == id })
}

func (b Build) clone() Build {
	b.Stages = slices.Clone(b.Stages)
	return b
}
