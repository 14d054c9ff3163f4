// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/ssh"
	"github.com/zfarm/zfarm/workers/sshtest"
	"github.com/zfarm/zfarm/workers/workertest"
)

// TestContract is the contract of every worker, over both servers.
func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		s := daemons.OpenSSH(t, sshtest.Options{})
		contract(t, s.Config(), s.Dir())
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		s := sshtest.Embedded(t, sshtest.Faults{})
		contract(t, s.Config(), s.Dir())
	})
	// What a worker may do at any time must not show.
	t.Run("few sessions, short reads, no rename", func(t *testing.T) {
		t.Parallel()
		if os.Getenv("ZFARM_LONG") == "" {
			t.Skip("the whole contract a third time: set ZFARM_LONG=1, or run task long")
		}
		s := sshtest.Embedded(t, sshtest.Faults{MaxSessions: 3, Refuse: 10, ShortReads: true, NoPosixRename: true, NoSignals: true})
		contract(t, s.Config(), s.Dir())
	})
}

func contract(t *testing.T, c ssh.Config, dir string) {
	var count atomic.Int64
	workertest.Test(t, func(t *testing.T, lease time.Duration) workers.Worker {
		return newWorker(t, c, filepath.Join(dir, fmt.Sprint(count.Add(1))), lease)
	})
}

func newWorker(t testing.TB, c ssh.Config, root string, lease time.Duration) *runner.Worker {
	t.Helper()
	w, err := ssh.New(t.Context(), "test", c, runner.Options{Root: root, Lease: lease, Poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestNewFails(t *testing.T) {
	t.Parallel()
	c := sshtest.Embedded(t, sshtest.Faults{}).Config()
	c.Address = sshtest.ClosedAddress(t)
	if _, err := ssh.New(t.Context(), "zos1", c, runner.Options{Root: "/x"}); !errors.Is(err, workers.ErrUnreachable) {
		t.Errorf("New = %v; want ErrUnreachable", err)
	}
}

// chatty is a step whose log grows for about two seconds, with a stop in its
// middle until the file "go" is in the workspace.
func chatty() workers.Step {
	return workers.Step{
		Name: "make", Env: map[string]string{"PATH": "/bin:/usr/bin"},
		Script: "i=0\nwhile [ $i -lt 40 ]; do\n\ti=$((i+1)); j=0\n\twhile [ $j -lt 50 ]; do j=$((j+1)); echo \"line $i $j of a log that is long\"; done\n" +
			"\techo begun >>$ZFARM_ROOT/count\n\tsleep .05\n" +
			"\twhile [ $i -eq 20 ] && [ ! -f $ZFARM_ROOT/go ]; do sleep .05; done\ndone\nexit 3\n",
	}
}

// TestCutInRun cuts the line again and again while a step runs. The step goes on; the
// watcher gets ErrLost or nothing, joins again, and in the end has the whole log and
// the right status.
func TestCutInRun(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		w := newWorker(t, s.config, s.dir+"/w", time.Minute)
		ws, err := w.Workspace(t.Context(), "attempt-1")
		if err != nil {
			t.Fatal(err)
		}
		stop := cutAtTimes(t, s)
		var log bytes.Buffer
		status, lost, err := tend(t.Context(), ws, chatty(), &log, func() {
			s.line.Refuse(false)
			goOn(t, s.dir)
		})
		stop()
		if err != nil || status.State != workers.Exited || status.Code != 3 {
			t.Fatalf("status %+v, %v; want exit 3", status, err)
		}
		if lost == 0 {
			t.Error("the worker was never lost, so this test shows little")
		}
		if n := bytes.Count(log.Bytes(), []byte("\n")); n != 40*50 {
			t.Errorf("log has %d lines; want 2000", n)
		}
		sameAsOnWorker(t, s.dir, log.Bytes())
		if b, err := os.ReadFile(s.dir + "/w/attempt-1/count"); err != nil || bytes.Count(b, []byte("\n")) != 40 {
			t.Errorf("the step went round %d times, %v; want once through, 40", bytes.Count(b, []byte("\n")), err)
		}
		if err := ws.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// goOn lets a chatty step pass its middle.
func goOn(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "w", "attempt-1", "go"), nil, 0o600); err != nil {
		t.Error(err)
	}
}

// cutAtTimes cuts the line each time the server has sent some more, five times;
// every other time the server stays away until somebody noticed.
func cutAtTimes(t *testing.T, s server) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 5 {
			for next := s.line.Passed() + 30_000; s.line.Passed() < next && ctx.Err() == nil; {
				pause()
			}
			s.line.Refuse(i%2 == 0 && ctx.Err() == nil)
			s.line.Cut()
		}
	})
	return func() { cancel(); all.Wait(); s.line.Refuse(false) }
}

// tend runs a step to its end as the orchestrator does: it joins a lost worker again,
// after a call of onLost.
func tend(ctx context.Context, ws workers.Workspace, s workers.Step, log *bytes.Buffer, onLost func()) (status workers.Status, lost int, err error) {
	for ; lost < 50; lost++ {
		log.Reset()
		if status, err = ws.Run(ctx, s, log); !errors.Is(err, workers.ErrLost) {
			return status, lost, err
		}
		onLost()
	}
	return status, lost, err
}

// sameAsOnWorker compares a log by digest with the file that the step wrote,
// wherever the runner keeps it.
func sameAsOnWorker(t *testing.T, dir string, log []byte) {
	t.Helper()
	var logs int
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "log" || !d.Type().IsRegular() {
			return err
		}
		logs++
		b, err := os.ReadFile(name)
		if digest.Of(b) != digest.Of(log) {
			t.Errorf("log has %d bytes %v, on the worker %d bytes %v", len(log), digest.Of(log), len(b), digest.Of(b))
		}
		return err
	})
	if err != nil || logs != 1 {
		t.Errorf("found %d logs on the worker, %v", logs, err)
	}
}

// TestFrozenInRun: half-open lines are detected and closed.
func TestFrozenInRun(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{})
	w := newWorker(t, quick(s.Config()), s.Dir()+"/w", 10*time.Minute)
	ws, err := w.Workspace(t.Context(), "attempt-1")
	if err != nil {
		t.Fatal(err)
	}
	frozen := make(chan struct{})
	begun := s.Line.Passed()
	var freezing sync.WaitGroup
	freezing.Go(func() {
		for s.Line.Passed() < begun+20_000 {
			pause()
		}
		s.Line.Freeze()
		close(frozen)
	})
	var log bytes.Buffer
	status, lost, err := tend(t.Context(), ws, chatty(), &log, func() {
		<-frozen // a slow machine loses the line before that, too
		s.Line.Thaw()
		goOn(t, s.Dir())
	})
	freezing.Wait()
	if err != nil || status.Code != 3 {
		t.Fatalf("status %+v, %v; want exit 3", status, err)
	}
	if lost == 0 {
		t.Error("nobody noticed that the line was frozen")
	}
	sameAsOnWorker(t, s.Dir(), log.Bytes())
	if err := ws.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
