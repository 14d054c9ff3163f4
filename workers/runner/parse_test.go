// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/workers"
)

func TestReadStatus(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]workers.Status{
		"exited 0 0\n":    {State: workers.Exited},
		"exited 255 9\n":  {State: workers.Exited, Code: 255, Took: 9 * time.Second},
		"limit 137 60\n":  {State: workers.Limit, Took: time.Minute},
		"lease 143 3\n":   {State: workers.Lease, Took: 3 * time.Second},
		"stopped 143 3\n": {State: workers.Stopped, Took: 3 * time.Second},
		"log 137 1\n":     {State: workers.LogLimit, Took: time.Second},
	} {
		if got, err := readStatus(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"lost 0 1\n": workers.ErrLost, "nogroup 125 0\n": workers.ErrUnfit, "": workers.ErrLost, "exited\n": workers.ErrLost,
		"exited -1 0\n": workers.ErrLost, "exited 256 0\n": workers.ErrLost, "fine 0 0\n": workers.ErrLost,
		"exited 0 99999999999999999999\n": workers.ErrLost, "exited 0 -1\n": workers.ErrLost,
	} {
		if got, err := readStatus(text); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v, want %v", text, got, err, want)
		}
	}
}

func FuzzReadStatus(f *testing.F) {
	for _, s := range []string{"exited 3 12\n", "lost 0 1\n", "exited 0 9999999999999999999\n", "\x00", "limit 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := readStatus(text)
		if err == nil && (s.Code < 0 || s.Code > 255 || s.Took < 0 || s.State == "" || s.State != workers.Exited && s.Code != 0) {
			t.Errorf("%q: %+v", text, s)
		}
	})
}

const linuxProbe = `Welcome to the machine
zfarm.date=2026-01-02T03:04:05
zfarm.system_path=/bin:/usr/bin
zfarm.path=/opt/zopen/bin:/bin:/usr/bin
zfarm.refused=/bin/sh: background commands get no process group of their own
zfarm.shell=/bin/bash
zfarm.codepage=ISO8859-1
zfarm.uname=Linux w1 6.1 #1 SMP x86_64 GNU/Linux
zfarm.system=Linux
zfarm.cores=2
zfarm.df=my disk 1000 900 100 90% /srv/a b
zfarm.locale=de_DE
zfarm.locale=C
zfarm.writable=yes
zfarm.tool.tar.path=/bin/tar
zfarm.tool.tar.banner=tar (GNU tar) 1.34` + "\x1b[31m" + `
zfarm.tool.make.path=make
zfarm.tool.unheard.path=/bin/unheard
zfarm.end=yes
`

