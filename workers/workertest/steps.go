// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/workers"
)

func testFacts(t *testing.T, w workers.Worker) {
	if w.Name() == "" {
		t.Error("the worker has no name")
	}
	f, err := w.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.System == "" || f.Machine == "" || !strings.Contains(f.Uname, f.System) {
		t.Errorf("uname %q, system %q, machine %q", f.Uname, f.System, f.Machine)
	}
	if !strings.HasPrefix(f.Shell, "/") || !strings.Contains(f.Path, "/bin") {
		t.Errorf("shell %q, path %q", f.Shell, f.Path)
	}
	if f.CodePage != "ISO8859-1" && f.CodePage != "IBM-1047" {
		t.Errorf("code page %q", f.CodePage)
	}
	if f.Archiver == "" || f.FreeBytes < 64<<20 || f.Cores < 0 {
		t.Errorf("archiver %q, %d bytes free, %d cores", f.Archiver, f.FreeBytes, f.Cores)
	}
	if sed := f.Tools["sed"]; !strings.HasPrefix(sed.Path, "/") {
		t.Errorf("a POSIX system without sed: %+v", f.Tools)
	}
	const none = "zfarm-no-such-tool_1.0+x"
	if f.Knows("tee") || f.Knows(none) {
		t.Error("facts tell of tools that nobody asked for")
	}
	if f, err = w.Facts(t.Context(), "tee", none, "sed"); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(f.Tools["tee"].Path, "/") || !f.Knows(none) || f.Tools[none] != (workers.Tool{}) || f.Tools["sed"].Path == "" {
		t.Errorf("asked for tee and %s: %+v, absent %q", none, f.Tools, f.Absent)
	}
	if _, err := w.Facts(t.Context(), "$(id)"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("asked for a tool that is no name: %v", err)
	}
	if f.ClockOffset.Abs() > 24*time.Hour {
		t.Errorf("clock offset %s", f.ClockOffset)
	}
	ws := workspace(t, w, "facts") // what Facts reports must hold for a step
	s := step("path", "command -v sed")
	s.Env["PATH"] = f.Path
	if got := strings.TrimSpace(does(t, ws, s)); got != f.Tools["sed"].Path {
		t.Errorf("a step finds sed at %q, facts say %q", got, f.Tools["sed"].Path)
	}
}

func testIDs(t *testing.T, w workers.Worker) {
	for _, id := range []string{"", ".", "..", "a/b", "../a", "A", "-a", "a b", strings.Repeat("a", 101)} {
		if _, err := w.Workspace(t.Context(), id); err == nil {
			t.Errorf("workspace id %q was accepted", id)
		}
	}
}

func testExitCodes(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "codes")
	for script, want := range map[string]int{
		"true": 0, "exit 3": 3, "exit 255": 255, "false; true": 0, "false": 1, "no_such_command_here": 127,
		"kill -s KILL $$": 137, "kill -s TERM $$": 143,
	} {
		name := "s" + strconv.Itoa(want) + "-" + strconv.Itoa(len(script))
		status, err := ws.Run(t.Context(), step(name, script), io.Discard)
		if err != nil || status.State != workers.Exited || status.Code != want {
			t.Errorf("%q: %+v, %v, want code %d", script, status, err, want)
		}
		if status.Took < 0 || status.Took > patience {
			t.Errorf("%q took %s", script, status.Took)
		}
	}
}

func testLog(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "log")
	put(t, ws, "all", allBytes())
	// Marks in octal: the machine's own code page would produce other bytes.
	got := does(t, ws, step("log", `printf '\001'; printf '\002' >&2; cat all; printf '\003'; cat all >&2`))
	want := "\x01\x02" + string(allBytes()) + "\x03" + string(allBytes())
	if diff := cmp.Diff([]byte(want), []byte(got)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if got := does(t, ws, step("silent", "")); got != "" {
		t.Errorf("an empty script logs %q", got)
	}
}

// counter checks that the numbers from 0 are written to it, one per line.
type counter struct {
	rest  []byte
	next  int
	fault string
}

func (c *counter) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	for {
		line, after, ok := bytes.Cut(c.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if string(line) != strconv.Itoa(c.next) && c.fault == "" {
			c.fault = fmt.Sprintf("line %d is %q", c.next, line)
		}
		c.next++
		c.rest = after
	}
}

