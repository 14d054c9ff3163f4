// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/diagnostics"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/recipes/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

// someSchemas has a few plugins, good and bad ones.
type someSchemas struct{}

func (someSchemas) Plugins(kind string) []string {
	if kind == parse.KindBuild {
		return []string{"cmake", "autotools"}
	}
	return []string{"script", "autotools", "hostile", "broken"}
}

func (someSchemas) Schema(kind, plugin string) ([]schema.Attribute, error) {
	switch kind + " " + plugin {
	case "build autotools":
		return []schema.Attribute{
			{Name: "configure", Type: "list(string)"}, {Name: "env", Type: "map(string)"}, {Name: "make", Type: "list(string)"},
			{Name: "install", Type: "list(string)"}, {Name: "parallel", Type: "bool"}, {Name: "prefix", Type: "string"},
		}, nil
	case "test autotools":
		return []schema.Attribute{{Name: "check", Type: "string"}, {Name: "check_flags", Type: "list(string)"}, {Name: "env", Type: "map(string)"}}, nil
	case "test script":
		return []schema.Attribute{{Name: "script", Type: "string", Required: true}, {Name: "args", Type: "list(string)"}}, nil
	case "build cmake":
		return nil, nil
	case "test hostile":
		return []schema.Attribute{{Name: "limit", Type: "string"}}, nil
	}
	return nil, errors.New("it did not start")
}

// Check complains about scripts that are the word "false".
func (someSchemas) Check(kind, plugin string, block json.RawMessage) []parse.Complaint {
	if kind != parse.KindTest || plugin != "script" || !bytes.Contains(block, []byte(`"script":"false"`)) {
		return nil
	}
	return []parse.Complaint{
		{Attribute: "script", Message: "a script\nthat  fails"},
		{Attribute: "args[1]", Message: "second element"},
		{Attribute: "", Message: "nothing about the block"},
		{Attribute: "\x1b[2J", Message: "  "},
	}
}

// folder returns a recipe's folder with the files that the fixtures name.
func folder(recipe []byte) fstest.MapFS {
	return fstest.MapFS{
		"recipe.hcl":          {Data: recipe},
		"patches/zos.patch":   {Data: []byte("--- a\n+++ b\n")},
		"patches/empty.patch": {},
		"patches/large.patch": {Data: make([]byte, 16<<20+1)},
		"patches/link.patch":  {Data: []byte("zos.patch"), Mode: fs.ModeSymlink},
		"linked":              {Data: []byte("patches"), Mode: fs.ModeSymlink},
		"keys/gzip.asc":       {Data: []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")},
		"keys/private.asc":    {Data: []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n")},
	}
}

// TestErrors reads fixtures with "# ERROR: text" on each line that is wrong.
// Exactly these lines must have exactly these faults.
func TestErrors(t *testing.T) {
	paths, err := filepath.Glob("testdata/errors/*.hcl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("fixtures: %v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r, diags := parse.Dir(folder(src), someSchemas{})
			if r != nil {
				t.Error("a recipe was returned beside the errors")
			}
			wanted := wantedErrors(src)
			for _, d := range diags {
				i := slices.IndexFunc(wanted[d.Line], func(want string) bool { return strings.Contains(d.Summary+"\n"+d.Detail, want) })
				if i < 0 || d.Severity != diagnostics.SeverityError || d.File != "recipe.hcl" {
					t.Errorf("not wanted: %s line %d: %s: %s; %s", d.File, d.Line, d.Severity, d.Summary, d.Detail)
					continue
				}
				wanted[d.Line] = slices.Delete(wanted[d.Line], i, i+1)
			}
			for _, line := range slices.Sorted(maps.Keys(wanted)) {
				for _, want := range wanted[line] {
					t.Errorf("line %d: no error with %q", line, want)
				}
			}
		})
	}
}

func wantedErrors(src []byte) map[int][]string {
	wanted := make(map[int][]string)
	for i, line := range strings.Split(string(src), "\n") {
		for _, text := range strings.Split(line, "# ERROR:")[1:] {
			wanted[i+1] = append(wanted[i+1], strings.TrimSpace(text))
		}
	}
	return wanted
}

// parseGood parses a recipe without faults.
func parseGood(t testing.TB, fsys fs.FS) *recipes.Recipe {
	t.Helper()
	r, diags := parse.Dir(fsys, someSchemas{})
	if len(diags) > 0 {
		var b strings.Builder
		if err := diags.WriteText(&b, 100, false); err != nil {
			t.Fatal(err)
		}
		t.Fatal(b.String())
	}
	return r
}

func canonical(t testing.TB, r *recipes.Recipe) string {
	t.Helper()
	b, err := r.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGood(t *testing.T) {
	dirs, err := filepath.Glob("testdata/good/*/recipe.hcl")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("fixtures: %v, %v", dirs, err)
	}
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			r := parseGood(t, root.FS())
			compareGolden(t, dir+".canonical", canonical(t, r))
			var b strings.Builder
			if err := recipes.Explain(r, &b); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, dir+".explained", b.String())
		})
	}
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; mend by -update):\n%s", path, diff)
	}
}

