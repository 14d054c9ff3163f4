// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionOf(t *testing.T) {
	const revision = "0123456789abcdef0123456789abcdef01234567"
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: revision},
			{Key: "vcs.time", Value: "2026-11-30T18:13:15+01:00"}, {Key: "vcs.modified", Value: modified}}
	}
	of := func(module string, settings []debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: module}, Settings: settings}
	}
	for name, c := range map[string]struct {
		stamp string
		info  *debug.BuildInfo
		want  string
	}{
		"nothing known":           {"", nil, unversioned},
		"no version control":      {"", of("(devel)", nil), unversioned},
		"no version at all":       {"", of("", nil), unversioned},
		"a commit":                {"", of("(devel)", vcs("false")), "0.0.0-20261130171315-0123456789ab"},
		"a changed tree":          {"", of("(devel)", vcs("true")), unversioned},
		"unknown whether changed": {"", of("(devel)", vcs("false")[:3]), unversioned},
		"a commit without a time": {"", of("(devel)", vcs("false")[:2]), unversioned},
		"a release":               {"", of("v1.2.3", nil), "1.2.3"},
		"a tag":                   {"", of("v1.2.3", vcs("false")), "1.2.3"},
		"a pseudo-version":        {"", of("v0.0.0-20261130171315-0123456789ab", vcs("false")), "0.0.0-20261130171315-0123456789ab"},
		"a changed tag":           {"", of("v1.2.3+dirty", nil), unversioned},
		"a tag of a changed tree": {"", of("v1.2.3", vcs("true")), unversioned},
		"stamped":                 {"v4.5.6", of("v1.2.3", vcs("true")), "4.5.6"},
	} {
		if have := versionOf(c.stamp, c.info); have != c.want {
			t.Errorf("%s: %s, want %s", name, have, c.want)
		}
	}
}

// TestBuiltVersion builds the program as packagers do, and from a clean clone.
func TestBuiltVersion(t *testing.T) {
	long(t)
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", args...).Output()
		if err != nil {
			t.Skipf("git %s: %v; run this test in a clone, with git installed", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out))
	}
	top := git("rev-parse", "--show-toplevel")
	clone := filepath.Join(t.TempDir(), "zfarm")
	git("clone", "-q", "--no-tags", top, clone)
	revision := git("-C", clone, "rev-parse", "HEAD")
	build := func(want string, flags ...string) {
		t.Helper()
		program := filepath.Join(t.TempDir(), "zfarm")
		cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", program, "./cmd/zfarm")...)
		cmd.Dir = clone
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
		out, err := exec.Command(program, "version").Output()
		if err != nil || !strings.HasPrefix(string(out), "zfarm ") || !strings.HasSuffix(strings.TrimSpace(string(out)), want) {
			t.Errorf("built with %v: %q, %v, want %s", flags, out, err, want)
		}
	}
	build(" 1.2.3", "-buildvcs=false", "-ldflags=-X main.stamp=v1.2.3")
	build("-"+revision[:12], "-buildvcs=true")
	build(" "+unversioned, "-buildvcs=false")
	if err := os.WriteFile(filepath.Join(clone, "cmd", "zfarm", "changed.go"), []byte("package main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build(" "+unversioned, "-buildvcs=true")
}
