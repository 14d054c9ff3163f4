// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

func wireStep(s store.Step) wire.Step {
	out := wire.Step{No: s.No, Name: s.Name, Begun: s.Begun, Took: s.Took, Size: s.Size, Log: s.Log}
	if s.Status != nil {
		out.Status = &wire.StepStatus{State: string(s.Status.State), Code: s.Status.Code, Took: s.Status.Took}
	}
	return out
}

func wireEvent(e orchestrator.Event) wire.Event {
	return wire.Event{
		Seq: e.Seq, Build: e.Build, At: e.At, Stage: e.Stage, From: wire.StageState(e.From), To: wire.StageState(e.To),
		Fence: e.Fence, Worker: e.Worker, Detail: e.Detail,
	}
}
