// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package autotools_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/autotools"
	"github.com/zfarm/zfarm/plugins/plugintest"
	"github.com/zfarm/zfarm/workers"
)

func TestMain(m *testing.M) { plugintest.Main(m, autotools.New("1.0")) }

// configure is a script that behaves like Autoconf's.
const configure = `#!/bin/sh
echo "started with: $*" >config.log
case " $* " in *" --broken "*)
	echo "conftest.c: no such header" >>config.log
	echo "configure: error: C compiler cannot create executables" >&2
	exit 77
esac
echo "$1" | sed 's/--prefix=/prefix = /' >Makefile
printf 'flags = %s\n' "$CFLAGS" >>Makefile
cat Makefile.in >>Makefile
`

const makefileIn = `
all: ; printf '%s %s\n' '$(flags)' '$(EXTRA)' >tool
install: ; mkdir -p $(DESTDIR)$(prefix)/bin && cp tool $(DESTDIR)$(prefix)/bin/
check: ; mkdir -p tests; echo ':test-result: PASS' >tests/a.trs; echo ':test-result: XFAIL' >tests/b.trs
`

func example() plugintest.Example {
	return plugintest.Example{
		Files:   map[string]string{"configure": configure, "Makefile.in": makefileIn},
		Builder: `{"configure":["--disable-nls","--with-x=it's"],"env":{"CFLAGS":"-O2 -g"},"make":["EXTRA=a b"]}`,
		Tests:   map[string]plugins.Outcome{"tests/a": plugins.Passed, "tests/b": plugins.ExpectedFail},
		Staged:  []string{"opt/example/bin/tool"},
	}
}

func needMake(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("these tests run make: install GNU make")
	}
}

func TestConforms(t *testing.T) {
	needMake(t)
	plugintest.Test(t, autotools.New("1.0"), example())
}

func TestConformsAsProcess(t *testing.T) {
	needMake(t)
	plugintest.TestProcess(t, autotools.New("1.0"), example())
}

