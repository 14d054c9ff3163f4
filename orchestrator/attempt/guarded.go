// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// guarded is the workspace as a plugin gets it: the conditions of the repeat apply to
// each step, limits hold, names of different plugins never collide, and every step is
// recorded as it was observed here.
type guarded struct {
	*attempt
	prefix string
	limit  time.Duration
	env    map[string]string

	mu    sync.Mutex
	tails map[string]*tail
	seen  map[string]workers.Status
}

func (g *guarded) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	return g.ws.Put(ctx, name, mode.Perm(), &atMost{r: r, left: plugins.MaxPut})
}

func (g *guarded) Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error) {
	return g.ws.Get(ctx, name, &bounded{w: w, left: plugins.MaxGet, what: name})
}

func (g *guarded) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	return g.ws.List(ctx, dir)
}

// Run adds the conditions to the step and runs it. They override the plugin's
// environment, so that a plugin cannot undo a variation; search paths and flags are
// joined instead, the conditions' part first. A umask that the plugin asks for wins,
// because what it installs must not depend on the repeat's.
func (g *guarded) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	own := s.Name
	s.Name = g.prefix + s.Name
	s.Env = layered(s.Env, g.env)
	if s.Umask == 0 {
		s.Umask = fs.FileMode(g.Conditions.Umask)
	}
	if g.limit > 0 && (s.Limit == 0 || s.Limit > g.limit) {
		s.Limit = g.limit
	}
	if err := g.farm.get(); err != nil {
		return workers.Status{}, err
	}
	last, err := g.addStep(own)
	if err != nil {
		return workers.Status{}, err
	}
	entry := orchestrator.StepRecord{Name: s.Name, Script: digest.Of([]byte(s.Script)), Begun: g.Now()}
	g.report(orchestrator.Progress{Kind: orchestrator.StepBegun, Step: s.Name})
	if err := g.journalled(ctx, &entry, s, last, log); err != nil {
		return workers.Status{}, err
	}
	g.recordStep(own, entry)
	g.report(orchestrator.Progress{Kind: orchestrator.StepEnded, Step: s.Name, Status: &entry.Status, Took: entry.Took})
	return entry.Status, nil
}

// addStep bounds the number of steps and gives the step a buffer for the end of its log.
func (g *guarded) addStep(step string) (*tail, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tails) >= maxSteps {
		return nil, fmt.Errorf("running step %s: a plugin may run at most %d steps", step, maxSteps)
	}
	t := &tail{}
	g.tails[step] = t
	return t, nil
}

// journalled runs the step and records it in the journal.
func (g *guarded) journalled(ctx context.Context, entry *orchestrator.StepRecord, s workers.Step, last *tail, log io.Writer) error {
	end := func() error { return nil }
	to := []io.Writer{last, watcher{g, s.Name}}
	if g.Steps != nil {
		if err := g.Steps.Begin(ctx, s.Name); err != nil {
			return g.farmFault(ctx, "beginning", s.Name, err)
		}
		f := startFeed(func(off int64, p []byte) error { return g.Steps.Append(ctx, s.Name, off, p) })
		to, end = append(to, f), f.end
	}
	if log != nil {
		to = append(to, log)
	}
	err := g.logged(ctx, entry, s, to)
	if fault := end(); fault != nil {
		return g.farmFault(ctx, "keeping the log of", s.Name, fault)
	}
	if err != nil {
		return err
	}
	entry.Took = g.Now().Sub(entry.Begun)
	if g.Steps != nil {
		if err := g.Steps.End(ctx, s.Name, entry.Status, entry.Took, entry.Log); err != nil {
			return g.farmFault(ctx, "ending", s.Name, err)
		}
	}
	return nil
}

// logged runs the step and copies its log to the store and to every writer in to.
func (g *guarded) logged(ctx context.Context, entry *orchestrator.StepRecord, s workers.Step, to []io.Writer) error {
	var err error
	entry.Log, err = g.Store.Fill(ctx, func(w io.Writer) error {
		all := append([]io.Writer{&bounded{w: w, left: maxLog, what: "log of step " + s.Name}}, to...)
		entry.Status, err = g.ws.Run(ctx, s, io.MultiWriter(all...))
		return err
	})
	return err
}

// farmFault turns an error of the journal into a fault of the farm, which no plugin can
// hide or take for its own. A call that the plugin itself cancelled is neither.
func (g *guarded) farmFault(ctx context.Context, what, step string, err error) error {
	err = fmt.Errorf("%s step %s in the journal: %w", what, step, err)
	if ctx.Err() == nil {
		g.farm.set(err)
	}
	return err
}

func (g *guarded) recordStep(step string, entry orchestrator.StepRecord) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen[step] = entry.Status
	g.record.Steps = append(g.record.Steps, entry)
}

// asFailure turns what a plugin returned into a failure of the port, or returns it as an
// error.
func (g *guarded) asFailure(err error) (*orchestrator.Failure, error) {
	if step, ok := plugins.AsStepError(err); ok {
		return g.failure(step), nil
	}
	return nil, err
}

// failure describes a step that failed, with the status observed here and the last
// lines of its log.
func (g *guarded) failure(e *plugins.StepError) *orchestrator.Failure {
	g.mu.Lock()
	defer g.mu.Unlock()
	st, ok := g.seen[e.Step]
	if !ok {
		return &orchestrator.Failure{Kind: orchestrator.FailedStep,
			Message: fmt.Sprintf("the plugin gave up at step %q, which it never ran: %s", e.Step, e.Hint)}
	}
	name := g.prefix + e.Step
	f := &orchestrator.Failure{Kind: orchestrator.FailedStep}
	switch st.State {
	case workers.Limit:
		f.Kind = orchestrator.OverLimit
		f.Message = fmt.Sprintf("step %s ran past its limit of %s on %s and was ended; raise the limit in the recipe if it needs more", name, g.limit, g.Worker)
	case workers.Exited:
		f.Message = fmt.Sprintf("step %s exited with %d on %s", name, st.Code, g.Worker)
	default:
		f.Kind = orchestrator.Infrastructure
		f.Message = fmt.Sprintf("step %s was ended on %s (%s)", name, g.Worker, st.State)
	}
	if e.Hint != "" {
		f.Message += "\n" + e.Hint
	}
	if lines := g.tails[e.Step].String(); lines != "" {
		f.Message += "\nThe end of its log:\n" + lines
	}
	return f
}

func (g *guarded) report(p orchestrator.Progress) {
	p.At, p.Stage, p.Worker = g.Now(), g.Stage, g.Worker
	g.Watch(p)
}

// watcher forwards a log as progress.
type watcher struct {
	g    *guarded
	step string
}

func (w watcher) Write(p []byte) (int, error) {
	w.g.report(orchestrator.Progress{Kind: orchestrator.StepLog, Step: w.step, Text: string(p)})
	return len(p), nil
}

// tail keeps the last bytes of a log.
type tail struct {
	mu   sync.Mutex
	last []byte
}

const tailBytes, tailLines = 4096, 20

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p[max(0, len(p)-tailBytes):]...)
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimRight(t.last, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n")))
}

// errPutTooLarge refuses a plugin's large file: the farm puts large files itself.
var errPutTooLarge = errors.New("larger than a plugin may put; name it as a source of the recipe")

// atMost reads at most left bytes and fails on more.
type atMost struct {
	r    io.Reader
	left int64
}

func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, errPutTooLarge
	}
	return n, err
}
