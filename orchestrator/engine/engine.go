// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine drives one build from its recipe to its folder of bundles, in
// this process: it asks the pure functions of orchestrator what may begin,
// begins it, and hands back what came of it.
//
// Every effect is handed to it as an interface (workers, plugins, sources,
// store, signer); it neither knows SSH nor keys, and it keeps nothing beyond
// the build. What happens inside an attempt is orchestrator/attempt's.
package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/orchestrator/plan"
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

// Parts is what an engine works with. Signer may be nil: nothing is signed then.
type Parts struct {
	Workers []workers.Worker
	Sources Sources
	Plugins Plugins
	Store   attempt.Store
	Signer  attest.Signer
	Watch   orchestrator.Watch
	// Temp is a folder for spool files; "" is the system's.
	Temp string
	// Version is that of the farm, for the provenance.
	Version string
	// BuilderID names the kind of farm in the provenance.
	BuilderID string
}

// Engine drives builds one after another.
type Engine struct{ equipment }

// equipment is the parts and the clock, as Engine and course share them.
type equipment struct {
	Parts
	now func() time.Time
}

// New returns an engine of those parts.
func New(p Parts) *Engine {
	if p.Watch == nil {
		p.Watch = func(orchestrator.Progress) {}
	}
	return &Engine{equipment{Parts: p, now: time.Now}}
}

// Request asks for a build.
type Request struct {
	Recipe *recipes.Recipe
	// URI and Path say where the recipe came from.
	URI, Path string
	// Out is the folder to lay artifacts and bundles out in; "" for none. It
	// is only written when there is a signer.
	Out string
	// PublicKey is laid beside the bundles.
	PublicKey []byte
	// TrustedRoot is laid beside the bundles for stock verifiers.
	TrustedRoot []byte
	// Keep leaves the workspaces on the workers.
	Keep bool
}

// ErrNeeds: the recipe needs other ports, which one engine alone does not build.
var ErrNeeds = errors.New("building needs first is not possible yet")

// Conclusion is what came of a build.
type Conclusion struct {
	Build   orchestrator.Build    `json:"build"`
	Inputs  orchestrator.Inputs   `json:"inputs"`
	Records []orchestrator.Record `json:"records"`
	// Artifacts are the packages of the repeats, the baseline's first.
	Artifacts []Artifact `json:"artifacts,omitempty"`
	// Verdict is that of the baseline against the repeat that differs most.
	Verdict *compare.Verdict `json:"verdict,omitempty"`
	// Agreeing counts the repeats whose verdict against the baseline is
	// within the tiers allowed, the baseline included.
	Agreeing int `json:"agreeing,omitempty"`
	// Signed says that statements were signed, Out where they lie.
	Signed bool   `json:"signed"`
	Out    string `json:"out,omitempty"`
	// Failure is nil when the build may be released.
	Failure *orchestrator.Failure `json:"failure,omitempty"`
}

// Artifact is a package made of the output of one repeat.
type Artifact struct {
	Repeat string        `json:"repeat"`
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// Pax is the digest of the archive inside.
	Pax digest.Digest `json:"pax"`

	info packaging.Info
}

