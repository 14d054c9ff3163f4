// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse_test

import (
	"bytes"
	"maps"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/recipes/parse"
)

func TestFormat(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"aligned", "port \"a\"   {\nversion=\"1\"\n\tsummary   =    \"x\"\n}", "port \"a\" {\n  version = \"1\"\n  summary = \"x\"\n}\n"},
		{"comments kept", "# a\nport \"a\" { # b\n      // c\n}\n\n\n", "# a\nport \"a\" { # b\n  // c\n}\n"},
		{"carriage returns", "port \"a\" {\r\n  version = \"1\"\r\n}\r\n", "port \"a\" {\n  version = \"1\"\n}\n"},
		{"heredoc kept", "port \"a\" {\nx = <<-E\n      one\n   two\n    E\n}\n", "port \"a\" {\n  x = <<-E\n      one\n   two\n    E\n}\n"},
		{"empty", " \n\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, diags := parse.Format([]byte(tt.in))
			if len(diags) > 0 {
				t.Fatal(diags)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, in := range []string{"port {", "a = \x1b", "a = \"%{if b}\""} {
		if got, diags := parse.Format([]byte(in)); !diags.HasErrors() || string(got) != in {
			t.Errorf("Format(%q) = %q, %v; want it unchanged, and errors", in, got, diags)
		}
	}
}

// TestFormatGood: the recipes among the test data are in the usual layout.
func TestFormatGood(t *testing.T) {
	for _, path := range []string{"testdata/good/gzip/recipe.hcl", "testdata/good/minimal/recipe.hcl", "testdata/good/worker/recipe.hcl", "testdata/good/rules/recipe.hcl"} {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, diags := parse.Format(src)
		if diff := cmp.Diff(string(src), string(got)); diff != "" || len(diags) > 0 {
			t.Errorf("%s: %v\n%s", path, diags, diff)
		}
	}
}

// seeds are sources to start fuzzing from.
func seeds(f *testing.F) {
	f.Helper()
	for _, path := range []string{"testdata/good/gzip/recipe.hcl", "testdata/good/minimal/recipe.hcl", "testdata/good/worker/recipe.hcl",
		"testdata/good/rules/recipe.hcl", "testdata/errors/rules.hcl", "testdata/faults.hcl", "testdata/errors/worker.hcl", "testdata/errors/growth.hcl", "testdata/errors/expressions.hcl", "testdata/errors/sources.hcl", "testdata/errors/plugins.hcl"} {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
}

func FuzzFormat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		once, diags := parse.Format(src)
		if diags.HasErrors() {
			return
		}
		twice, diags := parse.Format(once)
		if diags.HasErrors() || !bytes.Equal(once, twice) {
			t.Fatalf("formatting again, %v:\n%q\n%q", diags, once, twice)
		}
	})
}

// FuzzDir: a valid recipe means the same when it is formatted, and its digest
// is the same each time it is read.
func FuzzDir(f *testing.F) {
	seeds(f)
	files := folder(nil)
	with := func(recipe []byte) fstest.MapFS {
		fsys := maps.Clone(files)
		fsys["recipe.hcl"] = &fstest.MapFile{Data: recipe}
		return fsys
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fsys := with(src)
		r, diags := parse.Dir(fsys, someSchemas{})
		if (r == nil) != diags.HasErrors() {
			t.Fatalf("recipe %v beside %v", r, diags)
		}
		var text bytes.Buffer
		if err := diags.WriteText(&text, 80, false); err != nil || bytes.ContainsAny(text.Bytes(), "\x1b\x00\x7f") {
			t.Fatalf("the faults are told as %q, %v", &text, err)
		}
		if r == nil {
			return
		}
		formatted, diags := parse.Format(src)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if got, want := digestOf(t, with(formatted)), digestOf(t, fsys); got != want {
			t.Fatalf("the digest is %s, and %s when formatted", want, got)
		}
	})
}