// TestFolders reads real folders, in which links can lead anywhere.
func TestFolders(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "zos.patch"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("testdata/good/minimal/recipe.hcl")
	if err != nil {
		t.Fatal(err)
	}
	src = bytes.Replace(src, []byte("sha256 ="), []byte("patches = [\"patches/zos.patch\"]\n    sha256 ="), 1)
	for name, link := range map[string]struct{ at, to, want string }{
		"file":   {"patches/zos.patch", filepath.Join(outside, "zos.patch"), "patches/zos.patch is a symbolic link"},
		"folder": {"patches", outside, "patches is a symbolic link"},
		"recipe": {"recipe.hcl", filepath.Join(outside, "zos.patch"), "recipe.hcl is a symbolic link"},
		"inside": {"patches/zos.patch", "../recipe.hcl", "patches/zos.patch is a symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if link.at != "recipe.hcl" {
				if err := os.WriteFile(filepath.Join(dir, "recipe.hcl"), src, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link.at)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(link.to, filepath.Join(dir, link.at)); err != nil {
				t.Skipf("this file system has no symbolic links: %v", err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			r, diags := parse.Dir(root.FS(), someSchemas{})
			if r != nil || len(diags) != 1 || !strings.Contains(diags[0].Detail, link.want) {
				t.Errorf("Dir = %v, %v; want one error with %q", r, diags, link.want)
			}
		})
	}
	if _, diags := parse.Dir(fstest.MapFS{}, someSchemas{}); len(diags) != 1 || diags[0].Summary != "No recipe" {
		t.Errorf("Dir of an empty folder: %v, want No recipe", diags)
	}
}

// TestHostile reads sources that would crash HCL's parser, or a naive
// evaluation, if they were only longer. Guards must stop each of them.
func TestHostile(t *testing.T) {
	const n = 5000
	tests := map[string]struct{ src, want string }{
		"parentheses": {"a = " + strings.Repeat("(", n), "Nested too deeply"},
		"brackets":    {"a = " + strings.Repeat("[", n), "Nested too deeply"},
		"calls":       {"a = " + strings.Repeat("f(", n), "Nested too deeply"},
		"objects":     {"a = " + strings.Repeat("{a=", n), "Nested too deeply"},
		"blocks":      {strings.Repeat("a {\n", n), "Nested too deeply"},
		"templates":   {"a = " + strings.Repeat(`"${`, n), "Nested too deeply"},
		"mismatched":  {"a = " + strings.Repeat("(]", n), "Nested too deeply"},
		"not":         {"a = " + strings.Repeat("!", n) + "true", "Expression too long"},
		"minus":       {"a = " + strings.Repeat("-", n) + "1", "Expression too long"},
		"sums":        {"a = 1" + strings.Repeat("+1", n), "Expression too long"},
		"sum of rows": {"a = (1" + strings.Repeat("\n+1", n) + ")", "Expression too long"},
		"conditions":  {"a = " + strings.Repeat("a?b:", n) + "1", "Expression too long"},
		"splats":      {"a = b" + strings.Repeat("[*]", n), "Expression too long"},
		"old splats":  {"a = b" + strings.Repeat(".*", n), "Expression too long"},
		"indexes":     {"a = b" + strings.Repeat("[c]", n), "Expression too long"},
		"directives":  {`a = "` + strings.Repeat("%{if a}", n), "Directive in a string"},
		"heredoc":     {"a = <<E\n" + strings.Repeat("xx yy\n", n) + "E\n", "String too long"},
		"pieces":      {`a = "` + strings.Repeat("x$$", n) + "\"\n", "String too long"},
		"heredocs":    {strings.Repeat("a = <<E\n", n), "String too long"},
		"words":       {strings.Repeat("a ", 200_001), "Recipe too large"},
		"bytes":       {strings.Repeat("#\n", 1<<19+1), "No recipe"},
		"garbage":     {strings.Repeat("@ ", n), "Invalid character"},
		"arguments":   {strings.Repeat("a = 1\n", n), "Attribute redefined"},
		"newlines":    {strings.Repeat("a = \"\n", n), "Invalid multi-line string"},
		"digits":      {"a = " + strings.Repeat("9", n), "Invalid number"},
		"name":        {strings.Repeat("n", n) + " = 1", "Name too long"},
		"NUL":         {"\x00", "Invalid character"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, diags := parse.Dir(folder([]byte(tt.src)), someSchemas{})
			if r != nil || !diags.HasErrors() || diags[0].Summary != tt.want {
				t.Fatalf("%v, want %s", diags, tt.want)
			}
			if len(diags) > 101 {
				t.Errorf("%d diagnostics, want 101 at most", len(diags))
			}
			var b bytes.Buffer
			if err := diags.WriteText(&b, 80, true); err != nil {
				t.Fatal(err)
			}
			if b.Len() > 1<<20 {
				t.Errorf("the faults are told in %d bytes", b.Len())
			}
			if _, diags := parse.Format([]byte(tt.src)); !diags.HasErrors() {
				t.Error("Format: no error")
			}
		})
	}
}

