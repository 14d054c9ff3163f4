// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// Build returns the build in the state that this transition sees.
func (tx *Tx) Build(ctx context.Context, id string) (Build, error) {
	b, err := loadBuild(ctx, tx, id)
	if err != nil {
		return Build{}, fmt.Errorf("reading build %s: %w", id, err)
	}
	return b, nil
}

// Build returns a complete build; ErrUnknown if there is none with that id.
func (s *Store) Build(ctx context.Context, id string) (b Build, err error) {
	err = s.view(ctx, "reading build "+id, func(db query.DBTX) (err error) {
		b, err = loadBuild(ctx, db, id)
		return err
	})
	return b, err
}

func loadBuild(ctx context.Context, db query.DBTX, id string) (Build, error) {
	row, err := query.New(db).Build(ctx, id)
	if err != nil {
		return Build{}, wrap(err)
	}
	return fill(ctx, db, row)
}

// fill adds the stages and needs of a build.
func fill(ctx context.Context, db query.DBTX, row query.Build) (Build, error) {
	q, c := query.New(db), columns{}
	b := c.build(row)
	stages, err := q.Stages(ctx, row.ID)
	if err != nil {
		return Build{}, err
	}
	for _, s := range stages {
		b.Stages = append(b.Stages, c.stage(s))
	}
	needs, err := q.NeedsOf(ctx, row.ID)
	if err != nil {
		return Build{}, err
	}
	for _, n := range needs {
		b.Needs = append(b.Needs, c.need(n))
	}
	return b, c.err
}

// Create adds a build with its stages and needs, and returns it with its Seq and
// Submitted. It returns ErrRefused if the id or the identity is taken.
func (tx *Tx) Create(ctx context.Context, b Build) (Build, error) {
	c := columns{}
	b.Seq = tx.NextSeq()
	if b.Submitted.IsZero() {
		b.Submitted = tx.now
	}
	if state := b.State(); state.Over() && b.Ended.IsZero() {
		b.Ended = tx.now
	}
	added, err := tx.q.AddBuild(ctx, query.AddBuildParams{
		ID: b.ID, Seq: b.Seq, Port: b.Port, Version: b.Version, Recipe: sum(b.Recipe), Document: sum(b.Document),
		Uri: clean(b.URI), Path: clean(b.Path), Owner: clean(b.Owner), Identity: sum(b.Identity), Inputs: sum(b.Inputs),
		Priority: int64(b.Priority), Paused: flag(b.Paused), Checks: b.Checks, Wants: string(b.Wants), Verdict: clean(b.Verdict),
		State: string(b.State()), Cancelled: flag(b.Cancelled), SameAs: b.SameAs, Submitted: stamp(b.Submitted), Ended: stamp(b.Ended),
	})
	if err != nil {
		return Build{}, fmt.Errorf("adding build %s: %w", b.ID, err)
	}
	if added == 0 {
		return Build{}, fmt.Errorf("adding build %s: %w: there is a build of that id or with the same recipe and needs", b.ID, ErrRefused)
	}
	tx.counter.Builds, tx.moved = b.Seq, true
	for place, s := range b.Stages {
		if err := tx.q.AddStage(ctx, addStage(&c, b.ID, place, s)); err != nil {
			return Build{}, fmt.Errorf("adding stage %s of build %s: %w", s.ID, b.ID, err)
		}
	}
	for place, n := range b.Needs {
		err := tx.q.AddNeed(ctx, query.AddNeedParams{Build: b.ID, Place: int64(place), Port: n.Port, Need: n.Build, Uses: c.list(n.At)})
		if err != nil {
			return Build{}, fmt.Errorf("adding need %s of build %s: %w", n.Port, b.ID, err)
		}
	}
	return b, c.err
}

func addStage(c *columns, build string, place int, s orchestrator.Stage) query.AddStageParams {
	return query.AddStageParams{
		Build: build, ID: s.ID, Place: int64(place), Kind: string(s.Kind), State: string(s.State), Repeat: int64(s.Repeat),
		Follows: c.list(s.After), Attempts: int64(s.Attempts), Fence: s.Fence, Worker: s.Worker, Lost: c.list(s.Lost),
		NotBefore: stamp(s.NotBefore), Since: stamp(s.Since), Output: sum(s.Output), Failure: c.failure(s.Failure),
	}
}

// Save writes the differences between was, which this transition has read, and next:
// the stages, and of the build its inputs, identity, priority, pause, verdict,
// cancellation and SameAs; nothing else of a build ever changes. Save notes when the
// build ended.
//
// If the fence or state of a stage is no longer that of was, Save returns ErrRefused,
// and the transition must be undone. A stage that leaves Running loses its hold and its
// slot. The events are numbered and stored.
func (tx *Tx) Save(ctx context.Context, was, next Build, events ...orchestrator.Event) error {
	if was.ID != next.ID || len(was.Stages) != len(next.Stages) {
		return fmt.Errorf("saving build %s: it was another one before (%s)", next.ID, was.ID)
	}
	for i, s := range next.Stages {
		if err := tx.saveStage(ctx, was.ID, was.Stages[i], s); err != nil {
			return fmt.Errorf("saving stage %s of build %s: %w", s.ID, next.ID, err)
		}
	}
	if err := tx.saveBuild(ctx, was, next); err != nil {
		return fmt.Errorf("saving build %s: %w", next.ID, err)
	}
	for _, e := range events {
		if err := tx.append(ctx, next.ID, e); err != nil {
			return fmt.Errorf("noting what happened to build %s: %w", next.ID, err)
		}
	}
	return nil
}

