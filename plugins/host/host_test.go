// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/host"
	"github.com/zfarm/zfarm/plugins/plugintest"
	"github.com/zfarm/zfarm/workers"
)

// farmArg makes the test binary act as a farm that can be killed.
const farmArg = "host-test-farm"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == farmArg {
		if err := doomedFarm(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	plugintest.Main(m, actor())
}

func config(do string) plugins.Config {
	c := plugintest.Config(`{"do":"` + do + `"}`)
	c.Facts.Tools = map[string]workers.Tool{"make": {Banner: "raw \xff banner"}}
	return c
}

func build(t *testing.T, do string) (*plugintest.Space, []plugins.Output, error) {
	t.Helper()
	s := plugintest.Workspace(t)
	outputs, err := plugintest.Start(t, "actor").Builder().Build(t.Context(), s, config(do))
	return s, outputs, err
}

func TestBuildUsesTheWholeWorkspace(t *testing.T) {
	_, outputs, err := build(t, "work")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]plugins.Output{{Dir: "stage"}}, outputs); diff != "" {
		t.Error(diff)
	}
}

func TestDescribeIsCached(t *testing.T) {
	e := plugintest.Entry(t, "actor")
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.Link(e.Path, path); err != nil {
		if err := copyFile(path, e.Path); err != nil {
			t.Fatal(err)
		}
	}
	e.Path = path
	catalog := newCatalog(t, e, host.Options{})
	d, err := catalog.Describe(t.Context(), "actor")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(actor().Description, d); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if again, err := catalog.Describe(t.Context(), "actor"); err != nil || again.Version != d.Version {
		t.Errorf("second call: %+v, %v", again, err)
	}
	if _, err := catalog.Start(t.Context(), "other"); !errors.Is(err, host.ErrUnknown) || !strings.Contains(err.Error(), "actor") {
		t.Errorf("unknown plugin: %v", err)
	}
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

func newCatalog(t *testing.T, e host.Entry, o host.Options) *host.Catalog {
	t.Helper()
	catalog, err := host.New([]host.Entry{e}, o)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

func TestEnvironmentDoesNotLeak(t *testing.T) {
	secrets := map[string]string{"COSIGN_PASSWORD": "s3cret", "SSH_AUTH_SOCK": "/run/agent-s3cret", "HOME": "/home/s3cret",
		"AWS_SECRET_ACCESS_KEY": "s3cret", "PATH": os.Getenv("PATH") + ":/s3cret"}
	for name, value := range secrets {
		t.Setenv(name, value)
	}
	s, _, err := build(t, "env")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(s.Root, "env"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("s3cret")) || bytes.Contains(b, []byte("standard input is open")) {
		t.Errorf("a plugin can see:\n%s", b)
	}
	allowed := []string{"PATH=", "TMPDIR=", "LANG=C", "PLUGIN_", "ZFARM_PLUGIN="}
	inCertificate := false
	for line := range strings.SplitSeq(string(b), "\n") {
		if inCertificate = inCertificate || strings.HasPrefix(line, "PLUGIN_CLIENT_CERT="); inCertificate {
			inCertificate = line != "-----END CERTIFICATE-----"
			continue
		}
		ok := line == ""
		for _, prefix := range allowed {
			ok = ok || strings.HasPrefix(line, prefix)
		}
		if !ok {
			t.Errorf("a plugin is given %q", line)
		}
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	p := plugintest.Start(t, "actor")
	for _, kind := range []error{fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, workers.ErrLost, workers.ErrStepChanged} {
		_, err := p.Builder().Build(t.Context(), failing{err: fmt.Errorf("some \x1b words: %w", kind)}, config("get"))
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), "seen 1 kinds") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%v became %v", kind, err)
		}
	}
	both := fmt.Errorf("no route: %w (%w)", workers.ErrUnreachable, workers.ErrLost)
	_, err := p.Builder().Build(t.Context(), failing{err: both}, config("get"))
	if !errors.Is(err, workers.ErrLost) || !errors.Is(err, workers.ErrUnreachable) {
		t.Errorf("%v became %v", both, err)
	}
}

