// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/ssh"
	"github.com/zfarm/zfarm/workers/sshtest"
)

// far adds a worker behind an SSH server in this process.
func (s *scene) far(t *testing.T, name string) *sshtest.EmbeddedServer {
	t.Helper()
	server := sshtest.Embedded(t, sshtest.Faults{})
	s.roots[name] = filepath.Join(server.Dir(), name)
	w, err := ssh.New(t.Context(), name, server.Config(), runner.Options{Root: s.roots[name], Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() }) //nolint:errcheck // the test is over
	if _, err := w.Facts(t.Context()); errors.Is(err, workers.ErrUnfit) {
		t.Skipf("this machine cannot be a worker: %v", err)
	}
	s.workers = append(s.workers, w)
	return server
}

// TestLineThatComesBack cuts the line to a worker again and again, within the farm's
// patience: the attempt is joined, and nothing is done twice.
func TestLineThatComesBack(t *testing.T) {
	t.Parallel()
	dir, g := t.TempDir(), newGate(t)
	s := newScene(t, g.script()+counted(dir), "near")
	server := s.far(t, "far")
	s.parts.Settings = engine.Settings{Hold: time.Second, Sweep: 100 * time.Millisecond, Patience: time.Minute}
	n := s.node(storetest.SQLite(t), "one", nil)
	id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
	s.waiting(2)
	for range 3 {
		before := s.count("joining the attempt again")
		server.Line.Refuse(true)
		server.Line.Cut()
		s.eventually("the cut to be noticed", func() bool { return s.count("joining the attempt again") > before })
		server.Line.Refuse(false)
	}
	g.open(t)
	b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
	s.endedOnce(b)
	s.unblamed(b)
	s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
	if n := s.ranOnce(dir); n != 2 {
		t.Errorf("the build was run in %d workspaces", n)
	}
}

// count returns how many notes contain the text.
func (s *scene) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.seen {
		if p.Kind == orchestrator.Note && strings.Contains(p.Text, text) {
			n++
		}
	}
	return n
}

