// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// rooted is a workspace that knows its path on the worker. The path is one of the
// values that the comparison searches outputs for.
type rooted interface{ Root() string }

// repeat makes one attempt at a repeat in a workspace of its own, or joins the attempt
// that another orchestrator began.
func (c *stageContext) repeat(ctx context.Context) outcome {
	made, err := c.Store.Attempt(ctx, c.build.ID, c.stage.ID, c.stage.Fence)
	if err != nil {
		return outcome{err: fmt.Errorf("%w: %w", errTemporary, err)}
	}
	registered, err := c.Store.Worker(ctx, c.stage.Worker)
	if err != nil {
		return outcome{err: fmt.Errorf("%w: %w", errTemporary, err)}
	}
	if registered.Facts == nil {
		return outcome{err: fmt.Errorf("worker %s has no facts: %w", registered.Name, workers.ErrLost)}
	}
	order := attempt.Order{Recipe: c.recipe, Conditions: c.conditions[c.stage.Repeat], Stage: c.stage.ID, Repeat: c.stage.Repeat,
		Attempt: c.stage.Attempts, Worker: c.stage.Worker, Facts: *registered.Facts, Sources: c.resolved.Sources, Needs: c.resolved.Needs, Epoch: c.resolved.Inputs.Epoch, Begun: made.Begun, Output: made.Output}
	record, root, failure, err := c.attemptUntilDone(ctx, made, order)
	if err == nil && failure != nil {
		err = c.faultOutsidePort(ctx, record, failure)
	}
	if err != nil {
		return outcome{err: err}
	}
	result := c.save(ctx, stagevalue.Repeated{Record: record, Root: root}, digestsToKeep(record)...)
	result.failure = failure
	if failure == nil && result.err == nil {
		result.duration = record.Ended.Sub(record.Begun)
	}
	return result
}

// digestsToKeep returns what must outlive the attempt. The stored steps keep its logs, until
// retention deletes them.
func digestsToKeep(r orchestrator.Record) []digest.Digest {
	var all []digest.Digest
	if !r.Output.IsZero() {
		all = append(all, r.Output)
	}
	return all
}

// attemptUntilDone makes the attempt, and joins it again when the worker cannot be
// reached or this machine cannot write: the step on the worker goes on meanwhile.
func (c *stageContext) attemptUntilDone(ctx context.Context, made store.Attempt, o attempt.Order) (orchestrator.Record, string, *orchestrator.Failure, error) {
	fetched := func(ctx context.Context, output digest.Digest) error {
		o.Output = output
		return retryStore(ctx, func() error { return c.Store.Fetched(ctx, made.Build, made.Stage, made.Fence, output) })
	}
	p := patience{limit: c.Settings.Patience}
	for {
		begun := time.Now()
		record, root, failure, err := c.attemptOnce(ctx, made, o, fetched)
		if err == nil || ctx.Err() != nil {
			return record, root, failure, err
		}
		if at := (*workerError)(nil); errors.As(err, &at) {
			if found := c.checkWorker(ctx, err.Error()); found != nil {
				return record, root, failure, found
			}
		}
		pause, again := p.retryPause(err, begun, time.Now())
		if !again {
			return record, root, failure, err
		}
		c.note(fmt.Sprintf("joining the attempt again in %s: %v", pause, err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return record, root, failure, err
		}
	}
}

// patience decides how often an interrupted attempt is joined again. It uses the
// monotonic clock, whatever the farm's clock says.
type patience struct {
	limit  time.Duration
	since  time.Time // of the first interruption
	pause  time.Duration
	faults int // those that will hardly pass by themselves
}

const (
	// settled is how long an attempt must run well before its earlier faults are
	// forgotten; longer than it takes to notice that a step has vanished.
	settled = time.Minute
	// rejoins is how often an attempt is joined again after a fault of its worker or
	// plugin that does not look temporary.
	rejoins    = 2
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// retryPause returns the pause before the attempt is joined once more, or false.
func (p *patience) retryPause(err error, begun, now time.Time) (time.Duration, bool) {
	if p.since.IsZero() || now.Sub(begun) > max(p.limit/2, settled) {
		*p = patience{limit: p.limit, since: now}
	}
	at := (*workerError)(nil)
	switch {
	case errors.Is(err, store.ErrRefused), errors.Is(err, store.ErrUnknown), errors.Is(err, errIdle):
		return 0, false
	case errors.Is(err, workers.ErrVanished):
		p.faults += rejoins // one more try, in case the check came at a bad moment
	case errors.As(err, &at), !errors.Is(err, workers.ErrLost) && !temporary(err):
		p.faults++
	}
	p.pause = min(max(2*p.pause, firstPause), lastPause)
	return p.pause, p.faults <= rejoins && now.Sub(p.since) < p.limit
}

// attemptOnce makes the attempt from the start: steps that have ended are recalled, one
// that still runs is joined.
func (c *stageContext) attemptOnce(ctx context.Context, made store.Attempt, o attempt.Order,
	fetched func(context.Context, digest.Digest) error) (orchestrator.Record, string, *orchestrator.Failure, error) {
	none := orchestrator.Record{}
	w, err := c.Workers.Get(ctx, o.Worker)
	if err != nil {
		return none, "", nil, fmt.Errorf("making workspace %s on %s: %w", made.Workspace, o.Worker, err)
	}
	ws, err := c.openWorkspace(ctx, w, made)
	if err != nil {
		return none, "", nil, fmt.Errorf("making workspace %s on %s: %w", made.Workspace, o.Worker, err)
	}
	root := ""
	if r, ok := ws.Workspace.(rooted); ok {
		root = r.Root()
	}
	watch := func(p orchestrator.Progress) {
		p.Build = c.build.ID
		c.Watch(p)
	}
	deps := attempt.Deps{Plugins: idleLimited{c.Plugins, c.Settings.Idle}, Store: c.Artifacts, Watch: watch, Now: monotonic(made.Begun, c.now), Fetched: fetched,
		Steps: journal{store: c.Store, build: c.build.ID, stage: c.stage.ID, fence: c.stage.Fence}}
	record, failure, err := deps.Do(ctx, ws, o)
	return record, root, failure, ws.explain(err)
}

// monotonic returns a clock that stands still where now was set back, so that nothing
// in a record ends before it began.
func monotonic(from time.Time, now func() time.Time) func() time.Time {
	var mu sync.Mutex
	last := from
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		if t := now(); t.After(last) {
			last = t
		}
		return last
	}
}

// openWorkspace makes the workspace or joins it. It must hold nothing foreign: steps
// found there would be recalled instead of run, and two repeats would agree because
// they are one. So whatever is in a workspace is removed first if the store knows no
// step of the attempt.
func (c *stageContext) openWorkspace(ctx context.Context, w workers.Worker, made store.Attempt) (*observedWorkspace, error) {
	if err := c.checkCurrent(ctx, made); err != nil {
		return nil, err
	}
	found, err := w.Workspace(ctx, made.Workspace)
	if err != nil {
		return nil, onWorker(ctx, err)
	}
	if err := c.checkCurrent(ctx, made); err != nil {
		return nil, errors.Join(err, c.removeUnlessOccupied(ctx, found, made))
	}
	steps, err := c.Store.Steps(ctx, c.build.ID, c.stage.ID, c.stage.Fence)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTemporary, err)
	}
	ws := &observedWorkspace{Workspace: found}
	entries, err := ws.List(ctx, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ended := slices.ContainsFunc(steps, func(s store.Step) bool { return s.Status != nil })
	switch {
	case len(entries) == 0 && ended:
		return nil, fmt.Errorf("the workspace is empty, and steps have ended in it: %w", workers.ErrVanished)
	case len(entries) == 0, len(steps) > 0:
		return ws, nil
	}
	if err := found.Remove(ctx); err != nil {
		return nil, onWorker(ctx, err)
	}
	found, err = w.Workspace(ctx, made.Workspace)
	return &observedWorkspace{Workspace: found}, onWorker(ctx, err)
}