// failing is a workspace in which Get fails.
type failing struct {
	plugins.Workspace
	err error
}

func (f failing) Get(context.Context, string, io.Writer) (digest.Digest, error) {
	return digest.Digest{}, f.err
}

func TestStepErrorsCarryWhatTheFarmSaw(t *testing.T) {
	for _, do := range []string{"fail", "lie-status"} {
		_, _, err := build(t, do)
		e, ok := plugins.AsStepError(err)
		if !ok {
			t.Fatalf("%s: want a StepError, have %v", do, err)
		}
		want := plugins.StepError{Step: "make", Status: workers.Status{State: workers.Exited, Code: 3}, Hint: "look\uFFFD at it"}
		if diff := cmp.Diff(want, *e); diff != "" {
			t.Errorf("%s: %s", do, diff)
		}
	}
}

func TestPluginsAreNotBelieved(t *testing.T) {
	_, _, err := build(t, "lie-step")
	if _, ok := plugins.AsStepError(err); ok || err == nil {
		t.Errorf("a step that never ended: %v", err)
	}
	_, _, err = build(t, "lie-lost")
	if errors.Is(err, workers.ErrLost) || err == nil {
		t.Errorf("a worker that was not lost: %v", err)
	}
	p := plugintest.Start(t, "actor")
	_, err = p.Builder().Build(t.Context(), failing{err: workers.ErrLost}, config("swallow"))
	if !errors.Is(err, workers.ErrLost) {
		t.Errorf("a loss that the plugin swallowed: %v", err)
	}
}

func TestBadAnswersAreRefused(t *testing.T) {
	p := plugintest.Start(t, "actor")
	s := plugintest.Workspace(t)
	for do, want := range map[string]string{
		"giant": "larger than", "many": "65 outputs", "outside": "leaves the workspace", "control": "output \"a\uFFFDb\"",
		"too-big": "at most 8388608 bytes", "broken-reader": "disk on fire", "-": "nothing to do",
	} {
		_, err := p.Builder().Build(t.Context(), s, config(do))
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: want an error with %q, have %v", do, want, err)
		}
	}
	for _, name := range []string{"big", "half"} {
		if _, err := os.Stat(filepath.Join(s.Root, name)); err == nil {
			t.Errorf("file %s was put by halves", name)
		}
	}
	for do, want := range map[string]string{
		"many": "too long", "fat": "too long", "control": "printable", "twice": "there twice", "long": "name of 1025 bytes",
		"outcome": "outcome \"great\"", "no-format": "no format",
	} {
		_, err := p.Tester().Test(t.Context(), s, config(do))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %q, have %v", do, want, err)
		}
	}
	r, err := p.Tester().Test(t.Context(), s, config("dirty"))
	if err != nil || len(r.Cases) != 3 || len(r.Cases[1].Detail) > plugins.MaxDetail || !strings.HasSuffix(r.Cases[1].Detail, " end") ||
		strings.ContainsAny(r.Cases[1].Detail, "\x1b\x07") {
		t.Errorf("a dirty detail: %d tests, %v", len(r.Cases), err)
	}
	r, err = p.Tester().Test(t.Context(), s, config("suite"))
	if err != nil || len(r.Cases) != 60_000 || r.Cases[59_999].Name != "test 59999" {
		t.Errorf("a large suite: %d tests, %v", len(r.Cases), err)
	}
}

