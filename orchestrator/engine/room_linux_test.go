// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
)

// TestFullDatabase leaves no space for the database while steps run. The build waits,
// and goes on once there is space.
func TestFullDatabase(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small file system cannot be mounted (%v): run as root, where mounting is allowed", err)
	}
	t.Cleanup(func() {
		// A process that is just being started elsewhere has all files open for a
		// moment.
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		err := syscall.Unmount(disk, 0)
		for n := 0; errors.Is(err, syscall.EBUSY) && n < 500; n++ {
			<-tick.C
			err = syscall.Unmount(disk, 0)
		}
		if err != nil {
			t.Error(err)
		}
	})
	dir, g := t.TempDir(), newGate(t)
	s := newScene(t, g.script()+counted(dir), "w1", "w2")
	s.parts.Settings = fast()
	log := &lines{}
	s.parts.Log = slog.New(slog.NewTextHandler(log, nil))
	n := s.node("sqlite:"+filepath.Join(disk, "farm.db"), "one", nil)
	id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
	s.waiting(2)
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	g.open(t)
	s.eventually("somebody to say that there is no room", func() bool { return log.has("the disk of the database is full") })
	if b, err := n.db.Build(t.Context(), id); err == nil && b.Over() {
		t.Errorf("the build ended without room: %+v", b.Failure())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	b := s.wait(n.Engine, id, orchestrator.BuildSucceeded)
	s.endedOnce(b)
	s.unblamed(b)
	s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
	if n := s.ranOnce(dir); n != 2 {
		t.Errorf("the build was run in %d workspaces", n)
	}
	n.drain(t)
}

// lines keeps a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// fill writes a file until no space is left.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