// onWorker marks an error as one of the worker.
func onWorker(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, workers.ErrLost) {
		return err
	}
	return &workerError{err}
}

// checkCurrent refuses an attempt that has ended: this engine had stalled, and another
// one went on.
func (c *stageContext) checkCurrent(ctx context.Context, made store.Attempt) error {
	now, err := c.Store.Attempt(ctx, made.Build, made.Stage, made.Fence)
	switch {
	case errors.Is(err, store.ErrUnknown), err == nil && !now.Ended.IsZero():
		return fmt.Errorf("the attempt has ended elsewhere: %w", store.ErrRefused)
	case err != nil:
		return fmt.Errorf("%w: %w", errTemporary, err)
	}
	return nil
}

// journal writes the steps of an attempt and their logs to the store as they arrive. It
// waits for a store that is unreachable for a while: the attempt must not end because
// of it.
type journal struct {
	store *store.Store
	build string
	stage string
	fence int64
}

// Begin refuses a step of an attempt that has ended: an engine that stalled while
// another one ended the attempt must not run anything more.
func (j journal) Begin(ctx context.Context, step string) error {
	return retryStore(ctx, func() error {
		if _, err := j.store.BeginStep(ctx, j.build, j.stage, j.fence, step); err != nil {
			return err
		}
		now, err := j.store.Attempt(ctx, j.build, j.stage, j.fence)
		if err == nil && !now.Ended.IsZero() {
			err = fmt.Errorf("the attempt has ended elsewhere: %w", store.ErrRefused)
		}
		return err
	})
}

func (j journal) Append(ctx context.Context, step string, off int64, p []byte) error {
	return retryStore(ctx, func() error { return j.store.AppendLog(ctx, j.build, j.stage, j.fence, step, off, p) })
}

func (j journal) End(ctx context.Context, step string, st workers.Status, took time.Duration, log digest.Digest) error {
	return retryStore(ctx, func() error { return j.store.EndStep(ctx, j.build, j.stage, j.fence, step, st, took, log) })
}

// retryStore calls try until it succeeds, the store refuses, or ctx ends.
func retryStore(ctx context.Context, try func() error) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := try()
		if err == nil || errors.Is(err, store.ErrRefused) || errors.Is(err, store.ErrUnknown) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
