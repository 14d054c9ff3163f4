// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/workers"
)

// Errors that callers test for.
var (
	// ErrUnknown: there is no such build, stage, worker, token or release.
	ErrUnknown = errors.New("not known to this farm")
	// ErrRefused: the state has changed; the caller no longer holds what it acts on.
	ErrRefused = errors.New("refused: the state has moved on")
	// ErrInUse: another process serves this database file.
	ErrInUse = errors.New("database in use")
	// ErrSchema: the database is older or newer than this program.
	ErrSchema = errors.New("database schema does not fit this program")
)

// Build is a build as the database keeps it.
type Build struct {
	orchestrator.Build
	// Seq orders builds by submission; 0 until it is stored.
	Seq     int64  `json:"seq"`
	Port    string `json:"port"`
	Version string `json:"version"`
	// Recipe is the digest of the canonical form. Document is the artifact that the
	// recipe can be read back from.
	Recipe   digest.Digest `json:"recipe"`
	Document digest.Digest `json:"document"`
	// URI and Path are the source of the recipe.
	URI  string `json:"uri"`
	Path string `json:"path"`
	// Owner is who submitted it. Identity is equal for submissions that make the same
	// build; it is the zero digest once another build may take its place.
	Owner    string        `json:"owner"`
	Identity digest.Digest `json:"identity,omitzero"`
	// Inputs is set once every input is pinned.
	Inputs digest.Digest `json:"inputs,omitzero"`
	// Priority: higher is sooner; 0 is the default.
	Priority int  `json:"priority"`
	Paused   bool `json:"paused,omitempty"`
	// Checks is the released build that this one rebuilds to check that it still
	// reproduces; "" for an ordinary build.
	Checks string `json:"checks,omitempty"`
	// Needs are the builds whose packages this one needs.
	Needs []Need `json:"needs,omitempty"`
	// Wants is what its attempts want of a worker, as JSON of stagevalue.Wants.
	Wants []byte `json:"-"`
	// Verdict is a summary in a few words, "" before there is a verdict.
	Verdict   string    `json:"verdict,omitempty"`
	Submitted time.Time `json:"submitted"`
	Ended     time.Time `json:"ended,omitzero"`
	// LogsForgotten: the logs of its steps were deleted.
	LogsForgotten bool `json:"logs_forgotten,omitempty"`
}

// Need is one edge of the graph of builds.
type Need struct {
	Port  string `json:"port"`
	Build string `json:"build"`
	// At says when it is needed: "build", "run" or both, sorted.
	At []string `json:"at"`
}

// Attempt is one execution of a stage: a try at a repeat on a worker, or the work of
// another stage in an orchestrator.
type Attempt struct {
	Build string `json:"build"`
	Stage string `json:"stage"`
	Fence int64  `json:"fence"`
	// Worker and Workspace are set for repeats.
	Worker    string    `json:"worker,omitempty"`
	Workspace string    `json:"workspace,omitempty"`
	Begun     time.Time `json:"begun"`
	Ended     time.Time `json:"ended,omitzero"`
	// Outcome is "", "succeeded", "failed", "lost", "postponed" or "cancelled".
	Outcome string `json:"outcome,omitempty"`
	Detail  string `json:"detail,omitempty"`
	// Cleaned: nothing of the attempt remains on the worker.
	Cleaned bool `json:"cleaned"`
	// Output is the output fetched before its tests began.
	Output digest.Digest `json:"output,omitzero"`
}

// Step is a step of an attempt, running or ended.
type Step struct {
	// No numbers the steps of an attempt, from 1.
	No    int64     `json:"no"`
	Name  string    `json:"name"`
	Begun time.Time `json:"begun"`
	// Status is nil while it runs.
	Status *workers.Status `json:"status,omitempty"`
	Took   time.Duration   `json:"took,omitempty"`
	// Size counts the bytes of the log so far. Log is its digest in the artifact store
	// once the step has ended.
	Size int64         `json:"size"`
	Log  digest.Digest `json:"log,omitzero"`
}