// A call that does not use its workspace must not leave a connection half
// open, which the next call would use.
func TestCallsFollowEachOther(t *testing.T) {
	p := plugintest.Start(t, "actor")
	s := plugintest.Workspace(t)
	for i := range 40 {
		if _, err := p.Builder().Build(t.Context(), s, config("nothing")); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		if _, err := p.Builder().Build(t.Context(), s, config("get")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

func TestChecker(t *testing.T) {
	p := plugintest.Start(t, "actor")
	got, err := p.CheckBuilder(t.Context(), config("wrong").Block)
	want := []plugins.Complaint{{Attribute: "do", Message: "do something else"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := p.CheckTester(t.Context(), config("right").Block); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
}

func TestCrash(t *testing.T) {
	_, _, err := build(t, "panic")
	if !errors.Is(err, host.ErrCrashed) || !strings.Contains(err.Error(), "this plugin is broken") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("a panic became %v", err)
	}
	if _, _, err := build(t, "flood"); err != nil {
		t.Errorf("a flood of words: %v", err)
	}
}

func TestCancelEndsPluginAndWatching(t *testing.T) {
	for _, do := range []string{"hang", "watch"} {
		s := plugintest.Workspace(t)
		p := plugintest.Start(t, "actor")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			until(t, do+" began", func() bool {
				_, err := os.Stat(filepath.Join(s.Root, "began"))
				return err == nil
			})
			cancel(errors.New("no longer wanted"))
		}()
		_, err := p.Builder().Build(ctx, s, config(do))
		if err == nil || !strings.Contains(err.Error(), "no longer wanted") {
			t.Errorf("%s: %v", do, err)
		}
		// A process that has ended answers nothing.
		if _, err := p.Builder().Build(t.Context(), s, config("nothing")); !errors.Is(err, host.ErrCrashed) {
			t.Errorf("%s: the plugin still answers: %v", do, err)
		}
	}
}

func TestCloseEndsWhatThePluginStarted(t *testing.T) {
	s := plugintest.Workspace(t)
	p := plugintest.Start(t, "actor")
	if _, err := p.Builder().Build(t.Context(), s, config("spawn")); err != nil {
		t.Fatal(err)
	}
	pid := readPid(t, s)
	if gone(pid) {
		t.Fatal("the plugin started nothing")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "end of what the plugin started", func() bool { return gone(pid) })
}

func readPid(t *testing.T, s *plugintest.Space) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Root, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// gone reports whether a process has ended; a zombie counts as ended.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("waited in vain for %s", what)
			return
		}
	}
}

// doomedFarm starts a plugin, prints its process number, and waits to be
// killed.
func doomedFarm() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := os.Open(exe)
	if err != nil {
		return err
	}
	sum, _, err := digest.OfReader(f)
	if err != nil {
		return err
	}
	catalog, err := host.New([]host.Entry{{Name: "actor", Path: exe, Args: []string{"plugintest-serve", "actor"}, SHA256: sum}}, host.Options{})
	if err != nil {
		return err
	}
	p, err := catalog.Start(context.Background(), "actor")
	if err != nil {
		return err
	}
	if _, err := p.Builder().Build(context.Background(), pidPrinter{}, config("pid")); err != nil {
		return err
	}
	select {}
}

// pidPrinter is a workspace that prints every file that is put.
type pidPrinter struct{ plugins.Workspace }

func (pidPrinter) Put(_ context.Context, _ string, _ fs.FileMode, r io.Reader) (digest.Digest, error) {
	b, err := io.ReadAll(r)
	fmt.Printf("plugin %s\n", b)
	return digest.Of(b), err
}

func TestPluginDiesWithKilledFarm(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc: needs Linux")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	farm := exec.Command(exe, farmArg)
	farm.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := farm.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := farm.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "plugin %d\n", &pid); err != nil {
		t.Error(err)
	}
	if err := farm.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = farm.Wait() // killed
	if pid == 0 {
		t.FailNow()
	}
	until(t, "end of the orphaned plugin", func() bool { return gone(pid) })

	left, err := filepath.Glob(filepath.Join(tmp, "zfp-*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("folders of the killed farm: %v, %v", left, err)
	}
	newCatalog(t, plugintest.Entry(t, "actor"), host.Options{Dir: tmp})
	if left, _ := filepath.Glob(filepath.Join(tmp, "zfp-*")); len(left) != 0 {
		t.Errorf("the next farm left %v", left)
	}
}

