// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package orchestrator

import (
	"time"

	"github.com/zfarm/zfarm/workers"
)

// ProgressKind says what a Progress reports.
type ProgressKind string

// The kinds of progress.
const (
	Transition ProgressKind = "transition" // a stage changed its state; Event is set
	Fetching   ProgressKind = "fetching"   // bytes of a source arrived; Done and Total are set
	StepBegun  ProgressKind = "step-begun" // Step is set
	StepLog    ProgressKind = "log"        // Text is a piece of the log of Step, raw bytes
	StepEnded  ProgressKind = "step-ended" // Step, Status and Took are set
	Note       ProgressKind = "note"       // Text is a sentence for people
)

// Progress is one thing worth showing while a build runs. It is for watchers only: no
// decision depends on it, and it may be dropped.
type Progress struct {
	At     time.Time       `json:"at"`
	Kind   ProgressKind    `json:"kind"`
	Build  string          `json:"build,omitempty"`
	Stage  string          `json:"stage,omitempty"`
	Worker string          `json:"worker,omitempty"`
	Step   string          `json:"step,omitempty"`
	Text   string          `json:"text,omitempty"`
	Event  *Event          `json:"event,omitempty"`
	Status *workers.Status `json:"status,omitempty"`
	Took   time.Duration   `json:"took,omitempty"`
	Done   int64           `json:"done,omitempty"`
	Total  int64           `json:"total,omitempty"`
}

// Watch receives progress from several goroutines and must not block long.
type Watch func(Progress)