// Worker is a registered worker.
type Worker struct {
	Name    string            `json:"name"`
	Address string            `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"`
	Slots   int               `json:"slots"`
	// Draining: an administrator asked that it gets no new work.
	Draining bool `json:"draining,omitempty"`
	// Quarantine is why the farm itself gives it no new work; nil means that it may get
	// work.
	Quarantine *workers.Quarantine `json:"quarantine,omitempty"`
	// Facts are those of the last successful probe; nil before the first.
	Facts  *workers.Facts `json:"facts,omitempty"`
	Probed time.Time      `json:"probed,omitzero"`
	// Registered is false once the farm's file no longer names it.
	Registered bool `json:"registered"`
	// Held are the leases of its slots now.
	Held []Lease `json:"held,omitempty"`
}

// Lease is the right of one attempt to one slot.
type Lease struct {
	Worker string `json:"worker"`
	Slot   int    `json:"slot"`
	Build  string `json:"build"`
	Stage  string `json:"stage"`
	Fence  int64  `json:"fence"`
	// Since is when the attempt got the slot.
	Since time.Time `json:"since,omitzero"`
}

// Hold is the right of one orchestrator to run a stage.
type Hold struct {
	Build string
	Stage string
	Fence int64
	Until time.Time
}

// Release is a port at a version that may be collected.
type Release struct {
	Port    string    `json:"port"`
	Version string    `json:"version"`
	Build   string    `json:"build"`
	At      time.Time `json:"at"`
	// Verdict is a summary in a few words.
	Verdict string `json:"verdict"`
	Signed  bool   `json:"signed"`
	// NotReproduced is the finding of the last rebuild that did not reproduce
	// it; "" while it reproduces.
	NotReproduced string `json:"not_reproduced,omitempty"`
}

// File is a file that a build published, or a file of its findings.
type File struct {
	Name      string        `json:"name"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	MediaType string        `json:"media_type"`
}

// Token is a credential of the farm. The secret itself is never stored.
type Token struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Hash is the SHA-256 of the secret.
	Hash  digest.Digest `json:"-"`
	Roles []string      `json:"roles"`
	// Ports are patterns of the ports it may submit and change.
	Ports   []string  `json:"ports,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked bool      `json:"revoked,omitempty"`
}

// Audit is one change that a person or a program requested.
type Audit struct {
	Seq     int64     `json:"seq,omitempty"`
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	What    string    `json:"what"`
	Subject string    `json:"subject,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Request string    `json:"request,omitempty"`
	Refused bool      `json:"refused,omitempty"`
}

// WakeKind is what a wake-up is for.
type WakeKind string

// The kinds of wake-ups. A wake-up only says what to read again: the tables say what is
// due.
const (
	Match WakeKind = "match" // repeats may be ready and slots free
	Claim WakeKind = "claim" // a stage is ready, or running and not held
	Needs WakeKind = "needs" // a build that this one needs has ended
	Probe WakeKind = "probe" // a worker should be probed and cleaned up
)

// Wake is an entry of the queue.
type Wake struct {
	Kind   WakeKind `json:"kind"`
	Build  string   `json:"build,omitempty"`
	Stage  string   `json:"stage,omitempty"`
	Worker string   `json:"worker,omitempty"`
}

// Filter selects builds; zero fields select all.
type Filter struct {
	Port  string
	Owner string
	State orchestrator.BuildState
	// Before is a Seq: only builds with a smaller one, for the next page.
	Before int64
	// Limit is the most builds to return; 0 means 50.
	Limit int
}

// Status describes the database itself.
type Status struct {
	Kind    string `json:"kind"` // "sqlite" or "postgres"
	Schema  int64  `json:"schema"`
	Wanted  int64  `json:"wanted"`
	Builds  int64  `json:"builds"`
	Waiting int64  `json:"wakes"` // entries of the queue
}
