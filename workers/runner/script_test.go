// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
)

// TestMain lets many tests run side by side, however few processors there are:
// they wait for shells and clocks much more than they compute.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "16"); err != nil { // -parallel comes after this
		panic(err)
	}
	m.Run()
}

func need(t *testing.T, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("no %s here; install it to run this test", program)
	}
	return p
}

// anyShell skips the test if no shell can run steps.
func anyShell(t *testing.T) string {
	t.Helper()
	for _, s := range []string{"bash", "mksh", "ksh"} {
		if p, err := exec.LookPath(s); err == nil {
			return p
		}
	}
	t.Skip("no shell with job control; install bash, mksh or ksh to run this test")
	return ""
}

// place is a workspace and where it lies.
type place struct {
	workers.Workspace
	root string
}

func (p place) file(step, name string) string {
	return filepath.Join(p.root, ".zfarm", "steps", step, name)
}

func open(t *testing.T, h runner.Host, o runner.Options) place {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	ws, err := runner.New("here", h, o).Workspace(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ws.Remove(context.Background()); err != nil {
			t.Errorf("removing: %v", err)
		}
	})
	return place{ws, filepath.Join(o.Root, "w")}
}

func step(name, script string) workers.Step {
	return workers.Step{Name: name, Script: script, Env: map[string]string{"PATH": "/bin:/usr/bin"}}
}

type ended struct {
	status workers.Status
	err    error
}

// begin runs a step in the background and waits until its log holds text.
func begin(t *testing.T, ws workers.Workspace, s workers.Step, text string) <-chan ended {
	t.Helper()
	done := make(chan ended, 1)
	seen := make(chan struct{}, 1)
	go func() {
		status, err := ws.Run(t.Context(), s, writer(func(p []byte) {
			if bytes.Contains(p, []byte(text)) {
				seen <- struct{}{}
			}
		}))
		done <- ended{status, err}
	}()
	select {
	case <-seen:
	case e := <-done:
		t.Fatalf("step %s: %+v", s.Name, e)
	}
	return done
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func pidIn(t *testing.T, file string) int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 2 {
		t.Fatalf("%s holds %q", file, b)
	}
	return pid
}

func kill(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("killing %d: %v", pid, err)
		}
	}
}

// gone waits until a process is dead, reaped or not.
func gone(t *testing.T, pid int) {
	t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(5*time.Minute)
	defer tick.Stop()
	for syscall.Kill(pid, 0) == nil {
		if out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output(); err == nil && strings.HasPrefix(string(out), "Z") {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("process %d lives on", pid)
		}
	}
}

func TestShells(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bash", "mksh", "ksh93"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shell := need(t, name)
			ws := open(t, local.Host{}, runner.Options{Shell: shell, LogMax: 64 << 10})
			var all sync.WaitGroup
			for _, c := range []struct {
				name, script string
				limit        time.Duration
				want         workers.Status
			}{
				{"exit", "exit 3", 0, workers.Status{State: workers.Exited, Code: 3}},
				{"killed", "kill -s KILL $$", 0, workers.Status{State: workers.Exited, Code: 137}},
				{"child-killed", "sh -c 'kill -s KILL $$'", 0, workers.Status{State: workers.Exited, Code: 137}},
				{"int", "kill -s INT $$", 0, workers.Status{State: workers.Exited, Code: 130}},
				{"stopped", "kill -s STOP $$; exit 5", 5 * time.Second, workers.Status{State: workers.Limit}},
				{"limit", "trap '' TERM; while :; do sleep 1; done", 5 * time.Second, workers.Status{State: workers.Limit}},
				{"log", "trap '' TERM; while :; do echo some more and more and more of the same; done", time.Minute, workers.Status{State: workers.LogLimit}},
				{"short-log", "awk 'BEGIN { for (i = 0; i < 100000; i++) print i }'", 0, workers.Status{State: workers.LogLimit}},
				{"leaves", "sleep 1000 & exit 0", 0, workers.Status{State: workers.Exited}},
			} {
				all.Go(func() {
					s := step(c.name, c.script)
					s.Limit = c.limit
					var log bytes.Buffer
					got, err := ws.Run(t.Context(), s, &log)
					got.Took = 0
					if err != nil || got != c.want {
						t.Errorf("%s: %+v, %v, want %+v; log %.200q", c.name, got, err, c.want, log.String())
					}
					if log.Len() > 64<<10 {
						t.Errorf("%s: %d bytes of log were copied", c.name, log.Len())
					}
				})
			}
			all.Wait()
			for _, name := range []string{"exit", "limit", "log", "stopped"} {
				gone(t, pidIn(t, ws.file(name, "pgid")))
			}
		})
	}
}

