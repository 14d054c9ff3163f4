// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package suite_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/suite"
)

// short formats tests as lines "outcome name | detail".
func short(list []plugins.Case) []string {
	var s []string
	for _, c := range list {
		line := string(c.Outcome) + " " + c.Name
		if c.Detail != "" {
			line += " | " + c.Detail
		}
		s = append(s, line)
	}
	return s
}

func TestReadTAP(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"plan first": {"TAP version 13\n1..3\nok 1 - one\nnot ok 2 two\nok 3\n", []string{"passed one", "failed two", "passed test 3"}},
		"plan last":  {"ok\nok - b\n1..2\n", []string{"passed test 1", "passed b"}},
		"directives": {"1..6\nok 1 - a # SKIP no net\nnot ok 2 - b # TODO later\nok 3 - c # todo\nnot ok 4 # skip\nok 5 - d \\# TODO e\nok 6 - #hash tag # Skipped: why\n",
			[]string{"skipped a | no net", "expected-failure b | later", "unexpected-pass c", "skipped test 4", "passed d # TODO e", "skipped #hash tag | why"}},
		"equal names":     {"1..3\nok 1 - a\nnot ok 2 - a\nok 3 - a\n", []string{"passed a", "failed a (2)", "passed a (3)"}},
		"missing":         {"1..5\nok 1 - a\nok 2 - b\n", []string{"passed a", "passed b", "errored plan | 3 of 5 planned tests are missing"}},
		"too many":        {"1..1\nok 1 - a\nok 2 - b\n", []string{"passed a", "passed b", "errored plan | 1 tests were planned, but 2 came"}},
		"no plan":         {"ok 1 - a\n", []string{"passed a", "errored plan | no plan after 1 tests: the suite may have ended early"}},
		"nothing":         {"", nil},
		"all skipped":     {"1..0 # SKIP no compiler\n", []string{"skipped all | no compiler"}},
		"bail out":        {"1..9\nok 1 - a\nBail out! disk full\nok 2 - b\n", []string{"passed a", "errored bail out | disk full"}},
		"explained":       {"1..2\nnot ok 1 - a\n# wanted 1\n# got 2\nok 2 - b\n# fine\n", []string{"failed a | wanted 1\ngot 2", "passed b"}},
		"yaml":            {"1..2\nnot ok 1 - a\n  ---\n  message: no\n  ok 7 - not a test\n  ...\nok 2 - b\n", []string{"failed a | message: no\nok 7 - not a test", "passed b"}},
		"yaml not closed": {"1..2\nnot ok 1 - a\n  ---\n  x: y\nok 2 - b\n", []string{"failed a | x: y", "passed b"}},
		"subtests": {"TAP version 14\n1..2\n# Subtest: foo\n    1..2\n    ok 1 - x\n    not ok 2 - y\nnot ok 1 - foo\nok 2 - bar\n",
			[]string{"passed foo / x", "failed foo / y", "passed bar"}},
		"subtests of subtests": {"1..1\n    # Subtest: in\n        ok 1 - deep\n        1..1\n    ok 1 - in\n    1..1\nok 1 - out\n", []string{"passed out / in / deep"}},
		"subtest short":        {"1..1\n    1..3\n    ok 1 - x\nok 1 - foo\n", []string{"passed foo / x", "errored foo / plan | 2 of 3 planned tests are missing"}},
		"parent fails alone":   {"1..1\n    1..1\n    ok 1 - x\nnot ok 1 - foo\n", []string{"passed foo / x", "failed foo"}},
		"todo parent":          {"1..1\n    1..1\n    not ok 1 - x\nnot ok 1 - foo # TODO\n", []string{"expected-failure foo / x"}},
		"orphans":              {"# Subtest: foo\n    ok 1 - x\n    1..1\n", []string{"passed foo / x"}},
		"colours and controls": {"1..1\nok 1 - \x1b[32mgreen\x1b[0m \x07bell\r\n", []string{"passed green \uFFFDbell"}},
		"not tests":            {"1..1\nokay\nnot okay\nok, then\nok 1 - a\n1..x\n1..-4\n", []string{"passed a"}},
		"deep":                 {"1..1\n" + strings.Repeat(" ", 4000) + "ok 1 - far\nok 1 - near\n", []string{"passed near"}},
	} {
		got, err := suite.ReadTAP(strings.NewReader(c.in))
		if diff := cmp.Diff(c.want, short(got)); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestTooManyTests(t *testing.T) {
	in := strings.Repeat("ok 1 - a\n", plugins.MaxCases+1)
	if _, err := suite.ReadTAP(strings.NewReader(in)); !errors.Is(err, suite.ErrTooMany) {
		t.Errorf("have %v", err)
	}
}

func TestReadCollected(t *testing.T) {
	frames := func(parts ...string) string { return strings.Join(parts, "") }
	trs := func(name, text string) string {
		return fmt.Sprintf("zfarm-trs %d ./%s.trs\n%s\n", len(text), name, text)
	}
	log := func(kind, name, text string) string {
		return fmt.Sprintf("zfarm-%s %d ./%s.log\n%s\n", kind, len(text), name, text)
	}
	one := func(word string) string { return ":test-result: " + word + "\n:global-test-result: " + word + "\n" }
	for name, c := range map[string]struct {
		in   string
		want []string
		err  string
	}{
		"two folders": {frames(trs("gnulib-tests/test-a", one("PASS")), trs("tests/a b", one("FAIL")), log("tail", "tests/a b", "zfarm-end 9\nno\n"),
			trs("tests/c", one("SKIP")), trs("tests/d", one("XFAIL")), trs("tests/e", one("XPASS")), trs("tests/f", one("ERROR")), trs("tests/g", one("WHAT")), "zfarm-end 7\n"),
			[]string{"passed gnulib-tests/test-a", "failed tests/a b | zfarm-end 9\nno", "skipped tests/c", "expected-failure tests/d",
				"unexpected-pass tests/e", "errored tests/f", "errored tests/g"}, ""},
		"interrupted": {frames(trs("a", ""), "zfarm-end 1\n"), []string{"errored a | its .trs file holds no result: the test was interrupted"}, ""},
		"tap": {frames(trs("t/p", one("PASS")+one("FAIL")), log("log", "t/p", "1..2\nok 1 - x\nnot ok 2 - y\n"), "zfarm-end 1\n"),
			[]string{"passed t/p / x", "failed t/p / y"}, ""},
		"tap, driver saw more": {frames(trs("t/p", one("PASS")+one("ERROR")), log("log", "t/p", "1..1\nok 1 - x\nsegfault\n"), "zfarm-end 1\n"),
			[]string{"passed t/p / x", "errored t/p | 1..1\nok 1 - x\nsegfault"}, ""},
		"several without names": {frames(trs("p", one("PASS")+one("FAIL")), "zfarm-end 1\n"), []string{"passed p", "failed p (2)"}, ""},
		"none":                  {"zfarm-end 0\n", nil, ""},
		"truncated":             {trs("a", one("PASS")), nil, "unexpected EOF"},
		"missing file":          {frames(trs("a", one("PASS")), "zfarm-end 2\n"), nil, "1 of 2 files"},
		"short frame":           {"zfarm-trs 100 ./a.trs\nxx\n", nil, "cut short"},
		"wrong length":          {"zfarm-trs 1 ./a.trs\nxx\nzfarm-end 1\n", nil, "does not end"},
		"too large":             {"zfarm-trs 999999999 ./a.trs\n", nil, "want a frame"},
		"negative":              {"zfarm-trs -1 ./a.trs\n", nil, "frame of"},
		"noise":                 {"sh: warning\nzfarm-end 0\n", nil, "want a frame"},
		"log of another test":   {frames(trs("a", one("FAIL")), log("tail", "b", "x"), "zfarm-end 1\n"), nil, "does not follow"},
	} {
		got, err := suite.ReadCollected(strings.NewReader(c.in))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: want an error with %q, have %v", name, c.err, err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, short(got)); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// shells returns the usual shells that are installed.
func shells(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, name := range []string{"sh", "bash", "mksh", "ksh"} {
		if p, err := exec.LookPath(name); err == nil {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		t.Skip("the scripts need a POSIX shell: install bash")
	}
	return found
}

func TestCollectScript(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"tests/b.trs":        ":test-result: FAIL\n",
		"tests/b.log":        strings.Repeat("x", 4000) + "\nzfarm-end 1\nthe end",
		"tests/a.trs":        ":test-result: PASS\n",
		"tests/a.log":        "fine",
		"gl/it's $(a) t.trs": ":test-result: SKIP\n",
		"gl/it's $(a) t.log": "no \xff locale\n",
		"tap/many.trs":       ":test-result: PASS\n:test-result: XPASS\n",
		"tap/many.log":       "1..2\nok 1 - x\nok 2 - y # TODO\n",
		"tap/alone.trs":      ":test-result: ERROR\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"skipped gl/it's $(a) t | no \uFFFD locale", "errored tap/alone", "passed tap/many / x", "unexpected-pass tap/many / y",
		"passed tests/a", "failed tests/b | " + strings.Repeat("x", 2980) + "\nzfarm-end 1\nthe end",
	}
	for _, shell := range shells(t) {
		cmd := exec.Command(shell, "-c", suite.CollectScript)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", shell, err, out)
		}
		got, err := suite.ReadCollected(bytes.NewReader(out))
		if diff := cmp.Diff(want, short(got)); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", shell, err, diff)
		}
	}
}

func TestScriptsPassShellcheck(t *testing.T) {
	path, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("install shellcheck to check the scripts")
	}
	for name, script := range map[string]string{"collect": suite.CollectScript, "test": suite.TestScript("make check")} {
		cmd := exec.Command(path, "-s", "sh", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestTestScript(t *testing.T) {
	for _, shell := range shells(t) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "old.trs"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(shell, "-c", suite.TestScript(`echo PASS: a; false`))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.HasSuffix(string(out), "\nPASS: a\n") {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
		if _, err := os.Stat(filepath.Join(dir, "old.trs")); err == nil {
			t.Errorf("%s: a former test's file is still there", shell)
		}
	}
}

func TestLog(t *testing.T) {
	const root = "zfarm-testing-in /w/src\n"
	for name, c := range map[string]struct {
		in, format string
		want       []string
		stops      []string
	}{
		"words in folders": {root + "make[1]: Entering directory '/w/src/lib'\nPASS: a\nmake[2]: Entering directory '/w/src/lib/x'\nFAIL: b c\nmake[2]: Leaving directory '/w/src/lib/x'\nSKIP: d\nmake[1]: Leaving directory '/w/src/lib'\nXPASS: a\n",
			"make", []string{"passed lib/a", "failed lib/x/b c", "skipped lib/d", "unexpected-pass a"}, nil},
		"sums are no tests": {"# PASS:  3\nPASS: 3\nPASS: a\nERROR: a message\n", "make", []string{"passed a", "errored a message"}, nil},
		"only messages":     {"ERROR: cannot\nNote: ok\n", "", nil, nil},
		"tap twice":         {root + "make[1]: Entering directory '/w/src/one'\n1..2\nok 1 - a\nok 2 - b\nmake[1]: Leaving directory '/w/src/one'\n1..3\nok 1 - a\nok 2 - c\n", "tap", []string{"passed one / a", "passed one / b", "passed a", "passed c", "errored plan | 1 of 3 planned tests are missing"}, nil},
		"tap plans last":    {"ok 1 - a\n1..1\nok 1 - a\n1..1\n", "tap", []string{"passed a", "passed a (2)"}, nil},
		"numbered, no plan": {"cc -c x.c\nok 1 - a\nnot ok 2 - b\nok 1 - c\nok\nok now\n", "make", []string{"passed a", "failed b", "passed c"}, nil},
		"plain chat":        {"checking... ok\nok\nok then\nnot ok\n", "", nil, nil},
		"bail and go on":    {"1..2\nBail out! no\n1..1\nok 1 - a\n", "tap", []string{"errored bail out | no", "passed a"}, nil},
		"stops": {root + "make[2]: Entering directory '/w/src/tests'\nPASS: a\nmake[2]: *** [Makefile:12: helper.o] Error 1\nmake[2]: *** [Makefile:99: test-suite.log] Error 1\nmake[2]: Leaving directory '/w/src/tests'\ngmake[1]: *** [check-am] Error 2\nmake: *** [Makefile:5: check-recursive] Error 1\n",
			"make", []string{"passed tests/a"}, []string{"tests/helper.o"}},
		"long line": {"PASS: " + strings.Repeat("n", 100_000) + "\nPASS: b\n", "make", []string{"passed " + strings.Repeat("n", 1012), "passed b"}, nil},
		"last line": {"PASS: a", "make", []string{"passed a"}, nil},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			l := suite.NewLog()
			for rest := []byte(c.in); len(rest) > 0; {
				n := min(size, len(rest))
				if _, err := l.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			got, format, err := l.End()
			if diff := cmp.Diff(c.want, short(got)); diff != "" || err != nil || format != c.format {
				t.Errorf("%s, %d bytes at a time: %v, format %q\n%s", name, size, err, format, diff)
			}
			if diff := cmp.Diff(c.stops, l.Stops()); diff != "" {
				t.Errorf("%s: stops\n%s", name, diff)
			}
		}
	}
	l := suite.NewLog()
	if _, err := fmt.Fprint(l, "make: *** No rule to make target 'check'.  Stop.\nmake: *** No rule to make target `old', needed by x.\n"); err != nil {
		t.Fatal(err)
	}
	if !l.NoRule("check") || !l.NoRule("old") || l.NoRule("all") {
		t.Error("missing rules are not seen")
	}
}

// valid fails if the farm would refuse a report of these tests.
func valid(t *testing.T, list []plugins.Case) {
	t.Helper()
	if err := (plugins.Report{Format: "x", Cases: list}).Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzReadTAP(f *testing.F) {
	f.Add([]byte("TAP version 14\n1..2\n# Subtest: a\n    ok 1 - b # SKIP\n    1..1\nok 1 - a\nnot ok 2 # TODO x\n  ---\n  y: z\n  ...\n"))
	f.Add([]byte("Bail out!\n1..0 # skip\nok 999999999999 \\# \xff\x1b[0m\n        ok\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, err := suite.ReadTAP(bytes.NewReader(in)); err == nil {
			valid(t, got)
		}
	})
}

func FuzzReadCollected(f *testing.F) {
	f.Add([]byte("zfarm-trs 19 ./a.trs\n:test-result: FAIL\n\nzfarm-tail 2 ./a.log\nno\nzfarm-end 1\n"))
	f.Add([]byte("zfarm-trs 38 ./t/a.trs\n:test-result: PASS\n:test-result: FAIL\n\nzfarm-log 5 ./t/a.log\n1..1\n\nzfarm-end 1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, err := suite.ReadCollected(bytes.NewReader(in)); err == nil {
			valid(t, got)
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add([]byte("zfarm-testing-in /w\nmake[1]: Entering directory '/w/a'\nPASS: x\n1..2\nok 1\nBail out!\nmake[1]: *** [x: y] Error 1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		l := suite.NewLog()
		if _, err := l.Write(in); err != nil {
			t.Fatal(err)
		}
		if got, _, err := l.End(); err == nil {
			valid(t, got)
		}
		l.Stops()
	})
}

func BenchmarkLog(b *testing.B) {
	text := []byte("zfarm-testing-in /w\n" + strings.Repeat("cc -O2 -c -o some/file.o some/file.c\nok 1 - a test of something\nPASS: name\n", 10_000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := suite.NewLog().Write(text); err != nil {
			b.Fatal(err)
		}
	}
}
