// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// full is an artifact store whose disk is full for some writes, after some that
// succeeded.
type full struct {
	engine.Artifacts

	mu         sync.Mutex
	well, left int
	wrote      int
}

func (f *full) Fill(ctx context.Context, write func(io.Writer) error) (digest.Digest, error) {
	f.mu.Lock()
	f.wrote++
	short := f.well <= 0 && f.left > 0
	if short {
		f.left--
	}
	f.well--
	f.mu.Unlock()
	if !short {
		return f.Artifacts.Fill(ctx, write)
	}
	// Only for the last byte there is no space.
	_, err := f.Artifacts.Fill(ctx, func(w io.Writer) error {
		if err := write(w); err != nil {
			return err
		}
		return syscall.ENOSPC
	})
	return digest.Digest{}, fmt.Errorf("storing an artifact: %w", err)
}

// TestFullDiskIsWaitedFor fills the disk of the farm itself in each stage of a build.
// The build waits, and neither port nor worker counts as faulty.
func TestFullDiskIsWaitedFor(t *testing.T) {
	eachPoint(t)
	const writes = 18 // of one build, about
	stride := thorough(t, 8, 3)
	var cases []int
	for well := 0; well < writes; well += stride {
		cases = append(cases, well)
	}
	t.Parallel()
	atOnce(t, cases, func(t *testing.T, well int) {
		dir := t.TempDir()
		s := newScene(t, counted(dir), "w1", "w2")
		disk := &full{Artifacts: s.parts.Artifacts, well: 1000}
		s.parts.Artifacts, s.parts.Settings = disk, fast()
		n := s.node(storetest.SQLite(t), "one", nil)
		id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
		disk.mu.Lock()
		disk.well, disk.left, disk.wrote = well, 2, 0
		disk.mu.Unlock()
		b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
		s.endedOnce(b)
		s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
		for _, stage := range b.Stages {
			if len(stage.Lost) > 0 {
				t.Errorf("stage %s blames %v for a disk that was full here", stage.ID, stage.Lost)
			}
		}
		s.ranOnce(dir)
		disk.mu.Lock()
		defer disk.mu.Unlock()
		if disk.left > 0 {
			t.Errorf("the disk was never full: %d writes", disk.wrote)
		}
	})
}
