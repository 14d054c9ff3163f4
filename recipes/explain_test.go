// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
)

var update = flag.Bool("update", false, "write the golden files anew")

// odd is a recipe with names that could control a terminal.
func odd() *recipes.Recipe {
	file := recipes.File{Name: "keys/a.asc", Digest: digest.Of([]byte("key"))}
	return &recipes.Recipe{
		Port: "odd", Version: "1", Summary: "Clears\x1b[2J the screen", Licence: "MIT", Homepage: "https://example.org/",
		Categories: []string{"core"},
		Sources: []recipes.Source{{
			URL: "https://example.org/odd-1.tar.gz", SHA256: digest.Of([]byte("source")),
			Signature: &recipes.Signature{URL: "https://example.org/odd-1.tar.gz.asc", Key: file, Fingerprints: []string{"A", "B"}},
		}},
		Build:   recipes.Build{Plugin: "script", Limit: recipes.Duration(90 * time.Second), Block: json.RawMessage(`{"z":["\u202e"],"a":"x\ty"}`)},
		Tests:   []recipes.Test{{Plugin: "script", Block: json.RawMessage(`{}`), Limit: recipes.Duration(20 * time.Minute)}},
		Package: recipes.Package{Prefix: "/opt/odd", Include: []string{"bin/*"}},
		Reproduce: recipes.Reproduce{Repeats: 2, Tiers: []int{0, 1, 2}, Rules: []recipes.Rule{
			{Name: "hostile", Format: "text", Path: "a\x1b[2J", Pattern: "stamp\u202e(.*)", Tier: 2, Reason: "a\nb"},
			{Name: "json", Format: "json", Field: "/release/\x1b", Tier: 0, Reason: "it counts"},
		}},
	}
}

func TestExplain(t *testing.T) {
	var b strings.Builder
	if err := recipes.Explain(odd(), &b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/odd.explained"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got; mend by -update):\n%s", golden, diff)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Error("the explanation holds a control")
	}
	if err := recipes.Explain(odd(), brokenWriter{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Explain to a closed file = %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestFileName(t *testing.T) {
	for address, want := range map[string]string{
		"https://example.org/a/b-1.tar.gz":     "b-1.tar.gz",
		"https://example.org/a?file=b.tar.gz":  "a",
		"https://example.org/b%2B1.tar.gz":     "b+1.tar.gz",
		"https://example.org/a%2F..%2Fb":       "b",
		"https://example.org/a%2F..":           "",
		"https://example.org/":                 "",
		"https://example.org":                  "",
		"https://example.org/a/":               "",
		"https://example.org/.":                "",
		"https://example.org/\x00":             "",
		"https://example.org/archive/v1.0.zip": "v1.0.zip",
	} {
		if got := (recipes.Source{URL: address}).FileName(); got != want {
			t.Errorf("FileName of %q = %q, want %q", address, got, want)
		}
	}
}

// TestCanonicalReadsBack: the canonical form can be read back.
func TestCanonicalReadsBack(t *testing.T) {
	r := odd()
	text, err := r.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	_, form, ok := strings.Cut(string(text), "\n")
	if !ok {
		t.Fatalf("no first line in %q", text)
	}
	var again recipes.Recipe
	if err := json.Unmarshal([]byte(form), &again); err != nil {
		t.Fatal(err)
	}
	a, err := again.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := r.Digest(); err != nil || a != b {
		t.Errorf("digest %v after reading back, %v before (%v)", a, b, err)
	}
}
