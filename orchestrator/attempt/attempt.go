// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package attempt carries out one try of a repeat in a workspace: it puts the
// inputs there, lets the plugins drive their steps under the conditions of the
// repeat, fetches what was staged, and records what it saw itself.
//
// It neither chooses the worker nor keeps the workspace: orchestrator/engine
// does, and judges what comes out. It knows workers and plugins as interfaces
// only, so the same code serves a machine next door and one across an ocean.
package attempt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/plan"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// Store keeps outputs and logs by digest and gives inputs.
type Store interface {
	Fill(ctx context.Context, write func(io.Writer) error) (digest.Digest, error)
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}

// Starter starts the process of a plugin.
type Starter interface {
	Start(ctx context.Context, name string) (Process, error)
}

// Process is a plugin that was started for this attempt.
type Process interface {
	plugins.Builder
	plugins.Tester
	Close() error
}

// Order says what is to be done.
type Order struct {
	Recipe     *recipes.Recipe
	Conditions plan.Conditions
	Stage      string // the stage's id, for progress
	Repeat     int
	Attempt    int
	Worker     string
	Facts      workers.Facts
	Sources    []Source
	Epoch      int64
}

// Source is a proven source as the worker gets it.
type Source struct {
	// Digest is that of what is put: a plain tar made by the farm, or the
	// file itself.
	Digest digest.Digest
	// File is where below the source folder the file belongs; "" for a tar.
	File    string
	Patches []recipes.File
}

// Folders and files of the workspace.
const (
	stageDir = "stage"
	rawPax   = "stage.pax"
	tempDir  = "tmp"
)

// Bounds on what a worker can make the orchestrator keep.
const (
	maxOutput = 64 << 30
	maxLog    = 2 << 30
	maxSteps  = 1000
)

// Crew is what an attempt works with.
type Crew struct {
	Plugins Starter
	Store   Store
	Watch   orchestrator.Watch
	Now     func() time.Time
}

// Do carries out the order. A port that does not build or whose tests fail is
// a Failure; an error means that nothing is known about the port: the worker
// was lost (workers.ErrLost), ctx ended, or the farm itself is at fault. The
// record holds what was seen up to then in every case.
func (c Crew) Do(ctx context.Context, ws workers.Workspace, o Order) (orchestrator.Record, *orchestrator.Failure, error) {
	a := &attempt{Crew: c, Order: o, ws: ws, source: "src/" + o.Recipe.Port + "-" + o.Recipe.Version, processes: map[string]Process{}}
	a.record = orchestrator.Record{Repeat: o.Repeat, Name: o.Conditions.Name, Worker: o.Worker, Attempt: o.Attempt,
		Begun: c.Now(), Vary: o.Conditions.Values(o.Facts), Facts: o.Facts}
	defer a.close()
	failure, err := a.carryOut(ctx)
	a.record.Ended = c.Now()
	return a.record, failure, err
}

type attempt struct {
	Crew
	Order
	ws        workers.Workspace
	source    string
	record    orchestrator.Record
	processes map[string]Process
}

func (a *attempt) close() {
	for _, p := range a.processes {
		p.Close() //nolint:errcheck // the process ends either way
	}
}

func (a *attempt) carryOut(ctx context.Context) (*orchestrator.Failure, error) {
	for _, phase := range []func(context.Context) (*orchestrator.Failure, error){a.prepare, a.build, a.test} {
		if failure, err := phase(ctx); failure != nil || err != nil {
			return failure, err
		}
	}
	return nil, nil
}

// prepare puts the sources in place, unpacked and patched.
func (a *attempt) prepare(ctx context.Context) (*orchestrator.Failure, error) {
	farm := a.guarded("", a.Recipe.Build.Limit)
	script := fmt.Sprintf("mkdir -p %s %s %s %s", workers.Quote(a.source), stageDir, tempDir, workers.Quote(a.Conditions.Home))
	if failure, err := a.farmStep(ctx, farm, "folders", "", script); failure != nil || err != nil {
		return failure, err
	}
	for i, s := range a.Sources {
		if failure, err := a.putSource(ctx, farm, i, s); failure != nil || err != nil {
			return failure, err
		}
		for j, p := range s.Patches {
			if failure, err := a.patch(ctx, farm, fmt.Sprintf("patch-%d-%d", i+1, j+1), p); failure != nil || err != nil {
				return failure, err
			}
		}
	}
	return nil, nil
}