// Build carries the request out. A build that ends without a release is a
// conclusion with a Failure. An error means that it never came to a
// conclusion: a worker could not be reached or is unfit at the start (the
// errors of package workers), or ctx ended.
func (e *Engine) Build(ctx context.Context, r Request) (Conclusion, error) {
	if i := slices.IndexFunc(r.Recipe.Needs, func(n recipes.Need) bool { return slices.Contains(n.At, "build") }); i >= 0 {
		return Conclusion{}, fmt.Errorf("%s needs %s: %w", r.Recipe.Port, r.Recipe.Needs[i].Port, ErrNeeds)
	}
	facts, err := e.probe(ctx, r.Recipe)
	if err != nil {
		return Conclusion{}, err
	}
	recipeDigest, err := r.Recipe.Digest()
	if err != nil {
		return Conclusion{}, err
	}
	begun := e.now()
	c := &course{equipment: e.equipment, Request: r, facts: facts, conditions: plan.Repeats(r.Recipe), begun: begun,
		id:    fmt.Sprintf("%s-%08x", recipeDigest.Short(), begun.UnixMilli()&0xffffffff),
		busy:  map[string]bool{},
		given: map[int]string{},
		roots: make([]string, r.Recipe.Reproduce.Repeats)}
	c.Inputs.Recipe = recipeDigest
	c.Build = orchestrator.New(c.id, r.Recipe.Reproduce.Repeats, begun)
	if c.Build, _, err = c.Build.Unblock(begun); err != nil {
		return Conclusion{}, err
	}
	c.Records = make([]orchestrator.Record, r.Recipe.Reproduce.Repeats)
	c.drive(ctx)
	c.Failure = c.Build.Failure()
	if c.Build.Cancelled {
		return c.Conclusion, fmt.Errorf("building %s %s: %w", r.Recipe.Port, r.Recipe.Version, context.Cause(ctx))
	}
	return c.Conclusion, nil
}

