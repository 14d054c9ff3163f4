// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"io"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// Engine submits and cancels builds.
type Engine interface {
	// Submit takes all recipes or none.
	Submit(ctx context.Context, s engine.Submission) ([]engine.Taken, error)
	Cancel(ctx context.Context, build string) error
	Why(ctx context.Context, build string) ([]engine.Waiting, error)
}

// Blobs reads bytes by digest.
type Blobs interface {
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	Size(ctx context.Context, d digest.Digest) (int64, error)
}

// Store is everything that the server reads and changes in the farm's database. For
// what does not exist the error is store.ErrUnknown. [Stored] makes one of a
// store.Store.
type Store interface {
	Builds
	Logs
	History
	ReleaseReader
	WorkerReader
	Tokens
	Changes
	TokenChanges
	Health
}

// Builds reads builds.
type Builds interface {
	Build(ctx context.Context, id string) (store.Build, error)
	Builds(ctx context.Context, f store.Filter) ([]store.Build, error)
	Attempts(ctx context.Context, build string) ([]store.Attempt, error)
}

// Logs reads the logs of steps while they grow.
type Logs interface {
	Steps(ctx context.Context, build, stage string, fence int64) ([]store.Step, error)
	// Log returns at most that many bytes from an offset, none past the end.
	Log(ctx context.Context, build, stage string, fence int64, step string, off int64, most int) ([]byte, error)
	// Changed is closed after the next change that this process makes.
	Changed() <-chan struct{}
}

// History reads events and audit entries after a number, oldest first.
type History interface {
	Events(ctx context.Context, after int64, build string, limit int) ([]orchestrator.Event, error)
	Audits(ctx context.Context, after int64, limit int) ([]store.Audit, error)
}

// ReleaseReader reads what builds published.
type ReleaseReader interface {
	// Releases returns the releases of a port at a version; "" means all.
	Releases(ctx context.Context, port, version string) ([]store.Release, error)
	Files(ctx context.Context, build string) ([]store.File, error)
}

// WorkerReader reads workers.
type WorkerReader interface {
	Workers(ctx context.Context) ([]store.Worker, error)
}

// Tokens reads tokens.
type Tokens interface {
	Tokens(ctx context.Context) ([]store.Token, error)
	// Token returns the token whose secret has that digest.
	Token(ctx context.Context, hash digest.Digest) (store.Token, error)
}

// Changes makes the changes that need no engine. Nil fields stay as they are.
type Changes interface {
	ChangeBuild(ctx context.Context, id string, c wire.BuildChange) (store.Build, error)
	ChangeWorker(ctx context.Context, name string, c wire.WorkerChange) (store.Worker, error)
	// ProbeWorker has a worker probed soon.
	ProbeWorker(ctx context.Context, name string) error
}

// TokenChanges changes tokens, and records who changed what.
type TokenChanges interface {
	AddToken(ctx context.Context, t store.Token) error
	RevokeToken(ctx context.Context, id string) error
	Audit(ctx context.Context, a store.Audit) error
}

// Health reads the condition of the store.
type Health interface {
	// Writable returns nil if a change could be stored now.
	Writable(ctx context.Context) error
	// Tally counts builds by state, and repeats that wait for a slot.
	Tally(ctx context.Context) (store.Tally, error)
}
