// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package plugintest runs a plugin in a test: in the test's own process or as
// a separate process, in a workspace in a temporary folder, where steps really
// run. Every plugin should pass [Test].
//
// It needs a POSIX shell and no farm. Real workers are in workers/ssh and
// workers/local; workers/workertest tests their contract.
package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// steps is the folder of the workspace that holds the steps.
const steps = ".steps"

// Space is a workspace in a temporary folder of this machine.
type Space struct {
	// Root is the absolute path of the workspace.
	Root string
	// Conditions override the environment of each step, as in a farm: search
	// path, home, locale, time zone.
	Conditions map[string]string

	root    *os.Root
	shell   string
	mu      sync.Mutex
	begun   map[string]*step
	order   []string
	running sync.WaitGroup
}

var _ plugins.Workspace = (*Space)(nil)

// step is a step that was started.
type step struct {
	sum    digest.Digest
	ended  chan struct{}
	status workers.Status
	err    error
	cmd    *exec.Cmd
}

// Workspace makes an empty workspace. At the end of the test it ends what
// still runs there and removes the workspace. It skips the test if there is no
// shell.
func Workspace(t testing.TB) *Space {
	t.Helper()
	shell := shellPath()
	if shell == "" {
		t.Skip("steps need a POSIX shell: install bash")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Space{Root: dir, Conditions: Conditions(), root: root, shell: shell, begun: map[string]*step{}}
	for _, name := range []string{"home", "tmp", steps} {
		if err := root.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.stop()
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func shellPath() string {
	for _, name := range []string{"bash", "sh"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

// Conditions returns the conditions of a new workspace.
func Conditions() map[string]string {
	return map[string]string{
		"PATH":   "/usr/local/bin:/usr/bin:/bin",
		"HOME":   "${ZFARM_ROOT}/home",
		"TMPDIR": "${ZFARM_ROOT}/tmp",
		"LC_ALL": "C",
		"TZ":     "UTC0",
	}
}

// Steps returns the names of the steps that were executed, in order. A
// recalled step is listed once.
func (s *Space) Steps() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Log returns the log of a step; "" if there is none.
func (s *Space) Log(name string) string {
	b, err := s.root.ReadFile(path.Join(steps, name, "log"))
	if err != nil {
		return ""
	}
	return string(b)
}

// Script returns the script of a step; "" if there is none.
func (s *Space) Script(name string) string {
	b, err := s.root.ReadFile(path.Join(steps, name, "script"))
	if err != nil {
		return ""
	}
	return string(b)
}

// Put writes a file under another name and renames it.
func (s *Space) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	name, err := workers.CleanName(name)
	if err != nil {
		return digest.Digest{}, err
	}
	if err := s.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return digest.Digest{}, fmt.Errorf("putting %s: %w", name, err)
	}
	part := name + ".part"
	d, err := s.write(part, mode, r)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.root.Rename(part, name)
	}
	if err != nil {
		return digest.Digest{}, errors.Join(fmt.Errorf("putting %s: %w", name, err), s.root.RemoveAll(part))
	}
	return d, nil
}

func (s *Space) write(name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	f, err := s.root.Create(name)
	if err != nil {
		return digest.Digest{}, err
	}
	w := digest.NewWriter(f)
	_, err = io.Copy(w, r)
	return w.Digest(), errors.Join(err, f.Chmod(mode), f.Close())
}

// Get copies a regular file to w.
func (s *Space) Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error) {
	if ctx.Err() != nil {
		return digest.Digest{}, fmt.Errorf("getting %s: %w", name, context.Cause(ctx))
	}
	name, err := workers.CleanName(name)
	if err != nil {
		return digest.Digest{}, err
	}
	f, err := s.root.Open(name)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("getting %s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // read only
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return digest.Digest{}, errors.Join(fmt.Errorf("getting %s: want a regular file: %w", name, fs.ErrInvalid), err)
	}
	sum := digest.NewWriter(w)
	_, err = io.Copy(sum, f)
	return sum.Digest(), err
}

// List returns the entries of a folder, sorted by name.
func (s *Space) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, context.Cause(ctx))
	}
	dir, err := workers.CleanName(dir)
	if err != nil {
		return nil, err
	}
	f, err := s.root.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	defer f.Close() //nolint:errcheck // read only
	found, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	var entries []workers.Entry
	for _, e := range found {
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", dir, err)
		}
		entries = append(entries, workers.Entry{Name: e.Name(), Size: info.Size(), Mode: info.Mode(), ModTime: info.ModTime()})
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	return entries, nil
}

