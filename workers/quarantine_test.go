// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/workers"
)

// codeConstants reads the constants of QuarantineCode from the source, by name.
func codeConstants(t *testing.T) map[string]workers.QuarantineCode {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "quarantine.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]workers.QuarantineCode{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "QuarantineCode" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all[spec.Names[0].Name] = workers.QuarantineCode(text)
		}
		return true
	})
	if len(all) < 10 {
		t.Fatalf("found only %d codes: this test reads the wrong declarations", len(all))
	}
	return all
}

func TestQuarantineCodes(t *testing.T) {
	var declared []workers.QuarantineCode
	for name, code := range codeConstants(t) {
		if !strings.HasPrefix(name, "Quarantine") || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(string(code)) {
			t.Errorf("%s = %q: want a name that begins with Quarantine, and words of small letters with dashes", name, code)
		}
		declared = append(declared, code)
	}
	listed := workers.QuarantineCodes()
	labels := map[string]bool{}
	for _, code := range listed {
		label := code.Label()
		if label == "" || labels[label] || !code.Valid() {
			t.Errorf("code %q has the label %q, which is empty or that of another", code, label)
		}
		labels[label] = true
	}
	slices.Sort(declared)
	slices.Sort(listed)
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("constants and rows of quarantineLabels differ (-constants +rows):\n%s", diff)
	}
	if unknown := workers.QuarantineCode("of-tomorrow"); unknown.Valid() || unknown.Label() != "of-tomorrow" {
		t.Errorf("an unknown code: valid %t, label %q", unknown.Valid(), unknown.Label())
	}
}

// TestQuarantineCodesAreDocumented reads the table of docs/workers.md.
func TestQuarantineCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/workers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Quarantine\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []workers.QuarantineCode
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented = append(documented, workers.QuarantineCode(m[1]))
	}
	if diff := cmp.Diff(workers.QuarantineCodes(), documented); diff != "" {
		t.Errorf("docs/workers.md (-codes +documented):\n%s", diff)
	}
}

// TestQuarantineSwitches finds every switch over codes in this module: one without a
// default case names all of them.
func TestQuarantineSwitches(t *testing.T) {
	codes := codeConstants(t)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			if err == nil && entry.IsDir() && path != ".." && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")) {
				return filepath.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "Quarantine") {
			return err
		}
		missing, err := missedCodes(path, text, codes)
		for _, m := range missing {
			t.Error(m)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMissedQuarantineCodeIsFound(t *testing.T) {
	codes := codeConstants(t)
	for text, want := range map[string]int{
		"case workers.QuarantineClock:":                               1,
		"case workers.QuarantineClock:\ndefault:":                     0,
		"case \"something else\":":                                    0,
		"case workers.QuarantineClock, workers.QuarantineNoArchiver:": 1,
	} {
		missing, err := missedCodes("x.go", []byte("package x\nfunc f() {\nswitch c {\n"+text+"\n}\n}\n"), codes)
		if err != nil || len(missing) != want {
			t.Errorf("%q: found %q, %v; want %d switches", text, missing, err, want)
		}
	}
}

// missedCodes returns a sentence for each switch over codes that has neither a
// default case nor all of them.
func missedCodes(path string, text []byte, codes map[string]workers.QuarantineCode) ([]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, 0)
	if err != nil {
		return nil, err
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SwitchStmt)
		if !ok {
			return true
		}
		named, hasDefault := map[string]bool{}, false
		for _, c := range s.Body.List {
			clause := c.(*ast.CaseClause)
			hasDefault = hasDefault || clause.List == nil
			for _, e := range clause.List {
				name := ""
				switch e := e.(type) {
				case *ast.SelectorExpr:
					name = e.Sel.Name
				case *ast.Ident:
					name = e.Name
				}
				if _, known := codes[name]; known {
					named[name] = true
				}
			}
		}
		if len(named) == 0 || hasDefault {
			return true
		}
		for name := range codes {
			if !named[name] {
				found = append(found, files.Position(s.Pos()).String()+": a switch over quarantine codes has no default case and lacks "+name+" or others")
				break
			}
		}
		return true
	})
	return found, nil
}
