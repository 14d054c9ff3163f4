// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// each converts the elements of a list; nil stays nil.
func each[A, B any](all []A, convert func(A) B) []B {
	if all == nil {
		return nil
	}
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = convert(a)
	}
	return out
}

// listed is each for a list that JSON encodes as [] when it is empty.
func listed[A, B any](all []A, convert func(A) B) []B {
	if len(all) == 0 {
		return []B{}
	}
	return each(all, convert)
}

func wireBuild(b store.Build) wire.Build {
	return wire.Build{
		State: wire.BuildState(b.State()), ID: b.ID, Stages: each(b.Stages, wireStage), Cancelled: b.Cancelled, SameAs: b.SameAs,
		Seq: b.Seq, Port: b.Port, Version: b.Version, Recipe: b.Recipe, Document: b.Document, URI: b.URI, Path: b.Path,
		Owner: b.Owner, Identity: b.Identity, Inputs: b.Inputs, Priority: b.Priority, Paused: b.Paused, Checks: b.Checks,
		Needs: each(b.Needs, wireNeed), Verdict: b.Verdict, Submitted: b.Submitted, Ended: b.Ended, LogsForgotten: b.LogsForgotten,
	}
}

func wireNeed(n store.Need) wire.Need { return wire.Need{Port: n.Port, Build: n.Build, At: n.At} }

func wireStage(s orchestrator.Stage) wire.Stage {
	out := wire.Stage{
		ID: s.ID, Kind: string(s.Kind), State: wire.StageState(s.State), Repeat: s.Repeat, After: s.After, Attempts: s.Attempts,
		Fence: s.Fence, Worker: s.Worker, Lost: s.Lost, NotBefore: s.NotBefore, Since: s.Since, Output: s.Output,
	}
	if s.Failure != nil {
		out.Failure = &wire.Failure{Kind: string(s.Failure.Kind), Message: s.Failure.Message}
	}
	return out
}

func wireAttempt(a store.Attempt) wire.Attempt {
	return wire.Attempt{
		Build: a.Build, Stage: a.Stage, Fence: a.Fence, Worker: a.Worker, Workspace: a.Workspace, Begun: a.Begun, Ended: a.Ended,
		Outcome: a.Outcome, Detail: a.Detail, Cleaned: a.Cleaned, Output: a.Output,
	}
}

func wireTaken(t engine.Taken) wire.Taken {
	return wire.Taken{Build: wireBuild(t.Build), Fresh: t.Fresh}
}

func wireWaiting(w engine.Waiting) wire.Waiting {
	return wire.Waiting{Stage: w.Stage, State: wire.StageState(w.State), Why: w.Why, After: w.After, Workers: each(w.Workers, wireReason)}
}

func wireReason(r schedule.Reason) wire.Reason {
	return wire.Reason{Worker: r.Worker, Fits: r.Fits, Free: r.Free, Cause: string(r.Cause), Until: r.Until, Why: r.Why, Quarantine: wireQuarantine(r.Quarantine)}
}
