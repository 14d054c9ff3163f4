// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package attempt makes one try of a repeat in a workspace: it puts the inputs there,
// lets the plugins run their steps under the conditions of the repeat, fetches the
// staged output, and records what it observed.
//
// It neither chooses the worker nor keeps the workspace: orchestrator/engine does that,
// and judges the result. Workers and plugins are interfaces here, so the same code
// serves a machine in the same room and one across an ocean.
package attempt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// Store keeps outputs and logs by digest and provides inputs.
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

// Order says what the attempt has to do. It can be encoded as JSON, so that another
// process can continue the attempt.
type Order struct {
	Recipe     *recipes.Recipe `json:"recipe"`
	Conditions plan.Conditions `json:"conditions"`
	Stage      string          `json:"stage"` // the stage's id, for progress
	Repeat     int             `json:"repeat"`
	Attempt    int             `json:"attempt"`
	Worker     string          `json:"worker"`
	Facts      workers.Facts   `json:"facts"`
	Sources    []Source        `json:"sources"`
	// Needs are unpacked in the workspace before the sources; earlier ones come first
	// in search paths.
	Needs []Need `json:"needs,omitempty"`
	Epoch int64  `json:"epoch"`
	// Begun is when the attempt began; zero is now. An attempt that is joined again
	// keeps its first time in the record.
	Begun time.Time `json:"begun,omitzero"`
	// Output is the output that an earlier, interrupted run of the attempt fetched (see
	// Deps.Fetched). It is not fetched again: the suite may have run since and could
	// have changed what is on the worker.
	Output digest.Digest `json:"output,omitzero"`
}

// Source is a verified source as the worker gets it.
type Source struct {
	// Digest is that of the bytes put on the worker: a plain tar made by the farm, or
	// the file itself.
	Digest digest.Digest `json:"digest"`
	// File is the file's path below the source folder; "" for a tar.
	File string `json:"file,omitempty"`
	// Patches are applied in order. A patch without its Data, which JSON omits, is read
	// from the Store.
	Patches []recipes.File `json:"patches,omitempty"`
}

// Folders and files of the workspace.
const (
	needsDir = "needs"
	stageDir = "stage"
	rawPax   = "stage.pax"
	tempDir  = "tmp"
)

// Bounds on what a worker can make the orchestrator store.
const (
	maxOutput = 64 << 30
	maxLog    = 2 << 30
	maxSteps  = 1000
)

// Deps are the dependencies of an attempt.
type Deps struct {
	Plugins Starter
	Store   Store
	Watch   orchestrator.Watch
	Now     func() time.Time
	// Steps records each step and its log; it may be nil. Its error ends the attempt as
	// a fault of the farm.
	Steps Journal
	// Fetched is called with the digest of the output once it is in the Store and
	// before any suite runs; it may be nil. Its error is a fault of the farm.
	Fetched func(ctx context.Context, output digest.Digest) error
}

// Do executes the order. A port that does not build or whose tests fail is a Failure;
// an error means that nothing is known about the port: the worker was lost
// (workers.ErrLost), ctx ended, or the farm itself is at fault. In every case the
// record holds what was observed up to then.
//
// To join an interrupted attempt, call Do again with the same order and the same
// workspace: every step that was begun is joined or recalled by its name, with its
// whole log, and every input is put again.
func (c Deps) Do(ctx context.Context, ws workers.Workspace, o Order) (orchestrator.Record, *orchestrator.Failure, error) {
	a := &attempt{Deps: c, Order: o, ws: ws, source: "src/" + o.Recipe.Port + "-" + o.Recipe.Version, processes: map[string]Process{}}
	a.record = orchestrator.Record{Repeat: o.Repeat, Name: o.Conditions.Name, Worker: o.Worker, Attempt: o.Attempt,
		Begun: o.Begun, Vary: o.Conditions.Values(o.Worker, o.Facts), Facts: o.Facts}
	if o.Begun.IsZero() {
		a.record.Begun = c.Now()
	}
	defer a.close()
	failure, err := a.run(ctx)
	if own := a.farm.get(); own != nil {
		failure, err = nil, own
	}
	a.record.Ended = c.Now()
	return a.record, failure, err
}

type attempt struct {
	Deps
	Order
	ws        workers.Workspace
	source    string
	record    orchestrator.Record
	processes map[string]Process
	// env is what the needs add to the plugins' environment.
	env  map[string]string
	farm fault
}

func (a *attempt) close() {
	for _, p := range a.processes {
		p.Close() //nolint:errcheck // the process ends either way
	}
}

func (a *attempt) run(ctx context.Context) (*orchestrator.Failure, error) {
	for _, phase := range []func(context.Context) (*orchestrator.Failure, error){a.prepare, a.build, a.test} {
		if failure, err := phase(ctx); failure != nil || err != nil {
			return failure, err
		}
	}
	return nil, nil
}

