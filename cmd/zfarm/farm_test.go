// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers/sshtest"
)

// sshFarm is two real SSH servers and what the command line needs to reach them.
type sshFarm struct {
	t          *testing.T
	dir        string
	knownHosts string
	servers    []*sshtest.Server
}

func newFarm(t *testing.T, servers int) *sshFarm {
	t.Helper()
	f := &sshFarm{t: t, dir: t.TempDir()}
	var known strings.Builder
	for range servers {
		s := sshtest.OpenSSH(t, sshtest.Options{})
		f.servers = append(f.servers, s)
		c := s.Config()
		host, port, _ := strings.Cut(c.Address, ":")
		for _, key := range c.HostKeys {
			fmt.Fprintf(&known, "[%s]:%s %s\n", host, port, key)
		}
	}
	f.knownHosts = f.write("known_hosts", known.String())
	return f
}

func (f *sshFarm) write(name, content string) string {
	f.t.Helper()
	file := filepath.Join(f.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o600)); err != nil {
		f.t.Fatal(err)
	}
	return file
}

// address is how the command line names a server.
func (f *sshFarm) address(i int) string {
	c := f.servers[i].Config()
	return fmt.Sprintf("ssh://%s@%s%s/farm?name=w%d&identity=%s", c.User, c.Address, f.servers[i].Dir(), i+1, c.IdentityFiles[0])
}

// args are those of a build on every server.
func (f *sshFarm) args(recipe string, more ...string) []string {
	args := []string{"build", recipe, "--known-hosts", f.knownHosts, "--state", filepath.Join(f.dir, "state")}
	for i := range f.servers {
		args = append(args, "--worker", f.address(i))
	}
	return append(args, more...)
}

// command runs zfarm in this process.
func (f *sshFarm) command(args ...string) (code int, out string) {
	f.t.Helper()
	var b bytes.Buffer
	code = run(f.t.Context(), args, strings.NewReader(""), &b, &b)
	return code, b.String()
}

