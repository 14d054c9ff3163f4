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
}

// Stage is one repeat that is ready.
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
	// longest chain of work takes that begins with it, itself included.
	Expected, Path time.Duration
}

// Worker is a worker with its slots.
type Worker struct {
	Name   string
	Labels map[string]string
	// Facts are nil before the first probe.
	Facts *workers.Facts
	Slots int
	// Held are the attempts that hold slots now.
	Held []Held
	// Out says why it takes nothing new: draining, unreachable ...; "" means
	// that it does.
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
	// Shares are the weights of owners; an owner not named has 1.
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
	// Why is a sentence for people.
	Why string `json:"why"`
}
