// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package make_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/plugins"
	maker "github.com/zfarm/zfarm/plugins/make"
	"github.com/zfarm/zfarm/plugins/plugintest"
	"github.com/zfarm/zfarm/workers"
)

func TestMain(m *testing.M) { plugintest.Main(m, maker.New("1.0")) }

func needMake(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("these tests run make: install GNU make")
	}
}

const makefile = `
all: tool
tool: ; printf 'for %s with %s\n' '$(PREFIX)' "$$WORD" >tool
install: ; mkdir -p $(DESTDIR)$(PREFIX)/bin && cp tool $(DESTDIR)$(PREFIX)/bin/
check: ; @echo PASS: one; echo SKIP: two
`

func example() plugintest.Example {
	return plugintest.Example{
		Files:   map[string]string{"sub/Makefile": makefile},
		Builder: `{"dir":"sub","vars":{"WORD":"it's $$HOME"}}`,
		Tester:  `{"dir":"sub"}`,
		Tests:   map[string]plugins.Outcome{"one": plugins.Passed, "two": plugins.Skipped},
		Staged:  []string{"opt/example/bin/tool"},
	}
}

func TestConforms(t *testing.T) {
	needMake(t)
	plugintest.Test(t, maker.New("1.0"), example())
}

func TestConformsAsProcess(t *testing.T) {
	needMake(t)
	plugintest.TestProcess(t, maker.New("1.0"), example())
}

// build writes the Makefile, builds, and returns the workspace.
func build(t *testing.T, makefile, block string) (*plugintest.Space, error) {
	t.Helper()
	needMake(t)
	s := plugintest.Workspace(t)
	plugintest.WriteFiles(t, s, map[string]string{"Makefile": makefile})
	_, err := maker.New("1.0").Builder.Build(t.Context(), s, plugintest.Config(block))
	return s, err
}

func TestBuild(t *testing.T) {
	const noDestdir = "all: ; echo $(TOP) >tool\nput: ; mkdir -p '$(TOP)/bin' && cp tool '$(TOP)/bin/'\n"
	for name, c := range map[string]struct{ makefile, block, want string }{
		"variables": {makefile, `{"vars":{"WORD":"a 'b' \"c\"; exit 9"}}`, "for /opt/example with a 'b' \"c\"; exit 9\n"},
		"other names": {"it: ; echo $(P) >tool\nput: ; mkdir -p $(D)/opt/example/bin && cp tool $(D)$(P)/bin/\n",
			`{"target":"it","install_target":"put","prefix_var":"P","destdir_var":"D"}`, "/opt/example\n"},
		"no DESTDIR": {noDestdir, `{"install_target":"put","prefix_var":"TOP","destdir_var":""}`, "/opt/example\n"},
		"no PREFIX": {"all: ; echo x >tool\ninstall: ; mkdir -p $(DESTDIR)/opt/example/bin && cp tool $(DESTDIR)/opt/example/bin/\n",
			`{"prefix_var":""}`, "x\n"},
	} {
		s, err := build(t, c.makefile, c.block)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := os.ReadFile(filepath.Join(s.Root, "stage/opt/example/bin/tool"))
		if diff := cmp.Diff(c.want, string(got)); diff != "" || err != nil {
			t.Errorf("%s: %v %s\n%s", name, err, diff, s.Log("make"))
		}
		info, err := os.Stat(filepath.Join(s.Root, "stage/opt/example"))
		if err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: folder in the stage: %v, %v", name, info, err)
		}
	}
}