// must runs zfarm and requires success.
func (f *sshFarm) must(args ...string) string {
	f.t.Helper()
	code, out := f.command(args...)
	if code != 0 {
		f.t.Fatalf("zfarm %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// empty checks that no workspace is left on any server.
func (f *sshFarm) empty() {
	f.t.Helper()
	for _, s := range f.servers {
		left, err := os.ReadDir(filepath.Join(s.Dir(), "farm"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.t.Error(err)
		}
		for _, e := range left {
			f.t.Errorf("left on a worker: %s", e.Name())
		}
	}
}

// mirror is the folder of upstream's real files.
func mirror(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ZFARM_MIRROR")
	if dir == "" {
		t.Skip("builds upstream's real sources: set ZFARM_MIRROR to a folder that has gzip-1.12.tar.xz and its signature")
	}
	return dir
}

// TestRealPort builds GNU hello by its recipe on two real SSH servers, with its own
// test suite, and verifies the bundles with our verifier and with stock cosign.
func TestRealPort(t *testing.T) {
	long(t)
	sources := mirror(t)
	f := newFarm(t, 2)
	out := f.signedBuild("../../recipes/ports/hello", sources, "hello-2.10.linux.pax.Z")
	for _, want := range []string{"signed by", "baseline, suite autotools: "} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not say %q", want)
		}
	}
}

// TestBuildOverSSH does the same with a port that builds in no time.
func TestBuildOverSSH(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 2)
	source, sum := tarOf(t, map[string]string{"source-1.0/file": "x"})
	f.write("mirror/source-1.0.tar", source)
	recipe := f.write("brief/recipe.hcl", scriptPort("brief", sum, `build "script" {
    script  = "true"
    install = "mkdir -p \"$DESTDIR$PREFIX\" && cp file \"$DESTDIR$PREFIX/file\""
  }
  test "script" { script = "echo PASS: it is brief" }`))
	out := f.signedBuild(filepath.Dir(recipe), filepath.Join(f.dir, "mirror"), "brief-1.0.linux.pax.Z")
	if want := "baseline, suite script: 1 tests: 1 passed"; !strings.Contains(out, want) {
		t.Errorf("the output does not say %q:\n%s", want, out)
	}
}

// signedBuild builds a recipe on every server, signs it, verifies it, and requires that
// verification fails once a bit was changed. It returns the output of the build.
func (f *sshFarm) signedBuild(recipe, sources, artifact string) string {
	f.t.Helper()
	password := f.write("password", "correct horse\n")
	key := filepath.Join(f.dir, "farm")
	f.must("key", "generate", "--out", key, "--key-password-file", password)
	dir := filepath.Join(f.dir, "out")
	out := f.must(f.args(recipe, "--mirror", sources, "--offline", "--key", key+".key", "--key-password-file", password, "--out", dir)...)
	for _, want := range []string{"repeat-0 on w", "repeat-1 on w", "identical", "released to"} {
		if !strings.Contains(out, want) {
			f.t.Errorf("the output does not say %q", want)
		}
	}
	f.t.Log(out)
	f.empty()
	f.must("verify", dir, "--key", key+".pub")
	artifact = filepath.Join(dir, artifact)
	for _, name := range []string{artifact, artifact + ".provenance.sigstore.json", artifact + ".reproducibility.sigstore.json", artifact + ".test-result.sigstore.json"} {
		f.refusesFlipped(dir, name, key+".pub")
	}
	f.stockCosign(dir)
	return out
}

// refusesFlipped changes a bit of a file in a copy and requires that verification
// fails.
func (f *sshFarm) refusesFlipped(dir, file, public string) {
	f.t.Helper()
	copied := f.copyOf(dir)
	name := filepath.Join(copied, filepath.Base(file))
	content, err := os.ReadFile(name)
	if err != nil {
		f.t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := errors.Join(os.Remove(name), os.WriteFile(name, content, 0o644)); err != nil {
		f.t.Fatal(err)
	}
	if code, out := f.command("verify", copied, "--key", public); code != notVerified {
		f.t.Errorf("with a bit of %s flipped: exit code %d\n%s", filepath.Base(file), code, out)
	}
	if os.Getenv("ZFARM_COSIGN") != "" {
		if out, err := f.cosign(copied); err == nil {
			f.t.Errorf("stock cosign accepts a flipped bit in %s:\n%s", filepath.Base(file), out)
		}
	}
}

func (f *sshFarm) copyOf(dir string) string {
	f.t.Helper()
	copied := filepath.Join(f.t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		f.t.Fatal(err)
	}
	return copied
}

// stockCosign runs every command of verify.txt with stock cosign.
func (f *sshFarm) stockCosign(dir string) {
	f.t.Helper()
	if os.Getenv("ZFARM_COSIGN") == "" {
		f.t.Log("not checked with stock cosign: set ZFARM_COSIGN to its program, v2.6.5")
		return
	}
	if out, err := f.cosign(dir); err != nil {
		f.t.Errorf("stock cosign: %v\n%s", err, out)
	}
	other := filepath.Join(f.dir, "other")
	f.must("key", "generate", "--out", other, "--key-password-file", filepath.Join(f.dir, "password"))
	copied := f.copyOf(dir)
	public, err := os.ReadFile(other + ".pub")
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "zfarm.pub"), public, 0o644); err != nil {
		f.t.Fatal(err)
	}
	if out, err := f.cosign(copied); err == nil {
		f.t.Errorf("stock cosign accepts another key:\n%s", out)
	}
}

