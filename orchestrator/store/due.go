// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// ReadyRepeat is a repeat that may begin as soon as it gets a slot. Its lists are
// shared with others: they must not be changed.
type ReadyRepeat struct {
	Build string
	Stage string
	Port  string
	Owner string
	// Priority is the build's.
	Priority int
	// Since is when it became ready.
	Since time.Time
	// Wants are the build's.
	Wants []byte
	// Lost are the workers that lost it, Used those that the other repeats of the build
	// run on or last ran on.
	Lost, Used []string
}

// Node is a build that has not ended, as a node of the graph of all such builds. Its
// Needs must not be changed.
type Node struct {
	ID    string
	Port  string
	Owner string
	State orchestrator.BuildState
	// Expected is how long a repeat of the port usually takes; 0 if unknown.
	Expected time.Duration
	// Needs are the builds that this one needs, ended ones included.
	Needs []string
}

// Due lists the wake-ups that the tables call for.
type Due struct {
	// Claim are stages that are ready for an orchestrator, and running stages that
	// nobody holds.
	Claim []Wake
	// Match reports whether repeats are ready.
	Match bool
	// Needs are waiting builds whose needs have all ended.
	Needs []Wake
	// Probe are workers that an attempt has left something on.
	Probe []string
}

// maxDue bounds each list of Due. The oldest come first, so a later sweep finds what one
// leaves out.
const maxDue = 10_000

// Ready returns the repeats that may begin now, in the order of submission: ready, not
// postponed, and of no paused build.
func (s *Store) Ready(ctx context.Context) (ready []ReadyRepeat, err error) {
	now := stamp(s.now())
	err = s.view(ctx, "reading what is ready", func(db query.DBTX) error {
		q := query.New(db)
		repeats, err := q.ReadyRepeats(ctx, now)
		if err != nil || len(repeats) == 0 {
			ready = nil
			return err
		}
		builds, err := q.ReadyBuilds(ctx)
		if err != nil {
			return err
		}
		known, err := s.fixedParts(ctx, db, func(yield func(int64, string) bool) {
			for _, b := range builds {
				if !yield(b.Seq, b.ID) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		ready = make([]ReadyRepeat, 0, len(repeats))
		of := byBuild(repeats, func(r query.ReadyRepeatsRow) string { return r.Build })
		for _, b := range builds {
			l := known[b.ID]
			for _, r := range of[b.ID] {
				ready = append(ready, ReadyRepeat{
					Build: b.ID, Stage: r.ID, Port: l.port, Owner: l.owner, Priority: int(b.Priority), Since: moment(r.Since), Wants: l.wants,
				})
			}
		}
		return addWorkers(ctx, q, now, ready)
	})
	return ready, err
}

// addWorkers adds Lost and Used, which are empty for most waiting repeats.
func addWorkers(ctx context.Context, q *query.Queries, now int64, ready []ReadyRepeat) error {
	lost, err := q.LostRepeats(ctx, now)
	if err != nil {
		return err
	}
	used, err := q.UsedWorkers(ctx)
	if err != nil || len(lost)+len(used) == 0 {
		return err
	}
	c := columns{}
	losses := byBuild(lost, func(l query.LostRepeatsRow) string { return l.Build })
	uses := byBuild(used, func(u query.UsedWorkersRow) string { return u.Build })
	for i := range ready {
		r := &ready[i]
		for _, l := range losses[r.Build] {
			if l.ID == r.Stage {
				r.Lost = c.strings(l.Lost)
			}
		}
		for _, u := range uses[r.Build] {
			if u.ID != r.Stage {
				r.Used = append(r.Used, u.Worker)
			}
		}
	}
	return c.err
}

// Graph returns all builds that have not ended, in the order of submission.
func (s *Store) Graph(ctx context.Context) (nodes []Node, err error) {
	err = s.view(ctx, "reading the graph", func(db query.DBTX) error {
		q := query.New(db)
		builds, err := q.LivingBuilds(ctx)
		if err != nil {
			return err
		}
		known, err := s.fixedParts(ctx, db, func(yield func(int64, string) bool) {
			for _, b := range builds {
				if !yield(b.Seq, b.ID) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		expected, err := history(ctx, q)
		if err != nil {
			return err
		}
		nodes = convert(builds, func(b query.LivingBuildsRow) Node {
			l := known[b.ID]
			return Node{ID: b.ID, Port: l.port, Owner: l.owner, State: orchestrator.BuildState(b.State), Expected: expected[l.port], Needs: l.needs}
		})
		return nil
	})
	return nodes, err
}

// Tally counts builds, and repeats that wait for a slot.
type Tally struct {
	// Builds has an entry for every state, final ones included.
	Builds map[orchestrator.BuildState]int
	// Ready are the repeats that may begin now.
	Ready int
}

// Tally counts all builds by their state. It scans a whole index, so call it every few
// seconds at most.
func (s *Store) Tally(ctx context.Context) (t Tally, err error) {
	now := stamp(s.now())
	err = s.view(ctx, "counting builds", func(db query.DBTX) error {
		q := query.New(db)
		t = Tally{Builds: map[orchestrator.BuildState]int{
			orchestrator.BuildWaiting: 0, orchestrator.BuildQueued: 0, orchestrator.BuildRunning: 0,
			orchestrator.BuildSucceeded: 0, orchestrator.BuildFailed: 0, orchestrator.BuildCancelled: 0,
		}}
		rows, err := q.Tally(ctx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			t.Builds[orchestrator.BuildState(row.State)] = int(row.Count)
		}
		ready, err := q.CountReady(ctx, now)
		t.Ready = int(ready)
		return err
	})
	if err != nil {
		return Tally{}, err
	}
	return t, nil
}

// Due returns what should be woken up at that time, from the tables alone: the queue
// may lose any entry, and a sweep over Due makes up for it.
func (s *Store) Due(ctx context.Context, now time.Time) (due Due, err error) {
	at := stamp(now)
	err = s.view(ctx, "reading what is due", func(db query.DBTX) (err error) {
		q := query.New(db)
		due = Due{}
		ready, err := q.DueReady(ctx, query.DueReadyParams{Now: at, Most: maxDue})
		if err != nil {
			return err
		}
		running, err := q.DueRunning(ctx, query.DueRunningParams{Now: at, Most: maxDue})
		if err != nil {
			return err
		}
		for _, r := range running {
			due.Claim = append(due.Claim, Wake{Kind: Claim, Build: r.Build, Stage: r.ID})
		}
		for _, r := range ready {
			due.Claim = append(due.Claim, Wake{Kind: Claim, Build: r.Build, Stage: r.ID})
		}
		if due.Match, err = q.DueMatch(ctx, at); err != nil {
			return err
		}
		waiting, err := q.DueNeeds(ctx, maxDue)
		if err != nil {
			return err
		}
		for _, id := range waiting {
			due.Needs = append(due.Needs, Wake{Kind: Needs, Build: id})
		}
		due.Probe, err = q.DueProbes(ctx)
		return err
	})
	if err != nil {
		return Due{}, fmt.Errorf("sweeping: %w", err)
	}
	return due, nil
}
