// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/plan"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

func recipe(repeats int, vary ...string) *recipes.Recipe {
	return &recipes.Recipe{Reproduce: recipes.Reproduce{Repeats: repeats, Vary: vary}}
}

var linux = workers.Facts{System: "Linux", Host: "w1", Cores: 4, Path: "/bin:/usr/bin", Shell: "/bin/bash", Locales: []string{"C", "C.utf8", "POSIX"}}

func TestEveryVariationChangesWhatItSaysAndNothingElse(t *testing.T) {
	changes := map[string][]string{
		"path":        {},
		"timezone":    {"time zone"},
		"locale":      {"locale"},
		"umask":       {"umask"},
		"jobs":        {"jobs"},
		"home":        {"HOME"},
		"environment": {"environment ZFARM_CAPTURED"},
		"worker":      {},
	}
	for _, v := range recipes.Variations() {
		want, ok := changes[v]
		if !ok {
			t.Errorf("variation %q is known to recipes and not to the plan", v)
		}
		repeats := plan.Repeats(recipe(3, v))
		for i, varied := range repeats[1:] {
			base, other := repeats[0].Values(linux), varied.Values(linux)
			var have []string
			for name, value := range other {
				if base[name] != value {
					have = append(have, name)
				}
			}
			if i == 0 || len(have) > 0 { // every second repeat may share a binary wish with the baseline
				if diff := cmp.Diff(want, have, cmp.Transformer("sort", slices.Sorted[string])); len(want)+len(have) > 0 && diff != "" {
					t.Errorf("%s in %s (-want +have):\n%s", v, varied.Name, diff)
				}
			}
			if path := varied.Path != repeats[0].Path; path != (v == "path") {
				t.Errorf("%s: path %q and %q", v, repeats[0].Path, varied.Path)
			}
		}
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
		if all == half || all < 1 || half < 1 {
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
	for _, name := range []string{"_BPXK_AUTOCVT", "_CEE_RUNOPTS", "LIBPATH"} {
		if c[0].Env(zos, 1)[name] == "" {
			t.Errorf("no %s on z/OS", name)
		}
	}
	for name := range c[1].Env(zos, 1) {
		if !workers.ValidEnvName(name) {
			t.Errorf("%q cannot be put into an environment", name)
		}
	}
}