// cosign runs the commands of verify.txt, without a network where the system
// lets us take it away. It fails at the first command that does.
func (f *sshFarm) cosign(dir string) (string, error) {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "verify.txt"))
	if err != nil {
		f.t.Fatal(err)
	}
	script := "set -e\n"
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "cosign ") {
			script += os.Getenv("ZFARM_COSIGN") + strings.TrimPrefix(line, "cosign")
		}
	}
	if !strings.Contains(script, "verify-blob-attestation") {
		f.t.Fatalf("verify.txt has no command:\n%s", text)
	}
	args := []string{"sh", "-c", script}
	if exec.Command("unshare", "-n", "true").Run() == nil {
		args = append([]string{"unshare", "-n"}, args...)
	}
	cmd := exec.CommandContext(f.t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// scriptPort is a recipe with those blocks and the source source-1.0.tar.
func scriptPort(name, sum, blocks string) string {
	return fmt.Sprintf(`port %q {
  version    = "1.0"
  summary    = "Is for tests"
  licence    = "Apache-2.0"
  homepage   = "https://example.org/%s"
  categories = ["testing"]
  source {
    url    = "https://example.org/source-1.0.tar"
    sha256 = %q
  }
  %s
}
`, name, name, sum, blocks)
}

// endlessPort writes a recipe whose build runs that script, and its source.
func (f *sshFarm) endlessPort(script string) (folder string) {
	f.t.Helper()
	source, sum := tarOf(f.t, map[string]string{"source-1.0/file": "x"})
	f.write("mirror/source-1.0.tar", source)
	return filepath.Dir(f.write("endless/recipe.hcl", scriptPort("endless", sum, fmt.Sprintf(`build "script" {
    script  = %q
    install = "true"
  }`, script))))
}

// endlessBuild starts zfarm in its own process, in the middle of a build, and returns
// it with the ids of the processes of the step.
func (f *sshFarm) endlessBuild(lease string) (*exec.Cmd, *bytes.Buffer, []int) {
	f.t.Helper()
	pids := filepath.Join(f.dir, "pids")
	if err := os.MkdirAll(pids, 0o755); err != nil {
		f.t.Fatal(err)
	}
	// It writes the ids of its processes and never ends by itself.
	folder := f.endlessPort(fmt.Sprintf("(trap '' TERM; sleep 1000) & echo $! >%[1]s/child.$!; echo $$ >%[1]s/step.$$; sleep 1000", pids))
	cmd := exec.Command(os.Args[0], f.args(folder, "--mirror", filepath.Join(f.dir, "mirror"), "--offline", "--lease", lease)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // gone already when all went well
	})
	var found []int
	eventually(f.t, time.Minute, "the step's processes have begun", func() bool {
		found = readPIDs(f.t, pids)
		return len(found) == 2*len(f.servers)
	})
	return cmd, &out, found
}

func readPIDs(t *testing.T, dir string) []int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		var pid int
		if _, after, ok := strings.Cut(e.Name(), "."); ok {
			if _, err := fmt.Sscan(after, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// eventually waits for a condition, within a bound that a passing test never reaches.
func eventually(t *testing.T, bound time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s in vain until %s", bound, what)
		}
	}
}

// alive reports whether a process exists and is not a zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func noneAlive(pids []int) func() bool {
	return func() bool {
		for _, pid := range pids {
			if alive(pid) {
				return false
			}
		}
		return true
	}
}

// TestKilledFarmLeavesNothingRunning kills zfarm in the middle of a build, as a crash
// does: the workers end the unwatched steps.
func TestKilledFarmLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 2)
	cmd, _, pids := f.endlessBuild("6s")
	for _, pid := range pids {
		if !alive(pid) {
			t.Fatalf("process %d of the step is gone before its time", pid)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it was killed
	eventually(t, time.Minute, "nothing of the step is alive", noneAlive(pids))
}

// TestInterruptedFarmCleansUp presses Ctrl-C in mid-build.
func TestInterruptedFarmCleansUp(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 2)
	cmd, out, pids := f.endlessBuild("60s")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != interrupted {
		t.Errorf("it ended with %v\n%s", err, out)
	}
	if !noneAlive(pids)() {
		t.Errorf("processes of the step outlived zfarm\n%s", out)
	}
	f.empty()
}

