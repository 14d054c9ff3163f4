// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package orchestrator_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
)

func TestTally(t *testing.T) {
	suite := recipes.Test{MinTests: 4, KnownFailures: []recipes.KnownFailure{{Name: "b"}, {Name: "gone"}, {Name: "e"}}}
	report := plugins.Report{Cases: []plugins.Case{
		{Name: "a", Outcome: plugins.Passed}, {Name: "b", Outcome: plugins.Failed}, {Name: "c", Outcome: plugins.Skipped},
		{Name: "d", Outcome: plugins.ExpectedFail}, {Name: "e", Outcome: plugins.Passed}, {Name: "f", Outcome: plugins.Errored},
		{Name: "g", Outcome: plugins.UnexpectedPass},
	}}
	want := orchestrator.Tally{Total: 7, Passed: 3, Skipped: 1, Expected: 2, Failed: []string{"f"}, UnexpectedlyPassed: []string{"e", "g"}, Missing: []string{"gone"}, MinTests: 4}
	have := orchestrator.TallyUp(report, suite)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("tally (-want +have):\n%s", diff)
	}
	if have.OK() {
		t.Error("an unexpected failure is no good suite")
	}
	for _, tt := range []struct {
		cases, min int
		shrunk     bool
	}{{0, 0, false}, {0, 1, true}, {3, 4, true}, {4, 4, false}, {5, 4, false}} {
		have := orchestrator.TallyUp(plugins.Report{Cases: make([]plugins.Case, tt.cases)}, recipes.Test{MinTests: tt.min})
		if have.Shrunk != tt.shrunk {
			t.Errorf("%d tests of at least %d: shrunk is %t", tt.cases, tt.min, have.Shrunk)
		}
	}
	shrunk := orchestrator.TallyUp(plugins.Report{Cases: report.Cases[:1]}, suite)
	if !shrunk.Shrunk || shrunk.OK() {
		t.Errorf("one test of at least four is no good suite: %+v", shrunk)
	}
}

func TestTallyString(t *testing.T) {
	tally := orchestrator.Tally{Total: 9, Passed: 5, Skipped: 1, Expected: 2, Failed: []string{"f"}, MinTests: 12}
	want := "9 tests: 5 passed, 1 skipped, 2 expected failures, 1 failed"
	if got := tally.String(); got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	tally.Shrunk = true
	if got := tally.String(); got != want+"; the suite shrank: the recipe wants at least 12" {
		t.Errorf("String() of a suite that shrank = %q", got)
	}
}

// TestInputsDigest: notes on inputs are not part of them; everything else is.
func TestInputsDigest(t *testing.T) {
	one := func(name, note string) []orchestrator.Input {
		return []orchestrator.Input{{Name: name, URI: "https://" + name, Digest: digest.Of([]byte(name)), Note: note}}
	}
	inputs := func(note string) orchestrator.Inputs {
		return orchestrator.Inputs{Recipe: digest.Of([]byte("recipe")), Sources: one("source", note), Files: one("file", note),
			Plugins: one("plugin", note), Needs: one("need", note), Epoch: 1}
	}
	sum := func(in orchestrator.Inputs) digest.Digest {
		d, err := in.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := sum(inputs("signed by x"))
	if second := sum(inputs("signed by x, whose key has expired since")); first != second {
		t.Errorf("another note makes other inputs: %s, then %s", first, second)
	}
	seen := map[digest.Digest]string{first: "nothing"}
	for name, change := range map[string]func(*orchestrator.Inputs){
		"recipe":        func(in *orchestrator.Inputs) { in.Recipe = digest.Of(nil) },
		"epoch":         func(in *orchestrator.Inputs) { in.Epoch = 2 },
		"source":        func(in *orchestrator.Inputs) { in.Sources[0].Digest = digest.Of(nil) },
		"source's name": func(in *orchestrator.Inputs) { in.Sources[0].Name = "x" },
		"source's URI":  func(in *orchestrator.Inputs) { in.Sources[0].URI = "x" },
		"file":          func(in *orchestrator.Inputs) { in.Files[0].Digest = digest.Of(nil) },
		"plugin":        func(in *orchestrator.Inputs) { in.Plugins[0].Digest = digest.Of(nil) },
		"need":          func(in *orchestrator.Inputs) { in.Needs[0].Digest = digest.Of(nil) },
		"no need":       func(in *orchestrator.Inputs) { in.Needs = nil },
	} {
		in := inputs("")
		change(&in)
		if got := sum(in); seen[got] != "" {
			t.Errorf("a change of %s is the same inputs as a change of %s", name, seen[got])
		} else {
			seen[got] = name
		}
	}
	if kept := inputs("kept"); sum(kept) != first || kept.Needs[0].Note != "kept" {
		t.Errorf("summing changed what was summed: %+v", kept.Needs)
	}
}

// TestInputsDigestHolds: the same inputs have the digest that earlier versions gave
// them, as databases keep it. Nothing may be added to this form either, unless it is
// omitted from inputs that lack it.
func TestInputsDigestHolds(t *testing.T) {
	one := func(name string) []orchestrator.Input {
		return []orchestrator.Input{{Name: name, URI: "https://" + name, Digest: digest.Of([]byte(name)), Note: "signed by x"}}
	}
	recipe := digest.Of([]byte("recipe"))
	input := func(name string) string {
		return `[{"name":"` + name + `","uri":"https://` + name + `","digest":"` + digest.Of([]byte(name)).String() + `"}]`
	}
	for name, tt := range map[string]struct {
		in   orchestrator.Inputs
		form string
		want string
	}{
		"all": {
			orchestrator.Inputs{Recipe: recipe, Sources: one("source"), Files: one("file"), Plugins: one("plugin"), Needs: one("need"), Epoch: 1_700_000_000},
			`{"recipe":"` + recipe.String() + `","sources":` + input("source") + `,"files":` + input("file") +
				`,"plugins":` + input("plugin") + `,"needs":` + input("need") + `,"epoch":1700000000}`,
			"sha256:7a276bc80ff73f079764f05fb9ff2497bfde55db35f62764929caee655ecc079",
		},
		"few": {
			orchestrator.Inputs{Recipe: recipe},
			`{"recipe":"` + recipe.String() + `","sources":[],"plugins":[],"epoch":0}`,
			"sha256:c863efa94fe02356c13fba07cf33a7bef86808d2e71f4206b76bfcee799603e3",
		},
	} {
		got, err := tt.in.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != tt.want || got != digest.Of([]byte(tt.form)) {
			t.Errorf("%s: the digest is %s, databases have %s; the form was\n%s", name, got, tt.want, tt.form)
		}
	}
}
