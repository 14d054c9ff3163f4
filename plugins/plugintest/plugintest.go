// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/host"
	"github.com/zfarm/zfarm/plugins/serve"
	"github.com/zfarm/zfarm/workers"
)

// serveArg makes a test binary serve a plugin.
const serveArg = "plugintest-serve"

// Main is the TestMain of a package that starts its plugins as separate
// processes: the test binary is started again and serves one of them.
//
//	func TestMain(m *testing.M) { plugintest.Main(m, mine.New()) }
func Main(m *testing.M, served ...plugins.Plugin) {
	if len(os.Args) < 3 || os.Args[1] != serveArg {
		os.Exit(m.Run())
	}
	for _, p := range served {
		if p.Description.Name != os.Args[2] {
			continue
		}
		if err := serve.Serve(p); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	fmt.Fprintf(os.Stderr, "no plugin %q was given to Main\n", os.Args[2])
	os.Exit(1)
}

// Entry returns the catalog entry that starts this test binary as the named
// plugin. The package's TestMain must call [Main].
func Entry(t testing.TB, name string) host.Entry {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	sum, _, err := digest.OfReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return host.Entry{Name: name, Path: exe, Args: []string{serveArg, name}, SHA256: sum}
}

// Start starts this test binary as the named plugin and ends it with the test.
// The package's TestMain must call [Main].
func Start(t testing.TB, name string) *host.Process {
	t.Helper()
	catalog, err := host.New([]host.Entry{Entry(t, name)}, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := catalog.Start(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Example is a small source tree for testing a plugin.
type Example struct {
	// Files are put below the source folder. A file that begins with "#!" is
	// executable.
	Files map[string]string
	// Builder and Tester are the blocks, in JSON; "" is the empty block. A
	// plugin that only builds or only tests uses one of them.
	Builder, Tester string
	// Tests are the tests that the tester must find, with their outcomes.
	Tests map[string]plugins.Outcome
	// Staged are the files that must be in the stage after the build.
	Staged []string
}

// Config returns a Config for the block, with the facts of this machine and
// the folders "source" and "stage".
func Config(block string) plugins.Config {
	if block == "" {
		block = "{}"
	}
	return plugins.Config{
		Block: json.RawMessage(block), Port: "example", Version: "1.0", Source: "source", Stage: "stage",
		Prefix: "/opt/example", Jobs: 2, Facts: Facts(),
	}
}

// Facts returns a few facts of this machine, as a probe would.
func Facts() workers.Facts {
	f := workers.Facts{
		System: runtime.GOOS, Machine: runtime.GOARCH, Shell: shellPath(), CodePage: "ISO8859-1",
		Archiver: workers.ArchiverGNUTar, Cores: runtime.NumCPU(), Path: Conditions()["PATH"], Tools: map[string]workers.Tool{},
	}
	for _, name := range []string{"make", "gmake", "cc"} {
		p, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(p, "--version").Output()
		if err != nil {
			continue
		}
		banner, _, _ := strings.Cut(string(out), "\n")
		f.Tools[name] = workers.Tool{Path: p, Banner: banner}
	}
	return f
}

// WriteFiles puts files below the source folder of a workspace.
func WriteFiles(t testing.TB, s *Space, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(s.Root, "source"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		if _, err := s.Put(t.Context(), "source/"+name, mode, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
}

// Test checks what every plugin must do: it is valid; its schema has types and
// texts; it produces the outputs and tests of the example; and when started
// again from the top in the same workspace, it names the same steps with the
// same contents, so that each was executed once. A plugin with only a builder
// or only a tester is tested for that.
func Test(t *testing.T, p plugins.Plugin, e Example) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s := Workspace(t)
	WriteFiles(t, s, e.Files)
	first := attempt(t, p.Builder, p.Tester, s, e)
	executed := s.Steps()
	if len(executed) == 0 {
		t.Error("the plugin ran no step")
	}
	second := attempt(t, p.Builder, p.Tester, s, e)
	if diff := cmp.Diff(executed, s.Steps()); diff != "" {
		t.Errorf("started again from the top the plugin executed other steps (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("started again from the top the plugin answered otherwise (-first +second):\n%s", diff)
	}
	cancelled(t, p, s, e)
}

// TestProcess is [Test] for the plugin as a separate process, started twice.
// That process must also describe itself as the plugin in the test does. The
// package's TestMain must call [Main].
func TestProcess(t *testing.T, p plugins.Plugin, e Example) {
	t.Helper()
	s := Workspace(t)
	WriteFiles(t, s, e.Files)
	var answers []answer
	var executed [][]string
	for range 2 {
		process := Start(t, p.Description.Name)
		if diff := cmp.Diff(p.Description, process.Description()); diff != "" {
			t.Errorf("the process describes itself otherwise (-here +there):\n%s", diff)
		}
		var b plugins.Builder
		var tester plugins.Tester
		if p.Builder != nil {
			b = process.Builder()
		}
		if p.Tester != nil {
			tester = process.Tester()
		}
		answers = append(answers, attempt(t, b, tester, s, e))
		executed = append(executed, s.Steps())
		if err := process.Close(); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(executed[0], executed[1]); diff != "" {
		t.Errorf("the second process executed other steps (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Errorf("the second process answered otherwise (-first +second):\n%s", diff)
	}
}

// answer is the result of a plugin for an example.
type answer struct {
	Outputs []plugins.Output
	Report  plugins.Report
}

// attempt builds and tests the example as one attempt does.
func attempt(t *testing.T, b plugins.Builder, tester plugins.Tester, s *Space, e Example) answer {
	t.Helper()
	var a answer
	var err error
	if b != nil {
		if a.Outputs, err = b.Build(t.Context(), s, Config(e.Builder)); err != nil {
			t.Fatalf("building: %v%s", err, s.why(err))
		}
		if err := plugins.ValidateOutputs(a.Outputs); err != nil {
			t.Errorf("outputs: %v", err)
		}
		for _, name := range e.Staged {
			if _, err := os.Lstat(filepath.Join(s.Root, "stage", name)); err != nil {
				t.Errorf("staged file: %v", err)
			}
		}
	}
	if tester != nil {
		if a.Report, err = tester.Test(t.Context(), s, Config(e.Tester)); err != nil {
			t.Fatalf("testing: %v%s", err, s.why(err))
		}
		if err := a.Report.Validate(); err != nil {
			t.Errorf("report: %v", err)
		}
		if diff := cmp.Diff(e.Tests, outcomes(a.Report)); diff != "" {
			t.Errorf("tests (-want +got):\n%s", diff)
		}
	}
	return a
}

func outcomes(r plugins.Report) map[string]plugins.Outcome {
	var m map[string]plugins.Outcome
	for _, c := range r.Cases {
		if m == nil {
			m = map[string]plugins.Outcome{}
		}
		m[c.Name] = c.Outcome
	}
	return m
}

// why returns the log of the step that an error names.
func (s *Space) why(err error) string {
	if e, ok := plugins.AsStepError(err); ok {
		return "\n" + plugins.Text(s.Log(e.Step), plugins.MaxDetail)
	}
	return ""
}

// cancelled checks that a plugin stops when its context is cancelled, and
// returns the cause.
func cancelled(t *testing.T, p plugins.Plugin, s *Space, e Example) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := len(s.Steps())
	if p.Builder != nil {
		if _, err := p.Builder.Build(ctx, s, Config(e.Builder)); !errors.Is(err, context.Canceled) {
			t.Errorf("building with a cancelled context: want context.Canceled, have %v", err)
		}
	}
	if p.Tester != nil {
		if _, err := p.Tester.Test(ctx, s, Config(e.Tester)); !errors.Is(err, context.Canceled) {
			t.Errorf("testing with a cancelled context: want context.Canceled, have %v", err)
		}
	}
	if after := s.Steps(); len(after) != before {
		t.Errorf("with a cancelled context the plugin began %v", after[before:])
	}
}