// TestGivenUpWorkerThatComesBack loses a worker for longer than the farm's patience.
// The worker gets nothing more until what was left there is removed.
func TestGivenUpWorkerThatComesBack(t *testing.T) {
	t.Parallel()
	dir, g := t.TempDir(), newGate(t)
	s := newScene(t, g.script()+counted(dir), "near", "nearer")
	server := s.far(t, "far")
	s.parts.Settings = fast()
	var mu sync.Mutex
	var early []string // what began on the worker while it still had leftovers
	old := ""          // the workspace left there
	n := s.node(storetest.SQLite(t), "one", func(p *engine.Deps) {
		p.Watch = func(e orchestrator.Progress) {
			s.watch(e)
			mu.Lock()
			defer mu.Unlock()
			if old != "" && e.Kind == orchestrator.StepBegun && e.Worker == "far" && slices.Contains(lying(t, s.roots["far"]), old) {
				early = append(early, e.Build+" "+e.Step)
			}
		}
	})
	// Three repeats on three workers, so that one of them is far away.
	s.recipe.Reproduce.Repeats = 3
	id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
	s.waiting(3)
	left := lying(t, s.roots["far"])
	text, err := os.ReadFile(filepath.Join(s.roots["far"], left[0], "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	old = left[0]
	mu.Unlock()
	server.Line.Refuse(true)
	server.Line.Cut()
	s.eventually("the worker to be given up", func() bool { return s.quarantine(n, "far") != "" && s.lost(n, id, "far") })
	g.open(t)
	s.endedOnce(s.wait(n.Engine, id, orchestrator.BuildSucceeded))
	if s.quarantine(n, "far") == "" {
		t.Error("the worker serves though nobody could look at it")
	}
	s.draining(n, "near", "nearer") // new repeats wait for the lost one
	other := s.submit(n.Engine, submission(s.port("other")))[0].Build.ID
	server.Line.Refuse(false)
	s.eventually("the worker to serve again", func() bool { return s.quarantine(n, "far") == "" })
	if now := lying(t, s.roots["far"]); slices.Contains(now, old) || lives(pid) {
		t.Errorf("the worker serves, and %v lies there, process %d lives: %v", now, pid, lives(pid))
	}
	s.wait(n.Engine, other, orchestrator.BuildSucceeded)
	mu.Lock()
	defer mu.Unlock()
	for _, e := range early {
		t.Errorf("%s began on a worker that was given up and not cleaned yet", e)
	}
	s.ranOnce(dir)
}

// draining keeps workers from getting new attempts.
func (s *scene) draining(n *node, names ...string) {
	s.t.Helper()
	err := n.db.Update(s.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, name := range names {
			w, err := tx.Worker(ctx, name)
			if err != nil {
				return err
			}
			w.Draining = true
			if err := tx.SetWorker(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func lying(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Error(err)
	}
	var all []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			all = append(all, e.Name())
		}
	}
	return all
}

// quarantine returns the code of a worker's quarantine; "" if it may get work.
func (s *scene) quarantine(n *node, worker string) workers.QuarantineCode {
	s.t.Helper()
	w, err := n.db.Worker(s.t.Context(), worker)
	if err != nil {
		s.t.Fatal(err)
	}
	if w.Quarantine == nil {
		return ""
	}
	if !w.Quarantine.Code.Valid() || w.Quarantine.Since.IsZero() || w.Quarantine.Detail == "" || w.Quarantine.Who == "" {
		s.t.Errorf("a quarantine that lacks something: %+v", w.Quarantine)
	}
	return w.Quarantine.Code
}

// lost reports whether an attempt of the build was lost on a worker.
func (s *scene) lost(n *node, id, worker string) bool {
	s.t.Helper()
	attempts, err := n.db.Attempts(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range attempts {
		if a.Worker == worker && a.Outcome == "lost" {
			return true
		}
	}
	return false
}

// TestRebootedWorker kills everything of an attempt, as a reboot does. The repeat is
// retried soon, whatever the farm's patience.
func TestRebootedWorker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		wiped bool
	}{{"workspaces kept", false}, {"workspaces wiped", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, g := t.TempDir(), newGate(t)
			s := newScene(t, counted(dir)+"\n"+g.script(), "w1", "w2")
			s.parts.Settings = engine.Settings{Hold: time.Second, Sweep: 100 * time.Millisecond, Patience: 10 * time.Hour}
			n := s.node(storetest.SQLite(t), "one", nil)
			id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
			s.waiting(2)
			reboot(t, s.roots["w1"])
			if c.wiped {
				for _, name := range lying(t, s.roots["w1"]) {
					if err := os.RemoveAll(filepath.Join(s.roots["w1"], name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			g.open(t)
			b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
			s.endedOnce(b)
			if !s.lost(n, id, "w1") {
				t.Errorf("nobody noticed: %+v", b.Stages)
			}
			s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
			if n := s.ranOnce(dir); n != 3 {
				t.Errorf("the build was run in %d workspaces", n)
			}
		})
	}
}

// reboot kills the runner's processes for all steps below a root, and the steps. The
// runner's go first: they would record how the step ended.
func reboot(t *testing.T, root string) {
	t.Helper()
	for _, file := range []string{"ticker", "runner", "pgid"} {
		found, err := filepath.Glob(filepath.Join(root, "*", ".zfarm", "steps", "*", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), "status")); err == nil {
				continue // it has ended, and its process id may be reused
			}
			text, err := os.ReadFile(name)
			pid, bad := strconv.Atoi(strings.TrimSpace(string(text)))
			if err := errors.Join(err, bad); err != nil || pid < 2 {
				t.Fatal(err, pid)
			}
			if file == "pgid" {
				pid = -pid
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(fmt.Errorf("killing %s %d: %w", file, pid, err))
			}
		}
	}
}
