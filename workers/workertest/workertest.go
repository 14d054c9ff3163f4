// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package workertest is the contract of workers.Worker and workers.Workspace as a test,
// for every implementation of a worker.
//
// It tests what a caller can observe, on the machine as it is: steps are small POSIX
// shell scripts. What only one adapter can get wrong (connections, keys, code pages) is
// tested beside the adapter.
package workertest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers"
)

// patience bounds every wait for something that must happen. It is far longer than that
// takes, even on a machine that does ten other things.
const patience = 5 * time.Minute

// The leases of the suite. A step of a worker with the short one must live while it is
// watched, so it bounds how long this machine may stall.
const (
	shortLease = 8 * time.Second
	longLease  = 2 * time.Minute
)

// Test runs the whole suite. open makes a worker with that lease whose root no other
// test uses; Test calls it once for each part of the suite. The parts wait much more
// than they compute, so they run in parallel as far as -parallel allows.
func Test(t *testing.T, open func(t *testing.T, lease time.Duration) workers.Worker) {
	parts := []struct {
		name       string
		test       func(t *testing.T, w workers.Worker)
		shortLease bool
	}{
		{name: "facts", test: testFacts},
		{name: "workspace ids", test: testIDs},
		{name: "workspaces", test: testWorkspaces},
		{name: "put and get", test: testPutGet},
		{name: "put replaces", test: testPutReplaces},
		{name: "put whole or not at all", test: testPutWhole},
		{name: "names stay inside", test: testNames},
		{name: "missing", test: testMissing},
		{name: "no regular file", test: testIrregular},
		{name: "list", test: testList},
		{name: "exit codes", test: testExitCodes},
		{name: "log", test: testLog},
		{name: "long log", test: testLongLog},
		{name: "environment", test: testEnvironment},
		{name: "umask", test: testUmask},
		{name: "dir", test: testDir},
		{name: "signals and stdin", test: testFreshProcess},
		{name: "faulty steps", test: testFaultySteps},
		{name: "join", test: testJoin},
		{name: "begin at once", test: testBeginAtOnce},
		{name: "recall", test: testRecall},
		{name: "step changed", test: testStepChanged},
		{name: "cancel and join again", test: testCancel},
		{name: "watching keeps the lease", test: testLeaseKept, shortLease: true},
		{name: "lease", test: testLease, shortLease: true},
		{name: "limit", test: testLimit},
		{name: "stop", test: testStop},
		{name: "nothing is left behind", test: testLeftovers},
		{name: "runner's folder deleted", test: testLost},
		{name: "remove", test: testRemove},
		{name: "side by side", test: testSideBySide},
		{name: "four steps at once", test: testFourAtOnce},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			lease := longLease
			if p.shortLease {
				lease = shortLease
			}
			w := open(t, lease)
			t.Cleanup(func() {
				if err := w.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			p.test(t, w)
		})
	}
}

// workspace opens a workspace that is removed at the end of the test.
func workspace(t *testing.T, w workers.Worker, id string) workers.Workspace {
	t.Helper()
	ws, err := w.Workspace(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := ws.Remove(ctx); err != nil {
			t.Errorf("removing: %v", err)
		}
	})
	return ws
}

// step returns a step with only a search path.
func step(name, script string) workers.Step {
	return workers.Step{Name: name, Script: script, Env: map[string]string{"PATH": "/bin:/usr/bin"}}
}

// does runs a step that must exit with 0, and returns its log.
func does(t *testing.T, ws workers.Workspace, s workers.Step) string {
	t.Helper()
	var log bytes.Buffer
	status, err := ws.Run(t.Context(), s, &log)
	if err != nil || !status.OK() {
		t.Fatalf("step %s: %+v, %v, log:\n%s", s.Name, status, err, log.String())
	}
	return log.String()
}

// ended is the result of a Run in the background.
type ended struct {
	status workers.Status
	err    error
}

// running is a Run in the background.
type running struct {
	log  *watched
	done chan ended
}

func begin(ctx context.Context, ws workers.Workspace, s workers.Step) running {
	r := running{log: &watched{}, done: make(chan ended, 1)}
	go func() {
		status, err := ws.Run(ctx, s, r.log)
		r.done <- ended{status, err}
	}()
	return r
}

// end waits for the Run to return.
func (r running) end(t *testing.T) ended {
	t.Helper()
	select {
	case e := <-r.done:
		return e
	case <-time.After(patience):
		t.Fatalf("Run did not return; log:\n%s", r.log)
		return ended{}
	}
}

// says waits until the log holds text.
func (r running) says(t *testing.T, text string) {
	t.Helper()
	until(t, "the log says "+text, func() bool { return strings.Contains(r.log.String(), text) })
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// watched is a log that can be read while it grows.
type watched struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// gone runs a step that waits until none of the processes whose ids are in the file
// pids lives. A dead process that was never reaped counts as gone.
func gone(t *testing.T, ws workers.Workspace, name string) {
	t.Helper()
	does(t, ws, step(name, `[ -s pids ] || exit 8
for p in $(cat pids); do
	n=0
	while kill -s 0 $p 2>/dev/null; do
		case $(ps -o stat= -p $p 2>/dev/null) in Z*) break ;; esac
		n=$((n + 1))
		if [ $n -gt 30 ]; then echo $p lives; exit 9; fi
		sleep 1
	done
done`))
}