// TestKeptWorkspace leaves the workspaces where they are, with nothing running.
func TestKeptWorkspace(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 1)
	code, out := f.command(f.args(f.endlessPort("exit 4"), "--mirror", filepath.Join(f.dir, "mirror"), "--offline", "--keep")...)
	if code != stepFailed || !strings.Contains(out, "kept the workspace "+f.servers[0].Dir()) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	kept, err := filepath.Glob(filepath.Join(f.servers[0].Dir(), "farm", "*", "src", "endless-1.0", "file"))
	if err != nil || len(kept) != 2 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// TestWrongHostKey connects to a server whose key is not the pinned one.
func TestWrongHostKey(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 2)
	known, err := os.ReadFile(f.knownHosts)
	if err != nil {
		t.Fatal(err)
	}
	// Each server gets the other's key.
	lines := strings.Fields(string(known))
	lines[2], lines[5] = lines[5], lines[2]
	f.knownHosts = f.write("swapped", strings.Join(lines[:3], " ")+"\n"+strings.Join(lines[3:], " ")+"\n")
	code, out := f.command(f.args(f.endlessPort("true"), "--mirror", filepath.Join(f.dir, "mirror"), "--offline")...)
	if code != workerDistrust || strings.Count(out, "SHA256:") < 2 {
		t.Errorf("exit code %d, want %d and both fingerprints:\n%s", code, workerDistrust, out)
	}
}

// TestUnreachableWorker names a worker at an address without a server.
func TestUnreachableWorker(t *testing.T) {
	t.Parallel()
	f := &sshFarm{t: t, dir: t.TempDir()}
	address := sshtest.ClosedAddress(t)
	host, port, _ := strings.Cut(address, ":")
	identity := filepath.Join(f.dir, "id")
	key := sshtest.KeyLine(sshtest.WriteKey(t, identity, "ed25519").PublicKey())
	f.knownHosts = f.write("known_hosts", fmt.Sprintf("[%s]:%s %s\n", host, port, key))
	code, out := f.command("worker", "check", "--known-hosts", f.knownHosts, "--worker", fmt.Sprintf("ssh://build@%s/tmp/x?identity=%s", address, identity))
	if code != workerLost || !strings.Contains(out, address) {
		t.Errorf("exit code %d, want %d and the address:\n%s", code, workerLost, out)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	if err := needCompiler(exec.LookPath); err != nil {
		t.Skip(err)
	}
	var out bytes.Buffer
	dir := t.TempDir()
	if code := run(t.Context(), []string{"demo", "--dir", dir}, strings.NewReader(""), &out, &out); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out.String())
	}
	for _, want := range []string{"identical", "is refused", "different", "the build path", "not released"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
	if err := needCompiler(func(string) (string, error) { return "", exec.ErrNotFound }); err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("without a compiler: %v", err)
	}
}

// TestDemoSourcesArePinned compares the demo's recipes with its sources.
func TestDemoSourcesArePinned(t *testing.T) {
	t.Parallel()
	ports, err := fs.Sub(demoPorts, "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"steady", "stamped"} {
		source, err := demoSource(ports, port)
		if err != nil {
			t.Fatal(err)
		}
		recipe, err := fs.ReadFile(ports, port+"/recipe.hcl")
		if err != nil {
			t.Fatal(err)
		}
		if sum := digest.Of(source).Hex(); !bytes.Contains(recipe, []byte(sum)) {
			t.Errorf("demo/%s/recipe.hcl does not pin its source: sha256 = %q", port, sum)
		}
	}
}

// TestOthersCannotReadTheFarm tries to read a farm's environment as another process of
// its user would, for example a plugin.
func TestOthersCannotReadTheFarm(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() == 0 {
		t.Skip("a test for an ordinary user on Linux: root may read everything")
	}
	f := newFarm(t, 1)
	cmd, _, _ := f.endlessBuild("6s")
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid)); err == nil {
		t.Error("the farm's environment can be read by its user's other processes")
	}
}
