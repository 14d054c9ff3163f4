// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// BeginAttempt adds an attempt; ErrRefused if the stage has one under that fence.
func (tx *Tx) BeginAttempt(ctx context.Context, a Attempt) error {
	if a.Begun.IsZero() {
		a.Begun = tx.now
	}
	added, err := tx.q.AddAttempt(ctx, query.AddAttemptParams{
		Build: a.Build, Stage: a.Stage, Fence: a.Fence, Worker: a.Worker, Workspace: a.Workspace,
		Begun: stamp(a.Begun), Ended: stamp(a.Ended), Outcome: a.Outcome, Detail: clean(a.Detail), Cleaned: flag(a.Cleaned),
	})
	if err == nil && added == 0 {
		err = ErrRefused
	}
	if err != nil {
		return fmt.Errorf("beginning attempt %d of stage %s of build %s: %w", a.Fence, a.Stage, a.Build, err)
	}
	tx.moved = true
	return nil
}

// EndAttempt records Ended, Outcome and Detail of an attempt, once: later reports about
// it are dropped.
func (tx *Tx) EndAttempt(ctx context.Context, a Attempt) error {
	if a.Ended.IsZero() {
		a.Ended = tx.now
	}
	ended, err := tx.q.EndAttempt(ctx, query.EndAttemptParams{
		Ended: stamp(a.Ended), Outcome: a.Outcome, Detail: clean(a.Detail), Build: a.Build, Stage: a.Stage, Fence: a.Fence,
	})
	if err == nil && ended == 0 {
		err = tx.checkAttempt(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("ending attempt %d of stage %s of build %s: %w", a.Fence, a.Stage, a.Build, err)
	}
	tx.moved = tx.moved || ended > 0
	return nil
}

func (tx *Tx) checkAttempt(ctx context.Context, a Attempt) error {
	there, err := tx.q.HasAttempt(ctx, query.HasAttemptParams{Build: a.Build, Stage: a.Stage, Fence: a.Fence})
	if err == nil && !there {
		err = ErrUnknown
	}
	return err
}

// Cleaned records that nothing of the attempt remains on its worker.
func (tx *Tx) Cleaned(ctx context.Context, build, stage string, fence int64) error {
	cleaned, err := tx.q.CleanAttempt(ctx, query.CleanAttemptParams{Build: build, Stage: stage, Fence: fence})
	if err == nil && cleaned == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return fmt.Errorf("noting that attempt %d of stage %s of build %s is cleaned up: %w", fence, stage, build, err)
	}
	tx.moved = true
	return nil
}

// Attempts returns the attempts of a build in the order they began.
func (s *Store) Attempts(ctx context.Context, build string) (all []Attempt, err error) {
	err = s.read(ctx, "listing attempts", func(q *query.Queries) error {
		rows, err := q.Attempts(ctx, build)
		c := columns{}
		all = convert(rows, c.attempt)
		return errors.Join(err, c.err)
	})
	return all, err
}

// Events returns the events after the one numbered after, of one build or ("") of all,
// in order. The numbers of a farm have no gaps except where a build was deleted, and no
// event appears before one with a smaller number.
func (s *Store) Events(ctx context.Context, after int64, build string, limit int) (all []orchestrator.Event, err error) {
	err = s.read(ctx, "listing events", func(q *query.Queries) error {
		var rows []query.Event
		var err error
		if build == "" {
			rows, err = q.Events(ctx, query.EventsParams{After: after, Most: queryLimit(limit)})
		} else {
			rows, err = q.EventsOf(ctx, query.EventsOfParams{Build: build, After: after, Most: queryLimit(limit)})
		}
		all = convert(rows, eventOf)
		return err
	})
	return all, err
}

// Audit records a change that a person or a program requested.
func (tx *Tx) Audit(ctx context.Context, a Audit) error {
	if a.At.IsZero() {
		a.At = tx.now
	}
	seq := tx.counter.Audits + 1
	err := tx.q.AddAudit(ctx, query.AddAuditParams{
		Seq: seq, At: stamp(a.At), Who: clean(a.Who), What: clean(a.What), Subject: clean(a.Subject),
		Detail: clean(a.Detail), Request: clean(a.Request), Refused: flag(a.Refused),
	})
	if err != nil {
		return fmt.Errorf("noting who asked: %w", err)
	}
	tx.counter.Audits, tx.moved = seq, true
	return nil
}

// Audits returns the requested changes after the entry numbered after, in order.
func (s *Store) Audits(ctx context.Context, after int64, limit int) (all []Audit, err error) {
	err = s.read(ctx, "listing the audit", func(q *query.Queries) error {
		rows, err := q.Audits(ctx, query.AuditsParams{After: after, Most: queryLimit(limit)})
		all = convert(rows, auditOf)
		return err
	})
	return all, err
}

// Take gives this node the hold of a running stage until h.Until. It returns false if
// the stage does not run under that fence any more, or if another node's hold has not
// run out.
func (s *Store) Take(ctx context.Context, h Hold) (taken bool, err error) {
	if s.options.Node == "" {
		return false, errNode
	}
	err = s.write(ctx, "taking hold of stage "+h.Stage+" of build "+h.Build, func(q *query.Queries) error {
		n, err := q.TakeHold(ctx, query.TakeHoldParams{
			Holder: s.options.Node, Until: stamp(h.Until), Build: h.Build, ID: h.Stage, Fence: h.Fence, Now: stamp(s.now()),
		})
		taken = n > 0
		return err
	})
	return taken, err
}

var errNode = errors.New("this store was opened without Options.Node, which names the holder of a stage")

// Renew prolongs holds of this node to their Until, all in one transaction, and returns
// those that this node has lost.
func (s *Store) Renew(ctx context.Context, hs ...Hold) (lost []Hold, err error) {
	if len(hs) == 0 {
		return nil, nil
	}
	err = s.write(ctx, "renewing holds", func(q *query.Queries) error {
		lost = nil
		for _, h := range hs {
			n, err := q.RenewHold(ctx, query.RenewHoldParams{
				Until: stamp(h.Until), Build: h.Build, ID: h.Stage, Fence: h.Fence, Holder: s.options.Node,
			})
			if err != nil {
				return err
			}
			if n == 0 {
				lost = append(lost, h)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lost, nil
}

// ReleaseHolds releases holds of this node, so that another may take them at once.
func (s *Store) ReleaseHolds(ctx context.Context, hs ...Hold) error {
	if len(hs) == 0 {
		return nil
	}
	return s.write(ctx, "releasing holds", func(q *query.Queries) error {
		for _, h := range hs {
			err := q.DropHold(ctx, query.DropHoldParams{Build: h.Build, ID: h.Stage, Fence: h.Fence, Holder: s.options.Node})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
