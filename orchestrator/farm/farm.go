// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package farm assembles a farm: from a farm file it opens a database, an artifact
// store, a pool of workers, a signer, an engine and a server, so that the command line,
// a test or another program can open and serve one.
//
// Besides cmd, it is the only place that knows the adapters (SSH, this machine, the
// plugin host, cosign). It decides nothing itself: orchestrator/engine builds,
// orchestrator/api answers, and orchestrator/farmfile reads the file. It neither prints
// nor knows flags and exit codes; these belong to cmd/zfarm.
package farm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/zfarm/zfarm/orchestrator/artifacts"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/plugins/host"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/source"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/pool"
)

// Kinds of errors of this package; test for them with errors.Is.
var (
	// ErrConfig: the farm's file is wrong or does not fit this machine.
	ErrConfig = errors.New("faulty configuration")
	// ErrSigning: the signing key cannot be opened or is not the one named.
	ErrSigning = errors.New("signing key not usable")
	// ErrKnownHosts: nothing pins the host key of a worker.
	ErrKnownHosts = errors.New("host key not pinned")
)

// kind marks an error as one of the kinds above and keeps its text.
func kind(of, err error) error { return kindError{of, err} }

type kindError struct {
	kind error
	error
}

// Unwrap returns both the kind and the cause.
func (e kindError) Unwrap() []error { return []error{e.kind, e.error} }

// Deps are the dependencies of a farm that its file does not name.
type Deps struct {
	// Version is the program's, for provenance and the API.
	Version string
	// Node names this process among those that share the database. The name must be
	// new: no other process, running or ended, may have used it.
	Node string
	// Shared opens the farm beside the process that serves it: such a farm neither
	// builds nor opens a key.
	Shared bool
	// Log may be nil.
	Log *slog.Logger
	// Plugins are those built into the program; the file may add more.
	Plugins []host.Entry
	// Connect connects to a worker of the file; nil means the method of the zero
	// [Connector].
	Connect func(context.Context, farmfile.Worker) (workers.Worker, error)
	// OpenKey opens the signing key; nil means [OpenKey], which prompts nobody.
	OpenKey func(context.Context, farmfile.Signing) (Signer, error)
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Connect == nil {
		d.Connect = Connector{}.Connect
	}
	if d.OpenKey == nil {
		d.OpenKey = func(ctx context.Context, s farmfile.Signing) (Signer, error) { return OpenKey(ctx, s) }
	}
	return d
}

// Farm is an open farm.
type Farm struct {
	// Engine takes submissions; it builds them while the farm is served.
	Engine    *engine.Engine
	deps      Deps
	file      *farmfile.Farm
	db        *store.Store
	artifacts *artifacts.Folder
	plugins   *Plugins
	pool      *pool.Pool
	roster    *roster
}

// Open opens everything that the farm's file names. The caller closes the farm.
func Open(ctx context.Context, file *farmfile.Farm, deps Deps) (*Farm, error) {
	f := &Farm{file: file, deps: deps.withDefaults(), roster: &roster{}}
	f.roster.replace(file.Workers)
	if err := f.open(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *Farm) open(ctx context.Context) (err error) {
	entries := slices.Clone(f.deps.Plugins)
	for _, p := range f.file.Plugins {
		entries = append(entries, host.Entry{Name: p.Name, Path: p.Path, SHA256: p.SHA256})
	}
	if f.plugins, err = OpenPlugins(entries); err != nil {
		return err
	}
	if f.artifacts, err = artifacts.Open(f.file.Store); err != nil {
		return err
	}
	if f.db, err = store.Open(ctx, f.file.Database, store.Options{Node: f.deps.Node, Shared: f.deps.Shared}); err != nil {
		return err
	}
	f.pool = pool.New(f.connect, pool.Options{})
	sources, err := source.New(source.Options{Cache: f.file.Sources, Mirrors: f.file.Mirrors, Offline: f.file.Offline})
	if err != nil {
		return kind(ErrConfig, err)
	}
	deps := engine.Deps{Store: f.db, Artifacts: f.artifacts, Workers: f.pool, Sources: sources, Plugins: f.plugins, Log: f.deps.Log,
		Version: f.deps.Version, Health: f.health, Settings: f.settings(), Rebuilds: f.rebuilds()}
	if !f.deps.Shared {
		if err := f.sign(ctx, &deps); err != nil {
			return err
		}
	}
	f.Engine = engine.New(deps)
	return nil
}

// Close closes everything that Open opened. It stops nothing on any worker.
func (f *Farm) Close() {
	if f.pool != nil {
		f.pool.Close() //nolint:errcheck // the connections end either way
	}
	if f.db != nil {
		f.db.Close() //nolint:errcheck // everything that counts is committed
	}
	if f.plugins != nil {
		f.plugins.Close() //nolint:errcheck // temporary folders only
	}
}

func (f *Farm) settings() engine.Settings {
	return engine.Settings{Scheduling: f.file.Scheduling, Patience: f.file.Patience, Probe: f.file.Probe.Every,
		Retain: f.file.Retention.Builds, Logs: f.file.Retention.Logs, Grace: f.file.Retention.Grace}
}

func (f *Farm) rebuilds() []engine.Rebuild {
	var all []engine.Rebuild
	for _, r := range f.file.Rebuilds {
		all = append(all, engine.Rebuild{Name: r.Name, Ports: r.Ports, Priority: r.Priority, Next: r.Next})
	}
	return all
}

func (f *Farm) health(was, now *workers.Facts, err error) *workers.Quarantine {
	return pool.Health(was, now, err, pool.Limits{FreeBytes: f.file.Probe.Free, Clock: f.file.Probe.Clock})
}

// connect connects to the worker of that name.
func (f *Farm) connect(ctx context.Context, name string) (workers.Worker, error) {
	w, ok := f.roster.worker(name)
	if !ok {
		return nil, fmt.Errorf("the farm's file names no worker %s: %w", name, workers.ErrUnreachable)
	}
	return f.deps.Connect(ctx, w)
}

// ReadRecipe reads the recipe in a folder and has the farm's plugins check it.
func (f *Farm) ReadRecipe(ctx context.Context, folder fs.FS) (*recipes.Recipe, error) {
	r, diags := f.plugins.Read(ctx, folder)
	if r == nil {
		return nil, diags
	}
	return r, nil
}
