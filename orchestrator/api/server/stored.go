// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// Stored makes a [Store] of the farm's database.
type Stored struct{ *store.Store }

// ChangeBuild changes priority and pause, and wakes the stages that wait.
func (s Stored) ChangeBuild(ctx context.Context, id string, c wire.BuildChange) (store.Build, error) {
	var next store.Build
	err := s.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		was, err := tx.Build(ctx, id)
		if err != nil {
			return err
		}
		if was.Over() {
			return fmt.Errorf("build %s is %s: %w", id, was.State(), store.ErrRefused)
		}
		next = was
		if c.Priority != nil {
			next.Priority = *c.Priority
		}
		if c.Paused != nil {
			next.Paused = *c.Paused
		}
		if err := tx.Save(ctx, was, next); err != nil {
			return err
		}
		return tx.Wake(ctx, wakes(next, tx)...)
	})
	return next, err
}

// wakes returns wake-ups for the stages of a build that may begin now.
func wakes(b store.Build, tx *store.Tx) []store.Wake {
	if b.Paused {
		return nil
	}
	all := []store.Wake{{Kind: store.Match}, {Kind: store.Needs, Build: b.ID}}
	ready, _ := b.Ready(tx.Now())
	for _, stage := range ready {
		if stage.Kind != orchestrator.Repeat {
			all = append(all, store.Wake{Kind: store.Claim, Build: b.ID, Stage: stage.ID})
		}
	}
	return all
}

// ChangeWorker drains a worker or lets it work again.
func (s Stored) ChangeWorker(ctx context.Context, name string, c wire.WorkerChange) (store.Worker, error) {
	var w store.Worker
	err := s.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if w, err = tx.Worker(ctx, name); err != nil {
			return err
		}
		if c.Draining != nil {
			w.Draining = *c.Draining
		}
		if err := tx.SetWorker(ctx, w); err != nil {
			return err
		}
		return tx.Wake(ctx, store.Wake{Kind: store.Match})
	})
	return w, err
}

// ProbeWorker has a worker probed soon.
func (s Stored) ProbeWorker(ctx context.Context, name string) error {
	return s.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		w, err := tx.Worker(ctx, name)
		if err != nil {
			return err
		}
		w.Probed = time.Time{} // regardless of when the last probe was
		if err := tx.SetWorker(ctx, w); err != nil {
			return err
		}
		return tx.Wake(ctx, store.Wake{Kind: store.Probe, Worker: name})
	})
}

// AddToken stores a token.
func (s Stored) AddToken(ctx context.Context, t store.Token) error {
	return s.Update(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.AddToken(ctx, t) })
}

// RevokeToken revokes a token.
func (s Stored) RevokeToken(ctx context.Context, id string) error {
	return s.Update(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeToken(ctx, id) })
}

// Audit stores an entry.
func (s Stored) Audit(ctx context.Context, a store.Audit) error {
	return s.Update(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.Audit(ctx, a) })
}

// Writable checks the schema and begins a transition, as every change does.
func (s Stored) Writable(ctx context.Context) error {
	if err := s.Check(ctx); err != nil {
		return err
	}
	return s.Update(ctx, func(context.Context, *store.Tx) error { return nil })
}
