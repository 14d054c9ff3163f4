// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
)

// Submission asks for builds of one or more recipes. Each need is searched for among
// these recipes first, then among the builds of the farm.
type Submission struct {
	Recipes []Submitted
	// Owner is who submits, and owns the builds.
	Owner    string
	Priority int
	// Force makes a new build even if one with the same recipe and needs exists.
	Force bool
	// Checks is the released build that a rebuild checks; for one recipe only.
	Checks string
}

// Submitted is one recipe of a submission.
type Submitted struct {
	Recipe *recipes.Recipe
	// URI and Path say where it came from, for the provenance.
	URI, Path string
}

// Taken is the result for one recipe of a submission: a new build, or the existing one
// that is the same.
type Taken struct {
	Build store.Build `json:"build"`
	// Fresh is false when the build existed already.
	Fresh bool `json:"fresh"`
}

// Waiting explains what a stage waits for.
type Waiting struct {
	Stage string                  `json:"stage"`
	State orchestrator.StageState `json:"state"`
	// Why is a sentence for people.
	Why string `json:"why"`
	// After is the stage of the same build that it waits for; "" if it waits for
	// something else.
	After string `json:"after,omitempty"`
	// Workers says for each worker whether it can take a repeat that is ready.
	Workers []schedule.Reason `json:"workers,omitempty"`
}
