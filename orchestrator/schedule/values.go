// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"time"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// Wants is what every attempt of a build requires of a worker.
type Wants struct {
	// Tools are the recipe's, with their version ranges; Patch means that a source has
	// patches, so that the worker needs the tool patch.
	Tools []recipes.Tool `json:"tools,omitempty"`
	Patch bool           `json:"patch,omitempty"`
	// Worker is the recipe's worker block.
	Worker recipes.Worker `json:"worker,omitzero"`
	// Apart means that the repeats should be on different workers.
	Apart bool `json:"apart,omitempty"`
	// Alike means that all repeats are built in folders of the same name, so that no
	// two may be on one worker at a time.
	Alike bool `json:"alike,omitempty"`
}

// Stage is one repeat that is ready. Build and ID together identify it in a queue.
type Stage struct {
	Build string
	ID    string
	Owner string
	// Priority: higher is sooner. Since is when it became ready.
	Priority int
	Since    time.Time
	// Wants is shared by the repeats of a build.
	Wants *Wants
	// Used are the workers that the other repeats of the build run or ran on; Lost
	// those that were lost during an earlier attempt of this repeat.
	Used, Lost []string
	// Expected is how long the attempt is likely to take; Path how long the longest
	// chain of work takes that begins with it, itself included: see [Paths]. Both are 0
	// if unknown. Only Path affects decisions.
	Expected, Path time.Duration
}

// Worker is a worker with its slots. Its name is unique in a queue.
type Worker struct {
	Name   string
	Labels map[string]string
	// Facts are nil before the first probe; such a worker gets no work.
	Facts *workers.Facts
	Slots int
	// Held are the slots that attempts hold now.
	Held []Held
	// Quarantine is nil for a worker that is not quarantined. Its text may be shown to
	// users.
	Quarantine *workers.Quarantine
	// Unavailable is any other reason why the worker gets no new work (draining, not
	// registered); "" if there is none.
	Unavailable string
}

// Held is one slot that is taken.
type Held struct {
	Build, Stage, Owner string
	// Until is when the attempt will probably end.
	Until time.Time
}

// Settings is the configurable part of scheduling.
type Settings struct {
	// Spread names the facts that the repeats of one build must differ in where they
	// can: "worker", "host", "release", "machine", "label:NAME" or "tool:NAME". Empty
	// means worker.
	Spread []string
	// Aging is how long a stage waits for its priority to rise by one; 0 means an hour.
	Aging time.Duration
	// Reserve is how long a stage waits until a slot of a fitting worker is reserved
	// for it; 0 means a quarter of an hour.
	Reserve time.Duration
	// Shares are the weights of owners, above 0; an owner not listed has 1.
	Shares map[string]float64
}

// Queue is everything that one decision depends on.
type Queue struct {
	Stages  []Stage
	Workers []Worker
}

// Assignment gives a slot of a worker to a stage.
type Assignment struct {
	Build, Stage, Worker string
}

// Reason says whether one worker can take one stage, and why not.
type Reason struct {
	Worker string `json:"worker"`
	// Fits: the worker has everything that the stage wants.
	Fits bool `json:"fits"`
	// Free: it has a slot for the stage now.
	Free bool `json:"free"`
	// Cause is the reason for programs.
	Cause Cause `json:"cause"`
	// Until is when the first of its slots will probably become free, if the stage
	// waits for that.
	Until time.Time `json:"until,omitzero"`
	// Why is the reason for people, e.g. "it has no make".
	Why string `json:"why"`
	// Quarantine is set if it is the cause.
	Quarantine *workers.Quarantine `json:"quarantine,omitempty"`
}

// Cause says in one word why a worker does or does not get a stage.
type Cause string

// The causes. With the first two the stage can begin now; with every cause but Mismatch
// the worker fits.
const (
	Assigned    Cause = "assigned"    // the stage gets a slot of this worker
	Spare       Cause = "spare"       // a slot is free, another worker is a better choice
	Busy        Cause = "busy"        // no slot is free
	Behind      Cause = "behind"      // the free slots go to stages that come first
	Reserved    Cause = "reserved"    // a free slot is reserved for a stage that fits fewer workers
	Used        Cause = "used"        // another repeat of the build runs or ran here
	Lost        Cause = "lost"        // the worker was lost during an earlier attempt
	Quarantined Cause = "quarantined" // it gets no new work; Reason.Quarantine says why
	Unavailable Cause = "unavailable" // it gets no new work: it is draining or not registered
	Mismatch    Cause = "mismatch"    // it lacks something that the build requires
)