func TestProgramsThatAreNoPlugins(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"silent end":    {"exit 0", "Unrecognized remote plugin message"},
		"words":         {"echo complaint >&2; echo hello; exec sleep 600", "complaint"},
		"wrong version": {"echo '1|2|unix|/tmp/x|grpc|'; exec sleep 600", "Plugin version: 2, Client versions: [1]"},
		"core version":  {"echo '7|1|unix|/tmp/x|grpc|'; exec sleep 600", "incompatible core API version"},
		"net/rpc":       {"echo \"1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/x|netrpc||true\"; exec sleep 600", "unsupported plugin protocol"},
		"network":       {"echo '1|1|tcp|127.0.0.1:22|grpc||true'; exec sleep 600", "outside of its own folder"},
		"other socket":  {"echo '1|1|unix|/run/other.sock|grpc||true'; exec sleep 600", "outside of its own folder"},
		"no socket":     {"echo \"1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/x|grpc||true\"; exec sleep 600", "no such file"},
		"hang":          {"exec sleep 600", "no answer within 1s"},
		"closed hang":   {"sleep 600 >/dev/null 2>&1 & echo hello; exec >&-; wait", "Unrecognized remote plugin message: hello"},
	} {
		t.Run(name, func(t *testing.T) {
			e := script(t, "#!/bin/sh\n"+c.script+"\n")
			dir := t.TempDir()
			if len(dir) > 50 {
				dir = ""
			}
			_, err := newCatalog(t, e, host.Options{StartTimeout: time.Second, Dir: dir}).Start(t.Context(), e.Name)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error with %q, have %v", c.want, err)
			}
		})
	}
}

func script(t *testing.T, text string) host.Entry {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return host.Entry{Name: "script", Path: path, SHA256: digest.Of([]byte(text))}
}

func TestPinnedContents(t *testing.T) {
	e := script(t, "#!/bin/sh\nexit 0\n")
	e.SHA256 = digest.Of([]byte("another program"))
	_, err := newCatalog(t, e, host.Options{}).Start(t.Context(), e.Name)
	if err == nil || !strings.Contains(err.Error(), "checksums did not match") || !strings.Contains(err.Error(), e.SHA256.String()) {
		t.Errorf("other contents: %v", err)
	}
	e.Path += ".missing"
	if _, err := newCatalog(t, e, host.Options{}).Start(t.Context(), e.Name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	wrong := plugintest.Entry(t, "actor")
	wrong.Name = "alias"
	if _, err := newCatalog(t, wrong, host.Options{}).Start(t.Context(), "alias"); err == nil || !strings.Contains(err.Error(), `calls itself "actor"`) {
		t.Errorf("another name: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := host.Entry{Name: "a", Path: "/bin/a", SHA256: digest.Of(nil)}
	for name, entries := range map[string][]host.Entry{
		"twice": {good, good}, "no name": {{Path: "/bin/a", SHA256: digest.Of(nil)}},
		"relative": {{Name: "a", Path: "bin/a", SHA256: digest.Of(nil)}}, "not pinned": {{Name: "a", Path: "/bin/a"}},
	} {
		if _, err := host.New(entries, host.Options{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := host.New(nil, host.Options{Dir: "/" + strings.Repeat("x", 60)}); err == nil {
		t.Error("a long folder: accepted")
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	e := script(t, "#!/bin/sh\nexec sleep 600\n")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newCatalog(t, e, host.Options{}).Start(ctx, e.Name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("have %v", err)
	}
}

func BenchmarkStart(b *testing.B) {
	catalog, err := host.New([]host.Entry{plugintest.Entry(b, "actor")}, host.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := catalog.Start(b.Context(), "actor")
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
