// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// probeTimeout bounds one probe of a worker, cleanTimeout the removal of one
// workspace.
const (
	probeTimeout = 40 * time.Second
	cleanTimeout = 30 * time.Second
)

// probe removes ended attempts from a worker, and probes the worker when that is due.
// Only a worker that answers, is healthy and holds no workspace of a lost or cancelled
// attempt gets work. A probe is also due when a waiting build wants a tool that the
// worker was not asked for; more names such tools of other builds.
func (e *Engine) probe(ctx context.Context, name string, more ...string) error {
	w, err := e.Store.Worker(ctx, name)
	if errors.Is(err, store.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	tools, err := e.wantedTools(ctx, more...)
	if err != nil {
		return err
	}
	due := w.Facts == nil || w.Quarantine != nil || e.olderThan(w.Probed, e.Settings.Probe) || lacksTools(w.Facts, tools)
	var facts *workers.Facts
	var found *workers.Quarantine
	if due {
		facts, err = e.probeFacts(ctx, name, toolsToAsk(w.Facts, tools))
		found = e.Health(w.Facts, facts, err)
	}
	left, cleanErr := e.cleanWorker(ctx, name)
	if due && found == nil && cleanErr == nil {
		left, cleanErr = e.removeStrays(ctx, name)
	}
	if !due && cleanErr == nil {
		return nil
	}
	if found == nil && cleanErr != nil {
		found = &workers.Quarantine{Code: workers.QuarantineLeftovers,
			Detail: fmt.Sprintf("%d workspaces of attempts that have ended are still there; the farm tries again to remove them: %v", left, cleanErr)}
	}
	if err := e.recordProbe(ctx, name, due, facts, found); err != nil {
		return fmt.Errorf("probing worker %s: %w", name, err)
	}
	if found != nil {
		e.note("", "", name, "worker "+name+" is quarantined: "+found.String())
		e.Log.Warn("worker quarantined", "worker", name, "code", found.Code, "detail", found.Detail)
	}
	return nil
}

// recordProbe records the result of a probe. The probe saw nothing of attempts that
// were lost meanwhile: these keep the quarantine until the next probe.
func (e *Engine) recordProbe(ctx context.Context, name string, due bool, facts *workers.Facts, found *workers.Quarantine) error {
	return e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		now, err := tx.Worker(ctx, name)
		if err != nil {
			return err
		}
		if due {
			now.Probed = tx.Now()
		}
		if facts != nil {
			now.Facts = facts
		}
		wake := store.Wake{Kind: store.Match}
		left, err := tx.Left(ctx, name)
		switch {
		case err != nil:
			return err
		case found == nil && now.Quarantine != nil && len(left) > 0:
			wake = store.Wake{Kind: store.Probe, Worker: name}
		default:
			now.Quarantine = found
		}
		if err := tx.SetWorker(ctx, now); err != nil || found != nil {
			return err
		}
		return tx.Wake(ctx, wake)
	})
}

// olderThan reports whether t is at least that far away. A time in the future was noted
// before the clock was set back.
func (e *Engine) olderThan(t time.Time, than time.Duration) bool { return e.now().Sub(t).Abs() >= than }

func (e *Engine) probeFacts(ctx context.Context, name string, tools []string) (*workers.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	facts, err := e.Workers.Probe(ctx, name, tools...)
	if err != nil {
		return nil, err
	}
	return &facts, nil
}

