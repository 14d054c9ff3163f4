// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers"
)

// crammed is a worker whose disk is full while full is set: puts fail with the usual
// message, steps notice it, and the probe reports that there is no space.
type crammed struct {
	workers.Worker
	full *atomic.Bool
	put  error
	// silent: the probe does not report it.
	silent bool
	// suite: the disk is full only while the tests run.
	suite bool
}

func (c crammed) Facts(ctx context.Context, tools ...string) (workers.Facts, error) {
	f, err := c.Worker.Facts(ctx, tools...)
	if c.full.Load() && !c.silent {
		f.FreeBytes = 1
	}
	return f, err
}

func (c crammed) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	ws, err := c.Worker.Workspace(ctx, id)
	return crammedWorkspace{ws, c}, err
}

type crammedWorkspace struct {
	workers.Workspace
	worker crammed
}

func (c crammedWorkspace) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	if c.worker.full.Load() && c.worker.put != nil {
		return digest.Digest{}, fmt.Errorf("putting %s: %w", name, c.worker.put)
	}
	return c.Workspace.Put(ctx, name, mode, r)
}

func (c crammedWorkspace) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	if c.worker.full.Load() && (s.Name == "build-make" && !c.worker.suite || s.Name == "test-1-check") {
		s.Script = "echo cannot write: No space left on device; exit 1"
	}
	return c.Workspace.Run(ctx, s, log)
}

// roomy requires a megabyte.
func roomy(_, now *workers.Facts, err error) *workers.Quarantine {
	switch {
	case err != nil:
		return &workers.Quarantine{Code: workers.QuarantineProbeFailed, Detail: err.Error()}
	case now.FreeBytes < 1<<20:
		return &workers.Quarantine{Code: workers.QuarantineDiskFull, Detail: "Its disk is nearly full."}
	default:
		return nil
	}
}

// TestFullDiskOfAWorker: a worker without space fails in every possible way. Neither a
// port nor a worker with space counts as faulty.
func TestFullDiskOfAWorker(t *testing.T) {
	t.Parallel()
	for name, c := range some(t, map[string]crammed{
		"the step fails":             {},
		"the suite fails":            {suite: true},
		"putting fails, here":        {put: syscall.ENOSPC},
		"putting fails, over sftp":   {put: fmt.Errorf("%w: no space left on the worker", workers.ErrUnfit)},
		"putting fails, and no word": {put: syscall.ENOSPC, silent: true},
	}, "the step fails", "putting fails, here") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, installing, "w1", "w2", "w3")
			c.Worker, c.full = s.workers[0], &atomic.Bool{}
			s.workers[0] = c
			s.parts.Settings, s.parts.Health = fast(), roomy
			n := s.node(storetest.SQLite(t), "one", nil)
			c.full.Store(true)
			id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
			b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
			s.endedOnce(b)
			if !s.lost(n, id, "w1") || s.lost(n, id, "w2") || s.lost(n, id, "w3") {
				t.Errorf("%+v", b.Stages)
			}
			if code := s.quarantine(n, "w1"); !c.silent && code != workers.QuarantineDiskFull {
				t.Errorf("the worker that has no room is quarantined for %q", code)
			}
			c.full.Store(false)
			s.eventually("the worker to serve again", func() bool { return s.quarantine(n, "w1") == "" })
			s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
		})
	}
}

// TestFailureOfThePort is the opposite: on healthy workers, a failed step is the port's
// failure, at once.
func TestFailureOfThePort(t *testing.T) {
	t.Parallel()
	s := newScene(t, "echo no such header; exit 2", "w1", "w2")
	s.parts.Settings, s.parts.Health = fast(), roomy
	n := s.node(storetest.SQLite(t), "one", nil)
	b := s.wait(n.Engine, s.submit(n.Engine, submission(s.port("base")))[0].Build.ID, orchestrator.BuildFailed)
	if f := b.Failure(); f.Kind != orchestrator.FailedStep || !strings.Contains(f.Message, "no such header") {
		t.Errorf("%+v", f)
	}
	s.unblamed(b)
}
