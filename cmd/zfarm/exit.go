// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// The exit codes, as docs/cli.md documents them.
const (
	notReproduced  = 1
	usageError     = 2 // also a faulty recipe
	faultySource   = 3
	workerLost     = 4
	workerDistrust = 5
	stepFailed     = 6
	testsFailed    = 7
	overLimit      = 8
	notComparable  = 9
	notSigned      = 10
	notVerified    = 11
	workerUnfit    = 12
	otherError     = 13
	notYet         = 14 // not released, and nothing has failed
	notAllowed     = 15 // the farm refuses the token, or its rights do not suffice
	serverAway     = 16
	needFailed     = 17
	cancelled      = 18
	refutedRelease = 19
	interrupted    = 130
)

// exit is an error with an exit code.
type exit struct {
	code int
	error
}

func (e exit) Unwrap() error { return e.error }

// codeOf returns the exit code for a command's error.
func codeOf(ctx context.Context, err error) int {
	var e exit
	var ended stopped
	switch {
	case errors.As(err, &ended) && ended.error == nil:
		return 0
	case ctx.Err() != nil:
		return interrupted
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, farm.ErrSigning):
		return notSigned
	case errors.Is(err, workers.ErrHostKey), errors.Is(err, workers.ErrAuth), errors.Is(err, farm.ErrKnownHosts):
		return workerDistrust
	case errors.Is(err, workers.ErrUnfit):
		return workerUnfit
	case errors.Is(err, workers.ErrLost):
		return workerLost
	case errors.Is(err, farm.ErrConfig), errors.Is(err, engine.ErrNeeds), errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrSchema), errors.Is(err, store.ErrUnknown):
		return usageError
	case errors.Is(err, attest.ErrNotVerified):
		return notVerified
	default:
		return otherError
	}
}

// failureCode is the exit code for a build that ended without a release.
func failureCode(kind orchestrator.FailureKind) int {
	switch kind {
	case orchestrator.NotReproduced:
		return notReproduced
	case orchestrator.FaultyRecipe:
		return usageError
	case orchestrator.FaultySource:
		return faultySource
	case orchestrator.Infrastructure:
		return workerLost
	case orchestrator.FailedNeed:
		return needFailed
	case orchestrator.FailedStep:
		return stepFailed
	case orchestrator.FailedTests:
		return testsFailed
	case orchestrator.OverLimit:
		return overLimit
	case orchestrator.NotComparable:
		return notComparable
	case orchestrator.NotSigned:
		return notSigned
	default:
		return otherError
	}
}
