// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine drives builds by what orchestrator/store keeps: it takes submissions,
// gives slots to repeats, runs stages to their end, and passes their outcomes to the
// pure functions of orchestrator. State and wake-up change in one transaction; a
// wake-up only says what to read again.
//
// Several engines may share one database. The engine that holds a running stage runs
// it; when a hold runs out, another engine joins the stage under the same fence. Every
// effect is an interface (workers, plugins, sources, artifacts, signer): the engine
// knows neither SSH nor keys nor SQL. What happens inside an attempt belongs to
// orchestrator/attempt.
package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/source"
	"github.com/zfarm/zfarm/workers"
)

// Sources fetches a source and checks its digest and signature.
type Sources interface {
	Fetch(ctx context.Context, s recipes.Source) (source.Fetched, error)
}

// Plugins starts plugins and describes them.
type Plugins interface {
	attempt.Starter
	// Pin returns the plugin's description of itself and the digest of its program.
	Pin(ctx context.Context, name string) (plugins.Description, digest.Digest, error)
}

// Pool returns connected workers by name.
type Pool interface {
	Get(ctx context.Context, name string) (workers.Worker, error)
	// Probe reads the worker's facts and asks for those tools, now, regardless of how
	// often probes failed before.
	Probe(ctx context.Context, name string, tools ...string) (workers.Facts, error)
}

// Artifacts keeps bytes by digest.
type Artifacts interface {
	attempt.Store
	// Sweep removes what was stored before a time and is not kept, and returns the
	// number of bytes freed.
	Sweep(ctx context.Context, before time.Time, kept func(digest.Digest) (bool, error)) (int64, error)
}

// VerificationMaterial is published beside the bundles so that they can be verified.
type VerificationMaterial struct {
	PublicKey, TrustedRoot []byte
}

// Deps are an engine's dependencies.
type Deps struct {
	Store     *store.Store
	Artifacts Artifacts
	Workers   Pool
	Sources   Sources
	Plugins   Plugins
	// Signer may be nil: then nothing is signed.
	Signer               attest.Signer
	VerificationMaterial VerificationMaterial
	// Health returns why a worker must be quarantined, from the facts of the previous
	// probe, those of the last one (nil for none) and its error. It returns nil if the
	// worker may get work. Without Health only the error counts.
	Health func(was, now *workers.Facts, err error) *workers.Quarantine
	// Watch receives the progress of everything this engine does; it may be nil.
	Watch orchestrator.Watch
	// Log may be nil.
	Log *slog.Logger
	// Temp is a folder for spool files; "" is the system's.
	Temp string
	// Version is the farm's, BuilderID says what kind of farm it is; both for
	// provenance.
	Version, BuilderID string
	// Rebuilds are the released ports that are built again from time to time.
	Rebuilds []Rebuild
	Settings Settings
	// Now is the clock that decides what is due; nil is time.Now. Durations are not
	// measured by it.
	Now func() time.Time
}

// Rebuild is a plan to rebuild released ports and check that they still reproduce.
type Rebuild struct {
	Name     string
	Ports    []string // patterns as in path.Match
	Priority int
	// Next returns when the plan is next due after a time.
	Next func(after time.Time) time.Time
}

// Settings are an administrator's choices; zero fields take the defaults.
type Settings struct {
	Scheduling schedule.Settings
	// Patience is how long an attempt is joined again, while its worker cannot be
	// reached or its orchestrator cannot write, before it counts as lost. It must be
	// shorter than the lease of steps on the workers. 0: not at all.
	Patience time.Duration
	// Hold is how long an engine keeps a stage without renewing its hold; 15 s.
	Hold time.Duration
	// Sweep is how often the engine searches for what is overdue; 5 s.
	Sweep time.Duration
	// Probe is how often a worker is probed; 10 minutes.
	Probe time.Duration
	// Idle is how long a plugin may neither return nor call the farm; 10 minutes.
	Idle time.Duration
	// LocalStages is how many stages other than repeats this engine runs at once; 4.
	LocalStages int
	// Retain is how long builds that were not released are kept, Logs how long the logs
	// of all builds are, both from the end of the build. Grace is how long bytes that
	// no build keeps stay in the artifact store. 0: for ever.
	Retain, Logs, Grace time.Duration
	// KeepWorkspaces leaves the workspaces of ended attempts on their workers.
	KeepWorkspaces bool
}

func (s Settings) withDefaults() Settings {
	or := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	or(&s.Hold, 15*time.Second)
	or(&s.Sweep, 5*time.Second)
	or(&s.Probe, 10*time.Minute)
	or(&s.Idle, 10*time.Minute)
	if s.LocalStages == 0 {
		s.LocalStages = 4
	}
	return s
}

