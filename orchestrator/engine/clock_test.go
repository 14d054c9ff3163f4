// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers"
)

// TestClockJumps sets the farm's clock an hour ahead and two back while steps run.
// Running steps go on or are joined; only retries wait.
func TestClockJumps(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) string) {
		dir, g, c := t.TempDir(), newGate(t), &clock{}
		s := newScene(t, g.script()+counted(dir), "w1", "w2")
		s.parts.Settings = fast()
		url := fresh(t)
		clocked := func(p *engine.Deps) { p.Now = c.now }
		first := s.node(url, "first", clocked)
		engines := []*node{first}
		if t.Name() == "TestClockJumps/postgres" { // where two may share it
			engines = append(engines, s.node(url, "second", clocked))
		}
		taken := s.submit(first.Engine, submission(s.port("top", "base"), s.port("base")))
		s.waiting(2)
		for _, jump := range []time.Duration{time.Hour, -2 * time.Hour} {
			c.set(jump)
			s.eventually("the holds to be those of the new time", func() bool { return held(t, url, c.now()) })
		}
		g.open(t)
		for _, b := range taken {
			b := s.wait(engines[len(engines)-1].Engine, b.Build.ID, orchestrator.BuildSucceeded)
			s.endedOnce(b)
			s.unblamed(b)
			s.eventually("all workspaces to be gone", func() bool { return s.clean(b.ID) })
		}
		if n := s.ranOnce(dir); n != 4 {
			t.Errorf("the builds were run in %d workspaces", n)
		}
		s.empty()
	})
}

// held reports whether everything that runs is held until some time soon after now.
func held(t *testing.T, url string, now time.Time) bool {
	t.Helper()
	db, err := storetest.SQL(t, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	var running, fine int
	err = db.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT count(*), count(CASE WHEN held_until BETWEEN %d AND %d THEN 1 END)
		FROM stage WHERE state = 'running'`, now.UnixMilli(), now.Add(time.Minute).UnixMilli())).Scan(&running, &fine)
	if err != nil {
		t.Fatal(err)
	}
	return running == 2 && fine == running
}

// vanishing is a worker on which a step vanishes a number of times.
type vanishing struct {
	*flaky
}

func (v vanishing) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	ws, err := v.Worker.Workspace(ctx, id)
	return vanishingWorkspace{ws, v.flaky}, err
}

type vanishingWorkspace struct {
	workers.Workspace
	worker *flaky
}

func (v vanishingWorkspace) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	v.worker.mu.Lock()
	gone := s.Name == "build-make" && v.worker.losses > 0
	if gone {
		v.worker.losses--
	}
	v.worker.mu.Unlock()
	if gone {
		return workers.Status{}, workers.ErrVanished
	}
	return v.Workspace.Run(ctx, s, log)
}

// TestRetryOfTheFuture loses an attempt while the clock is an hour ahead, and then
// corrects the clock: the retry, which is due in an hour, comes then and not never.
func TestRetryOfTheFuture(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := newScene(t, installing, "w1", "w2")
	s.workers[0] = vanishing{&flaky{Worker: s.workers[0], losses: 2}}
	s.parts.Settings = fast()
	c.set(time.Hour)
	n := s.node(storetest.SQLite(t), "one", func(p *engine.Deps) { p.Now = c.now })
	id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
	lost := func() bool {
		b, err := n.db.Build(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return len(b.Stages[1].Lost)+len(b.Stages[2].Lost) == 1
	}
	s.eventually("the attempt to be lost", lost)
	c.set(-time.Hour)
	s.eventually("the worker to be taken in again", func() bool {
		w, err := n.db.Worker(t.Context(), "w1")
		if err != nil {
			t.Fatal(err)
		}
		return w.Quarantine == nil
	})
	c.set(time.Hour)
	b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
	s.endedOnce(b)
	if !lost() {
		t.Errorf("%+v", b.Stages)
	}
}
