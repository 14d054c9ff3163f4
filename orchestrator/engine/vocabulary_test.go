// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
)

// page is a page of the documentation, by section.
type page map[string]string

func readPage(t *testing.T, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	p := page{}
	for _, section := range strings.Split("\n"+string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		p[title] = body
	}
	return p
}

// rows returns the second column of the table in a section, by the names in the first
// column.
func (p page) rows(t *testing.T, section string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| (.*) \\|$").FindAllStringSubmatch(p[section], -1) {
		for _, name := range code(m[1]) {
			rows[name] = m[2]
		}
	}
	if len(rows) == 0 {
		t.Fatalf("there is no table in section %q", section)
	}
	return rows
}

// code returns the text between backticks.
func code(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// predicate verifies the bundle of that kind in a release folder and returns the signed
// predicate, decoded as any reader does.
func (s *scene) predicate(kind string, artifact digest.Digest) map[string]any {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.out, "*."+kind+".sigstore.json"))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("bundles %q, %v", found, err)
	}
	bundle, err := os.ReadFile(found[0])
	if err != nil {
		s.t.Fatal(err)
	}
	verifier, err := cosign.NewVerifier(s.public)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := verifier.Verify(s.t.Context(), attest.Bundle(bundle), artifact)
	if err != nil {
		s.t.Fatal(err)
	}
	var w struct{ Predicate map[string]any }
	if err := json.Unmarshal(signed.JSON, &w); err != nil {
		s.t.Fatal(err)
	}
	return w.Predicate
}

func keysOf(v any) []string { return slices.Sorted(maps.Keys(v.(map[string]any))) }

// sorted returns each name once, without those to leave out.
func sorted(names []string, without ...string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(without, name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// TestSignedVocabulary compares a bundle signed by a build, the page about its
// predicate, and the variations of recipes with each other.
func TestSignedVocabulary(t *testing.T) {
	s := newScene(t, same, "w1", "w2")
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil {
		t.Fatalf("%+v, %v", c.Failure, err)
	}
	artifact := c.Artifacts[0].Digest
	predicate := s.predicate("reproducibility", artifact)
	doc := readPage(t, "reproducibility-v1.md")
	fields := doc.rows(t, "Fields")
	same := func(what string, page, signed []string) {
		t.Helper()
		if diff := cmp.Diff(page, signed); diff != "" {
			t.Errorf("%s (-page +bundle):\n%s", what, diff)
		}
	}
	// An identical build of a recipe without rules has no others.
	same("fields", sorted(slices.Collect(maps.Keys(fields)), "tier", "rules", "reason"), keysOf(predicate))

	var variations []string
	for _, v := range recipes.Variations() {
		variations = append(variations, string(v))
	}
	same("variations", slices.Sorted(maps.Keys(doc.rows(t, "Variations"))), sorted(variations))
	repeats := predicate["repeats"].([]any)
	for i, r := range repeats {
		repeat := r.(map[string]any)
		worker := repeat["worker"].(map[string]any)
		output := repeat["outputs"].([]any)[0].(map[string]any)
		same("repeat", sorted(code(fields["repeats"])), sorted(slices.Concat(keysOf(repeat), keysOf(worker), keysOf(output))))
		var absent []string
		if i == 0 {
			absent = []string{"environment"} // the baseline has no variable more
		}
		same("variations of a repeat", sorted(variations, absent...), keysOf(repeat["variations"]))
		if worker["name"] != repeat["variations"].(map[string]any)["worker"] {
			t.Errorf("made on %v, varied to %v", worker["name"], repeat["variations"])
		}
		attributes := keysOf(worker["attributes"])
		for _, name := range attributes {
			if !slices.Contains(code(doc["Worker attributes"]), name) {
				t.Errorf("the page does not name the worker attribute %q", name)
			}
		}
		for _, name := range []string{"host", "user"} {
			if !slices.Contains(attributes, name) {
				t.Errorf("worker attributes %q lack %q", attributes, name)
			}
		}
	}
	for _, v := range variations {
		if first, second := repeats[0].(map[string]any)["variations"], repeats[1].(map[string]any)["variations"]; first.(map[string]any)[v] == second.(map[string]any)[v] {
			t.Errorf("%s is %v in both repeats", v, first.(map[string]any)[v])
		}
	}
	provenance := s.predicate("provenance", artifact)
	internal := provenance["buildDefinition"].(map[string]any)["internalParameters"].(map[string]any)
	same("conditions of the provenance", sorted(append(variations, "SOURCE_DATE_EPOCH"), "environment"), keysOf(internal["conditions"]))
	same("internal parameters", slices.Sorted(maps.Keys(readPage(t, "buildtype-v1.md").rows(t, "internalParameters"))), keysOf(internal))
}

// TestOnlyWhatVariesIsAVariation: a condition that the recipe does not vary is no
// variation in the statement.
func TestOnlyWhatVariesIsAVariation(t *testing.T) {
	s := newScene(t, same, "w1", "w2")
	s.recipe.Reproduce.Vary = []recipes.Variation{recipes.VaryJobs, recipes.VaryHome}
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil {
		t.Fatalf("%+v, %v", c.Failure, err)
	}
	for _, r := range s.predicate("reproducibility", c.Artifacts[0].Digest)["repeats"].([]any) {
		if diff := cmp.Diff([]string{"home", "jobs"}, keysOf(r.(map[string]any)["variations"])); diff != "" {
			t.Errorf("(-want +have):\n%s", diff)
		}
	}
}
