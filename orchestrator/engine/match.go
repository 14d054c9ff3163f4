// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// unknownDuration is the assumed duration of a repeat until one was measured.
const unknownDuration = 10 * time.Minute

// atOnce bounds how many slots one transaction assigns, so that other transactions get
// their turn in between.
const atOnce = 64

// match gives free slots to ready repeats. It is cheap when nothing has changed since
// the last time.
func (e *Engine) match(ctx context.Context) error {
	e.matching.Lock()
	defer e.matching.Unlock()
	for {
		seq, err := e.Store.Seq(ctx)
		if err != nil || seq == e.matched {
			return err
		}
		q, err := e.queue(ctx)
		if err == nil {
			err = e.probeForTools(ctx, q)
		}
		if err != nil {
			return err
		}
		given := 0
		for some := range slices.Chunk(e.decide(q), atOnce) {
			n, err := e.assign(ctx, some)
			if err != nil {
				return err
			}
			given += n
		}
		if given == 0 {
			e.matched = seq
			return nil
		}
	}
}

// decide computes the assignments with the schedule.
func (e *Engine) decide(q schedule.Queue) []schedule.Assignment {
	if len(q.Stages) == 0 {
		return nil
	}
	return schedule.Assign(e.now(), q, e.Settings.Scheduling)
}

// queue reads what a scheduling decision depends on.
func (e *Engine) queue(ctx context.Context) (schedule.Queue, error) {
	ready, err := e.Store.Ready(ctx)
	if err != nil || len(ready) == 0 {
		return schedule.Queue{}, err
	}
	graph, err := e.Store.Graph(ctx)
	if err != nil {
		return schedule.Queue{}, err
	}
	registered, err := e.Store.Workers(ctx)
	if err != nil {
		return schedule.Queue{}, err
	}
	nodes, expected, owners := make([]schedule.Node, len(graph)), map[string]time.Duration{}, map[string]string{}
	for i, n := range graph {
		if n.Expected == 0 {
			n.Expected = unknownDuration
		}
		nodes[i] = schedule.Node{Build: n.ID, Expected: n.Expected, Needs: n.Needs}
		expected[n.ID], owners[n.ID] = n.Expected, n.Owner
	}
	paths := schedule.Paths(nodes)
	var q schedule.Queue
	wants, err := e.wantsOf(ready)
	if err != nil {
		return schedule.Queue{}, err
	}
	for _, r := range ready {
		q.Stages = append(q.Stages, schedule.Stage{Build: r.Build, ID: r.Stage, Owner: r.Owner, Priority: r.Priority, Since: r.Since,
			Wants: wants[r.Build], Used: r.Used, Lost: r.Lost, Expected: expected[r.Build], Path: paths[r.Build]})
	}
	for _, w := range registered {
		q.Workers = append(q.Workers, scheduleWorker(w, expected, owners))
	}
	return q, nil
}

// wantsOf reads what builds want, each once for as long as it waits. Several goroutines
// may call it at a time: match, and requests for an explanation.
func (e *Engine) wantsOf(ready []store.ReadyRepeat) (map[string]*schedule.Wants, error) {
	e.mu.Lock()
	known := e.wants // never changed, only replaced
	e.mu.Unlock()
	all := make(map[string]*schedule.Wants, len(known))
	for i, r := range ready {
		if i > 0 && ready[i-1].Build == r.Build {
			continue
		}
		w := known[r.Build]
		if w == nil {
			read, err := decodeWants(r.Build, r.Wants)
			if err != nil {
				return nil, err
			}
			w = &read
		}
		all[r.Build] = w
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wants = all
	return all, nil
}

// scheduleWorker returns a registered worker as the schedule sees it.
func scheduleWorker(w store.Worker, expected map[string]time.Duration, owners map[string]string) schedule.Worker {
	s := schedule.Worker{Name: w.Name, Labels: w.Labels, Facts: w.Facts, Slots: w.Slots, Quarantine: w.Quarantine}
	for _, l := range w.Held {
		s.Held = append(s.Held, schedule.Held{Build: l.Build, Stage: l.Stage, Owner: owners[l.Build], Until: l.Since.Add(expected[l.Build])})
	}
	switch {
	case !w.Registered:
		s.Unavailable = "the farm's file does not name it any more"
	case w.Draining:
		s.Unavailable = "an administrator drained it"
	case w.Facts == nil && w.Quarantine == nil:
		s.Unavailable = "it has not been probed yet"
	}
	return s
}

// assign begins the assigned repeats and returns how many. It leaves out those that
// another orchestrator began first.
func (e *Engine) assign(ctx context.Context, all []schedule.Assignment) (int, error) {
	if len(all) == 0 {
		return 0, nil
	}
	var events []orchestrator.Event
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		events = nil
		var wakes []store.Wake
		for _, a := range all {
			event, ok, err := beginRepeat(ctx, tx, a)
			if err != nil {
				return err
			}
			if ok {
				events = append(events, event)
				wakes = append(wakes, store.Wake{Kind: store.Claim, Build: a.Build, Stage: a.Stage})
			}
		}
		if len(wakes) == 0 {
			return nil
		}
		return tx.Wake(ctx, wakes...)
	})
	if err != nil {
		return 0, fmt.Errorf("giving out slots: %w", err)
	}
	e.report(events)
	return len(events), nil
}

