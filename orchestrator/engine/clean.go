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

// cleanWorker removes the workspaces of attempts that have ended, whoever made
// them, with everything that still runs in them. It returns how many remain.
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

// lockCleanup waits until this engine removes nothing else on a worker: the
// name of a removed workspace may belong to another attempt by then.
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
		return nil // somebody was faster
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
		return tx.Wake(ctx, store.Wake{Kind: store.Match}) // somebody may wait for the stageKey
	})
}

// cleanUp removes what this engine put on a worker after others had ended the
// attempt and removed its workspace: it stood still and had not noticed.
func (e *Engine) cleanUp(ctx context.Context, c *heldStage, worker string) {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	a, err := e.Store.Attempt(ctx, c.build, c.stage, c.fence)
	if err != nil || !a.Cleaned {
		return // it is still running, or will be cleaned up later
	}
	w, err := e.Workers.Get(ctx, worker)
	if err != nil {
		return
	}
	if err := e.removeAgain(ctx, w, a); err != nil {
		e.Log.Warn("a workspace may be left on a worker", "worker", worker, "workspace", a.Workspace, "error", err)
	}
}

// removeAgain removes a workspace that was removed before, unless it is somebody
// else's by now.
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

// removeUnlessOccupied removes a workspace that others had removed, and that
// exists again only because we asked for it. One that another attempt uses by
// now stays.
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

// maxStrays bounds the folders on a worker that each probe asks about: it may
// claim to have any number.
const maxStrays = 1000

// removeStrays removes workspaces that lie on a worker although they were removed: an
// engine that stood still, or had lost its database, made them again. What the
// store does not know stays, since it may be another farm's, and so does what
// is of a living build. It returns how many remain.
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

// strayAttempt returns the attempt whose workspace was removed, if its build is over:
// nobody makes it again but by mistake.
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

// Tidy waits until nothing of a build is left on any worker, as far as that
// can be had until ctx ends.
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