// probe reads the facts of every worker and leaves out those without the
// recipe's tools; a worker that cannot be used at all is an error, because
// somebody named it.
func (e *Engine) probe(ctx context.Context, r *recipes.Recipe) (map[string]workers.Facts, error) {
	all := make([]workers.Facts, len(e.Workers))
	g, probing := errgroup.WithContext(ctx)
	for i, w := range e.Workers {
		g.Go(func() error {
			var err error
			if all[i], err = w.Facts(probing); err != nil {
				return fmt.Errorf("probing worker %s: %w", w.Name(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	facts := map[string]workers.Facts{}
	var lacks []string
	for i, w := range e.Workers {
		if missing := plan.Missing(r, all[i]); len(missing) > 0 {
			lacks = append(lacks, fmt.Sprintf("worker %s cannot build %s: %s", w.Name(), r.Port, strings.Join(missing, ", ")))
			e.note("", w.Name(), lacks[len(lacks)-1])
			continue
		}
		facts[w.Name()] = all[i]
	}
	if len(facts) == 0 {
		return nil, fmt.Errorf("%w: %s", workers.ErrUnfit, strings.Join(lacks, "; "))
	}
	return facts, nil
}

func (e *equipment) note(stage, worker, text string) {
	e.Watch(orchestrator.Progress{At: e.now(), Kind: orchestrator.Note, Stage: stage, Worker: worker, Text: text})
}

// course is one build on its way. Its fields belong to the goroutine of
// drive; effects read what earlier stages left and hand back a closure.
type course struct {
	equipment
	Request
	Conclusion
	id         string
	begun      time.Time
	facts      map[string]workers.Facts
	conditions []plan.Conditions
	sources    []attempt.Source
	plugins    map[string]plugins.Description
	roots      []string // the workspace of each repeat, absolute on its worker
	bundles    bundles
	busy       map[string]bool
	given      map[int]string
}

// end is what came of one stage.
type end struct {
	stage   orchestrator.Stage
	failure *orchestrator.Failure
	err     error
	// keep stores what the stage made; called by drive.
	keep func()
}

// drive passes the build through its stages until all have ended. When ctx
// ends it waits for what runs to clean up after itself.
func (c *course) drive(ctx context.Context) {
	ends := make(chan end)
	running := 0
	stopped := ctx.Done()
	for running > 0 || !c.Build.Over() {
		var pause <-chan time.Time
		if ctx.Err() == nil {
			running += c.begin(ctx, ends)
			pause = c.pause()
		}
		select {
		case e := <-ends:
			running--
			c.finish(ctx, e)
		case <-pause:
		case <-stopped:
			stopped = nil
			next, events := c.Build.Cancel(c.now())
			c.advance(next, events...)
		}
	}
}

// begin starts every stage that is ready and has what it needs, and returns
// how many.
func (c *course) begin(ctx context.Context, ends chan<- end) int {
	ready, _ := c.Build.Ready(c.now())
	begun := 0
	for _, s := range ready {
		effect := c.effect(s)
		worker := ""
		if s.Kind == orchestrator.Repeat {
			if worker = c.choose(s); worker == "" {
				continue
			}
			c.busy[worker] = true
			c.given[s.Repeat] = worker
		}
		next, event, err := c.Build.Begin(s.ID, worker, c.now())
		if err != nil {
			continue // it was ready a moment ago and this goroutine is the only one that changes it
		}
		c.advance(next, event)
		stage, _ := c.Build.Stage(s.ID)
		begun++
		go func() { ends <- effect(ctx, stage) }()
	}
	return begun
}

func (c *course) effect(s orchestrator.Stage) func(context.Context, orchestrator.Stage) end {
	switch s.Kind {
	case orchestrator.Resolve:
		return c.resolve
	case orchestrator.Repeat:
		return c.repeat
	case orchestrator.Compare:
		return c.compare
	case orchestrator.Attest:
		return c.attest
	default:
		return c.publish
	}
}

func (c *course) choose(s orchestrator.Stage) string {
	var from []plan.Candidate
	for _, w := range c.Workers {
		if facts, ok := c.facts[w.Name()]; ok {
			from = append(from, plan.Candidate{Name: w.Name(), Facts: facts, Busy: c.busy[w.Name()]})
		}
	}
	var used []string
	for repeat, worker := range c.given {
		if repeat != s.Repeat {
			used = append(used, worker)
		}
	}
	return plan.Choose(c.conditions[s.Repeat], from, used, s.Lost)
}

// pause fires when the next retry may begin; nil when none waits.
func (c *course) pause() <-chan time.Time {
	if _, next := c.Build.Ready(c.now()); !next.IsZero() {
		return time.After(next.Sub(c.now()))
	}
	return nil
}

// finish tells the build how a stage ended.
func (c *course) finish(ctx context.Context, e end) {
	delete(c.busy, e.stage.Worker)
	if c.Build.Cancelled {
		return
	}
	if e.keep != nil {
		e.keep()
	}
	if e.err != nil && ctx.Err() != nil {
		return // the end of ctx is why; drive cancels the build
	}
	var next orchestrator.Build
	var events []orchestrator.Event
	var err error
	id, fence, now := e.stage.ID, e.stage.Fence, c.now()
	switch {
	case errors.Is(e.err, workers.ErrLost) && e.stage.Kind == orchestrator.Repeat:
		next, events, err = c.Build.Lose(id, fence, e.err.Error(), now)
	case e.err != nil:
		next, events, err = c.Build.Fail(id, fence, orchestrator.Failure{Kind: orchestrator.Infrastructure, Message: e.err.Error()}, digest.Digest{}, now)
	case e.failure != nil:
		next, events, err = c.Build.Fail(id, fence, *e.failure, digest.Digest{}, now)
	default:
		next, events, err = c.Build.Succeed(id, fence, digest.Digest{}, now)
	}
	if err != nil {
		c.note(id, e.stage.Worker, err.Error())
		return
	}
	c.advance(next, events...)
}

// advance makes next the present state and tells watchers.
func (c *course) advance(next orchestrator.Build, events ...orchestrator.Event) {
	c.Build = next
	for _, event := range events {
		c.Watch(orchestrator.Progress{At: event.At, Kind: orchestrator.Transition, Stage: event.Stage, Worker: event.Worker, Event: &event})
	}
}

func (c *course) worker(name string) workers.Worker {
	return c.Workers[slices.IndexFunc(c.Workers, func(w workers.Worker) bool { return w.Name() == name })]
}

// failed is the end of a stage for a reason that lies in the port.
func failed(s orchestrator.Stage, kind orchestrator.FailureKind, message string) end {
	return end{stage: s, failure: &orchestrator.Failure{Kind: kind, Message: message}}
}
