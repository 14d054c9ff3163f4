// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// each runs a test with as many new databases as it asks for: on PostgreSQL where it is
// installed, on SQLite otherwise, and on both in the long form. SQLite is what all other
// tests use.
func each(t *testing.T, fn func(t *testing.T, fresh func(t *testing.T) string)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		if storetest.HavePostgres() && os.Getenv("ZFARM_LONG") == "" {
			t.Skip("on PostgreSQL only: set ZFARM_LONG=1 for both databases, or run task long")
		}
		fn(t, func(t *testing.T) string { return storetest.SQLite(t) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, func(t *testing.T) string { return storetest.Database(t) })
	})
}

// atOnce runs in parallel some cases of a test that wait more than they compute.
func atOnce[T any](t *testing.T, cases []T, fn func(t *testing.T, c T)) {
	t.Helper()
	places := make(chan struct{}, 4)
	var all sync.WaitGroup
	for _, c := range cases {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(fmt.Sprint(c), func(t *testing.T) { fn(t, c) })
		})
	}
	all.Wait()
}

// node is an engine with its own connection to the database.
type node struct {
	*engine.Engine
	db     *store.Store
	url    string
	cancel context.CancelFunc
	ended  chan error
}

// node starts an engine on a database, with the parts of the scene after change has
// edited them. The first one of a scene registers its workers.
func (s *scene) node(url, name string, change func(*engine.Deps)) *node {
	s.t.Helper()
	var p engine.Deps
	var now func() time.Time
	p = s.parts
	if change != nil {
		change(&p)
		now = p.Now
	}
	n := &node{url: url, ended: make(chan error, 1)}
	s.eventually("the database to be free", func() bool {
		var err error
		n.db, err = store.Open(s.t.Context(), url, store.Options{Node: name, Now: now})
		if err != nil && !errors.Is(err, store.ErrInUse) {
			s.t.Fatal(err)
		}
		return err == nil
	})
	if n.db.Check(s.t.Context()) != nil {
		if err := n.db.Migrate(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	p.Store, p.Workers = n.db, s
	p.VerificationMaterial = engine.VerificationMaterial{PublicKey: s.public, TrustedRoot: cosign.TrustedRoot()}
	n.Engine = engine.New(p)
	s.parts.Store = n.db // what the scene looks things up in
	if known, err := n.db.Workers(s.t.Context()); err != nil || len(known) == 0 {
		if err := errors.Join(err, n.RegisterLocal(s.t.Context(), s.workers)); err != nil {
			s.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	n.cancel = cancel
	go func() { n.ended <- n.Run(ctx) }()
	s.t.Cleanup(n.kill)
	return n
}

// drain ends the engine as SIGTERM does and closes its database.
func (n *node) drain(t *testing.T) {
	t.Helper()
	n.cancel()
	select {
	case err := <-n.ended:
		n.ended <- nil
		if err != nil {
			t.Errorf("running an engine: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the engine does not release what it holds")
	}
	if err := n.db.Close(); err != nil {
		t.Error(err)
	}
}

// cut takes the database away, as when a process is killed: from then on the engine can
// change nothing any more.
func (n *node) cut() { n.db.Close() } //nolint:errcheck // it is cut off

// kill ends what is left of the engine.
func (n *node) kill() {
	n.cancel()
	n.ended <- <-n.ended
	n.cut()
}

// gate lets scripts wait until a test wants them to go on.
type gate struct{ file string }

func newGate(t *testing.T) gate { return gate{filepath.Join(t.TempDir(), "open")} }

func (g gate) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(g.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// script notes its process and waits at the gate, for ten minutes at most.
func (g gate) script() string {
	return fmt.Sprintf("echo $$ >\"$ZFARM_ROOT/pid\"\nn=0\nwhile [ ! -e %s ] && [ $n -lt 6000 ]; do sleep 0.1; n=$((n+1)); done\n", g.file)
}

// pids returns the processes of scripts that wait at a gate, in all workspaces.
func (s *scene) pids() []int {
	s.t.Helper()
	var all []int
	for _, root := range s.roots {
		files, err := filepath.Glob(filepath.Join(root, "*", "pid"))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if pid, bad := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bad == nil {
				all = append(all, pid)
			}
		}
	}
	return all
}

func lives(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// waiting waits until n scripts wait at a gate and returns their processes.
func (s *scene) waiting(n int) []int {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d scripts to stand at the gate", n), func() bool { return len(s.pids()) == n })
	return s.pids()
}

// empty requires that nothing is left on any worker.
func (s *scene) empty() {
	s.t.Helper()
	for _, name := range s.left() {
		s.t.Errorf("%s is left on a worker", name)
	}
}

// left returns the workspaces on all workers.
func (s *scene) left() (names []string) {
	s.t.Helper()
	for _, root := range s.roots {
		left, err := os.ReadDir(root)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
		for _, e := range left {
			if !strings.HasPrefix(e.Name(), ".probe.") { // a probe is running
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// ranOnce checks what counted scripts noted: no workspace (one per attempt) ran its
// script twice. It returns how many ran it.
func (s *scene) ranOnce(dir string) int {
	s.t.Helper()
	runs, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range runs {
		if text, err := os.ReadFile(name); err != nil || string(text) != "run\n" {
			s.t.Errorf("in %s it ran %q, %v", filepath.Base(name), text, err)
		}
	}
	return len(runs)
}

// unblamed checks that a build lost no worker and began every stage once.
func (s *scene) unblamed(b store.Build) {
	s.t.Helper()
	for _, stage := range b.Stages {
		if len(stage.Lost) > 0 || stage.Kind == orchestrator.Repeat && stage.Fence != 1 {
			s.t.Errorf("stage %s was begun %d times, lost on %v", stage.ID, stage.Fence, stage.Lost)
		}
	}
}

// clock is a clock that tests set. Like the machine's, it says nothing about elapsed
// time.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.off.Load())) }

func (c *clock) set(d time.Duration) { c.off.Add(int64(d)) }
