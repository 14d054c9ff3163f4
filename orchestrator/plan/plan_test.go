// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/plan"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

func recipe(repeats int, vary ...recipes.Variation) *recipes.Recipe {
	return &recipes.Recipe{Reproduce: recipes.Reproduce{Repeats: repeats, Vary: vary}}
}

var linux = workers.Facts{System: "Linux", Host: "w1", Cores: 4, Path: "/bin:/usr/bin", Shell: "/bin/bash", Locales: []string{"C", "C.utf8", "POSIX"}}

// onWorker returns the values of a repeat on the worker of that repeat.
func onWorker(c plan.Conditions, vary recipes.Variation, i int) map[recipes.Variation]string {
	worker := "w1"
	if vary == recipes.VaryWorker {
		worker = fmt.Sprint("w", i+1)
	}
	return c.Values(worker, linux)
}

// TestEveryVariation checks the switches of this package against the list of
// variations: each changes its own value and no other, and says whether the
// comparison searches for it.
func TestEveryVariation(t *testing.T) {
	labels := map[recipes.Variation]string{
		recipes.VaryPath: "build path", recipes.VaryTimezone: "time zone", recipes.VaryLocale: "locale", recipes.VaryHome: "HOME",
		recipes.VaryEnvironment: "environment ZFARM_CAPTURED",
		recipes.VaryUmask:       "", recipes.VaryJobs: "", recipes.VaryWorker: "",
	}
	// The workspace's folder, and so the path of HOME, is known for every
	// repeat.
	always := plan.Embedded(nil, "/w/b", workers.Facts{})
	for _, v := range recipes.Variations() {
		repeats := plan.Repeats(recipe(3, v))
		base := onWorker(repeats[0], v, 0)
		for i, varied := range repeats[1:] {
			other := onWorker(varied, v, i+1)
			var have []recipes.Variation
			for _, name := range recipes.Variations() {
				if base[name] != other[name] {
					have = append(have, name)
				}
			}
			if i == 0 || len(have) > 0 { // a condition with two values repeats the baseline's
				if diff := cmp.Diff([]recipes.Variation{v}, have); diff != "" {
					t.Errorf("%s in %s (-want +have):\n%s", v, varied.Name, diff)
				}
			}
			if path := varied.Path != repeats[0].Path; path != (v == recipes.VaryPath) {
				t.Errorf("%s: path %q and %q", v, repeats[0].Path, varied.Path)
			}
		}
		label, told := labels[v]
		if !told {
			t.Errorf("say here whether the comparison looks for %s", v)
		}
		have := plan.Embedded(map[recipes.Variation]string{v: onWorker(repeats[1], v, 1)[v]}, "/w/b", workers.Facts{})
		maps.DeleteFunc(have, func(what, text string) bool { return what != label && always[what] == text })
		if label == "" && len(have) > 0 || label != "" && (len(have) != 1 || have[label] == "") {
			t.Errorf("%s: the comparison looks for %q, want %q", v, have, label)
		}
	}
}

func TestEmbedded(t *testing.T) {
	c := plan.Repeats(recipe(2, recipes.Variations()...))[1]
	f := workers.Facts{Host: "LPAR1", User: "BUILD", Locales: linux.Locales, Cores: 4}
	want := map[string]string{"build path": "/w/b", "time zone": "ZFB-14", "locale": "C.utf8", "HOME": "/w/b/home-1",
		"environment ZFARM_CAPTURED": "captured by repeat 1", "host": "LPAR1", "user": "BUILD"}
	if diff := cmp.Diff(want, plan.Embedded(c.Values("w", f), "/w/b", f)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	// If the folder is not known, neither are the paths below it.
	want = map[string]string{"time zone": "ZFB-14", "locale": "C.utf8", "environment ZFARM_CAPTURED": "captured by repeat 1"}
	if diff := cmp.Diff(want, plan.Embedded(c.Values("w", f), "", workers.Facts{})); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

func TestZonesDifferInNameAndDate(t *testing.T) {
	all := plan.Repeats(recipe(3, "timezone"))
	for i, a := range all {
		for _, b := range all[:i] {
			if a.Zone[:3] == b.Zone[:3] {
				t.Errorf("zones %s and %s print the same name", a.Zone, b.Zone)
			}
		}
	}
}

func TestLocaleOn(t *testing.T) {
	foreign := plan.Conditions{Locale: plan.Foreign}
	for _, tt := range []struct {
		name    string
		locales []string
		want    string
	}{
		{"another language first", []string{"C", "C.utf8", "en_US.utf8", "tr_TR.utf8"}, "tr_TR.utf8"},
		{"z/OS", []string{"C", "En_US.IBM-1047", "POSIX"}, "En_US.IBM-1047"},
		{"another code set", []string{"C", "C.utf8", "POSIX"}, "C.utf8"},
		{"nothing", nil, "POSIX"},
	} {
		if have := foreign.LocaleOn(workers.Facts{Locales: tt.locales}); have != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, have, tt.want)
		}
	}
	if have := (plan.Conditions{Locale: plan.Plain}).LocaleOn(linux); have != "C" {
		t.Errorf("plain: %q", have)
	}
}

func TestJobsNeverAgree(t *testing.T) {
	for cores := range 70 {
		f := workers.Facts{Cores: cores}
		all, half := plan.Conditions{Jobs: plan.AllCores}.JobsOn(f), plan.Conditions{Jobs: plan.HalfCores}.JobsOn(f)
		if all == half || all < 1 || half < 1 || cores > 1 && half != cores/2 {
			t.Errorf("%d cores: %d and %d", cores, all, half)
		}
	}
}

func TestEnvIsWholeAndTheSameButForConditions(t *testing.T) {
	c := plan.Repeats(recipe(2, recipes.Variations()...))
	want := map[string]string{"PATH": "/bin:/usr/bin", "HOME": "${ZFARM_ROOT}/home-1", "TMPDIR": "${ZFARM_ROOT}/tmp", "TZ": "ZFB-14", "LANG": "C.utf8",
		"LC_ALL": "C.utf8", "SHELL": "/bin/bash", "SOURCE_DATE_EPOCH": "1649000000", "ZFARM_CAPTURED": "captured by repeat 1"}
	if diff := cmp.Diff(want, c[1].Env(linux, 1649000000)); diff != "" {
		t.Errorf("environment (-want +have):\n%s", diff)
	}
	zos := linux
	zos.System = "OS/390"
	// Each value has a meaning on z/OS: a variable that is set to anything else
	// changes what programs there read and write.
	only := map[string]string{
		"_BPXK_AUTOCVT": "ON", "_CEE_RUNOPTS": "FILETAG(AUTOCVT,AUTOTAG) POSIX(ON)", "_TAG_REDIR_IN": "txt", "_TAG_REDIR_OUT": "txt", "_TAG_REDIR_ERR": "txt",
		"LIBPATH": "/usr/lib", "STEPLIB": "none", "__IPC_CLEANUP": "1", "_ENCODE_FILE_NEW": "ISO8859-1",
	}
	have := c[0].Env(zos, 1)
	for name := range c[0].Env(linux, 1) {
		delete(have, name)
	}
	if diff := cmp.Diff(only, have); diff != "" {
		t.Errorf("what z/OS gets besides (-want +have):\n%s", diff)
	}
	for name := range c[1].Env(zos, 1) {
		if !workers.ValidEnvName(name) {
			t.Errorf("%q cannot be put into an environment", name)
		}
	}
}
