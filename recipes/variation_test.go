// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/recipes"
)

func TestParseVariation(t *testing.T) {
	for _, want := range recipes.Variations() {
		if got, err := recipes.ParseVariation(string(want)); got != want || err != nil {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	for name, want := range map[string]string{
		"timezon": `Did you mean "timezone"?`, "time_zone": `Did you mean "timezone"?`, "Path": `Did you mean "path"?`,
		"moon": "Known are: path, timezone, locale, umask, jobs, home, environment, worker.", "": "Known are: path",
	} {
		if v, err := recipes.ParseVariation(name); v != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", name, v, err)
		}
	}
}

// TestVariationsAreAllListed reads the constants of Variation from the source.
func TestVariationsAreAllListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []recipes.Variation
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			typ, ok := spec.Type.(*ast.Ident)
			if typed := ok && typ.Name == "Variation"; typed != strings.HasPrefix(spec.Names[0].Name, "Vary") {
				t.Errorf("%s: a variation has a name that begins with Vary and the type Variation", spec.Names[0].Name)
			} else if !typed {
				return true
			}
			for _, v := range spec.Values {
				literal, ok := v.(*ast.BasicLit)
				if !ok {
					t.Errorf("%s: declare it with its text, so that this test can read it", spec.Names[0].Name)
					continue
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				declared = append(declared, recipes.Variation(text))
			}
			return true
		})
	}
	listed := recipes.Variations()
	slices.Sort(declared)
	slices.Sort(listed)
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("constants and Variations differ (-constants +listed):\n%s", diff)
	}
}