// Run starts, joins or recalls the step, and copies its log when the step has
// ended.
func (s *Space) Run(ctx context.Context, st workers.Step, log io.Writer) (workers.Status, error) {
	if ctx.Err() != nil {
		return workers.Status{}, fmt.Errorf("running step %s: %w", st.Name, context.Cause(ctx))
	}
	begun, err := s.begin(st)
	if err != nil {
		return workers.Status{}, fmt.Errorf("running step %s: %w", plugins.Line(st.Name, 100), err)
	}
	select {
	case <-begun.ended:
	case <-ctx.Done():
		return workers.Status{}, fmt.Errorf("watching step %s: %w", st.Name, context.Cause(ctx))
	}
	if begun.err != nil {
		return workers.Status{}, begun.err
	}
	if log != nil {
		if _, err := s.Get(ctx, path.Join(steps, st.Name, "log"), log); err != nil {
			return workers.Status{}, fmt.Errorf("copying the log of step %s: %w", st.Name, err)
		}
	}
	return begun.status, nil
}

// begin returns the step with the name, and starts it if it is new.
func (s *Space) begin(st workers.Step) (*step, error) {
	if !workers.ValidID(st.Name) {
		return nil, fmt.Errorf("step name: %w", fs.ErrInvalid)
	}
	text, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if begun, ok := s.begun[st.Name]; ok {
		if begun.sum != digest.Of(text) {
			return nil, workers.ErrStepChanged
		}
		return begun, nil
	}
	begun := &step{sum: digest.Of(text), ended: make(chan struct{})}
	log, err := s.start(begun, st)
	if err != nil {
		return nil, err
	}
	s.begun[st.Name] = begun
	s.order = append(s.order, st.Name)
	s.running.Go(func() { begun.wait(log, st.Limit) })
	return begun, nil
}

// start executes the script, with both outputs going to one file.
func (s *Space) start(begun *step, st workers.Step) (*os.File, error) {
	dir, err := workers.CleanName(st.Dir)
	if err != nil {
		return nil, err
	}
	env, err := s.environment(st.Env)
	if err != nil {
		return nil, err
	}
	folder := path.Join(steps, st.Name)
	if err := s.root.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	umask := st.Umask.Perm()
	if umask == 0 {
		umask = 0o022
	}
	if err := s.root.WriteFile(path.Join(folder, "script"), []byte(st.Script), 0o644); err != nil {
		return nil, err
	}
	log, err := s.root.Create(path.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	const start = `umask "$1"; shift; . "$1"`
	begun.cmd = exec.Command(s.shell, "-c", start, s.shell, fmt.Sprintf("%03o", umask), filepath.Join(s.Root, folder, "script"))
	begun.cmd.Dir = filepath.Join(s.Root, filepath.FromSlash(dir))
	begun.cmd.Env = env
	begun.cmd.Stdout, begun.cmd.Stderr = log, log
	begun.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := begun.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// environment overrides the step's variables with the conditions.
func (s *Space) environment(asked map[string]string) ([]string, error) {
	all := maps.Clone(asked)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, s.Conditions)
	env := []string{"ZFARM_ROOT=" + s.Root}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !workers.ValidEnvName(name) {
			return nil, fmt.Errorf("variable %q: %w", name, fs.ErrInvalid)
		}
		env = append(env, name+"="+strings.ReplaceAll(all[name], "${ZFARM_ROOT}", s.Root))
	}
	sort.Strings(env)
	return env, nil
}

// wait records how the step ended and ends the processes it left.
func (b *step) wait(log *os.File, limit time.Duration) {
	defer close(b.ended)
	began := time.Now()
	past := make(chan struct{})
	if limit > 0 {
		timer := time.AfterFunc(limit, func() {
			close(past)
			b.kill()
		})
		defer timer.Stop()
	}
	err := b.cmd.Wait()
	b.kill()
	b.status = workers.Status{State: workers.Exited, Took: time.Since(began).Truncate(time.Second)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		b.status.Code = exitCode(exit.ProcessState)
	case err != nil:
		b.err = err
	}
	select {
	case <-past:
		b.status.State, b.status.Code = workers.Limit, 0
	default:
	}
	b.err = errors.Join(b.err, log.Close())
}

func exitCode(p *os.ProcessState) int {
	if ws, ok := p.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return p.ExitCode()
}

// kill ends the step's process group.
func (b *step) kill() {
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // usually gone already
}

// stop ends all running steps.
func (s *Space) stop() {
	s.mu.Lock()
	for _, b := range s.begun {
		select {
		case <-b.ended:
		default:
			b.kill()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
}