func TestFactsOfProbe(t *testing.T) {
	t.Parallel()
	got := parseProbe([]byte(linuxProbe)).facts(toolNames())
	want := workers.Facts{
		Uname: "Linux w1 6.1 #1 SMP x86_64 GNU/Linux", System: "Linux", Shell: "/bin/bash", CodePage: "ISO8859-1",
		Archiver: workers.ArchiverGNUTar, Locales: []string{"C", "de_DE"}, Cores: 2, FreeBytes: 100 << 10, Path: "/opt/zopen/bin:/bin:/usr/bin",
		Tools: map[string]workers.Tool{"tar": {Path: "/bin/tar", Banner: "tar (GNU tar) 1.34 [31m", Version: "1.34"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestToolsToFind(t *testing.T) {
	t.Parallel()
	names, err := toolsToFind([]string{"ninja", "cmake", "make", "ninja", "g++-14"})
	if err != nil || !slices.IsSorted(names) || len(names) != len(toolNames())+3 || !slices.Contains(names, "g++-14") {
		t.Errorf("%q, %v", names, err)
	}
	for _, bad := range []string{"", "a b", "a;b", "$(id)", "`id`", "*", "a/b", "-v", ".", "..", "a\nb", "é", strings.Repeat("a", 65)} {
		if names, err := toolsToFind([]string{"make", bad}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("tool %q: %q, %v", bad, names, err)
		}
	}
	if _, err := toolsToFind(make([]string, workers.MaxTools+1)); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("too many tools: %v", err)
	}
}

// TestToolOfNoAnswer: a tool that the worker does not report is not known to be absent,
// and one that was not asked for does not appear in the facts.
func TestToolOfNoAnswer(t *testing.T) {
	t.Parallel()
	s := parseProbe([]byte("zfarm.tool.cmake.absent=yes\nzfarm.tool.ninja.absent=no\nzfarm.tool.go.path=/bin/go\nzfarm.tool.rust.path=/bin/rust\nzfarm.tool.make.path=make\n"))
	f := s.facts([]string{"cmake", "ninja", "go", "make", "perl"})
	if diff := cmp.Diff(map[string]workers.Tool{"go": {Path: "/bin/go"}}, f.Tools); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	for name, want := range map[string]bool{"cmake": true, "go": true, "ninja": false, "perl": false, "make": false, "rust": false} {
		if f.Knows(name) != want {
			t.Errorf("%s is known: %v", name, !want)
		}
	}
	if !slices.Equal(f.Absent, []string{"cmake"}) {
		t.Errorf("absent: %q", f.Absent)
	}
}

func TestUnfit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, want string }{
		"shell":    {"zfarm.shell=/bin/bash", "zfarm.refused=bash: not found", "bash: not found); install bash or mksh"},
		"archiver": {"(GNU tar)", "(old tar)", "install GNU tar"},
		"root":     {"zfarm.writable=yes", "", "cannot write in /srv/farm"},
		"room":     {" 100 90%", " 65535 90%", "63 MiB free"},
	} {
		// Everything else is well: 64 MiB are free.
		text := strings.Replace(linuxProbe, c.old, c.new, 1)
		text = strings.Replace(text, " 100 90%", " 65536 90%", 1)
		s := parseProbe([]byte(text))
		err := s.unfit(s.facts(toolNames()), "/srv/farm")
		if !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q alone", name, err, c.want)
		}
	}
}

func TestArchiver(t *testing.T) {
	t.Parallel()
	pax := map[string]workers.Tool{"pax": {Path: "/bin/pax"}, "tar": {Banner: "FSUM usage"}}
	for _, c := range []struct {
		system string
		tools  map[string]workers.Tool
		want   workers.Archiver
	}{
		{"OS/390", pax, workers.ArchiverZOSPax},
		{"OS/390", map[string]workers.Tool{"tar": {Banner: "tar (GNU tar) 1.34"}}, ""},
		{"Linux", pax, ""},
		{"FreeBSD", map[string]workers.Tool{"tar": {Banner: "bsdtar 3.7.2 - libarchive 3.7.2"}}, workers.ArchiverBSDTar},
	} {
		if got := archiver(workers.Facts{System: c.system, Tools: c.tools}); got != c.want {
			t.Errorf("%s: %q, want %q", c.system, got, c.want)
		}
	}
}

func TestVersionIn(t *testing.T) {
	t.Parallel()
	for banner, want := range map[string]string{
		"GNU Make 4.3": "4.3", "This is perl 5, version 36, subversion 0 (v5.36.0) built": "5.36.0", "file-5.44": "5.44",
		"less version 590": "590", "usage: ar [-x]": "", "": "",
		"Foo Version 7, of 2019.": "7", "1..2 x": "1..2", "of 2019. 3.": "",
	} {
		if got := versionIn(banner); got != want {
			t.Errorf("%q: %q, want %q", banner, got, want)
		}
	}
}

func TestClockOffset(t *testing.T) {
	t.Parallel()
	before := time.Date(2026, 1, 2, 3, 4, 5, 900e6, time.UTC)
	after := before.Add(2 * time.Second)
	for date, want := range map[string]time.Duration{
		"2026-01-02T03:04:05": 0, "2026-01-02T03:04:07": 0, "2026-01-02T03:05:37": 90 * time.Second, "2026-01-02T03:04:00": -5 * time.Second, "": 0,
	} {
		if got := clockOffset(date, before, after); got != want {
			t.Errorf("%s: %s, want %s", date, got, want)
		}
	}
}