func (tx *Tx) saveStage(ctx context.Context, build string, was, next orchestrator.Stage) error {
	c := columns{}
	before, after := addStage(&c, build, 0, was), addStage(&c, build, 0, next)
	switch {
	case c.err != nil:
		return c.err
	case before == after:
		return nil
	case before.ID != after.ID || before.Kind != after.Kind || before.Follows != after.Follows || before.Repeat != after.Repeat:
		return errors.New("the stages of a build stay what they are")
	}
	kept := was.State == orchestrator.Running && next.State == orchestrator.Running && was.Fence == next.Fence
	saved, err := tx.q.SaveStage(ctx, query.SaveStageParams{
		State: after.State, Attempts: after.Attempts, Fence: after.Fence, Worker: after.Worker, Lost: after.Lost,
		NotBefore: after.NotBefore, Since: after.Since, Output: after.Output, Failure: after.Failure, Held: flag(kept),
		Build: build, ID: after.ID, WasFence: before.Fence, WasState: before.State,
	})
	if err != nil {
		return err
	}
	if saved == 0 {
		return fmt.Errorf("%w: it is not %s under fence %d", ErrRefused, was.State, was.Fence)
	}
	tx.moved = true
	if was.State == orchestrator.Running && !kept {
		return tx.free(ctx, Lease{Build: build, Stage: was.ID, Fence: was.Fence})
	}
	return nil
}

func (tx *Tx) saveBuild(ctx context.Context, was, next Build) error {
	if next.State().Over() && next.Ended.IsZero() {
		next.Ended = tx.now
	}
	before, after := saveParams(was), saveParams(next)
	if before == after {
		return nil
	}
	if after.Identity != "" && after.Identity != before.Identity {
		other, taken, err := tx.ByIdentity(ctx, next.Identity)
		if err != nil {
			return err
		}
		if taken && other.ID != next.ID {
			return fmt.Errorf("%w: build %s has the same identity", ErrRefused, other.ID)
		}
	}
	saved, err := tx.q.SaveBuild(ctx, after)
	if err != nil {
		return err
	}
	if saved == 0 {
		return ErrUnknown
	}
	tx.moved = true
	return nil
}

func saveParams(b Build) query.SaveBuildParams {
	return query.SaveBuildParams{
		ID: b.ID, State: string(b.State()), Inputs: sum(b.Inputs), Identity: sum(b.Identity), Priority: int64(b.Priority),
		Paused: flag(b.Paused), Verdict: clean(b.Verdict), Cancelled: flag(b.Cancelled), SameAs: b.SameAs, Ended: stamp(b.Ended),
	}
}

func (tx *Tx) append(ctx context.Context, build string, e orchestrator.Event) error {
	if e.At.IsZero() {
		e.At = tx.now
	}
	seq := tx.counter.Events + 1
	err := tx.q.AddEvent(ctx, query.AddEventParams{
		Seq: seq, Build: build, At: stamp(e.At), Stage: e.Stage, FromState: string(e.From), ToState: string(e.To),
		Fence: e.Fence, Worker: e.Worker, Detail: clean(e.Detail),
	})
	if err != nil {
		return err
	}
	tx.counter.Events, tx.moved = seq, true
	return nil
}

// ByIdentity returns the build that has the identity, if there is one.
func (tx *Tx) ByIdentity(ctx context.Context, identity digest.Digest) (Build, bool, error) {
	row, err := tx.q.BuildOfIdentity(ctx, sum(identity))
	return tx.maybe(ctx, row, err, "looking for the same build")
}

// ByInputs returns the newest build that succeeded with these inputs without reusing
// another build, if there is one.
func (tx *Tx) ByInputs(ctx context.Context, inputs digest.Digest) (Build, bool, error) {
	row, err := tx.q.BuildOfInputs(ctx, sum(inputs))
	return tx.maybe(ctx, row, err, "looking for a build with the same inputs")
}

func (tx *Tx) maybe(ctx context.Context, row query.Build, err error, what string) (Build, bool, error) {
	if errors.Is(wrap(err), ErrUnknown) {
		return Build{}, false, nil
	}
	var b Build
	if err == nil {
		b, err = fill(ctx, tx, row)
	}
	if err != nil {
		return Build{}, false, fmt.Errorf("%s: %w", what, err)
	}
	return b, true, nil
}

// Offers returns the builds of a port that may serve as a need: those that have not
// ended, and those that succeeded; newest first, 50 at most.
func (tx *Tx) Offers(ctx context.Context, port string) ([]Build, error) {
	rows, err := tx.q.Offers(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("looking for builds of %s: %w", port, err)
	}
	return withStages(ctx, tx, rows)
}

