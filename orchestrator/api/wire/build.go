// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package wire defines what goes over HTTP between a farm and its clients: the table of
// operations, their inputs and outputs, and the tags that both sides encode and decode
// them by.
//
// Its types are its own, so that neither the database nor the engine determines what a
// client sees. They hold values and no rules: orchestrator/api/server converts the
// farm's values to them, orchestrator/api/client reads them.
package wire

import (
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// BuildState sums up the stages of a build.
type BuildState string

// The states of a build. The last three are final.
const (
	BuildWaiting   BuildState = "waiting"
	BuildQueued    BuildState = "queued"
	BuildRunning   BuildState = "running"
	BuildSucceeded BuildState = "succeeded"
	BuildFailed    BuildState = "failed"
	BuildCancelled BuildState = "cancelled"
)

// Over reports whether the state is final.
func (s BuildState) Over() bool {
	return s == BuildSucceeded || s == BuildFailed || s == BuildCancelled
}

// Build is a build with its stages and needs.
type Build struct {
	State     BuildState `json:"state" enum:"waiting,queued,running,succeeded,failed,cancelled" doc:"What its stages sum up to"`
	ID        string     `json:"id"`
	Stages    []Stage    `json:"stages"`
	Cancelled bool       `json:"cancelled,omitempty" doc:"Somebody asked for its end"`
	SameAs    string     `json:"same_as,omitempty" doc:"The build whose outcome stands for this one's, because its inputs were the same"`
	Seq       int64      `json:"seq" doc:"Orders builds by submission"`
	Port      string     `json:"port"`
	Version   string     `json:"version"`
	// Recipe is the digest of the canonical form.
	Recipe   digest.Digest `json:"recipe" doc:"The digest of the recipe's canonical form"`
	Document digest.Digest `json:"document" doc:"The recipe as it was submitted, in the artifact store"`
	URI      string        `json:"uri" doc:"Where the recipe came from"`
	Path     string        `json:"path" doc:"The recipe within that"`
	Owner    string        `json:"owner" doc:"Who submitted it"`
	Identity digest.Digest `json:"identity,omitzero" doc:"What makes a second submission the same build"`
	Inputs   digest.Digest `json:"inputs,omitzero" doc:"Set once every input is pinned"`
	Priority int           `json:"priority" doc:"Higher is sooner; 0 is usual"`
	Paused   bool          `json:"paused,omitempty" doc:"No further stage begins"`
	// Checks is "" for an ordinary build.
	Checks        string    `json:"checks,omitempty" doc:"The released build that this one rebuilds, to see whether it still reproduces"`
	Needs         []Need    `json:"needs,omitempty" doc:"The builds whose packages this one needs"`
	Verdict       string    `json:"verdict,omitempty" doc:"In a few words, once there is one"`
	Submitted     time.Time `json:"submitted"`
	Ended         time.Time `json:"ended,omitzero"`
	LogsForgotten bool      `json:"logs_forgotten,omitempty" doc:"The logs of its steps are not kept any more"`
}

// Failure returns why the build failed, or nil: the first failure in the order of the
// stages.
func (b Build) Failure() *Failure {
	for _, s := range b.Stages {
		if s.State == StageFailed && s.Failure != nil {
			return s.Failure
		}
	}
	return nil
}

// Need is a build whose package another one needs.
type Need struct {
	Port  string   `json:"port"`
	Build string   `json:"build"`
	At    []string `json:"at" doc:"When: build, run or both"`
}

// StageState is where a stage stands.
type StageState string

// The states of a stage. The last five are final.
const (
	StageBlocked   StageState = "blocked"
	StageReady     StageState = "ready"
	StageRunning   StageState = "running"
	StageSucceeded StageState = "succeeded"
	StageFailed    StageState = "failed"
	StageSkipped   StageState = "skipped"
	StageCancelled StageState = "cancelled"
	StageReused    StageState = "reused"
)

// Over reports whether the state is final.
func (s StageState) Over() bool {
	switch s {
	case StageSucceeded, StageFailed, StageSkipped, StageCancelled, StageReused:
		return true
	}
	return false
}

// StageRepeat is the kind of the stages that build and test on a worker.
const StageRepeat = "repeat"

// Stage is one stage of a build.
type Stage struct {
	ID        string        `json:"id"`
	Kind      string        `json:"kind" doc:"resolve, repeat, compare, attest or publish"`
	State     StageState    `json:"state" doc:"blocked, ready, running, succeeded, failed, skipped, cancelled or reused"`
	Repeat    int           `json:"repeat" doc:"The number of the repeat, from 0, for stages of that kind"`
	After     []string      `json:"after,omitempty" doc:"The stages that must have succeeded before"`
	Attempts  int           `json:"attempts" doc:"How often it has begun"`
	Fence     int64         `json:"fence" doc:"Rises with each attempt"`
	Worker    string        `json:"worker,omitempty" doc:"Where the present attempt runs"`
	Lost      []string      `json:"lost,omitempty" doc:"The workers that were lost at it"`
	NotBefore time.Time     `json:"not_before,omitzero" doc:"When a retry may begin at the earliest"`
	Since     time.Time     `json:"since,omitzero" doc:"When it came into its state"`
	Output    digest.Digest `json:"output,omitzero" doc:"What it made, in the artifact store"`
	Failure   *Failure      `json:"failure,omitempty"`
}

// Failure is why a stage failed.
type Failure struct {
	Kind    string `json:"kind" doc:"recipe, source, need, step, tests, limit, infrastructure, different, incomparable or signing"`
	Message string `json:"message" doc:"What happened and what to do"`
}

// Attempt is one execution of a stage: a try at a repeat on a worker, or the work of
// another stage in an orchestrator.
type Attempt struct {
	Build     string        `json:"build"`
	Stage     string        `json:"stage"`
	Fence     int64         `json:"fence"`
	Worker    string        `json:"worker,omitempty" doc:"Of a repeat"`
	Workspace string        `json:"workspace,omitempty" doc:"Of a repeat: its folder on the worker"`
	Begun     time.Time     `json:"begun"`
	Ended     time.Time     `json:"ended,omitzero"`
	Outcome   string        `json:"outcome,omitempty" doc:"succeeded, failed, lost, postponed or cancelled; absent while it runs"`
	Detail    string        `json:"detail,omitempty"`
	Cleaned   bool          `json:"cleaned" doc:"Nothing of it is left on the worker"`
	Output    digest.Digest `json:"output,omitzero" doc:"What was fetched of it, before its tests began"`
}

// Waiting says what a stage waits for.
type Waiting struct {
	Stage   string     `json:"stage"`
	State   StageState `json:"state"`
	Why     string     `json:"why" doc:"A sentence for people"`
	After   string     `json:"after,omitempty" doc:"The stage of the same build that it waits for; absent if it waits for anything else"`
	Workers []Reason   `json:"workers,omitempty" doc:"How each worker stands to a repeat that is ready"`
}

// Reason says whether one worker can take one stage, and why not.
type Reason struct {
	Worker string    `json:"worker"`
	Fits   bool      `json:"fits" doc:"It could build it, if not now"`
	Free   bool      `json:"free" doc:"It could build it now"`
	Cause  string    `json:"cause" doc:"The reason in a word, for programs"`
	Until  time.Time `json:"until,omitzero" doc:"When a slot will probably come free, if that is what the stage waits for"`
	Why    string    `json:"why" doc:"A sentence for people, without its subject"`
	// Quarantine is the worker's if it is the cause.
	Quarantine *Quarantine `json:"quarantine,omitempty"`
}

// Taken is the result for one recipe of a submission.
type Taken struct {
	Build Build `json:"build"`
	Fresh bool  `json:"fresh" doc:"False if the build was there already"`
}

// BuildsPage is a page of builds, newest first.
type BuildsPage struct {
	Builds []Build `json:"builds" nullable:"false"`
	Before int64   `json:"before,omitempty" doc:"Ask for the next page with this; absent when there is none"`
}

// BuildChange changes a build; nil fields stay as they are.
type BuildChange struct {
	Priority *int  `json:"priority,omitempty" minimum:"-100" maximum:"100" doc:"Higher is sooner; 0 is usual"`
	Paused   *bool `json:"paused,omitempty"`
}
