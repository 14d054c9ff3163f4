// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine acts on what orchestrator/store remembers: it takes
// submissions, gives slots to repeats, runs stages to their end, and hands
// their outcomes to the pure functions of orchestrator. State and wake-up move
// in one transaction; a wake-up only says where to look.
//
// Several engines may share one database. A running stage is run by the engine
// that holds it; one whose hold runs out is joined by another under the same
// fence. Every effect is handed in as an interface (workers, plugins,
// sources, artifacts, signer): the engine neither knows SSH nor keys nor SQL.
// What happens inside an attempt is orchestrator/attempt's.
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

// Sources fetches and proves a source.
type Sources interface {
	Fetch(ctx context.Context, s recipes.Source) (source.Fetched, error)
}

// Plugins starts plugins and says what they are.
type Plugins interface {
	attempt.Starter
	// Pin returns what the plugin says of itself and the digest of its program.
	Pin(ctx context.Context, name string) (plugins.Description, digest.Digest, error)
}

// Pool gives connected workers by name.
type Pool interface {
	Get(ctx context.Context, name string) (workers.Worker, error)
	// Probe asks the worker for its facts and those tools now, however often it
	// failed before.
	Probe(ctx context.Context, name string, tools ...string) (workers.Facts, error)
}

// Artifacts keeps bytes by digest.
type Artifacts interface {
	attempt.Store
	// Sweep removes what was stored before a time and is not kept, and
	// returns how many bytes that freed.
	Sweep(ctx context.Context, before time.Time, kept func(digest.Digest) (bool, error)) (int64, error)
}

// VerificationMaterial is published beside bundles for those who verify them.
type VerificationMaterial struct {
	PublicKey, TrustedRoot []byte
}

// Deps is what an engine works with.
type Deps struct {
	Store     *store.Store
	Artifacts Artifacts
	Workers   Pool
	Sources   Sources
	Plugins   Plugins
	// Signer may be nil: nothing is signed then.
	Signer               attest.Signer
	VerificationMaterial VerificationMaterial
	// Health says why a worker must be quarantined, from the facts of the probe
	// before, those of the last one (nil for none) and its error; nil if it may
	// get work. Without Health only the error counts.
	Health func(was, now *workers.Facts, err error) *workers.Quarantine
	// Watch is called with everything that this engine does; nil for nobody.
	Watch orchestrator.Watch
	// Log may be nil.
	Log *slog.Logger
	// Temp is a folder for spool files; "" is the system's.
	Temp string
	// Version is that of the farm, BuilderID the kind of farm, for provenance.
	Version, BuilderID string
	// Rebuilds are the released ports that are built again from time to time.
	Rebuilds []Rebuild
	Settings Settings
	// Now is the clock by which things are due; nil is time.Now. How long
	// something lasts here is not measured by it.
	Now func() time.Time
}

// Rebuild is a plan of rebuilding released ports to see whether they still
// reproduce.
type Rebuild struct {
	Name     string
	Ports    []string // patterns as in path.Match
	Priority int
	// Next returns when it is due next after a time.
	Next func(after time.Time) time.Time
}

// Settings are what an administrator may choose; zero fields are defaults.
type Settings struct {
	Policy schedule.Policy
	// Patience is how long an attempt whose worker cannot be reached, or whose
	// orchestrator cannot write, is joined again before it is given up. It
	// must be shorter than the lease of steps on the workers. 0: not at all.
	Patience time.Duration
	// Hold is how long a stage stays with an engine that says nothing; 15 s.
	Hold time.Duration
	// Sweep is how often what is overdue is looked for; 5 s.
	Sweep time.Duration
	// Probe is how often a worker is probed; 10 minutes.
	Probe time.Duration
	// Idle is how long a plugin may neither return nor ask for anything; 10 minutes.
	Idle time.Duration
	// Here is how many stages other than repeats this engine runs at once; 4.
	Here int
	// Retain is how long builds that were not released are remembered, Logs
	// how long the logs of all builds, from their end on. Grace is how long
	// bytes that nobody keeps are left. 0: for ever.
	Retain, Logs, Grace time.Duration
	// KeepWorkspaces leaves the workspaces of attempts on their workers.
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
	if s.Here == 0 {
		s.Here = 4
	}
	return s
}

// Engine is one orchestrator at work.
type Engine struct {
	Deps
	now        func() time.Time
	localSlots chan struct{} // a token for each stage other than a repeat that runs here

	// matching keeps one decision at a time; matched is the state of the store
	// that the last one saw.
	matching sync.Mutex
	matched  int64

	mu             sync.Mutex
	wants          map[string]*schedule.Wants // of builds that wait, by id
	held           map[stageKey]*heldStage
	probed         map[string]bool          // workers being probed in the background
	toolsAsked     map[string][]string      // by worker: tools for which match had it probed
	cleanupLocks   map[string]chan struct{} // by worker: held while something is removed there
	draining       bool
	background     sync.WaitGroup
	renewRequested chan struct{} // asks for a renewal of all holds at once
	retention      retention
}

// place names a stage of a build.
type stageKey struct{ build, stage string }

// New returns an engine of those parts.
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
	return &Engine{Deps: p, now: p.Now, localSlots: make(chan struct{}, p.Settings.Here), matched: -1, wants: map[string]*schedule.Wants{},
		held: map[stageKey]*heldStage{}, probed: map[string]bool{}, toolsAsked: map[string][]string{}, cleanupLocks: map[string]chan struct{}{}, renewRequested: make(chan struct{}, 1)}
}

// Why a stage stops running here.
var (
	errDraining = errors.New("this orchestrator is stopping; another one will go on with it")
	errHoldLost = errors.New("this orchestrator does not hold the stage any more")
)

// Run works until ctx ends. Then it releases the stages it holds, without
// stopping anything on the workers, so that another engine (or the next start
// of this one) joins them at once.
func (e *Engine) Run(ctx context.Context) error {
	renewCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	sweepCtx, rest := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { e.renewLoop(renewCtx) })
	beside.Go(func() { e.sweepLoop(sweepCtx) })
	// At once, not when the queue has come to rest.
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

// report shows transitions to whoever watches this engine.
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
