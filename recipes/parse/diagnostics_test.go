// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/recipes/diagnostics"
	"github.com/zfarm/zfarm/recipes/parse"
)

// someFaults returns the diagnostics of a recipe with a few faults.
func someFaults(t *testing.T) diagnostics.List {
	t.Helper()
	src, err := os.ReadFile("testdata/faults.hcl")
	if err != nil {
		t.Fatal(err)
	}
	_, diags := parse.Dir(folder(src), someSchemas{})
	return diags
}

func TestWriteText(t *testing.T) {
	diags := someFaults(t)
	for _, tt := range []struct {
		golden string
		width  int
		colour bool
	}{
		{"testdata/faults.txt", 0, false},
		{"testdata/faults-40.txt", 40, false},
		{"testdata/faults-colour.txt", 78, true},
	} {
		var b strings.Builder
		if err := diags.WriteText(&b, tt.width, tt.colour); err != nil {
			t.Fatal(err)
		}
		compareGolden(t, tt.golden, b.String())
		if !tt.colour && strings.Contains(b.String(), "\x1b") {
			t.Errorf("%s holds an escape", tt.golden)
		}
	}
	if err := diags.WriteText(brokenWriter{}, 0, false); !errors.Is(err, os.ErrClosed) {
		t.Errorf("WriteText to a closed file = %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestDiagnosticsJSON(t *testing.T) {
	diags := someFaults(t)
	b, err := json.Marshal(diags[:1])
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"severity":"error","summary":"Unsupported argument","detail":"There is no argument named \"verison\" in a port. Did you mean \"version\"?","file":"recipe.hcl","line":2,"column":3}]`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
	if b, err := json.Marshal(diagnostics.List(nil)); err != nil || string(b) != "[]" {
		t.Errorf("no diagnostics are written as %s, %v; want []", b, err)
	}
}

func TestDiagnosticsError(t *testing.T) {
	warning := diagnostics.Diagnostic{Severity: diagnostics.SeverityWarning, Summary: "W", File: "recipe.hcl"}
	fault := diagnostics.Diagnostic{Severity: diagnostics.SeverityError, Summary: "E", Detail: "D", File: "recipe.hcl", Line: 2, Column: 3}
	tests := []struct {
		diags diagnostics.List
		fails bool
		text  string
	}{
		{nil, false, "no faults"},
		{diagnostics.List{warning}, false, "W"},
		{diagnostics.List{fault}, true, "recipe.hcl:2,3: E; D"},
		{diagnostics.List{fault, warning, warning}, true, "recipe.hcl:2,3: E; D (and 2 more)"},
	}
	for _, tt := range tests {
		if tt.diags.HasErrors() != tt.fails || (tt.diags.Err() != nil) != tt.fails {
			t.Errorf("%v: HasErrors %v, Err %v; want errors %v", tt.diags, tt.diags.HasErrors(), tt.diags.Err(), tt.fails)
		}
		if got := tt.diags.Error(); got != tt.text {
			t.Errorf("Error() = %q, want %q", got, tt.text)
		}
	}
	var b strings.Builder
	if err := (diagnostics.List{warning}).WriteText(&b, 0, true); err != nil || b.String() != "\x1b[33mWarning\x1b[0m: W\n\n  on recipe.hcl\n\n" {
		t.Errorf("a warning is written as %q, %v", b.String(), err)
	}
}
