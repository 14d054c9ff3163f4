// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// rooted is a workspace that knows where it lies on its worker. The path is
// one of the values that the comparison looks for.
type rooted interface{ Root() string }

// repeat makes one attempt at a repeat in a workspace of its own, or joins the
// one that another orchestrator began.
func (c *course) repeat(ctx context.Context) end {
	made, err := c.Store.Attempt(ctx, c.build.ID, c.stage.ID, c.stage.Fence)
	if err != nil {
		return end{err: fmt.Errorf("%w: %w", errPassing, err)}
	}
	registered, err := c.Store.Worker(ctx, c.stage.Worker)
	if err != nil {
		return end{err: fmt.Errorf("%w: %w", errPassing, err)}
	}
	if registered.Facts == nil {
		return end{err: fmt.Errorf("worker %s has no facts: %w", registered.Name, workers.ErrLost)}
	}
	order := attempt.Order{Recipe: c.recipe, Conditions: c.conditions[c.stage.Repeat], Stage: c.stage.ID, Repeat: c.stage.Repeat,
		Attempt: c.stage.Attempts, Worker: c.stage.Worker, Facts: *registered.Facts, Sources: c.pins.Sources, Needs: c.pins.Needs, Epoch: c.pins.Inputs.Epoch, Begun: made.Begun, Output: made.Output}
	record, root, failure, err := c.persist(ctx, made, order)
	if err != nil {
		return end{err: err}
	}
	came := c.left(ctx, repeated{Record: record, Root: root}, kept(record)...)
	came.failure = failure
	if failure == nil && came.err == nil {
		came.learnt = record.Ended.Sub(record.Begun)
	}
	return came
}

func kept(r orchestrator.Record) []digest.Digest {
	var all []digest.Digest
	if !r.Output.IsZero() {
		all = append(all, r.Output)
	}
	for _, s := range r.Steps {
		all = append(all, s.Log)
	}
	return all
}

// persist makes the attempt, and joins it again when the worker cannot be
// reached or this machine cannot write: what runs there goes on meanwhile. It
// gives up when that has lasted longer than the farm's patience, or when the
// worker answers and knows nothing of the step any more.
func (c *course) persist(ctx context.Context, made store.Attempt, o attempt.Order) (orchestrator.Record, string, *orchestrator.Failure, error) {
	fetched := func(ctx context.Context, output digest.Digest) error {
		o.Output = output
		return persistently(ctx, func() error { return c.Store.Fetched(ctx, made.Build, made.Stage, made.Fence, output) })
	}
	var since time.Time // when the trouble began
	vanished := 0
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		begun := c.now()
		record, root, failure, err := c.try(ctx, made, o, fetched)
		lost := errors.Is(err, workers.ErrLost)
		if err == nil || ctx.Err() != nil || !lost && !passing(err) {
			return record, root, failure, err
		}
		now := c.now()
		if since.IsZero() || now.Sub(begun) > c.Settings.Patience/2 {
			since, vanished, pause = now, 0, time.Second
		}
		if lost && !errors.Is(err, workers.ErrUnreachable) {
			vanished++
		}
		if vanished > 1 || now.Sub(since) >= c.Settings.Patience {
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

// try makes the attempt from the top: steps that have ended are recalled, the
// one that runs is joined.
func (c *course) try(ctx context.Context, made store.Attempt, o attempt.Order,
	fetched func(context.Context, digest.Digest) error) (orchestrator.Record, string, *orchestrator.Failure, error) {
	none := orchestrator.Record{}
	w, err := c.Workers.Get(ctx, o.Worker)
	if err != nil {
		return none, "", nil, fmt.Errorf("making workspace %s on %s: %w", made.Workspace, o.Worker, err)
	}
	ws, err := c.enter(ctx, w, made)
	if err != nil {
		return none, "", nil, fmt.Errorf("making workspace %s on %s: %w", made.Workspace, o.Worker, err)
	}
	root := ""
	if r, ok := ws.(rooted); ok {
		root = r.Root()
	}
	watch := func(p orchestrator.Progress) {
		p.Build = c.build.ID
		c.Watch(p)
	}
	crew := attempt.Crew{Plugins: c.Plugins, Store: c.Artifacts, Watch: watch, Now: c.now, Fetched: fetched,
		Steps: journal{store: c.Store, build: c.build.ID, stage: c.stage.ID, fence: c.stage.Fence}}
	record, failure, err := crew.Do(ctx, ws, o)
	return record, root, failure, err
}

// enter makes the workspace or joins it. Nothing of anybody else may lie in
// it: steps found there would be recalled instead of run, and two repeats
// would agree because they are one. So what lies in a workspace of which the
// store knows no step goes away first.
func (c *course) enter(ctx context.Context, w workers.Worker, made store.Attempt) (workers.Workspace, error) {
	ws, err := w.Workspace(ctx, made.Workspace)
	if err != nil {
		return nil, err
	}
	steps, err := c.Store.Steps(ctx, c.build.ID, c.stage.ID, c.stage.Fence)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPassing, err)
	}
	entries, err := ws.List(ctx, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(steps) > 0 || len(entries) == 0 {
		return ws, nil
	}
	if err := ws.Remove(ctx); err != nil {
		return nil, err
	}
	return w.Workspace(ctx, made.Workspace)
}

// journal enters the steps of an attempt and their logs in the store, as they
// come. A store that is away for a while is waited for: the attempt must not
// end because of it.
type journal struct {
	store *store.Store
	build string
	stage string
	fence int64
}

func (j journal) Begin(ctx context.Context, step string) error {
	return persistently(ctx, func() error {
		_, err := j.store.BeginStep(ctx, j.build, j.stage, j.fence, step)
		return err
	})
}

func (j journal) Append(ctx context.Context, step string, off int64, p []byte) error {
	return persistently(ctx, func() error { return j.store.AppendLog(ctx, j.build, j.stage, j.fence, step, off, p) })
}

func (j journal) End(ctx context.Context, step string, st workers.Status, took time.Duration, log digest.Digest) error {
	return persistently(ctx, func() error { return j.store.EndStep(ctx, j.build, j.stage, j.fence, step, st, took, log) })
}

// persistently tries again until it works, the store refuses, or ctx ends.
func persistently(ctx context.Context, try func() error) error {
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