func (a *attempt) putSource(ctx context.Context, farm *guarded, i int, s Source) (*orchestrator.Failure, error) {
	name := fmt.Sprintf("in/source-%d.tar", i+1)
	if s.File != "" {
		name = path.Join(a.source, s.File)
	}
	r, err := a.Store.Open(ctx, s.Digest)
	if err != nil {
		return nil, fmt.Errorf("putting source: %w", err)
	}
	defer r.Close()
	if err := a.put(ctx, name, r, s.Digest); err != nil {
		return nil, err
	}
	if s.File != "" {
		return nil, nil
	}
	script := a.Facts.Archiver.UnpackCommand(`"$ZFARM_ROOT/` + name + `"`)
	return a.farmStep(ctx, farm, fmt.Sprintf("unpack-%d", i+1), a.source, script)
}

func (a *attempt) patch(ctx context.Context, farm *guarded, step string, p recipes.File) (*orchestrator.Failure, error) {
	name := "in/" + step
	if err := a.put(ctx, name, bytes.NewReader(p.Data), p.Digest); err != nil {
		return nil, err
	}
	return a.farmStep(ctx, farm, step, a.source, `patch -p1 -s <"$ZFARM_ROOT/`+name+`"`)
}

// put sends bytes and holds what was sent against the digest it must have.
func (a *attempt) put(ctx context.Context, name string, r io.Reader, want digest.Digest) error {
	have, err := a.ws.Put(ctx, name, 0o644, r)
	if err != nil {
		return err
	}
	if have != want {
		return fmt.Errorf("putting %s: sent %s instead of %s: the artifact store is damaged", name, have, want)
	}
	return nil
}

func (a *attempt) farmStep(ctx context.Context, farm *guarded, name, dir, script string) (*orchestrator.Failure, error) {
	st, err := farm.Run(ctx, workers.Step{Name: name, Dir: dir, Script: script}, nil)
	if err != nil || st.OK() {
		return nil, err
	}
	return farm.failure(&plugins.StepError{Step: name, Status: st}), nil
}

// build lets the builder work and fetches what it staged, before any test
// could touch it.
func (a *attempt) build(ctx context.Context) (*orchestrator.Failure, error) {
	p, err := a.process(ctx, a.Recipe.Build.Plugin)
	if err != nil {
		return nil, err
	}
	ws := a.guarded("build-", a.Recipe.Build.Limit)
	outputs, err := p.Build(ctx, ws, ws.config(a.Recipe.Build.Block))
	if failure, err := ws.judge(err); failure != nil || err != nil {
		return failure, err
	}
	if len(outputs) != 1 {
		return &orchestrator.Failure{Kind: orchestrator.FailedStep,
			Message: fmt.Sprintf("the builder %s made %d outputs; a package is made of one staged folder", a.Recipe.Build.Plugin, len(outputs))}, nil
	}
	return a.fetch(ctx, outputs[0].Dir)
}