func TestStopAndStateInEachShell(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bash", "mksh", "ksh93"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := open(t, local.Host{}, runner.Options{Shell: need(t, name)})
			done := begin(t, ws, step("s", "echo up; sleep 1000"), "up")
			if got := state(t, ws, name, "s"); got != "running" {
				t.Errorf("a running step is %q", got)
			}
			if err := ws.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if e := <-done; e.err != nil || e.status.State != workers.Stopped {
				t.Errorf("%+v", e)
			}
			if got := state(t, ws, name, "s"); got != "ended" {
				t.Errorf("a stopped step is %q", got)
			}
			if got := state(t, ws, name, "never"); got != "absent" {
				t.Errorf("a step never begun is %q", got)
			}
		})
	}
}

// state calls runner.sh itself.
func state(t *testing.T, ws place, shell, name string) string {
	t.Helper()
	cmd := exec.Command(need(t, shell), filepath.Join(ws.root, ".zfarm", "runner.sh"), "state", name)
	cmd.Env = []string{"PATH=/bin:/usr/bin", "ZFARM_ROOT=" + ws.root, "ZFARM_SHELL=" + shell}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestShellWithoutJobControl(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dash", "busybox"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shell := need(t, name)
			if name == "busybox" {
				aside := filepath.Join(t.TempDir(), "sh")
				if err := os.Symlink(shell, aside); err != nil {
					t.Fatal(err)
				}
				shell = aside
			}
			_, err := runner.New("w", local.Host{}, runner.Options{Root: t.TempDir(), Shell: shell}).Workspace(t.Context(), "w")
			if !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), "no process group of their own") || !strings.Contains(err.Error(), "install bash") {
				t.Errorf("%s: %v", shell, err)
			}
		})
	}
	_, err := runner.New("w", local.Host{}, runner.Options{Root: t.TempDir(), Shell: "no-such-shell"}).Workspace(t.Context(), "w")
	if !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), "no-such-shell: not found") {
		t.Errorf("a shell that is not there: %v", err)
	}
}

// TestRunnerUnderAnUnfitShell: if the probe is deceived, the runner still detects that
// it would end itself with the step.
func TestRunnerUnderAnUnfitShell(t *testing.T) {
	t.Parallel()
	dash := need(t, "dash")
	h := &substitute{from: anyShell(t), to: dash}
	ws := open(t, h, runner.Options{Shell: h.from})
	if status, err := ws.Run(t.Context(), step("s", "exit 0"), io.Discard); !errors.Is(err, workers.ErrUnfit) {
		t.Errorf("%+v, %v", status, err)
	}
}

// substitute runs steps under another shell than the probe chose.
type substitute struct {
	local.Host
	from, to string
}

func (s *substitute) Exec(ctx context.Context, command string) (runner.Output, error) {
	if strings.Contains(command, "runner.sh") {
		command = strings.ReplaceAll(command, "'"+s.from+"'", "'"+s.to+"'")
	}
	return s.Host.Exec(ctx, command)
}

func TestKilledRunner(t *testing.T) {
	t.Parallel()
	for shell, cases := range map[string][][]string{
		"bash":  {{"runner"}, {"ticker"}, {"runner", "ticker"}},
		"mksh":  {{"runner"}, {"ticker"}},
		"ksh93": {{"runner"}, {"ticker"}},
	} {
		for _, victims := range cases {
			t.Run(shell+" "+strings.Join(victims, " "), func(t *testing.T) {
				t.Parallel()
				ws := open(t, local.Host{}, runner.Options{Shell: need(t, shell)})
				s := step("s", "echo up; while :; do sleep 1; done")
				done := begin(t, ws, s, "up")
				pgid := pidIn(t, ws.file("s", "pgid"))
				var pids []int
				for _, v := range victims {
					pids = append(pids, pidIn(t, ws.file("s", v)))
				}
				kill(t, pids...)
				if e := <-done; !errors.Is(e.err, workers.ErrLost) {
					t.Errorf("%+v", e)
				}
				gone(t, pgid)
				if status, err := ws.Run(t.Context(), s, io.Discard); !errors.Is(err, workers.ErrLost) {
					t.Errorf("recalled: %+v, %v", status, err)
				}
			})
		}
	}
}