// TestManyFaults: very many wrong names must not cost much.
func TestManyFaults(t *testing.T) {
	var b strings.Builder
	b.WriteString("port \"a\" {\n  categories = [")
	for i := range 3000 {
		fmt.Fprintf(&b, "versin%d, uppr(1), ", i)
	}
	b.WriteString("]\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "  versin%d = 1\n", i)
	}
	b.WriteString("}\n")
	_, diags := parse.Dir(folder([]byte(b.String())), someSchemas{})
	if len(diags) != 101 || diags[100].Summary != "Too many faults" {
		t.Fatalf("%d diagnostics, want 100 and that there are more", len(diags))
	}
}

// TestBound computes as much as is allowed, with values of many kinds.
func TestBound(t *testing.T) {
	src, err := os.ReadFile("testdata/good/minimal/recipe.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ expr, want string }{
		"nested loops":  {`[for a in ["x", "y"] : join("", [for b in ["1", "2"] : "${a}${b}"])]`, `["x1x2","y1y2"]`},
		"condition":     {`version == "668" && !contains(["a"], "b") ? ["yes"] : ["no"]`, `["yes"]`},
		"object":        {`[for k, v in { b = 1, (port) = 2 } : "${k}=${v}"]`, `["b=1","less=2"]`},
		"splat":         {`[{ n = "a" }, { n = "b" }][*].n`, `["a","b"]`},
		"filter":        {`[for x in split(",", "a,,b") : x if x != ""]`, `["a","b"]`},
		"grouped":       {`[for k, v in { for w in ["ab", "ac", "b"] : length(split("", w)) => w... } : "${k}${join("", v)}"]`, `["1b","2abac"]`},
		"index":         {`[["a", "b"][1], { x = "y" }["x"], { x = "z" }.x]`, `["b","y","z"]`},
		"strings":       {`[upper("ä"), lower("B"), replace("a.b", ".", "-"), trimprefix("v1", "v"), trimsuffix("a.c", ".c"), trimspace(" x ")]`, `["Ä","b","a-b","1","a","x"]`},
		"lists":         {`reverse(concat(["a"], [format("%s%%%q", "b", "c")]))`, `["b%\"c\"","a"]`},
		"length":        {`["${length(["a"])}", "${-5}", "${(1)}"]`, `["1","-5","1"]`},
		"version parts": {`[version_major]`, `["668"]`},
		"heredoc":       {"[<<-E\n      a\n        ${port}\n    E\n    ]", `["a\n  less\n"]`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(src), "autotools\" {}", "autotools\" {\n    configure = "+tt.expr+"\n  }", 1)
			r := parseGood(t, folder([]byte(changed)))
			if got := string(r.Build.Block); got != `{"configure":`+tt.want+`}` {
				t.Errorf("%s = %s, want %s", tt.expr, got, tt.want)
			}
		})
	}
}

// TestManyRules: the last rule that is allowed, and the one after it.
func TestManyRules(t *testing.T) {
	src, err := os.ReadFile("testdata/good/minimal/recipe.hcl")
	if err != nil {
		t.Fatal(err)
	}
	with := func(n int) fs.FS {
		var b strings.Builder
		b.WriteString("reproduce {\n")
		for i := range n {
			fmt.Fprintf(&b, "rule \"r%d\" {\nformat = \"text\"\npattern = \"stamp (.*)\"\ntier = 0\nreason = \"r\"\n}\n", i)
		}
		return folder([]byte(strings.Replace(string(src), "build \"autotools\"", b.String()+"}\nbuild \"autotools\"", 1)))
	}
	if r := parseGood(t, with(32)); len(r.Reproduce.Rules) != 32 {
		t.Errorf("%d rules, want 32", len(r.Reproduce.Rules))
	}
	if _, diags := parse.Dir(with(33), someSchemas{}); len(diags) != 1 || diags[0].Summary != "Too many blocks" {
		t.Errorf("33 rules: %v, want one fault", diags)
	}
}

func BenchmarkFiveHundred(b *testing.B) {
	dir := os.DirFS("testdata/good/gzip")
	fsys := fstest.MapFS{}
	for _, name := range []string{"recipe.hcl", "patches/zos.patch", "patches/another.patch", "keys/gzip.asc"} {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			b.Fatal(err)
		}
		fsys[name] = &fstest.MapFile{Data: data}
	}
	parseGood(b, fsys)
	for b.Loop() {
		for range 500 {
			if _, diags := parse.Dir(fsys, someSchemas{}); diags.HasErrors() {
				b.Fatal(diags)
			}
		}
	}
}
