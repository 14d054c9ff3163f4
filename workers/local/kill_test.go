// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
)

// watchedRoot, when set, makes this test binary the process that begins a step and
// watches it until it is killed.
const watchedRoot = "ZFARM_TEST_WATCHED_ROOT"

// lease is how long the step lives without a watcher. Within it the test must get from
// the death of the watcher to a check of the processes.
const lease = 10 * time.Second

// build is like make -j2: processes below processes, output all the time.
func build() workers.Step {
	return workers.Step{
		Name: "build",
		Script: `echo x >>starts
echo begin
one() { sh -c 'echo $$ >>../pids; while [ ! -f ../go ]; do sleep 1; done'; echo made $1; }
mkdir sub; cd sub
one a & one b &
echo $$ >>../pids
wait
exit 4`,
		Env: map[string]string{"PATH": "/bin:/usr/bin"},
	}
}

func watchedWorkspace(t *testing.T, root string) workers.Workspace {
	t.Helper()
	ws, err := open(t, runner.Options{Root: root, Lease: lease}).Workspace(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func TestMain(m *testing.M) {
	if root := os.Getenv(watchedRoot); root != "" {
		fmt.Println(watch(context.Background(), root))
		os.Exit(1)
	}
	// The tests wait for shells and clocks much more than they compute.
	if err := flag.Set("test.parallel", "16"); err != nil { // -parallel comes after this
		panic(err)
	}
	os.Exit(m.Run())
}

// watch returns only if the step ends before its watcher is killed.
func watch(ctx context.Context, root string) error {
	w, err := local.New("here", runner.Options{Root: root, Lease: lease})
	if err != nil {
		return err
	}
	ws, err := w.Workspace(ctx, "w")
	if err != nil {
		return err
	}
	status, err := ws.Run(ctx, build(), io.Discard)
	return fmt.Errorf("the step ended, %+v, %w", status, err)
}

// killWatcher starts a watcher, kills it in mid-step, and returns the ids of
// the processes of the step, which live.
func killWatcher(t *testing.T, root string) []int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), watchedRoot+"="+root)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	file := filepath.Join(root, "w", "pids")
	until(t, "the step is in full swing", func() bool {
		b, _ := os.ReadFile(file)
		return bytes.Count(b, []byte("\n")) == 3
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatalf("killing the watcher: %v; it said:\n%s", err, said.String())
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the watcher was not killed")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || syscall.Kill(pid, 0) != nil {
			t.Errorf("process %q ended with its watcher", line)
		}
		pids = append(pids, pid)
	}
	return pids
}

func TestKilledWatcherLeavesNothing(t *testing.T) {
	needShell(t)
	t.Parallel()
	root := t.TempDir()
	pids := killWatcher(t, root)
	until(t, "every process of the step is dead", func() bool {
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				return false
			}
		}
		return true
	})
	ws := watchedWorkspace(t, root)
	status, err := ws.Run(t.Context(), build(), io.Discard)
	if err != nil || status.State != workers.Lease {
		t.Errorf("%+v, %v", status, err)
	}
	if err := ws.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// zombie: dead, and not reaped yet.
func zombie(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.HasPrefix(string(out), "Z")
}

// TestKilledWatcherIsReplaced: the next watcher joins the step and loses nothing.
func TestKilledWatcherIsReplaced(t *testing.T) {
	needShell(t)
	t.Parallel()
	root := t.TempDir()
	killWatcher(t, root)
	ws := watchedWorkspace(t, root)
	var log bytes.Buffer
	done := make(chan struct{})
	var status workers.Status
	var err error
	go func() {
		defer close(done)
		status, err = ws.Run(t.Context(), build(), &log)
	}()
	if _, err := ws.Put(t.Context(), "go", 0o600, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	<-done
	if err != nil || status.State != workers.Exited || status.Code != 4 {
		t.Errorf("%+v, %v", status, err)
	}
	got := log.String()
	if !strings.HasPrefix(got, "begin\n") || strings.Count(got, "made ") != 2 {
		t.Errorf("log %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(root, "w", "starts")); err != nil || string(b) != "x\n" {
		t.Errorf("the step was started %d times, %v", bytes.Count(b, []byte("x")), err)
	}
	if err := ws.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}