// Dependants returns the ids of the builds that need this one and have not ended, in
// the order of submission.
func (tx *Tx) Dependants(ctx context.Context, build string) ([]string, error) {
	rows, err := tx.q.Dependants(ctx, build)
	if err != nil {
		return nil, fmt.Errorf("looking for builds that need %s: %w", build, err)
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids, nil
}

// defaultLimit is the default length of a page.
const defaultLimit = 50

// Builds returns the builds that match the filter, newest first, with their stages and
// without their needs.
func (s *Store) Builds(ctx context.Context, f Filter) (builds []Build, err error) {
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	if f.Before <= 0 {
		f.Before = math.MaxInt64
	}
	err = s.view(ctx, "listing builds", func(db query.DBTX) error {
		rows, err := page(ctx, query.New(db), f)
		if err != nil {
			return err
		}
		builds, err = withStages(ctx, db, rows)
		return err
	})
	return builds, err
}

// page runs the query by the condition that is likely to leave the fewest rows.
func page(ctx context.Context, q *query.Queries, f Filter) ([]query.Build, error) {
	most := int32(min(f.Limit, math.MaxInt32))
	switch {
	case f.Port != "":
		return q.BuildsOfPort(ctx, query.BuildsOfPortParams{Port: f.Port, Owner: f.Owner, State: string(f.State), Before: f.Before, Most: most})
	case f.Owner != "":
		return q.BuildsOfOwner(ctx, query.BuildsOfOwnerParams{Owner: f.Owner, State: string(f.State), Before: f.Before, Most: most})
	case f.State != "":
		return q.BuildsInState(ctx, query.BuildsInStateParams{State: string(f.State), Before: f.Before, Most: most})
	default:
		return q.NewestBuilds(ctx, query.NewestBuildsParams{Before: f.Before, Most: most})
	}
}

// withStages adds the stages to many builds.
func withStages(ctx context.Context, db query.DBTX, rows []query.Build) ([]Build, error) {
	c := columns{}
	builds, at, ids := make([]Build, len(rows)), make(map[string]int, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		builds[i], at[row.ID], ids[i] = c.build(row), i, row.ID
	}
	err := stagesOf(ctx, db, ids, func(s query.Stage) {
		b := &builds[at[s.Build]]
		b.Stages = append(b.Stages, c.stage(s))
	})
	return builds, errors.Join(err, c.err)
}

// stagesOf is written by hand: sqlc cannot pass a list of values to both databases.
func stagesOf(ctx context.Context, db query.DBTX, ids []string, each func(query.Stage)) error {
	return inBatches(ids, func(marks string, some []any) error {
		var s query.Stage
		return scan(ctx, db, "SELECT build, id, kind, state, repeat, follows, attempts, fence, worker, lost, "+
			"not_before, since, output, failure FROM stage WHERE build IN ("+marks+") ORDER BY build, place", some,
			[]any{&s.Build, &s.ID, &s.Kind, &s.State, &s.Repeat, &s.Follows, &s.Attempts, &s.Fence, &s.Worker, &s.Lost,
				&s.NotBefore, &s.Since, &s.Output, &s.Failure}, func() { each(s) })
	})
}

// Forget deletes an ended build with everything of it except the audit. It returns
// ErrRefused for a build that is released, or needed by a build that has not ended.
func (tx *Tx) Forget(ctx context.Context, build string) error {
	b, err := tx.Build(ctx, build)
	if err != nil {
		return err
	}
	if !b.State().Over() {
		return fmt.Errorf("forgetting build %s: %w: it is %s; cancel it first", build, ErrRefused, b.State())
	}
	if released, err := tx.q.IsReleased(ctx, build); err != nil {
		return fmt.Errorf("forgetting build %s: %w", build, err)
	} else if released {
		return fmt.Errorf("forgetting build %s: %w: it is the release of %s %s; release another build of it first", build, ErrRefused, b.Port, b.Version)
	}
	if needed, err := tx.Dependants(ctx, build); err != nil {
		return err
	} else if len(needed) > 0 {
		return fmt.Errorf("forgetting build %s: %w: build %s needs it", build, ErrRefused, needed[0])
	}
	tx.moved = true
	if err := errors.Join(tx.q.ForgetChunks(ctx, build), tx.q.ForgetBuild(ctx, build)); err != nil {
		return fmt.Errorf("forgetting build %s: %w", build, err)
	}
	return nil
}

// Old returns builds that ended before that time, are no release, and are not needed by
// any build that has not ended; the earliest end first.
func (s *Store) Old(ctx context.Context, before time.Time, limit int) (ids []string, err error) {
	err = s.read(ctx, "looking for old builds", func(q *query.Queries) error {
		ids, err = q.OldBuilds(ctx, query.OldBuildsParams{Before: stamp(before), Most: int32(min(max(limit, 0), math.MaxInt32))})
		return err
	})
	return ids, err
}
