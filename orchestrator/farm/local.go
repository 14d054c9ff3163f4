// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/artifacts"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes/source"
	"github.com/zfarm/zfarm/workers"
)

// LocalOptions configure a [Local].
type LocalOptions struct {
	// Version is the program's, for provenance.
	Version string
	// State is the folder of artifacts and fetched sources.
	State string
	// Database is the URL of the database; "" means a temporary one that Close removes.
	Database string
	// Mirrors and Offline are as in a farm's file.
	Mirrors []string
	Offline bool
	// Workers are connected already; the caller closes them.
	Workers []workers.Worker
	// Patience is how long to wait for a worker that does not answer.
	Patience time.Duration
	Plugins  *Plugins
	// Signer may be nil: then nothing is signed.
	Signer Signer
	// KeepWorkspaces leaves the workspaces on the workers.
	KeepWorkspaces bool
	// Watch receives progress.
	Watch orchestrator.Watch
}

// Local builds submissions in this process, on workers that no administrator
// registered; so its provenance claims less than a farm's.
type Local struct {
	engine    *engine.Engine
	workers   []workers.Worker
	artifacts *artifacts.Folder
	close     func() error
}

// OpenLocal makes a Local. The caller closes it.
func OpenLocal(ctx context.Context, o LocalOptions) (*Local, error) {
	artifacts, err := artifacts.Open(filepath.Join(o.State, "store"))
	if err != nil {
		return nil, err
	}
	sources, err := source.New(source.Options{Cache: filepath.Join(o.State, "sources"), Mirrors: o.Mirrors, Offline: o.Offline,
		Progress: func(p source.Progress) {
			o.Watch(orchestrator.Progress{At: time.Now(), Kind: orchestrator.Fetching, Stage: "resolve", Text: p.URL, Done: p.Done, Total: p.Total})
		}})
	if err != nil {
		return nil, kind(ErrConfig, err)
	}
	db, closeDatabase, err := openLocalDatabase(ctx, o.Database)
	if err != nil {
		return nil, err
	}
	claim := statement.StrongestClaim(statement.Evidence{Signer: statement.KeyFile, Isolation: statement.Shared, Attempts: 1})
	deps := engine.Deps{Store: db, Artifacts: artifacts, Workers: connected(o.Workers), Sources: sources, Plugins: o.Plugins, Watch: o.Watch,
		Version: o.Version, BuilderID: claim.BuilderID,
		Settings: engine.Settings{Sweep: time.Second, Patience: o.Patience, KeepWorkspaces: o.KeepWorkspaces}}
	if o.Signer != nil {
		deps.Signer, deps.VerificationMaterial = o.Signer, verificationMaterial(o.Signer)
	}
	return &Local{engine: engine.New(deps), workers: o.Workers, artifacts: artifacts, close: closeDatabase}, nil
}

// Build builds the submission to its end. A build that is not released is a conclusion
// with a Failure; an error means that a build has no conclusion.
func (l *Local) Build(ctx context.Context, s engine.Submission) ([]engine.Conclusion, error) {
	if err := l.engine.RegisterLocal(ctx, l.workers); err != nil {
		return nil, err
	}
	return l.engine.RunSubmission(ctx, s)
}

// Collect writes the files of a conclusion to dir, which must be empty or absent.
func (l *Local) Collect(ctx context.Context, dir string, files []store.File) error {
	return collect(ctx, dir, files, l.artifacts.Open)
}

// Close closes the database and keeps what was built.
func (l *Local) Close() error { return l.close() }

// Collect writes the files of the release of a port at a version to dir, which must be
// empty or absent. Its error wraps [store.ErrUnknown] while there is none.
func (f *Farm) Collect(ctx context.Context, port, version, dir string) error {
	found, err := f.db.Releases(ctx, port, version)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("collecting %s %s: not released: %w", port, version, store.ErrUnknown)
	}
	files, err := f.db.Files(ctx, found[0].Build)
	if err != nil {
		return err
	}
	return collect(ctx, dir, files, f.artifacts.Open)
}

// collect writes files of the artifact store to a folder.
func collect(ctx context.Context, dir string, files []store.File, open func(context.Context, digest.Digest) (io.ReadCloser, error)) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	var pieces []kit.Piece
	for _, file := range files {
		pieces = append(pieces, kit.Piece{Name: file.Name, Digest: file.Digest,
			Open: func(ctx context.Context) (io.ReadCloser, error) { return open(ctx, file.Digest) }})
	}
	return kit.Collect(ctx, dir, pieces)
}

// openLocalDatabase opens the database at url, or a temporary one that closing removes.
func openLocalDatabase(ctx context.Context, url string) (*store.Store, func() error, error) {
	remove := func() error { return nil }
	if url == "" {
		dir, err := os.MkdirTemp("", "zfarm-db-")
		if err != nil {
			return nil, nil, err
		}
		url, remove = "sqlite:"+filepath.Join(dir, "farm.db"), func() error { return os.RemoveAll(dir) }
	}
	db, err := store.Open(ctx, url, store.Options{Node: fmt.Sprintf("build-%d", os.Getpid())})
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, nil, errors.Join(err, db.Close(), remove())
	}
	return db, func() error { return errors.Join(db.Close(), remove()) }, nil
}

// connected is a pool of workers that are already connected.
type connected []workers.Worker

// Get returns the worker of that name.
func (c connected) Get(_ context.Context, name string) (workers.Worker, error) {
	for _, w := range c {
		if w.Name() == name {
			return w, nil
		}
	}
	return nil, fmt.Errorf("worker %s is not among those of this command: %w", name, workers.ErrUnreachable)
}

// Probe reads the facts of the worker of that name and asks for those tools.
func (c connected) Probe(ctx context.Context, name string, tools ...string) (workers.Facts, error) {
	w, err := c.Get(ctx, name)
	if err != nil {
		return workers.Facts{}, err
	}
	return w.Facts(ctx, tools...)
}
