// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// NextDue returns when a rebuild plan is next due; false if that was never set.
func (tx *Tx) NextDue(ctx context.Context, plan string) (time.Time, bool, error) {
	due, err := tx.q.Plan(ctx, plan)
	if errors.Is(wrap(err), ErrUnknown) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("reading when %s is due: %w", plan, err)
	}
	return moment(due), true, nil
}

// SetNextDue sets when a plan is due next.
func (tx *Tx) SetNextDue(ctx context.Context, plan string, at time.Time) error {
	if err := tx.q.SetPlan(ctx, query.SetPlanParams{Name: plan, Due: stamp(at)}); err != nil {
		return fmt.Errorf("writing when %s is due: %w", plan, err)
	}
	tx.moved = true
	return nil
}

// Worker returns a worker with its held slots; ErrUnknown if there is none.
func (s *Store) Worker(ctx context.Context, name string) (w Worker, err error) {
	err = s.view(ctx, "reading worker "+name, func(db query.DBTX) error {
		w, err = loadWorker(ctx, query.New(db), name)
		return err
	})
	return w, err
}

// Left returns the attempts that have ended and may still have a workspace on a worker,
// the oldest first.
func (s *Store) Left(ctx context.Context, worker string) (all []Attempt, err error) {
	err = s.read(ctx, "reading what is left on "+worker, func(q *query.Queries) error {
		all, err = loadLeft(ctx, q, worker)
		return err
	})
	return all, err
}

// Left returns the same in the state that this transition sees.
func (tx *Tx) Left(ctx context.Context, worker string) ([]Attempt, error) {
	all, err := loadLeft(ctx, tx.q, worker)
	if err != nil {
		return nil, fmt.Errorf("reading what is left on %s: %w", worker, err)
	}
	return all, nil
}

func loadLeft(ctx context.Context, q *query.Queries, worker string) ([]Attempt, error) {
	rows, err := q.LeftOn(ctx, worker)
	c := columns{}
	all := convert(rows, c.attempt)
	return all, errors.Join(err, c.err)
}

// Attempt returns one attempt; ErrUnknown if there is none.
func (s *Store) Attempt(ctx context.Context, build, stage string, fence int64) (a Attempt, err error) {
	err = s.read(ctx, fmt.Sprintf("reading attempt %d at %s of build %s", fence, stage, build), func(q *query.Queries) error {
		row, err := q.OneAttempt(ctx, query.OneAttemptParams{Build: build, Stage: stage, Fence: fence})
		if err != nil {
			return wrap(err)
		}
		c := columns{}
		a = c.attempt(row)
		return c.err
	})
	return a, err
}

// Occupied reports whether a workspace of that name may still be on a worker.
func (tx *Tx) Occupied(ctx context.Context, worker, workspace string) (bool, error) {
	found, err := tx.q.Occupied(ctx, query.OccupiedParams{Worker: worker, Workspace: workspace})
	if err != nil {
		return false, fmt.Errorf("looking for workspace %s on %s: %w", workspace, worker, err)
	}
	return found, nil
}

// Fetched records the output fetched of a running attempt, and keeps it in the artifact
// store. The first report counts: the same again is no error, any other is ErrRefused.
func (s *Store) Fetched(ctx context.Context, build, stage string, fence int64, output digest.Digest) error {
	return s.write(ctx, fmt.Sprintf("noting the output of attempt %d at %s of build %s", fence, stage, build), func(q *query.Queries) error {
		n, err := q.SetAttemptOutput(ctx, query.SetAttemptOutputParams{Output: sum(output), Build: build, Stage: stage, Fence: fence})
		if err == nil && n == 0 {
			return ErrRefused
		}
		if err != nil {
			return err
		}
		return q.Keep(ctx, query.KeepParams{Build: build, Digest: sum(output)})
	})
}
