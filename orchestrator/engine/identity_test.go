// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
)

// TestIdentityHolds: a submission has the identity that earlier versions gave it, as
// databases keep it. With another one, every build would be made once more.
func TestIdentityHolds(t *testing.T) {
	recipe := digest.Of([]byte("recipe"))
	for name, tt := range map[string]struct {
		needs []store.Need
		form  string
		want  string
	}{
		"without needs": {
			nil,
			`{"Recipe":"` + recipe.String() + `","Needs":null}`,
			"sha256:1823bcd4ed469edc9467c8e533a8ac6ce3bfb6b47211d9bc1f8918e84a482da3",
		},
		"with needs": {
			[]store.Need{{Port: "make", Build: "b1", At: []string{"build"}}, {Port: "zlib", Build: "b2", At: []string{"build", "run"}}},
			`{"Recipe":"` + recipe.String() + `","Needs":[{"port":"make","build":"b1","at":["build"]},{"port":"zlib","build":"b2","at":["build","run"]}]}`,
			"sha256:69d93b6e1d9800f08c83ced63ddd8a012c37ba2b9f278790126a26d0b14b26da",
		},
	} {
		got, err := identify(recipe, tt.needs)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != tt.want || got != digest.Of([]byte(tt.form)) {
			t.Errorf("%s: the identity is %s, databases have %s; the form was\n%s", name, got, tt.want, tt.form)
		}
	}
}

// TestPublishedVerdictHolds: verdict.json, which other programs read, has the form of
// its golden file. A new field is added there by hand; none of them may be renamed.
func TestPublishedVerdictHolds(t *testing.T) {
	c := &stageContext{recipe: &recipes.Recipe{Port: "gzip", Version: "1.12"}}
	c.compared.Packages = []stagevalue.Artifact{{Repeat: "baseline"}}
	c.compared.Verdict = compare.Verdict{
		Outcome: compare.Different, Tier: compare.Forbidden, Allowed: []compare.Tier{compare.Container, compare.Header, compare.Stamp},
		Findings: []compare.Finding{{Path: "gzip-1.12/bin/gzip", Field: "content", A: "41", B: "42", Offset: 7, Tier: compare.Forbidden,
			Cause: "the time of day", Evidence: "a date follows", Hunk: "-41\n+42"}},
		Omitted: 1, Fields: []compare.FieldCount{{Tier: compare.Forbidden, Field: "content", Findings: 2}},
		Members: 3, Differing: 2, Bytes: 99, Reason: "cut off",
	}
	extras, err := c.extras()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/verdict.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(extras[0].Data)); extras[0].Name != "verdict.json" || diff != "" {
		t.Errorf("%s is written otherwise (-golden +now):\n%s", extras[0].Name, diff)
	}
}