func FuzzProbe(f *testing.F) {
	f.Add([]byte(linuxProbe))
	f.Add([]byte("zfarm.=x\nzfarm.df= % % %\nzfarm.df=1 2 -3 4%\nzfarm.cores=-1"))
	f.Add([]byte(strings.Repeat("zfarm.locale=x\n", 3000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := parseProbe(b)
		facts := s.facts(toolNames())
		_ = s.unfit(facts, "/r")
		if len(facts.Locales) > mostLocales || facts.FreeBytes < 0 || facts.Cores < 0 || len(s) > mostLines {
			t.Errorf("%+v", facts)
		}
		for _, v := range append(facts.Locales, facts.Uname, facts.Shell, facts.Tools["tar"].Banner) {
			if strings.ContainsFunc(v, unicode.IsControl) && strings.ContainsFunc(v, func(r rune) bool { return r < ' ' }) {
				t.Errorf("control characters in %q", v)
			}
			if len(v) > 3*maxValue {
				t.Errorf("%d bytes of one value", len(v))
			}
		}
	})
}

func TestEncode(t *testing.T) {
	t.Parallel()
	zos := &usableShell{codePage: "IBM-1047"}
	b, err := zos.encode("#!/bin/sh\n[ x ]\n")
	if err != nil || string(b) != "\x7b\x5a\x61\x82\x89\x95\x61\xa2\x88\x15\xad\x40\xa7\x40\xbd\x15" {
		t.Errorf("in IBM-1047: % x, %v", b, err)
	}
	if text, err := zos.decode(b); err != nil || text != "#!/bin/sh\n[ x ]\n" {
		t.Errorf("back: %q, %v", text, err)
	}
	if b, err := zos.encode("\u2192"); err == nil {
		t.Errorf("an arrow is in IBM-1047 as % x", b)
	}
	if b, err := (&usableShell{codePage: asciiPage}).encode("\u2192"); err != nil || string(b) != "\u2192" {
		t.Errorf("UTF-8 passes as % x, %v", b, err)
	}
}

func TestWord(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "a", "it's", "-n", "a b", "é%d\\n'$x`", "\x01\x7f\xff", "tab\there", "$(id)"} {
		w := quoteWord(s)
		if strings.ContainsFunc(w, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("word(%q) = %q is not printable ASCII", s, w)
		}
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+w).Output()
		if err != nil || string(out) != s {
			t.Errorf("word(%q): the shell reads %q, %v", s, out, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"", "relative", "/", "/..", "/a\nb"} {
		if _, err := (Options{Root: root}).complete(); err == nil {
			t.Errorf("root %q was accepted", root)
		}
		if _, err := New("w", nil, Options{Root: root}).Workspace(t.Context(), "a"); err == nil {
			t.Errorf("a workspace in root %q was opened", root)
		}
	}
	for lease, want := range map[time.Duration]time.Duration{0: time.Minute, 1: 2 * time.Second, 2500 * time.Millisecond: 3 * time.Second} {
		if o, err := (Options{Root: "/r/", Lease: lease}).complete(); err != nil || o.Lease != want || o.Root != "/r" {
			t.Errorf("lease %s: %+v, %v", lease, o, err)
		}
	}
}

func TestContentsTellStepsApart(t *testing.T) {
	t.Parallel()
	steps := []workers.Step{
		{}, {Script: "a"}, {Env: map[string]string{"A": "1"}}, {Env: map[string]string{"A": "1\nB=2"}},
		{Env: map[string]string{"A": "1", "B": "2"}}, {Limit: 1}, {Limit: time.Minute}, {Umask: 0o77}, {Dir: "d"},
	}
	seen := map[string]int{}
	for i, s := range steps {
		hex := contentsOf(s, s.Dir).Hex()
		if other, ok := seen[hex]; ok {
			t.Errorf("%+v and %+v have the same contents", steps[other], s)
		}
		seen[hex] = i
	}
	if contentsOf(workers.Step{Limit: 1}, "") != contentsOf(workers.Step{Limit: time.Second}, "") {
		t.Error("a limit is rounded up to seconds, its digest is not")
	}
}