func testLongLog(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "long")
	const lines = 1_000_000
	var c counter
	status, err := ws.Run(t.Context(), step("count", fmt.Sprintf("awk 'BEGIN { for (i = 0; i < %d; i++) print i }'", lines)), &c)
	if err != nil || !status.OK() {
		t.Fatalf("%+v, %v", status, err)
	}
	if c.fault != "" || c.next != lines || len(c.rest) != 0 {
		t.Errorf("%d lines and %d bytes, want %d lines; %s", c.next, len(c.rest), lines, c.fault)
	}
}

func testEnvironment(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "env")
	root := strings.TrimSuffix(does(t, ws, step("root", `printf %s "$ZFARM_ROOT"`)), "\n")
	if !strings.HasPrefix(root, "/") || !strings.HasSuffix(root, "/env") {
		t.Fatalf("ZFARM_ROOT is %q", root)
	}
	s := step("env", "env")
	want := map[string]string{
		"PATH": "/bin:/usr/bin", "EMPTY": "", "_x9": "=a=b", "BLANKS": "  a  b ", "QUOTES": `'"'"`, "DOLLARS": "$HOME $(id) `id` ${X}",
		"SLASHES": `\n \\ \$`, "STARS": "* ?", "HOME": "/nowhere", "TZ": "UTC0", "LC_ALL": "C",
		"IN": "${ZFARM_ROOT}/in:${ZFARM_ROOT}'x", "NOTIN": "$ZFARM_ROOT ${ZFARM_ROOT",
	}
	s.Env = want
	got := map[string]string{}
	for line := range strings.Lines(does(t, ws, s)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name { // of the shell itself; A__z is ksh's
		case "PWD", "OLDPWD", "SHLVL", "_", "A__z":
		default:
			got[name] = value
		}
	}
	want = map[string]string{"ZFARM_ROOT": root}
	for name, value := range s.Env {
		want[name] = value
	}
	want["IN"] = root + "/in:" + root + "'x"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	s = step("lines", `[ "$LINES2" = "$(printf 'a\nb')" ]`)
	s.Env["LINES2"] = "a\nb"
	does(t, ws, s)
}

func testUmask(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "umask")
	for umask, want := range map[fs.FileMode]fs.FileMode{0: 0o644, 0o027: 0o640, 0o002: 0o664} {
		name := fmt.Sprintf("u%o", umask)
		s := step(name, "echo >"+name)
		s.Umask = umask
		does(t, ws, s)
		entries, err := ws.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name == name && e.Mode.Perm() != want {
				t.Errorf("umask %o makes files of mode %o, want %o", umask, e.Mode.Perm(), want)
			}
		}
	}
}

func testDir(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "dir")
	put(t, ws, "a b/c'd/mark", nil)
	s := step("in", "[ -f mark ]")
	s.Dir = "a b/c'd"
	does(t, ws, s)
	does(t, ws, step("root", `[ "$(pwd -P)" = "$(cd "$ZFARM_ROOT" && pwd -P)" ]`))
	s = step("nowhere", "exit 0")
	s.Dir = "nowhere"
	status, err := ws.Run(t.Context(), s, io.Discard)
	if err != nil || status.State != workers.Exited || status.Code == 0 {
		t.Errorf("a step in a folder that is not there: %+v, %v; want a code", status, err)
	}
}

// testFreshProcess: a step starts with the system's default signal handling, and
// without input.
func testFreshProcess(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "fresh")
	for signal, want := range map[string]int{"HUP": 129, "INT": 130, "PIPE": 141} {
		status, err := ws.Run(t.Context(), step("s"+strings.ToLower(signal), "kill -s "+signal+" $$; exit 1"), io.Discard)
		if err != nil || status.Code != want {
			t.Errorf("a step that sends itself %s: %+v, %v, want code %d", signal, status, err, want)
		}
	}
	if got := does(t, ws, step("stdin", "cat; [ ! -t 0 ]")); got != "" {
		t.Errorf("standard input gave %q", got)
	}
}

func testFaultySteps(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "faulty")
	for what, s := range map[string]workers.Step{
		"no name":      {Script: "true"},
		"name":         {Name: "../x", Script: "true"},
		"variable":     {Name: "a", Script: "true", Env: map[string]string{"A B": ""}},
		"own variable": {Name: "a", Script: "true", Env: map[string]string{"ZFARM_ROOT": "/"}},
		"NUL":          {Name: "a", Script: "true\x00"},
		"NUL in value": {Name: "a", Script: "true", Env: map[string]string{"A": "\x00"}},
		"limit":        {Name: "a", Script: "true", Limit: -1},
	} {
		if status, err := ws.Run(t.Context(), s, io.Discard); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %+v, %v", what, status, err)
		}
	}
}