// prepare puts the needs and sources in place, unpacked and patched.
func (a *attempt) prepare(ctx context.Context) (*orchestrator.Failure, error) {
	farm := a.guarded("", a.Recipe.Build.Limit, nil)
	script := fmt.Sprintf("mkdir -p %s %s %s %s", workers.Quote(a.source), stageDir, tempDir, workers.Quote(a.Conditions.Home))
	if len(a.Needs) > 0 {
		script += " " + needsDir
	}
	if failure, err := a.farmStep(ctx, farm, "folders", "", script); failure != nil || err != nil {
		return failure, err
	}
	if failure, err := a.putNeeds(ctx, farm); failure != nil || err != nil {
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
	name := fmt.Sprintf("in/source-%d", i+1)
	script := ""
	if s.File == "" {
		name += ".tar"
		script = a.Facts.Archiver.UnpackCommand(inRoot(name))
	} else {
		// A step moves the file. It is not repeated when the attempt is joined again:
		// by then the file may be patched.
		file := workers.Quote("./" + s.File)
		script = "mkdir -p " + workers.Quote("./"+path.Dir(s.File)) + " && mv " + inRoot(name) + " " + file
	}
	if err := a.putStored(ctx, name, s.Digest); err != nil {
		return nil, fmt.Errorf("putting source: %w", err)
	}
	return a.farmStep(ctx, farm, fmt.Sprintf("unpack-%d", i+1), a.source, script)
}

func (a *attempt) patch(ctx context.Context, farm *guarded, step string, p recipes.File) (*orchestrator.Failure, error) {
	name := "in/" + step
	var err error
	if len(p.Data) > 0 {
		err = a.put(ctx, name, bytes.NewReader(p.Data), p.Digest)
	} else {
		err = a.putStored(ctx, name, p.Digest)
	}
	if err != nil {
		return nil, fmt.Errorf("putting patch %s: %w", p.Name, err)
	}
	return a.farmStep(ctx, farm, step, a.source, "patch -p1 -s <"+inRoot(name))
}

// inRoot returns the path of a name in the workspace, quoted for a script.
func inRoot(name string) string { return `"$ZFARM_ROOT/` + name + `"` }

// putStored puts bytes from the Store on the worker.
func (a *attempt) putStored(ctx context.Context, name string, d digest.Digest) error {
	r, err := a.Store.Open(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	return a.put(ctx, name, r, d)
}

// put sends bytes and checks their digest against the one they must have.
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

// build runs the builder and fetches the staged output before any test can touch it.
func (a *attempt) build(ctx context.Context) (*orchestrator.Failure, error) {
	p, err := a.process(ctx, a.Recipe.Build.Plugin)
	if err != nil {
		return nil, err
	}
	ws := a.guarded("build-", a.Recipe.Build.Limit, a.env)
	outputs, err := p.Build(ctx, ws, ws.config(a.Recipe.Build.Block))
	if failure, err := ws.asFailure(err); failure != nil || err != nil {
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
	farm := a.guarded("", a.Recipe.Build.Limit, nil)
	script := a.Facts.Archiver.PackCommand(workers.Quote(dir), inRoot(rawPax))
	if failure, err := a.farmStep(ctx, farm, "pack", "", script); failure != nil || err != nil {
		return failure, err
	}
	if !a.Output.IsZero() {
		a.record.Output = a.Output
		return nil, nil
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
	if a.Fetched != nil {
		if err := a.Fetched(ctx, a.record.Output); err != nil {
			return nil, fmt.Errorf("keeping what was fetched: %w", err)
		}
	}
	return nil, nil
}

// test runs every suite of the recipe and compares each with what is expected.
func (a *attempt) test(ctx context.Context) (*orchestrator.Failure, error) {
	for i, t := range a.Recipe.Tests {
		p, err := a.process(ctx, t.Plugin)
		if err != nil {
			return nil, err
		}
		ws := a.guarded(fmt.Sprintf("test-%d-", i+1), t.Limit, a.env)
		report, err := p.Test(ctx, ws, ws.config(t.Block))
		if failure, err := ws.asFailure(err); failure != nil || err != nil {
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

// suiteFailure names the first failures and quotes the suite's text about them.
func suiteFailure(t recipes.Test, report plugins.Report, tally orchestrator.Tally) *orchestrator.Failure {
	const most = 20
	var b strings.Builder
	fmt.Fprintf(&b, "the suite %q is not as good as the recipe demands: %s", t.Plugin, tally)
	failed := map[string]bool{}
	for _, name := range tally.Failed {
		failed[name] = true
	}
	shown := 0
	for _, c := range report.Cases {
		if !failed[c.Name] || shown == most {
			continue
		}
		shown++
		fmt.Fprintf(&b, "\n  %s: %s", c.Outcome, c.Name)
		if detail, _, _ := strings.Cut(strings.TrimSpace(c.Detail), "\n"); detail != "" {
			fmt.Fprintf(&b, ": %s", detail)
		}
	}
	if more := len(tally.Failed) - shown; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	b.WriteString("\nFix the port, or list a failure that is understood as known_failure with its reason.")
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

// guarded returns the workspace for one plugin or for the farm itself; more adds to the
// conditions of the repeat.
func (a *attempt) guarded(prefix string, limit recipes.Duration, more map[string]string) *guarded {
	return &guarded{attempt: a, prefix: prefix, limit: time.Duration(limit), env: layered(a.Conditions.Env(a.Facts, a.Epoch), more),
		tails: map[string]*tail{}, seen: map[string]workers.Status{}}
}

// config returns what a plugin is given, without the workspace's own variables.
func (g *guarded) config(block []byte) plugins.Config {
	return plugins.Config{Block: block, Port: g.Recipe.Port, Version: g.Recipe.Version, Source: g.source, Stage: stageDir,
		Prefix: g.Recipe.Package.Prefix, Jobs: g.Conditions.JobsOn(g.Facts), Facts: g.Facts}
}

// errTooMuch marks data from a worker beyond a bound.
var errTooMuch = errors.New("more than the farm takes")

// bounded forwards at most left bytes.
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
