// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// heldStage is one running stage that this engine holds.
type heldStage struct {
	stageKey
	fence int64
	// stop is nil until the hold is taken.
	stop  context.CancelCauseFunc
	ended chan struct{}
}

// claim begins a ready stage, or joins a running one that no engine holds.
func (e *Engine) claim(ctx context.Context, build, id string) error {
	var b store.Build
	var stage orchestrator.Stage
	var events []orchestrator.Event
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		events = nil
		var err error
		if b, err = tx.Build(ctx, build); err != nil {
			return err
		}
		stage, _ = b.Stage(id)
		if stage.State != orchestrator.Ready || stage.Kind == orchestrator.Repeat || stage.NotBefore.After(tx.Now()) || b.Paused {
			return nil
		}
		was := b
		var event orchestrator.Event
		if b.Build, event, err = was.Begin(id, "", tx.Now()); err != nil {
			return err
		}
		stage, _ = b.Stage(id)
		events = []orchestrator.Event{event}
		if err := tx.Save(ctx, was, b, event); err != nil {
			return err
		}
		return tx.BeginAttempt(ctx, store.Attempt{Build: build, Stage: id, Fence: stage.Fence, Begun: tx.Now()})
	})
	if errors.Is(err, store.ErrUnknown) || err == nil && stage.State != orchestrator.Running {
		return nil
	}
	if err != nil {
		return fmt.Errorf("claiming %s of build %s: %w", id, build, err)
	}
	e.report(events)
	return e.runClaimed(ctx, b, stage)
}

// runClaimed takes the hold on the stage and runs it in its own goroutine: handling a
// wake-up must not last as long as a build.
func (e *Engine) runClaimed(ctx context.Context, b store.Build, s orchestrator.Stage) error {
	c := e.reserve(stageKey{b.ID, s.ID}, s.Fence)
	if c == nil {
		return nil
	}
	// The stage outlives the wake-up.
	stageCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	taken, err := e.Store.Take(ctx, e.newHold(c.stageKey, c.fence))
	if err != nil || !taken {
		stop(nil)
		e.forgetHeld(c)
		e.background.Done()
		return err
	}
	e.markHeld(c, stop)
	go func() {
		defer e.background.Done()
		defer stop(nil)
		e.runStage(stageCtx, b, s)
		if errors.Is(context.Cause(stageCtx), errDraining) {
			e.release(stageCtx, c)
		}
		e.forgetHeld(c)
		if errors.Is(context.Cause(stageCtx), errHoldLost) && s.Kind == orchestrator.Repeat {
			e.cleanUp(context.WithoutCancel(stageCtx), c, s.Worker)
		}
	}()
	return nil
}

// reserve registers a stage that is about to run here. It returns nil if the stage
// already runs here or this engine is draining.
func (e *Engine) reserve(at stageKey, fence int64) *heldStage {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.held[at]
	if e.draining || before != nil && before.fence == fence {
		return nil
	}
	if before != nil && before.stop != nil {
		before.stop(errHoldLost) // another engine ended that attempt, and this one has not noticed yet
	}
	c := &heldStage{stageKey: at, fence: fence, ended: make(chan struct{})}
	e.held[at] = c
	e.background.Add(1)
	return c
}

func (e *Engine) markHeld(c *heldStage, stop context.CancelCauseFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.stop = stop
	if e.draining {
		stop(errDraining)
	}
}

func (e *Engine) forgetHeld(c *heldStage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held[c.stageKey] == c {
		delete(e.held, c.stageKey)
	}
	close(c.ended)
}

// stopAndWait stops an attempt that has ended, if it runs here, and waits until it has
// stopped: nothing may be written into a workspace that is being removed.
func (e *Engine) stopAndWait(ctx context.Context, at stageKey, fence int64) error {
	e.mu.Lock()
	c := e.held[at]
	if c == nil || c.fence != fence {
		e.mu.Unlock()
		return nil
	}
	if c.stop != nil {
		c.stop(errHoldLost)
	}
	e.mu.Unlock()
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting until attempt %d at %s of build %s has stopped here: %w", fence, at.stage, at.build, context.Cause(ctx))
	}
}

func (e *Engine) newHold(at stageKey, fence int64) store.Hold {
	return store.Hold{Build: at.build, Stage: at.stage, Fence: fence, Until: e.now().Add(e.Settings.Hold)}
}

// runStage runs the stage to its end and records the outcome, unless this engine has
// lost the hold meanwhile.
func (e *Engine) runStage(ctx context.Context, b store.Build, s orchestrator.Stage) {
	if s.Kind != orchestrator.Repeat {
		select {
		case e.localSlots <- struct{}{}:
			defer func() { <-e.localSlots }()
		case <-ctx.Done():
			return
		}
	}
	result := e.execute(ctx, b, s)
	if ctx.Err() != nil {
		return // drained, cancelled, or joined by another engine: not ours to record
	}
	if s.Kind == orchestrator.Repeat && errors.Is(result.err, store.ErrRefused) {
		// This engine stalled and another one went on. The build is not at fault; the
		// next engine that holds the attempt joins it again.
		e.Log.Info("another engine went on with an attempt of this one", "build", b.ID, "stage", s.ID, "fence", s.Fence, "error", result.err)
		return
	}
	e.finish(ctx, b, s, result)
}

func (e *Engine) execute(ctx context.Context, b store.Build, s orchestrator.Stage) outcome {
	c, err := e.stageContext(ctx, b, s)
	if err != nil {
		return outcome{err: err}
	}
	switch s.Kind {
	case orchestrator.Resolve:
		return c.resolve(ctx)
	case orchestrator.Repeat:
		return c.repeat(ctx)
	case orchestrator.Compare:
		return c.compare(ctx)
	case orchestrator.Attest:
		return c.attest(ctx)
	default:
		return c.publish(ctx)
	}
}