// beginRepeat begins one repeat on one worker, if both are still free for it.
func beginRepeat(ctx context.Context, tx *store.Tx, a schedule.Assignment) (orchestrator.Event, bool, error) {
	was, err := tx.Build(ctx, a.Build)
	if errors.Is(err, store.ErrUnknown) {
		return orchestrator.Event{}, false, nil
	}
	if err != nil {
		return orchestrator.Event{}, false, err
	}
	next := was
	var event orchestrator.Event
	if next.Build, event, err = was.Begin(a.Stage, a.Worker, tx.Now()); err != nil || was.Paused {
		return orchestrator.Event{}, false, nil //nolint:nilerr // it is not ready any more: somebody else was faster
	}
	stage, _ := next.Stage(a.Stage)
	workspace, err := workspaceID(was, stage)
	if err != nil {
		return orchestrator.Event{}, false, err
	}
	if occupied, err := tx.Occupied(ctx, a.Worker, workspace); err != nil || occupied {
		return orchestrator.Event{}, false, err // until what is left there was removed
	}
	ok, err := tx.Take(ctx, store.Lease{Worker: a.Worker, Build: a.Build, Stage: a.Stage, Fence: stage.Fence})
	if err != nil || !ok {
		return orchestrator.Event{}, false, err
	}
	if err := tx.Save(ctx, was, next, event); err != nil {
		return orchestrator.Event{}, false, err
	}
	err = tx.BeginAttempt(ctx, store.Attempt{Build: a.Build, Stage: a.Stage, Fence: stage.Fence, Worker: a.Worker,
		Workspace: workspace, Begun: tx.Now()})
	return event, err == nil, err
}

// workspaceID names the workspace of an attempt. Ids have one length, and only one
// letter says which repeat it is: the paths of two repeats differ, and in nothing else.
// Where the path is not varied, they do not differ at all.
func workspaceID(b store.Build, s orchestrator.Stage) (string, error) {
	w, err := decodeWants(b.ID, b.Wants)
	if err != nil {
		return "", err
	}
	letter := 'a'
	if !w.Alike {
		letter += rune(s.Repeat)
	}
	return fmt.Sprintf("%s-%c%d", b.ID, letter, s.Fence), nil
}

// Why explains what the stages of a build wait for.
func (e *Engine) Why(ctx context.Context, id string) ([]Waiting, error) {
	b, err := e.Store.Build(ctx, id)
	if err != nil {
		return nil, err
	}
	q, err := e.queue(ctx)
	if err != nil {
		return nil, err
	}
	var all []Waiting
	for _, s := range b.Stages {
		if s.State.Over() {
			continue
		}
		w := Waiting{Stage: s.ID, State: s.State}
		switch {
		case s.State == orchestrator.Running && s.Worker != "":
			w.Why = fmt.Sprintf("it runs on %s since %s", s.Worker, s.Since.UTC().Format(time.RFC3339))
		case s.State == orchestrator.Running:
			w.Why = "an orchestrator runs it since " + s.Since.UTC().Format(time.RFC3339)
		case s.State == orchestrator.Blocked:
			if w.After, w.Why, err = e.blocked(ctx, b, s); err != nil {
				return nil, err
			}
		case b.Paused:
			w.Why = "the build is paused; zfarm resume " + b.ID
		case s.NotBefore.After(e.now()):
			w.Why = "the next try begins at " + s.NotBefore.UTC().Format(time.RFC3339)
		case s.Kind == orchestrator.Repeat:
			w.Workers = schedule.Explain(e.now(), q, e.Settings.Scheduling, b.ID, s.ID)
			w.Why = schedule.Sentence(w.Workers)
		default:
			w.Why = "it is the next thing an orchestrator does; if that takes long, none is running"
		}
		all = append(all, w)
	}
	return all, nil
}

func (e *Engine) blocked(ctx context.Context, b store.Build, s orchestrator.Stage) (after, why string, err error) {
	for _, id := range s.After {
		if before, _ := b.Stage(id); before.State != orchestrator.Succeeded {
			return id, fmt.Sprintf("it comes after %s, which is %s", id, before.State), nil
		}
	}
	for _, n := range b.Needs {
		need, err := e.Store.Build(ctx, n.Build)
		if err != nil {
			return "", "", err
		}
		if need.State() != orchestrator.BuildSucceeded {
			return "", fmt.Sprintf("it needs %s, whose build %s is %s", n.Port, n.Build, need.State()), nil
		}
	}
	return "", "everything before it has ended; it goes on in a moment", nil
}