// Engine drives the builds of a farm; several may share one database.
type Engine struct {
	Deps
	now        func() time.Time
	localSlots chan struct{} // a token for each stage other than a repeat that runs here

	// matching allows one scheduling decision at a time; matched is the state of the
	// store that the last one was made from.
	matching sync.Mutex
	matched  int64

	mu             sync.Mutex
	wants          map[string]*schedule.Wants // of builds that wait, by id
	held           map[stageKey]*heldStage
	probed         map[string]bool          // workers being probed in the background
	toolsAsked     map[string][]string      // by worker: tools that match had it probed for
	cleanupLocks   map[string]chan struct{} // by worker: held during a removal there
	draining       bool
	background     sync.WaitGroup
	renewRequested chan struct{} // asks for a renewal of all holds at once
	retention      retention
}

// stageKey identifies a stage of a build.
type stageKey struct{ build, stage string }

// New returns an engine with those dependencies.
func New(p Deps) *Engine {
	p.Settings = p.Settings.withDefaults()
	if p.Watch == nil {
		p.Watch = func(orchestrator.Progress) {}
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Health == nil {
		p.Health = func(_, _ *workers.Facts, err error) *workers.Quarantine {
			if err == nil {
				return nil
			}
			return &workers.Quarantine{Code: workers.QuarantineProbeFailed, Detail: err.Error()}
		}
	}
	return &Engine{Deps: p, now: p.Now, localSlots: make(chan struct{}, p.Settings.LocalStages), matched: -1, wants: map[string]*schedule.Wants{},
		held: map[stageKey]*heldStage{}, probed: map[string]bool{}, toolsAsked: map[string][]string{}, cleanupLocks: map[string]chan struct{}{}, renewRequested: make(chan struct{}, 1)}
}

// Why a stage stops running here.
var (
	errDraining = errors.New("this orchestrator is stopping; another one will go on with it")
	errHoldLost = errors.New("this orchestrator does not hold the stage any more")
)

// Run works until ctx ends. Then it releases the stages it holds, without stopping
// anything on the workers, so that another engine (or this one, restarted) joins them
// at once.
func (e *Engine) Run(ctx context.Context) error {
	renewCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	sweepCtx, rest := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { e.renewLoop(renewCtx) })
	beside.Go(func() { e.sweepLoop(sweepCtx) })
	// At once, without waiting for the queue to empty.
	context.AfterFunc(sweepCtx, e.drain)
	err := e.Store.Work(ctx, store.Work{Parallel: 32, Handle: e.handle})
	rest()
	e.drain()
	e.background.Wait()
	stop()
	beside.Wait()
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// handle acts on one wake-up.
func (e *Engine) handle(ctx context.Context, w store.Wake) error {
	switch w.Kind {
	case store.Match:
		return e.match(ctx)
	case store.Claim:
		return e.claim(ctx, w.Build, w.Stage)
	case store.Needs:
		return e.checkNeeds(ctx, w.Build)
	case store.Probe:
		return e.probe(ctx, w.Worker)
	default:
		e.Log.Warn("ignoring a wake-up of an unknown kind; is another version of zfarm running on this database?", "kind", w.Kind)
		return nil
	}
}

func (e *Engine) note(build, stage, worker, text string) {
	e.Watch(orchestrator.Progress{At: e.now(), Kind: orchestrator.Note, Build: build, Stage: stage, Worker: worker, Text: text})
}

// report passes transitions to Watch.
func (e *Engine) report(events []orchestrator.Event) {
	for _, event := range events {
		e.Watch(orchestrator.Progress{At: event.At, Kind: orchestrator.Transition, Build: event.Build, Stage: event.Stage, Worker: event.Worker, Event: &event})
		e.Log.Info("transition", "build", event.Build, "stage", event.Stage, "from", event.From, "to", event.To,
			"fence", event.Fence, "worker", event.Worker, "detail", event.Detail)
	}
}

// put stores text and returns its digest.
func (e *Engine) put(ctx context.Context, text []byte) (digest.Digest, error) {
	return e.Artifacts.Fill(ctx, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// Wait returns the build once it has ended.
func (e *Engine) Wait(ctx context.Context, build string) (store.Build, error) {
	for {
		changed := e.Store.Changed()
		b, err := e.Store.Build(ctx, build)
		if err != nil || b.State().Over() {
			return b, err
		}
		select {
		case <-changed:
		case <-time.After(time.Second): // another orchestrator may have ended it
		case <-ctx.Done():
			return b, context.Cause(ctx)
		}
	}
}