func TestBuildFails(t *testing.T) {
	for name, c := range map[string]struct {
		makefile, block, step, hint string
		code                        int
	}{
		"make":          {"all: ; exit 3\n", "", "make", "", 2},
		"install":       {"all: ; true\ninstall: ; exit 3\n", "", "install", "", 2},
		"empty stage":   {"all: ; true\ninstall: ; true\n", "", "install", "nothing into the stage", 0},
		"no such place": {"all: ; true\n", `{"target":"none"}`, "make", "", 2},
	} {
		_, err := build(t, c.makefile, c.block)
		e, ok := plugins.AsStepError(err)
		if !ok || e.Step != c.step || e.Status.State != workers.Exited || e.Status.Code != c.code || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBlocksAreChecked(t *testing.T) {
	p := maker.New("1.0")
	for block, want := range map[string]string{
		`{"target":"-f x"}`: "target", `{"install_target":""}`: "install_target", `{"vars":{"A=B":"x"}}`: "vars",
		`{"vars":{"A":"x\ny"}}`: "vars", `{"dir":"../x"}`: "dir", `{"prefix_var":"","destdir_var":""}`: "destdir_var",
		`{"prefix_var":"a b"}`: "prefix_var", `{"other":1}`: "", `{"dir":"/x"}`: "dir",
	} {
		complaints := p.Builder.(plugins.Checker).Check(json.RawMessage(block))
		if len(complaints) != 1 || complaints[0].Attribute != want {
			t.Errorf("%s: %+v", block, complaints)
		}
		if _, err := p.Builder.Build(t.Context(), nil, plugintest.Config(block)); err == nil {
			t.Errorf("%s: built", block)
		}
	}
	if complaints := p.Tester.(plugins.Checker).Check(json.RawMessage(`{"target":"a b"}`)); len(complaints) != 1 {
		t.Errorf("tester: %+v", complaints)
	}
}

func TestTestsAreNamed(t *testing.T) {
	needMake(t)
	for name, c := range map[string]struct {
		makefile string
		want     plugins.Report
		step     string // of the StepError; "" for a report
		hint     string
	}{
		"tap": {makefile: "check: ; @echo 1..2; echo ok 1 - a; echo not ok 2 - b; false\n",
			want: plugins.Report{Format: "tap", Cases: []plugins.Case{{Name: "a", Outcome: plugins.Passed}, {Name: "b", Outcome: plugins.Failed}}}},
		"folders": {makefile: "check: ; mkdir -p a b; echo 'check: ; @echo PASS: x' | tee a/Makefile >b/Makefile; $(MAKE) -C a check; $(MAKE) -C b check\n",
			want: plugins.Report{Format: "make", Cases: []plugins.Case{{Name: "a/x", Outcome: plugins.Passed}, {Name: "b/x", Outcome: plugins.Passed}}}},
		"trs": {makefile: "check: ; mkdir t; echo ':test-result: FAIL' >t/a.trs; echo why >t/a.log; echo FAIL: t/a; false\n",
			want: plugins.Report{Format: "automake", Cases: []plugins.Case{{Name: "t/a", Outcome: plugins.Failed, Detail: "why"}}}},
		"part not compiled": {makefile: "check: a.trs b.o\na.trs: ; @echo ':test-result: FAIL' >a.trs\nb.o: ; false\n",
			want: plugins.Report{Format: "automake", Cases: []plugins.Case{{Name: "a", Outcome: plugins.Failed},
				{Name: "make b.o", Outcome: plugins.Errored, Detail: "make could not make it, so tests may be missing"}}}},
		"status, well": {makefile: "check: ; true\n", want: plugins.Report{Format: "make", Cases: []plugins.Case{{Name: "check", Outcome: plugins.Passed}}}},
		"status, bad": {makefile: "check: ; exit 7\n",
			want: plugins.Report{Format: "make", Cases: []plugins.Case{{Name: "check", Outcome: plugins.Failed, Detail: "make exited with 2"}}}},
		"no target":        {makefile: "all: ; true\n", step: "check", hint: "no target"},
		"not whole":        {makefile: "check: ; @echo PASS: a; false\n", step: "check", hint: "part of the suite did not run"},
		"reports are torn": {makefile: "check: ; mkfifo no.trs; echo PASS: a\n", want: plugins.Report{Format: "make", Cases: []plugins.Case{{Name: "a", Outcome: plugins.Passed}}}},
	} {
		s := plugintest.Workspace(t)
		plugintest.WriteFiles(t, s, map[string]string{"Makefile": c.makefile})
		got, err := maker.New("1.0").Tester.Test(t.Context(), s, plugintest.Config(""))
		if c.step != "" {
			if e, ok := plugins.AsStepError(err); !ok || e.Step != c.step || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestSuiteThatIsEnded(t *testing.T) {
	s := plugintest.Workspace(t)
	_, err := maker.New("1.0").Tester.Test(t.Context(), ending{s}, plugintest.Config(""))
	if e, ok := plugins.AsStepError(err); !ok || e.Step != "check" || e.Status.State != workers.Limit {
		t.Errorf("have %v", err)
	}
}

func TestCommand(t *testing.T) {
	gnu := workers.Tool{Path: "/opt/bin/gmake", Banner: "GNU Make 4.4.1"}
	for name, c := range map[string]struct {
		tools map[string]workers.Tool
		want  string
	}{
		"nothing known": {nil, "'make' -j8"},
		"GNU":           {map[string]workers.Tool{"make": {Path: "/usr/bin/make", Banner: "GNU Make 4.3"}}, "'/usr/bin/make' -j8"},
		"two of them":   {map[string]workers.Tool{"make": {Path: "/bin/make", Banner: "make: FSUM9383"}, "gmake": gnu}, "'/opt/bin/gmake' -j8"},
		"both GNU":      {map[string]workers.Tool{"make": {Path: "/usr/bin/make", Banner: "GNU Make 4.3"}, "gmake": gnu}, "'/usr/bin/make' -j8"},
		"not GNU":       {map[string]workers.Tool{"make": {Path: "/bin/make", Banner: "z/OS make"}}, "'/bin/make'"},
		"only gmake":    {map[string]workers.Tool{"gmake": gnu}, "'/opt/bin/gmake' -j8"},
	} {
		if got := maker.Command(workers.Facts{Tools: c.tools}, 8); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
