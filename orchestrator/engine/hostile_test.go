// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// mortal is a plugin that dies after its step a number of times, or never answers.
type mortal struct {
	acts
	deaths *atomic.Int64
	hangs  bool
}

func (m mortal) Start(context.Context, string) (attempt.Process, error) { return m, nil }

func (m mortal) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	outputs, err := m.acts.Build(ctx, ws, c)
	if m.deaths.Add(-1) >= 0 {
		return nil, errors.New("the plugin ended in the middle of a call")
	}
	if m.hangs {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return outputs, err
}

// TestPluginThatDies restarts a plugin that was killed. Its steps are recalled; a
// plugin that always dies is reported to be at fault.
func TestPluginThatDies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newScene(t, counted(dir), "w1", "w2")
	s.parts.Settings = engine.Settings{Hold: time.Second, Sweep: 100 * time.Millisecond, Patience: time.Minute}
	dying := mortal{acts: acts{counted(dir)}, deaths: &atomic.Int64{}}
	s.parts.Plugins = dying
	n := s.node(storetest.SQLite(t), "one", nil)
	dying.deaths.Store(2)
	id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
	b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
	s.endedOnce(b)
	s.unblamed(b)
	if n := s.ranOnce(dir); n != 2 {
		t.Errorf("the build was run in %d workspaces", n)
	}
	dying.deaths.Store(1000)
	b = s.wait(n.Engine, s.submit(n.Engine, submission(s.port("other")))[0].Build.ID, orchestrator.BuildFailed)
	if f := b.Failure(); f.Kind != orchestrator.Infrastructure || !strings.Contains(f.Message, "in the middle of a call") {
		t.Errorf("%+v", f)
	}
	s.unblamed(b)
	n.drain(t)
}

// TestPluginThatHangs ends a plugin that does nothing, and abandons one in time when
// the engine stops.
func TestPluginThatHangs(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1", "w2")
	s.parts.Settings = engine.Settings{Hold: time.Second, Sweep: 100 * time.Millisecond, Patience: time.Minute, Idle: time.Second}
	s.parts.Plugins = mortal{acts: acts{"sleep 2\n" + installing}, deaths: &atomic.Int64{}, hangs: true}
	url := storetest.SQLite(t)
	n := s.node(url, "one", nil)
	b := s.wait(n.Engine, s.submit(n.Engine, submission(s.port("base")))[0].Build.ID, orchestrator.BuildFailed)
	if f := b.Failure(); f.Kind != orchestrator.Infrastructure || !strings.Contains(f.Message, "plugin acts did nothing for 1s") {
		t.Errorf("%+v", f)
	}
	s.unblamed(b)
	n.drain(t)

	s.parts.Settings.Idle = time.Hour
	n = s.node(url, "two", nil)
	id := s.submit(n.Engine, submission(s.port("other")))[0].Build.ID
	s.eventually("the plugin to hang", func() bool {
		b, err := n.db.Build(t.Context(), id)
		return err == nil && len(s.steps(b, "build-make")) == 2
	})
	n.drain(t)
}

// liar is a worker that passes every probe and fails at its work.
type liar struct {
	workers.Worker
	lie func(ctx context.Context, step string) error
}

func (l liar) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	ws, err := l.Worker.Workspace(ctx, id)
	return lyingWorkspace{ws, l.lie}, err
}

type lyingWorkspace struct {
	workers.Workspace
	lie func(ctx context.Context, step string) error
}

func (l lyingWorkspace) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	if err := l.lie(ctx, ""); err != nil {
		return nil, err
	}
	return l.Workspace.List(ctx, dir)
}

func (l lyingWorkspace) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	if err := l.lie(ctx, s.Name); err != nil {
		return workers.Status{}, err
	}
	return l.Workspace.Run(ctx, s, log)
}

// TestWorkerThatLies has a worker whose answers make no sense. Its repeats move to
// another worker.
func TestWorkerThatLies(t *testing.T) {
	t.Parallel()
	at := func(step string, err error) func(context.Context, string) error {
		return func(_ context.Context, s string) error {
			if s != step {
				return nil
			}
			return err
		}
	}
	for name, lie := range some(t, map[string]func(context.Context, string) error{
		"lists nothing":           at("", errors.New("not a folder")),
		"steps vanish":            at("build-make", workers.ErrVanished),
		"nonsense about a step":   at("build-make", errors.New("ÿþ")),
		"nonsense about the pack": at("pack", errors.New("ÿþ")),
	}, "steps vanish", "nonsense about the pack") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, installing, "w1", "w2", "w3")
			s.workers[0] = liar{s.workers[0], lie}
			s.parts.Settings = fast()
			n := s.node(storetest.SQLite(t), "one", nil)
			id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
			b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
			s.endedOnce(b)
			if !s.lost(n, id, "w1") || s.lost(n, id, "w2") || s.lost(n, id, "w3") {
				t.Errorf("%+v", b.Stages)
			}
			n.drain(t)
		})
	}
}

// TestWorkerThatNeverAnswers: an engine can stop although a worker keeps it waiting.
func TestWorkerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1", "w2")
	asked := make(chan struct{}, 1)
	s.workers[0] = liar{s.workers[0], func(ctx context.Context, step string) error {
		if step != "build-make" {
			return nil
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	s.parts.Settings = fast()
	n := s.node(storetest.SQLite(t), "one", nil)
	s.submit(n.Engine, submission(s.port("base")))
	select {
	case <-asked:
	case <-time.After(patience):
		t.Fatal("nothing was asked of the worker")
	}
	n.drain(t)
}
