// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"time"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// Wants is what every attempt of a build asks of a worker.
type Wants struct {
	// Tools with their version ranges, as the recipe says; Patch says that a
	// source has patches, so that patch must be there.
	Tools []recipes.Tool `json:"tools,omitempty"`
	Patch bool           `json:"patch,omitempty"`
	// Worker is the recipe's own block about workers.
	Worker recipes.Worker `json:"worker,omitzero"`
	// Apart says that the repeats should be on different workers.
	Apart bool `json:"apart,omitempty"`
	// Alike says that all repeats are built in a folder of one name, so that
	// no two may be on one worker at a time.
	Alike bool `json:"alike,omitempty"`
}

// Stage is one repeat that is ready. Build and ID together name it in a queue.
type Stage struct {
	Build string
	ID    string
	Owner string
	// Priority: higher is sooner. Since is when it became ready.
	Priority int
	Since    time.Time
	// Wants is shared by the repeats of a build.
	Wants *Wants
	// Used are the workers that the other repeats of the build hold or were
	// done on; Lost those that lost this repeat before.
	Used, Lost []string
	// Expected is how long the attempt is likely to take, Path how long the
	// longest chain of work takes that begins with it, itself included: see
	// [Paths]. Both are 0 where nothing is known; only Path decides anything.
	Expected, Path time.Duration
}

// Worker is a worker with its slots. Its name is the only one in a queue.
type Worker struct {
	Name   string
	Labels map[string]string
	// Facts are nil before the first probe; such a worker gets nothing.
	Facts *workers.Facts
	Slots int
	// Held are the attempts that hold slots now.
	Held []Held
	// Quarantine is why it takes nothing new, its text safe to show; nil for
	// no quarantine.
	Quarantine *workers.Quarantine
	// Out says why else it takes nothing new: draining, not registered ...; ""
	// means that it does.
	Out string
}

// Held is one slot that is taken.
type Held struct {
	Build, Stage, Owner string
	// Until is when the attempt will probably have ended.
	Until time.Time
}

// Policy is what a farm may decide about scheduling.
type Policy struct {
	// Spread names what repeats of one build must differ in where they can:
	// "worker", "host", "release", "machine", "label:NAME" or "tool:NAME".
	// Empty means worker.
	Spread []string
	// Aging is how long a stage waits until it counts as one priority higher;
	// 0 means an hour.
	Aging time.Duration
	// Reserve is how long a stage waits until a slot of a worker that fits
	// is kept free for it; 0 means a quarter of an hour.
	Reserve time.Duration
	// Shares are the weights of owners, above 0; an owner not named has 1.
	Shares map[string]float64
}

// Queue is everything one decision is made from.
type Queue struct {
	Stages  []Stage
	Workers []Worker
}

// Assignment gives a slot of a worker to a stage.
type Assignment struct {
	Build, Stage, Worker string
}

// Reason says how one worker stands to one stage.
type Reason struct {
	Worker string `json:"worker"`
	// Fits: it could build it, if not now.
	Fits bool `json:"fits"`
	// Free: it could now.
	Free bool `json:"free"`
	// Cause is Why for programs.
	Cause Cause `json:"cause"`
	// Until is when the first of its slots will probably come free, where that
	// is what the stage waits for.
	Until time.Time `json:"until,omitzero"`
	// Why is a sentence for people, without its subject: "it has no make".
	Why string `json:"why"`
	// Quarantine is that of the worker where it is the cause.
	Quarantine *workers.Quarantine `json:"quarantine,omitempty"`
}

// Cause says in a word how a worker stands to a stage.
type Cause string

// The causes. The stage can begin now at the first two; it fits all but Unfit.
const (
	Given  Cause = "given"  // this slot is the stage's
	Spare  Cause = "spare"  // a slot is free, another worker suits better
	Busy   Cause = "busy"   // no slot is free
	Behind Cause = "behind" // the free slots go to stages that come first
	Kept   Cause = "kept"   // a free slot is kept for a stage with less choice
	Used   Cause = "used"   // repeats are to be apart, and one was here
	Lost   Cause = "lost"   // it lost this repeat before
	Out    Cause = "out"    // it takes nothing new
	// Quarantined: it takes nothing new, and Reason.Quarantine says why.
	Quarantined Cause = "quarantined"
	Unfit       Cause = "unfit" // it lacks something
)
