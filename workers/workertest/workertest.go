// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package workertest is the contract of workers.Worker and workers.Workspace
// as a test, for everything that claims to be a worker.
//
// It tests what a caller can see, on the machine as it is: steps are small
// POSIX shell scripts. What an adapter alone can do wrong (connections, keys,
// code pages) is tested beside the adapter.
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

// patience bounds every wait for something that must happen.
const patience = 60 * time.Second

// Test runs the whole suite. open makes a worker whose lease is 3 s and whose
// root no other test uses; it is called once for each part of the suite.
func Test(t *testing.T, open func(t *testing.T) workers.Worker) {
	parts := []struct {
		name string
		test func(t *testing.T, w workers.Worker)
	}{
		{"facts", testFacts},
		{"workspace ids", testIDs},
		{"workspaces", testWorkspaces},
		{"put and get", testPutGet},
		{"put replaces", testPutReplaces},
		{"put whole or not at all", testPutWhole},
		{"names stay inside", testNames},
		{"missing", testMissing},
		{"no regular file", testIrregular},
		{"list", testList},
		{"exit codes", testExitCodes},
		{"log", testLog},
		{"long log", testLongLog},
		{"environment", testEnvironment},
		{"umask", testUmask},
		{"dir", testDir},
		{"signals and stdin", testFreshProcess},
		{"faulty steps", testFaultySteps},
		{"join", testJoin},
		{"begin at once", testBeginAtOnce},
		{"recall", testRecall},
		{"step changed", testStepChanged},
		{"cancel and join again", testCancel},
		{"watching keeps the lease", testLeaseKept},
		{"lease", testLease},
		{"limit", testLimit},
		{"stop", testStop},
		{"nothing is left behind", testLeftovers},
		{"runner's folder deleted", testLost},
		{"remove", testRemove},
		{"side by side", testSideBySide},
		{"four steps at once", testFourAtOnce},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			t.Cleanup(func() {
				if err := w.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			p.test(t, w)
		})
	}
}

// workspace opens a workspace that goes with the test.
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

// step returns a step with nothing but a search path.
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

// ended is what came of a Run in the background.
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

// gone runs a step that waits until none of the processes lives whose ids
// stand in the file pids. One that is dead but was never reaped is gone.
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