func TestArgumentsArriveWhole(t *testing.T) {
	needMake(t)
	e := example()
	s := plugintest.Workspace(t)
	plugintest.WriteFiles(t, s, e.Files)
	if _, err := autotools.New("1.0").Builder.Build(t.Context(), s, plugintest.Config(e.Builder)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"stage/opt/example/bin/tool": "-O2 -g a b\n",
		"source/config.log":          "started with: --prefix=/opt/example --disable-nls --with-x=it's\n",
	} {
		if got, err := os.ReadFile(filepath.Join(s.Root, name)); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestConfigureFails(t *testing.T) {
	s := plugintest.Workspace(t)
	plugintest.WriteFiles(t, s, example().Files)
	_, err := autotools.New("1.0").Builder.Build(t.Context(), s, plugintest.Config(`{"configure":["--broken"]}`))
	e, ok := plugins.AsStepError(err)
	if !ok || e.Step != "configure" || e.Status.Code != 77 ||
		e.Hint != "C compiler cannot create executables; the end of config.log is the log of step configure-log" {
		t.Errorf("have %v", err)
	}
	if log := s.Log("configure-log"); !strings.Contains(log, "no such header") {
		t.Errorf("log of configure-log: %q", log)
	}

	s = plugintest.Workspace(t)
	plugintest.WriteFiles(t, s, map[string]string{"README": "no script"})
	_, err = autotools.New("1.0").Builder.Build(t.Context(), s, plugintest.Config(""))
	if e, ok := plugins.AsStepError(err); !ok || e.Status.Code != 127 || !strings.Contains(e.Hint, "no configure script") {
		t.Errorf("without a script: %v", err)
	}
}

func TestSuiteWithoutNames(t *testing.T) {
	needMake(t)
	for makefile, well := range map[string]bool{"check: ; true\n": true, "check: ; exit 1\n": false, "all: ; true\n": false} {
		s := plugintest.Workspace(t)
		plugintest.WriteFiles(t, s, map[string]string{"Makefile": makefile})
		r, err := autotools.New("1.0").Tester.Test(t.Context(), s, plugintest.Config(""))
		if _, isStep := plugins.AsStepError(err); isStep == well || well && len(r.Cases) != 1 {
			t.Errorf("%q: %+v, %v", makefile, r, err)
		}
	}
}

func TestBlocksAreChecked(t *testing.T) {
	p := autotools.New("1.0")
	for block, want := range map[string]string{
		`{"configure":["--prefix=/x"]}`: "configure", `{"env":{"A-B":"x"}}`: "env", `{"env":{"ZFARM_ROOT":"x"}}`: "env",
		`{"make":["a\u0000b"]}`: "make", `{"more":true}`: "",
	} {
		complaints := p.Builder.(plugins.Checker).Check(json.RawMessage(block))
		if len(complaints) != 1 || complaints[0].Attribute != want {
			t.Errorf("%s: %+v", block, complaints)
		}
		if _, err := p.Builder.Build(t.Context(), nil, plugintest.Config(block)); err == nil {
			t.Errorf("%s: built", block)
		}
	}
	if complaints := p.Tester.(plugins.Checker).Check(json.RawMessage(`{"target":"-x"}`)); len(complaints) != 1 {
		t.Errorf("tester: %+v", complaints)
	}
}

// TestGzip builds and tests a real port.
func TestGzip(t *testing.T) {
	mirror := os.Getenv("ZFARM_MIRROR")
	if mirror == "" {
		t.Skip("set ZFARM_MIRROR to a folder with gzip-1.12.tar.xz to build it")
	}
	if os.Getenv("ZFARM_LONG") == "" {
		t.Skip("takes minutes: set ZFARM_LONG=1, or run task long")
	}
	needMake(t)
	s := plugintest.Workspace(t)
	unpack(t, s, filepath.Join(mirror, "gzip-1.12.tar.xz"))
	process := plugintest.Start(t, "autotools")
	outputs, err := process.Builder().Build(t.Context(), s, plugintest.Config(`{"env":{"CFLAGS":"-O0"}}`))
	if err != nil {
		t.Fatalf("%v\n%s", err, plugins.Text(s.Log("make"), plugins.MaxDetail))
	}
	if _, err := os.Stat(filepath.Join(s.Root, outputs[0].Dir, "opt/example/bin/gzip")); err != nil {
		t.Error(err)
	}
	r, err := process.Tester().Test(t.Context(), s, plugintest.Config(""))
	if err != nil {
		t.Fatalf("%v\n%s", err, plugins.Text(s.Log("check"), plugins.MaxDetail))
	}
	count := map[plugins.Outcome]int{}
	for _, c := range r.Cases {
		count[c.Outcome]++
		if c.Outcome == plugins.Failed || c.Outcome == plugins.Errored {
			t.Logf("%s %s: %s", c.Outcome, c.Name, plugins.Text(c.Detail, 300))
		}
	}
	t.Logf("%s: %d tests, %v", r.Format, len(r.Cases), count)
	// tests/Makefile.am of that version names 26 tests.
	if r.Format != "automake" || len(r.Cases) < 26 || count[plugins.Passed] < 20 || !strings.HasPrefix(r.Cases[0].Name, "tests/") {
		t.Errorf("format %q, %d tests, %v", r.Format, len(r.Cases), count)
	}
}

func unpack(t *testing.T, s *plugintest.Space, archive string) {
	t.Helper()
	step := workers.Step{Name: "unpack", Script: "mkdir -p source && tar -xJf " + workers.Quote(archive) + " -C source --strip-components 1\n"}
	if err := plugins.Run(t.Context(), s, step, nil); err != nil {
		t.Skipf("unpacking with tar and xz: %v\n%s", err, s.Log("unpack"))
	}
}
