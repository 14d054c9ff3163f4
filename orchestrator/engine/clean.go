// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// cleanWorker removes the workspaces of attempts that have ended, whichever engine made
// them, and kills everything that still runs in them. It returns how many remain.
func (e *Engine) cleanWorker(ctx context.Context, worker string) (left int, err error) {
	all, err := e.Store.Left(ctx, worker)
	if err != nil || len(all) == 0 {
		return len(all), err
	}
	w, err := e.Workers.Get(ctx, worker)
	if err != nil {
		return len(all), err
	}
	for _, a := range all {
		if one := e.cleanAttempt(ctx, w, a); one != nil {
			left++
			err = one
		}
	}
	return left, err
}

// lockCleanup serializes this engine's removals on one worker: after another removal,
// the name of a removed workspace may belong to a new attempt.
func (e *Engine) lockCleanup(ctx context.Context, worker string) (unlock func(), err error) {
	e.mu.Lock()
	lock := e.cleanupLocks[worker]
	if lock == nil {
		lock = make(chan struct{}, 1)
		e.cleanupLocks[worker] = lock
	}
	e.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *Engine) cleanAttempt(ctx context.Context, w workers.Worker, a store.Attempt) error {
	bounded, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	unlock, err := e.lockCleanup(bounded, a.Worker)
	if err != nil {
		return fmt.Errorf("removing workspace %s: %w", a.Workspace, err)
	}
	defer unlock()
	if err := e.stopAndWait(bounded, stageKey{a.Build, a.Stage}, a.Fence); err != nil {
		return err
	}
	now, err := e.Store.Attempt(bounded, a.Build, a.Stage, a.Fence)
	if errors.Is(err, store.ErrUnknown) || err == nil && now.Cleaned {
		return nil // another engine was faster
	}
	if err != nil {
		return err
	}
	ws, err := w.Workspace(bounded, a.Workspace)
	if err != nil {
		return fmt.Errorf("joining workspace %s: %w", a.Workspace, err)
	}
	if e.Settings.KeepWorkspaces {
		where := a.Workspace
		if r, ok := ws.(rooted); ok {
			where = r.Root()
		}
		if err := ws.Stop(bounded); err != nil {
			return fmt.Errorf("stopping workspace %s: %w", a.Workspace, err)
		}
		e.note(a.Build, a.Stage, a.Worker, fmt.Sprintf("kept the workspace %s on %s", where, a.Worker))
	} else if err := ws.Remove(bounded); err != nil {
		return fmt.Errorf("removing workspace %s: %w", a.Workspace, err)
	}
	return e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Cleaned(ctx, a.Build, a.Stage, a.Fence); err != nil {
			return err
		}
		return tx.Wake(ctx, store.Wake{Kind: store.Match}) // a repeat may be waiting for the slot
	})
}

// cleanUp removes what this engine wrote to a worker after another engine had ended the
// attempt and removed its workspace: this engine had stalled and did not notice.
func (e *Engine) cleanUp(ctx context.Context, c *heldStage, worker string) {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	a, err := e.Store.Attempt(ctx, c.build, c.stage, c.fence)
	if err != nil || !a.Cleaned {
		return // it still runs, or is cleaned up later
	}
	w, err := e.Workers.Get(ctx, worker)
	if err != nil {
		return
	}
	if err := e.removeAgain(ctx, w, a); err != nil {
		e.Log.Warn("a workspace may be left on a worker", "worker", worker, "workspace", a.Workspace, "error", err)
	}
}

// removeAgain removes a workspace that was removed before, unless another attempt uses
// it by now.
func (e *Engine) removeAgain(ctx context.Context, w workers.Worker, a store.Attempt) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	ws, err := w.Workspace(ctx, a.Workspace)
	if err == nil {
		err = e.removeUnlessOccupied(ctx, ws, a)
	}
	if err != nil {
		return fmt.Errorf("removing workspace %s once more: %w", a.Workspace, err)
	}
	return nil
}

// removeUnlessOccupied removes a workspace that another engine had removed and that
// exists again only because this engine asked for it. It leaves a workspace that
// another attempt uses by now.
func (e *Engine) removeUnlessOccupied(ctx context.Context, ws workers.Workspace, a store.Attempt) error {
	unlock, err := e.lockCleanup(ctx, a.Worker)
	if err != nil {
		return err
	}
	defer unlock()
	occupied := true
	err = e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		occupied, err = tx.Occupied(ctx, a.Worker, a.Workspace)
		return err
	})
	if err != nil || occupied || e.Settings.KeepWorkspaces {
		return err
	}
	return ws.Remove(ctx)
}

// maxStrays bounds how many folders on a worker each probe checks in the store: a
// worker may claim to have any number.
const maxStrays = 1000

// removeStrays removes workspaces that exist on a worker although they were removed: an
// engine that had stalled or lost its database made them again. It leaves those that
// the store does not know, since they may be another farm's, and those of builds that
// have not ended. It returns how many remain.
func (e *Engine) removeStrays(ctx context.Context, worker string) (left int, err error) {
	if e.Settings.KeepWorkspaces {
		return 0, nil
	}
	w, err := e.Workers.Get(ctx, worker)
	if err != nil {
		return 0, err
	}
	ids, err := w.Workspaces(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range ids[:min(len(ids), maxStrays)] {
		a, stray, one := e.strayAttempt(ctx, worker, id)
		if one == nil && stray {
			one = e.removeAgain(ctx, w, a)
		}
		if one != nil {
			left++
			err = one
		}
	}
	return left, err
}

// strayAttempt returns the attempt whose workspace was removed, if its build has ended:
// only a mistake can have made that workspace again.
func (e *Engine) strayAttempt(ctx context.Context, worker, workspace string) (store.Attempt, bool, error) {
	i := strings.LastIndexByte(workspace, '-')
	if i < 0 {
		return store.Attempt{}, false, nil
	}
	b, err := e.Store.Build(ctx, workspace[:i])
	if errors.Is(err, store.ErrUnknown) {
		return store.Attempt{}, false, nil
	}
	if err != nil || !b.Over() {
		return store.Attempt{}, false, err
	}
	all, err := e.Store.Attempts(ctx, b.ID)
	if err != nil {
		return store.Attempt{}, false, err
	}
	at := slices.IndexFunc(all, func(a store.Attempt) bool { return a.Worker == worker && a.Workspace == workspace && a.Cleaned })
	if at < 0 {
		return store.Attempt{}, false, nil
	}
	return all[at], true, nil
}

// Tidy waits until no worker has anything left of a build, or until ctx ends.
func (e *Engine) Tidy(ctx context.Context, build string) error {
	all, err := e.Store.Attempts(ctx, build)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range all {
		if a.Workspace == "" || a.Cleaned || a.Ended.IsZero() {
			continue
		}
		w, err := e.Workers.Get(ctx, a.Worker)
		if err == nil {
			err = e.cleanAttempt(ctx, w, a)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%w; its steps end when their lease runs out, the folder stays on %s until somebody removes it", err, a.Worker))
		}
	}
	return errors.Join(errs...)
}
