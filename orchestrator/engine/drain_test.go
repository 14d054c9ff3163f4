// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
)

// TestDrainedInMidStep ends an engine as SIGTERM does while steps run. The steps go on,
// and the next engine joins them.
func TestDrainedInMidStep(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) string) {
		dir, g := t.TempDir(), newGate(t)
		s := newScene(t, g.script()+counted(dir), "w1", "w2")
		s.parts.Settings = fast()
		s.parts.Settings.Hold = time.Hour // released, or no other engine could go on
		url := fresh(t)
		first := s.node(url, "first", nil)
		id := s.submit(first.Engine, submission(s.port("base")))[0].Build.ID
		pids := s.waiting(2)
		first.drain(t)
		for _, pid := range pids {
			if !lives(pid) {
				t.Errorf("draining ended process %d of a step", pid)
			}
		}
		next := s.node(url, "next", nil)
		g.open(t)
		b := s.wait(next.Engine, id, orchestrator.BuildSucceeded)
		s.endedOnce(b)
		s.unblamed(b)
		s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
		if n := s.ranOnce(dir); n != 2 {
			t.Errorf("the build was run in %d workspaces", n)
		}
		c, err := next.Conclusion(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		attempts, err := next.db.Attempts(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range attempts {
			for _, r := range c.Records {
				if a.Worker == r.Worker && !a.Begun.Equal(r.Begun) {
					t.Errorf("the attempt on %s began at %v, its record says %v", a.Worker, a.Begun, r.Begun)
				}
			}
		}
		s.empty()
	})
}

// TestAwayForLongerThanTheLease has no orchestrator while a step runs, until the worker
// ends the step. That says nothing about the port.
func TestAwayForLongerThanTheLease(t *testing.T) {
	t.Parallel()
	dir, g := t.TempDir(), newGate(t)
	s := newScene(t, counted(dir)+"\n"+g.script())
	for _, name := range []string{"w1", "w2"} {
		s.roots[name] = t.TempDir()
		w, err := local.New(name, runner.Options{Root: s.roots[name], Lease: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		s.workers = append(s.workers, w)
	}
	s.parts.Settings = engine.Settings{Hold: time.Second, Sweep: 100 * time.Millisecond, Patience: time.Second}
	url := "sqlite:" + t.TempDir() + "/farm.db"
	first := s.node(url, "first", nil)
	id := s.submit(first.Engine, submission(s.port("base")))[0].Build.ID
	pids := s.waiting(2)
	first.drain(t)
	s.eventually("the leases to run out", func() bool { return !lives(pids[0]) && !lives(pids[1]) })
	g.open(t)
	next := s.node(url, "next", nil)
	b := s.wait(next.Engine, id, orchestrator.BuildSucceeded)
	s.endedOnce(b)
	for _, stage := range b.Stages {
		if stage.Kind == orchestrator.Repeat && (len(stage.Lost) != 1 || stage.Fence != 2) {
			t.Errorf("%s was lost on %v and begun %d times", stage.ID, stage.Lost, stage.Fence)
		}
	}
	if n := s.ranOnce(dir); n != 4 || !s.told(string(workers.Lease)) {
		t.Errorf("the build was run in %d workspaces", n)
	}
}

// another fetches the output of attempts before the engine can record that it has: an
// engine does so that went on while this one had stalled.
type another struct {
	engine.Artifacts
	fetched func(digest.Digest) error
}

func (a *another) Fill(ctx context.Context, write func(io.Writer) error) (digest.Digest, error) {
	d, err := a.Artifacts.Fill(ctx, write)
	if err != nil {
		return d, err
	}
	return d, a.fetched(d)
}

// TestAttemptThatWentOnElsewhere has the fetched output refused, although the attempt
// still runs. The build goes on with what the other engine fetched.
func TestAttemptThatWentOnElsewhere(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1", "w2")
	s.parts.Settings = fast()
	inner := s.parts.Artifacts
	var n *node
	var id string
	s.parts.Artifacts = &another{inner, func(first digest.Digest) error {
		running, err := n.db.Attempts(t.Context(), id)
		if err != nil || id == "" {
			return err
		}
		r, err := inner.Open(t.Context(), first)
		if err != nil {
			return err
		}
		tree, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || len(tree) < 512 || string(tree[257:262]) != "ustar" {
			return err // a log
		}
		theirs, err := inner.Fill(t.Context(), func(w io.Writer) error {
			_, err := w.Write(append(tree, make([]byte, 512)...)) // the same in different bytes
			return err
		})
		for _, a := range running {
			if a.Workspace != "" && a.Ended.IsZero() {
				n.db.Fetched(t.Context(), a.Build, a.Stage, a.Fence, theirs) //nolint:errcheck // it has one, then
			}
		}
		return err
	}}
	g := newGate(t)
	s.parts.Plugins = acts{g.script() + installing}
	n = s.node(storetest.SQLite(t), "one", nil)
	id = s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
	s.waiting(2)
	g.open(t)
	b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
	s.endedOnce(b)
	s.unblamed(b)
	n.drain(t)
}
