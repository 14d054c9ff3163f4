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

// ReadyRepeat is a repeat that may begin as soon as a slot is found for it.
type ReadyRepeat struct {
	Build  string
	Stage  string
	Repeat int
	Port   string
	Owner  string
	// Priority is that of the build.
	Priority int
	// Since is when it became ready.
	Since time.Time
	// Wants is that of the build; one slice serves all its repeats.
	Wants []byte
	// Lost are the workers that lost it, Used those that the other repeats of
	// the build run on or were last done on.
	Lost, Used []string
}

// Node is a build that is not over, in the graph of all of them.
type Node struct {
	ID    string
	Port  string
	Owner string
	State orchestrator.BuildState
	// Expected is how long a repeat of the port usually takes; 0 is not known.
	Expected time.Duration
	// Needs are the builds that this one needs, those that are over too.
	Needs []string
}

// Due is what should be woken up, by what the tables say.
type Due struct {
	// Carry are stages that are ready for an orchestrator, and running stages
	// that nobody holds.
	Carry []Wake
	// Match says that repeats are ready.
	Match bool
	// Needs are builds that wait for nothing any more.
	Needs []Wake
	// Probe are workers on which something of an attempt is left.
	Probe []string
}

// sweep bounds each list of Due. The oldest come first, so what is left out
// comes in a later one.
const sweep = 10_000

// Ready returns the repeats that may begin now, in the order of submission:
// ready, not postponed, and of no paused build.
func (s *Store) Ready(ctx context.Context) (ready []ReadyRepeat, err error) {
	now := stamp(s.now())
	err = s.view(ctx, "reading what is ready", func(db query.DBTX) error {
		q, c := query.New(db), columns{}
		rows, err := q.ReadyRepeats(ctx, now)
		if err != nil {
			return err
		}
		used, err := q.UsedWorkers(ctx)
		if err != nil {
			return err
		}
		users := map[string][]query.UsedWorkersRow{}
		for _, u := range used {
			users[u.Build] = append(users[u.Build], u)
		}
		ready = make([]ReadyRepeat, len(rows))
		for i, row := range rows {
			ready[i] = c.ready(row, users[row.Build])
			if i > 0 && ready[i-1].Build == row.Build {
				ready[i].Wants = ready[i-1].Wants
			}
		}
		return c.err
	})
	return ready, err
}

func (c *columns) ready(row query.ReadyRepeatsRow, users []query.UsedWorkersRow) ReadyRepeat {
	r := ReadyRepeat{
		Build: row.Build, Stage: row.ID, Repeat: int(row.Repeat), Port: row.Port, Owner: row.Owner,
		Priority: int(row.Priority), Since: moment(row.Since), Wants: bytesOf(row.Wants), Lost: c.strings(row.Lost),
	}
	for _, u := range users {
		if u.ID != row.ID {
			r.Used = append(r.Used, u.Worker)
		}
	}
	return r
}

// Graph returns all builds that are not over, in the order of submission.
func (s *Store) Graph(ctx context.Context) (nodes []Node, err error) {
	err = s.view(ctx, "reading the graph", func(db query.DBTX) error {
		q := query.New(db)
		builds, err := q.LivingBuilds(ctx)
		if err != nil {
			return err
		}
		edges, err := q.LivingNeeds(ctx)
		if err != nil {
			return err
		}
		expected, err := history(ctx, q)
		if err != nil {
			return err
		}
		needs := map[string][]string{}
		for _, e := range edges {
			needs[e.Build] = append(needs[e.Build], e.Need)
		}
		nodes = convert(builds, func(b query.LivingBuildsRow) Node {
			return Node{ID: b.ID, Port: b.Port, Owner: b.Owner, State: orchestrator.BuildState(b.State), Expected: expected[b.Port], Needs: needs[b.ID]}
		})
		return nil
	})
	return nodes, err
}

// Due returns what should be woken up at that time if nobody had been told of
// anything: the queue may lose everything, and a sweep over this finds it.
func (s *Store) Due(ctx context.Context, now time.Time) (due Due, err error) {
	at := stamp(now)
	err = s.view(ctx, "reading what is due", func(db query.DBTX) (err error) {
		q := query.New(db)
		due = Due{}
		ready, err := q.DueReady(ctx, query.DueReadyParams{Now: at, Most: sweep})
		if err != nil {
			return err
		}
		running, err := q.DueRunning(ctx, query.DueRunningParams{Now: at, Most: sweep})
		if err != nil {
			return err
		}
		for _, r := range running {
			due.Carry = append(due.Carry, Wake{Kind: Carry, Build: r.Build, Stage: r.ID})
		}
		for _, r := range ready {
			due.Carry = append(due.Carry, Wake{Kind: Carry, Build: r.Build, Stage: r.ID})
		}
		if due.Match, err = q.DueMatch(ctx, at); err != nil {
			return err
		}
		waiting, err := q.DueNeeds(ctx, sweep)
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