// TestReusedPID: after a reboot the ids of the step may belong to other processes.
func TestReusedPID(t *testing.T) {
	t.Parallel()
	ws := open(t, local.Host{}, runner.Options{Shell: anyShell(t)})
	s := step("s", "echo up; exec sleep 1000")
	done := begin(t, ws, s, "up")
	pids := []int{pidIn(t, ws.file("s", "runner")), pidIn(t, ws.file("s", "ticker")), pidIn(t, ws.file("s", "pgid"))}
	stranger := exec.Command("sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	dead := make(chan error, 1)
	go func() { dead <- stranger.Wait() }()
	for _, name := range []string{"runner", "ticker", "pgid"} {
		if err := os.WriteFile(ws.file("s", name), []byte(strconv.Itoa(stranger.Process.Pid)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kill(t, pids...)
	if e := <-done; !errors.Is(e.err, workers.ErrLost) {
		t.Errorf("%+v", e)
	}
	if err := ws.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-dead:
		t.Errorf("the runner ended a process that is not its own: %v", err)
	default:
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := <-dead; err == nil {
		t.Error("the process ended by itself")
	}
}

// TestBegunByHalf: the maker of begun/ died before it recorded the contents.
func TestBegunByHalf(t *testing.T) {
	t.Parallel()
	ws := open(t, local.Host{}, runner.Options{Shell: anyShell(t)})
	if err := os.MkdirAll(ws.file("s", "begun"), 0o700); err != nil {
		t.Fatal(err)
	}
	if status, err := ws.Run(t.Context(), step("s", "true"), io.Discard); !errors.Is(err, workers.ErrLost) {
		t.Errorf("%+v, %v", status, err)
	}
}

// TestNoRoom: a failed write makes the worker unfit; the step has not begun and can
// begin later.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	ws := open(t, local.Host{}, runner.Options{Shell: anyShell(t)})
	steps := filepath.Join(ws.root, ".zfarm", "steps")
	if err := os.Rename(steps, steps+".aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(steps, nil, 0o600); err != nil { // no folder can be made here
		t.Fatal(err)
	}
	if status, err := ws.Run(t.Context(), step("s", "true"), io.Discard); err == nil {
		t.Errorf("%+v", status)
	}
	if err := errors.Join(os.Remove(steps), os.Rename(steps+".aside", steps)); err != nil {
		t.Fatal(err)
	}
	if status, err := ws.Run(t.Context(), step("s", "true"), io.Discard); err != nil || !status.OK() {
		t.Errorf("%+v, %v", status, err)
	}
}

// TestPoorSystem: no ps, no GNU tools, sleep in whole seconds, and a minimal find: all
// that the runner may rely on.
func TestPoorSystem(t *testing.T) {
	shell := anyShell(t)
	bin := t.TempDir()
	for _, name := range []string{"cat", "date", "df", "env", "mkdir", "mv", "rm", "sed", "tail", "tr", "uname"} {
		if err := os.Symlink(need(t, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"getconf": `[ "$1" = PATH ] && echo ` + bin,
		"sleep":   `case $1 in *[!0-9]*) exit 1 ;; esac; exec ` + need(t, "sleep") + ` "$1"`,
		"find":    `case "$*" in "log -size +"*) ;; *" -type d -exec "*) ;; *) exit 1 ;; esac; exec ` + need(t, "find") + ` "$@"`,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	root := t.TempDir()
	w := runner.New("poor", local.Host{}, runner.Options{Root: root, Shell: shell})
	if f, err := w.Facts(t.Context()); !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), "no archiver") || f.Shell != shell || f.Path != bin {
		t.Errorf("%+v, %v", f, err)
	}
	ws := open(t, local.Host{}, runner.Options{Root: root, Shell: shell})
	status, err := ws.Run(t.Context(), step("exit", "sleep 1000 & exit 3"), io.Discard)
	if err != nil || status.Code != 3 {
		t.Errorf("%+v, %v", status, err)
	}
	s := step("limit", "while :; do sleep 1; done")
	s.Limit = time.Second
	if status, err := ws.Run(t.Context(), s, io.Discard); err != nil || status.State != workers.Limit {
		t.Errorf("%+v, %v", status, err)
	}
}

// TestLogOfTheCaller: an error of the caller's log writer is returned as such.
func TestLogOfTheCaller(t *testing.T) {
	t.Parallel()
	ws := open(t, local.Host{}, runner.Options{Shell: anyShell(t)})
	full := errors.New("full")
	if _, err := ws.Run(t.Context(), step("s", "echo x; sleep 1000"), failing{full}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestHostLost: a lost connection is never taken for the end of a step.
func TestHostLost(t *testing.T) {
	t.Parallel()
	h := &cutOff{lost: make(chan struct{})}
	ws := open(t, h, runner.Options{Shell: anyShell(t)})
	s := step("s", "echo up; until [ -f go ]; do sleep 1; done; exit 4")
	done := begin(t, ws, s, "up")
	close(h.lost)
	if e := <-done; !errors.Is(e.err, workers.ErrLost) {
		t.Errorf("%+v", e)
	}
	h.lost = make(chan struct{})
	if _, err := ws.Put(t.Context(), "go", 0o600, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	if status, err := ws.Run(t.Context(), s, io.Discard); err != nil || status.Code != 4 {
		t.Errorf("joined again: %+v, %v", status, err)
	}
}

// cutOff loses files once lost is closed.
type cutOff struct {
	local.Host
	lost chan struct{}
}

func (c *cutOff) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	select {
	case <-c.lost:
		return nil, workers.ErrLost
	default:
		return c.Host.Open(ctx, path, offset)
	}
}

// TestGetCutOff: a lost connection often ends in io.EOF, and an error that wraps it is
// not the end of the file.
func TestGetCutOff(t *testing.T) {
	t.Parallel()
	ws := open(t, shortened{}, runner.Options{Shell: anyShell(t)})
	if _, err := ws.Put(t.Context(), "f", 0o600, strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if d, err := ws.Get(t.Context(), "f", &got); !errors.Is(err, workers.ErrLost) {
		t.Errorf("%q with digest %v: error %v, want %v", got.String(), d, err, workers.ErrLost)
	}
}

// shortened loses the connection after the first bytes of a file named f.
type shortened struct{ local.Host }

func (s shortened) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	r, err := s.Host.Open(ctx, name, offset)
	if err != nil || filepath.Base(name) != "f" {
		return r, err
	}
	lost := iotest.ErrReader(fmt.Errorf("%w: connection ended: %w", workers.ErrLost, io.EOF))
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, 2), lost), r}, nil
}

// TestHostileFiles: a step can write the files that describe it. Whatever they contain,
// Run ends, and the step's processes are gone when the workspace is removed.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	const sleep = "\nsleep 1000"
	for name, c := range map[string]struct {
		script string
		ok     bool // Run believes it: a step may say of itself how it ended
	}{
		"status":     {script: `echo 'exited 0 0; rm -rf /' >"$d/status"` + sleep},
		"valid":      {script: `echo 'exited 0 0' >"$d/status"` + sleep, ok: true},
		"link":       {script: `ln -s /etc/passwd "$d/status"` + sleep},
		"dangling":   {script: `ln -s /nowhere "$d/status"` + sleep},
		"folder":     {script: `ln -s /tmp "$d/status"` + sleep},
		"pipe":       {script: `mkfifo "$d/status"` + sleep},
		"long":       {script: `awk 'BEGIN { for (i = 0; i < 100000; i++) printf "exited" }' >"$d/status"` + sleep},
		"contents":   {script: `rm "$d/contents"; mkdir "$d/contents" "$d/status"` + sleep},
		"group":      {script: `rm "$d/pgid"; ln -s /etc/passwd "$d/status"` + sleep},
		"keepers":    {script: `kill -9 "$(cat "$d/ticker")" "$(cat "$d/runner")"; ln -s /etc/passwd "$d/status"` + sleep},
		"all gone":   {script: `kill -9 "$(cat "$d/ticker")" "$(cat "$d/runner")"; rm "$d/pgid"; echo exited 0 0 >"$d/status"` + sleep, ok: true},
		"lease":      {script: `rm -f "$d/lease"; mkfifo "$d/lease"; sleep 3; rmdir "$d/begun"` + sleep},
		"beat":       {script: `rm -f "$d/beat"; mkfifo "$d/beat"; sleep 2; echo exited 0 0 >"$d/status"` + sleep, ok: true},
		"new status": {script: `mkfifo "$d/status.new"; exit 0`, ok: true},
		"reason":     {script: `mkdir "$d/ended"; mkfifo "$d/ended/reason"; exit 0`},
		"pipe pgid":  {script: `rm "$d/pgid"; mkfifo "$d/pgid"; exit 0`, ok: true},
		"script":     {script: `echo exit 0 >"$ZFARM_ROOT/.zfarm/x"; mv "$ZFARM_ROOT/.zfarm/x" "$ZFARM_ROOT/.zfarm/runner.sh"; trap '' TERM; echo exited 0 0 >"$d/status"` + sleep, ok: true},
		"pretended":  {script: `mkdir -p "$d/../fake/begun"; echo 1 >"$d/../fake/runner"; exit 0`, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws, err := runner.New("here", local.Host{}, runner.Options{Root: t.TempDir(), Shell: anyShell(t)}).Workspace(t.Context(), "w")
			if err != nil {
				t.Fatal(err)
			}
			pids := filepath.Join(t.TempDir(), "pids")
			id := strings.ReplaceAll(name, " ", "-")
			script := "d=$ZFARM_ROOT/.zfarm/steps/" + id + "\nuntil [ -s \"$d/ticker\" ]; do sleep 0.1; done\necho $$ $(cat \"$d/ticker\") >" + pids + "\n" + c.script
			status, err := ws.Run(t.Context(), step(id, script), io.Discard)
			if c.ok != (err == nil) {
				t.Errorf("%+v, %v", status, err)
			}
			var group, ticker int
			if text, err := os.ReadFile(pids); err != nil {
				t.Fatal(err)
			} else if _, err := fmt.Sscan(string(text), &group, &ticker); err != nil {
				t.Fatal(err)
			}
			waitGone(t, ticker) // it has seen what the step wrote
			if err := ws.Remove(t.Context()); err != nil {
				t.Errorf("removing: %v", err)
			}
			waitGone(t, -group)
		})
	}
}

// TestStepsReachNothingElse: what a step leaves behind makes the runner neither write
// nor kill anything outside of its workspace.
func TestStepsReachNothingElse(t *testing.T) {
	t.Parallel()
	stranger := exec.Command("sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	outside := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(outside, "log"), []byte("kept"), 0o600), os.MkdirAll(filepath.Join(outside, "status", "kept"), 0o700)); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	w := runner.New("here", local.Host{}, runner.Options{Root: root, Shell: anyShell(t)})
	honest, err := w.Workspace(t.Context(), "honest")
	if err != nil {
		t.Fatal(err)
	}
	ended := begin(t, honest, step("honest", "echo begun; sleep 1000"), "begun")
	ws, err := w.Workspace(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	plant := fmt.Sprintf(`cd "$ZFARM_ROOT/.zfarm/steps"
mkdir -p fake/begun; echo %d >fake/runner; echo %d >fake/pgid
ln -s %s two
ln -s ../../../honest/.zfarm/steps/honest three`, os.Getpid(), stranger.Process.Pid, outside)
	if status, err := ws.Run(t.Context(), step("one", plant), io.Discard); err != nil || !status.OK() {
		t.Fatal(status, err)
	}
	if status, err := ws.Run(t.Context(), step("two", "echo two"), io.Discard); err == nil {
		t.Errorf("a step whose folder is a link: %+v", status)
	}
	if err := ws.Remove(t.Context()); err != nil {
		t.Errorf("removing: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(outside, "log")); string(text) != "kept" || err != nil {
		t.Errorf("a log outside is %q, %v", text, err)
	}
	left, err := filepath.Glob(filepath.Join(outside, "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("outside there are %v, %v; want log and status", left, err)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process of somebody else: %v", err)
	}
	select {
	case e := <-ended:
		t.Errorf("the step of another workspace has ended: %+v", e)
	default:
	}
	if err := honest.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	<-ended
}

// waitGone waits until a process, or the group of a negative number, is gone and reaped.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		select {
		case <-tick.C:
		case <-deadline:
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d is still there", pid)
		}
	}
}

func TestScriptsAreClean(t *testing.T) {
	t.Parallel()
	shellcheck := need(t, "shellcheck")
	for _, name := range []string{"runner.sh", "probe.sh"} {
		if out, err := exec.Command(shellcheck, "-s", "sh", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// BenchmarkStep measures what the farm adds to an empty step.
func BenchmarkStep(b *testing.B) {
	ws, err := runner.New("here", local.Host{}, runner.Options{Root: b.TempDir()}).Workspace(b.Context(), "w")
	if err != nil {
		b.Skip(err)
	}
	n := 0
	for b.Loop() {
		n++
		if status, err := ws.Run(b.Context(), step("s"+strconv.Itoa(n), "true"), io.Discard); err != nil || !status.OK() {
			b.Fatal(status, err)
		}
	}
	if err := ws.Remove(context.Background()); err != nil {
		b.Error(err)
	}
}
