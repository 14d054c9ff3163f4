// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"github.com/zfarm/zfarm/orchestrator/store"
)

// releaseTimeout bounds the release of one hold.
const releaseTimeout = 10 * time.Second

// renewLoop renews the holds of this engine until ctx ends.
func (e *Engine) renewLoop(ctx context.Context) {
	tick := time.NewTicker(e.Settings.Hold / 5)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.renewRequested:
		case <-ctx.Done():
			return
		}
		e.renew(ctx)
	}
}

// renewNow requests a renewal at once.
func (e *Engine) renewNow() {
	select {
	case e.renewRequested <- struct{}{}:
	default:
	}
}

// renew renews all holds of this engine, and stops the stages that were cancelled or
// that another engine holds by now.
func (e *Engine) renew(ctx context.Context) {
	e.mu.Lock()
	var holds []store.Hold
	for at, c := range e.held {
		if c.stop != nil {
			holds = append(holds, e.newHold(at, c.fence))
		}
	}
	e.mu.Unlock()
	if len(holds) == 0 {
		return
	}
	lost, err := e.Store.Renew(ctx, holds...)
	if err != nil {
		if ctx.Err() == nil {
			e.Log.Error("renewing the holds on running stages failed; trying again", "error", err)
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range lost {
		if c := e.held[stageKey{h.Build, h.Stage}]; c != nil && c.fence == h.Fence && c.stop != nil {
			c.stop(errHoldLost)
		}
	}
}

// drain stops running stages here without ending them. Each hold is released as soon as
// this engine no longer works on its stage.
func (e *Engine) drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.draining = true
	for _, c := range e.held {
		if c.stop != nil {
			c.stop(errDraining)
		}
	}
}

// release releases the hold on a stage, so that another engine joins it at once.
func (e *Engine) release(ctx context.Context, c *heldStage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := e.Store.ReleaseHolds(ctx, e.newHold(c.stageKey, c.fence)); err != nil {
		e.Log.Error("releasing the hold on a stage failed; other engines join it once the hold has run out",
			"build", c.build, "stage", c.stage, "error", err)
	}
}
