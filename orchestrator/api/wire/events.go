// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// Step is a step of an attempt, running or ended.
type Step struct {
	No     int64         `json:"no" doc:"Orders the steps of an attempt, from 1"`
	Name   string        `json:"name"`
	Begun  time.Time     `json:"begun"`
	Status *StepStatus   `json:"status,omitempty" doc:"How it ended; absent while it runs"`
	Took   time.Duration `json:"took,omitempty"`
	Size   int64         `json:"size" doc:"Bytes of the log so far"`
	Log    digest.Digest `json:"log,omitzero" doc:"The log in the artifact store, once the step has ended"`
}

// StepStatus is how a step ended.
type StepStatus struct {
	State string        `json:"state" doc:"exited, limit, lease, stopped or log"`
	Code  int           `json:"code" doc:"The exit status of a step that exited"`
	Took  time.Duration `json:"took" doc:"By the worker's clock"`
}

// StepExited is the state of a step that ended by itself.
const StepExited = "exited"

// OK reports whether the step exited with 0.
func (s StepStatus) OK() bool { return s.State == StepExited && s.Code == 0 }

// Event is one transition of a stage.
type Event struct {
	Seq    int64      `json:"seq,omitempty" doc:"Orders all events of a farm"`
	Build  string     `json:"build,omitempty"`
	At     time.Time  `json:"at"`
	Stage  string     `json:"stage"`
	From   StageState `json:"from"`
	To     StageState `json:"to"`
	Fence  int64      `json:"fence,omitempty"`
	Worker string     `json:"worker,omitempty"`
	Detail string     `json:"detail,omitempty"`
}