func (a *attempt) fetch(ctx context.Context, dir string) (*orchestrator.Failure, error) {
	dir, err := workers.CleanName(dir)
	if err != nil {
		return nil, fmt.Errorf("fetching the output: %w", err)
	}
	farm := a.guarded("", a.Recipe.Build.Limit)
	script := a.Facts.Archiver.PackCommand(workers.Quote(dir), `"$ZFARM_ROOT/`+rawPax+`"`)
	if failure, err := a.farmStep(ctx, farm, "pack", "", script); failure != nil || err != nil {
		return failure, err
	}
	var got digest.Digest
	a.record.Output, err = a.Store.Fill(ctx, func(w io.Writer) error {
		got, err = a.ws.Get(ctx, rawPax, &bounded{w: w, left: maxOutput, what: "output"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetching the output: %w", err)
	}
	if got != a.record.Output {
		return nil, fmt.Errorf("fetching the output: %s arrived and %s was stored", got, a.record.Output)
	}
	return nil, nil
}

// test runs every suite of the recipe and holds each against what is expected.
func (a *attempt) test(ctx context.Context) (*orchestrator.Failure, error) {
	for i, t := range a.Recipe.Tests {
		p, err := a.process(ctx, t.Plugin)
		if err != nil {
			return nil, err
		}
		ws := a.guarded(fmt.Sprintf("test-%d-", i+1), t.Limit)
		report, err := p.Test(ctx, ws, ws.config(t.Block))
		if failure, err := ws.judge(err); failure != nil || err != nil {
			return failure, err
		}
		tally := orchestrator.TallyUp(report, t)
		a.record.Suites = append(a.record.Suites, orchestrator.Suite{Plugin: t.Plugin, Report: report, Tally: tally})
		a.Watch(orchestrator.Progress{At: a.Now(), Kind: orchestrator.Note, Stage: a.Stage, Worker: a.Worker, Text: tally.String()})
		if !tally.OK() {
			return suiteFailure(t, report, tally), nil
		}
	}
	return nil, nil
}

// suiteFailure tells the first failures with what the suite said of them.
func suiteFailure(t recipes.Test, report plugins.Report, tally orchestrator.Tally) *orchestrator.Failure {
	const most = 20
	var b strings.Builder
	fmt.Fprintf(&b, "the suite %q is not as good as the recipe demands: %s", t.Plugin, tally)
	failed := map[string]bool{}
	for _, name := range tally.Failed {
		failed[name] = true
	}
	told := 0
	for _, c := range report.Cases {
		if !failed[c.Name] || told == most {
			continue
		}
		told++
		fmt.Fprintf(&b, "\n  %s: %s", c.Outcome, c.Name)
		if detail, _, _ := strings.Cut(strings.TrimSpace(c.Detail), "\n"); detail != "" {
			fmt.Fprintf(&b, ": %s", detail)
		}
	}
	if more := len(tally.Failed) - told; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	b.WriteString("\nMend the port, or list a failure that is understood as known_failure with its reason.")
	return &orchestrator.Failure{Kind: orchestrator.FailedTests, Message: b.String()}
}

func (a *attempt) process(ctx context.Context, name string) (Process, error) {
	if p, ok := a.processes[name]; ok {
		return p, nil
	}
	p, err := a.Plugins.Start(ctx, name)
	if err != nil {
		return nil, err
	}
	a.processes[name] = p
	return p, nil
}

func (a *attempt) guarded(prefix string, limit recipes.Duration) *guarded {
	return &guarded{attempt: a, prefix: prefix, limit: time.Duration(limit), env: a.Conditions.Env(a.Facts, a.Epoch),
		tails: map[string]*tail{}, seen: map[string]workers.Status{}}
}

// config is what a plugin is told, without the workspace's own names.
func (g *guarded) config(block []byte) plugins.Config {
	return plugins.Config{Block: block, Port: g.Recipe.Port, Version: g.Recipe.Version, Source: g.source, Stage: stageDir,
		Prefix: g.Recipe.Package.Prefix, Jobs: g.Conditions.JobsOn(g.Facts), Facts: g.Facts}
}

// errTooMuch marks what a worker sent beyond a bound.
var errTooMuch = errors.New("more than the farm takes")

// bounded passes on at most left bytes.
type bounded struct {
	w    io.Writer
	left int64
	what string
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		return 0, fmt.Errorf("%s: %w", b.what, errTooMuch)
	}
	b.left -= int64(len(p))
	return b.w.Write(p)
}

// overlay returns under with over laid upon it.
func overlay(under, over map[string]string) map[string]string {
	all := maps.Clone(under)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, over)
	return all
}