// sweepLoop searches for what is due until ctx ends. Every engine does: what one engine
// began and did not finish before it died, the others find.
func (e *Engine) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(e.Settings.Sweep)
	defer tick.Stop()
	for { // at once, too: what an earlier run left is due
		if err := e.sweep(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("looking for what is due", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep searches the tables for everything that is due and acts on it: it finds
// whatever wake-up was lost. It bypasses the queue, where an entry that a dead engine
// was acting on would block a new one.
func (e *Engine) sweep(ctx context.Context) error {
	due, err := e.Store.Due(ctx, e.now())
	if err != nil {
		return err
	}
	registered, err := e.Store.Workers(ctx)
	if err != nil {
		return err
	}
	wakes := slices.Concat(due.Needs, due.Claim)
	if due.Match {
		// Time alone can make a repeat ready, or give it another rank.
		e.matching.Lock()
		e.matched = -1
		e.matching.Unlock()
		wakes = append(wakes, store.Wake{Kind: store.Match})
	}
	for _, w := range registered {
		stale := w.Registered && e.olderThan(w.Probed, e.Settings.Probe)
		quarantined := w.Registered && w.Quarantine != nil && e.olderThan(w.Probed, 2*e.Settings.Sweep)
		if stale || quarantined || slices.Contains(due.Probe, w.Name) {
			wakes = append(wakes, store.Wake{Kind: store.Probe, Worker: w.Name})
		}
	}
	if err := e.handleAll(ctx, wakes); err != nil {
		return err
	}
	if err := e.submitDueRebuilds(ctx); err != nil {
		return err
	}
	return e.retain(ctx)
}

// handleAll handles wake-ups, a few at a time. It does not wait for a worker that does
// not answer.
func (e *Engine) handleAll(ctx context.Context, wakes []store.Wake) error {
	g, acting := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, w := range wakes {
		if w.Kind == store.Probe {
			e.probeInBackground(ctx, w.Worker)
			continue
		}
		g.Go(func() error { return e.handle(acting, w) })
	}
	return g.Wait()
}

// probeInBackground probes a worker without making the caller wait, one probe at a
// time.
func (e *Engine) probeInBackground(ctx context.Context, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.probed[name] || e.draining {
		return
	}
	e.probed[name] = true
	e.background.Go(func() {
		if err := e.probe(ctx, name); err != nil && ctx.Err() == nil {
			e.Log.Error("probing a worker", "worker", name, "error", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.probed, name)
	})
}

// Register replaces the registered workers with those of the farm's file and has each
// probed.
func (e *Engine) Register(ctx context.Context, all []store.Worker) error {
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Register(ctx, all); err != nil {
			return err
		}
		for _, w := range all {
			if err := tx.Wake(ctx, store.Wake{Kind: store.Probe, Worker: w.Name}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("registering workers: %w", err)
	}
	return nil
}

// submitDueRebuilds submits the rebuilds that are due.
func (e *Engine) submitDueRebuilds(ctx context.Context) error {
	for _, r := range e.Rebuilds {
		due := false
		err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
			due = false
			at, known, err := tx.NextDue(ctx, r.Name)
			now := tx.Now()
			if err != nil || known && at.After(now) {
				return err
			}
			due = known // the first time is the next one, not now
			return tx.SetNextDue(ctx, r.Name, r.Next(now))
		})
		if err != nil {
			return fmt.Errorf("looking at rebuild %s: %w", r.Name, err)
		}
		if due {
			if err := e.rebuildAll(ctx, r); err != nil {
				return fmt.Errorf("rebuilding for %s: %w", r.Name, err)
			}
		}
	}
	return nil
}

func (e *Engine) rebuildAll(ctx context.Context, r Rebuild) error {
	released, err := e.Store.Releases(ctx, "", "")
	if err != nil {
		return err
	}
	var errs []error
	for _, release := range released {
		if !slices.ContainsFunc(r.Ports, func(pattern string) bool {
			ok, err := path.Match(pattern, release.Port)
			return ok && err == nil
		}) {
			continue
		}
		if err := e.submitRebuild(ctx, release, r.Priority); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// submitRebuild submits the recipe of a release again, with the same needs.
func (e *Engine) submitRebuild(ctx context.Context, release store.Release, priority int) error {
	was, err := e.Store.Build(ctx, release.Build)
	if err != nil {
		return err
	}
	d, err := readValue[stagevalue.Document](ctx, e, was.Document)
	if err != nil {
		return fmt.Errorf("reading the recipe of build %s: %w", was.ID, err)
	}
	if err := e.loadFiles(ctx, d.Recipe); err != nil {
		return err
	}
	_, err = e.Submit(ctx, Submission{Recipes: []Submitted{{Recipe: d.Recipe, URI: was.URI, Path: was.Path}},
		Owner: was.Owner, Priority: priority, Checks: was.ID})
	return err
}

// retention says when old builds and logs were last deleted: by the farm's clock,
// and by the monotonic one.
type retention struct{ clock, lived time.Time }

// due returns true once an hour, which is often enough. A clock that has jumped would
// make new things look old, so after a jump everything is kept for another hour.
func (r *retention) due(clock, lived time.Time) bool {
	passed := lived.Sub(r.lived)
	jumped := !r.clock.IsZero() && (clock.Round(0).Sub(r.clock)-passed).Abs() > time.Minute
	if passed < time.Hour && !jumped {
		return false
	}
	r.clock, r.lived = clock.Round(0), lived
	return !jumped
}

// retain deletes what need not be kept any longer.
func (e *Engine) retain(ctx context.Context) error {
	now := e.now()
	e.mu.Lock()
	due := e.retention.due(now, time.Now())
	e.mu.Unlock()
	if !due {
		return nil
	}
	var ended, logged, stored time.Time
	if e.Settings.Retain > 0 {
		ended = now.Add(-e.Settings.Retain)
	}
	if e.Settings.Logs > 0 {
		logged = now.Add(-e.Settings.Logs)
	}
	if e.Settings.Grace > 0 {
		stored = now.Add(-e.Settings.Grace)
	}
	return e.Forget(ctx, ended, logged, stored)
}

// Forget removes builds that ended before ended and were not released, logs of builds
// that ended before logged, and bytes stored before stored that no build keeps. The
// zero time removes nothing.
func (e *Engine) Forget(ctx context.Context, ended, logged, stored time.Time) error {
	if err := e.forgetAll(ctx, ended, e.Store.Old, (*store.Tx).Forget); err != nil {
		return fmt.Errorf("forgetting old builds: %w", err)
	}
	if err := e.forgetAll(ctx, logged, e.Store.OldLogs, (*store.Tx).ForgetLogs); err != nil {
		return fmt.Errorf("forgetting old logs: %w", err)
	}
	if stored.IsZero() {
		return nil
	}
	freed, err := e.Artifacts.Sweep(ctx, stored, func(d digest.Digest) (bool, error) { return e.Store.Kept(ctx, d) })
	if err != nil {
		return fmt.Errorf("sweeping the artifact store: %w", err)
	}
	if freed > 0 {
		e.Log.Info("swept the artifact store", "freed_bytes", freed)
	}
	return nil
}

// forgetAll deletes what is old, in batches.
func (e *Engine) forgetAll(ctx context.Context, before time.Time, old func(context.Context, time.Time, int) ([]string, error),
	forget func(*store.Tx, context.Context, string) error) error {
	for !before.IsZero() {
		builds, err := old(ctx, before, 100)
		if err != nil || len(builds) == 0 {
			return err
		}
		err = e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
			for _, id := range builds {
				// Another engine may have been faster.
				if err := forget(tx, ctx, id); err != nil && !errors.Is(err, store.ErrUnknown) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Fitting returns why no registered worker could build a recipe; nil when one could.
func (e *Engine) Fitting(ctx context.Context, b store.Build) error {
	w, err := decodeWants(b.ID, b.Wants)
	if err != nil {
		return err
	}
	registered, err := e.Store.Workers(ctx)
	if err != nil {
		return err
	}
	var lacks []error
	for _, worker := range registered {
		if tools := w.ToolNames(); worker.Facts != nil && lacksTools(worker.Facts, tools) {
			if err := e.probe(ctx, worker.Name, tools...); err != nil {
				return err
			}
			if worker, err = e.Store.Worker(ctx, worker.Name); err != nil {
				return err
			}
		}
		s := scheduleWorker(worker, nil, nil)
		misfits := schedule.Mismatches(w, s)
		if len(misfits) == 0 && s.Facts != nil {
			return nil
		}
		for _, m := range misfits {
			lacks = append(lacks, fmt.Errorf("worker %s cannot build %s: %s", worker.Name, b.Port, m))
		}
	}
	return fmt.Errorf("%w: %w", workers.ErrUnfit, errors.Join(lacks...))
}

// RegisterLocal probes the given workers and registers them, each with one slot. A
// worker that cannot be used at all is an error.
func (e *Engine) RegisterLocal(ctx context.Context, all []workers.Worker) error {
	registered := make([]store.Worker, len(all))
	g, looking := errgroup.WithContext(ctx)
	for i, w := range all {
		g.Go(func() error {
			facts, err := w.Facts(looking)
			if err != nil {
				return fmt.Errorf("probing worker %s: %w", w.Name(), err)
			}
			registered[i] = store.Worker{Name: w.Name(), Slots: 1, Registered: true, Facts: &facts}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Register(ctx, registered); err != nil {
			return err
		}
		for _, w := range registered {
			w.Probed = tx.Now()
			if err := tx.SetWorker(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("registering workers: %w", err)
	}
	return nil
}
