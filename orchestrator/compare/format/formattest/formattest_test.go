// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package formattest_test

import (
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/formattest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/registry"
)

// packageOf returns the package of a format, which is that of its function Is.
func packageOf(f format.Format) string {
	name := path.Base(runtime.FuncForPC(reflect.ValueOf(f.Is).Pointer()).Name())
	pkg, _, _ := strings.Cut(name, ".")
	return pkg
}

// TestFormats runs the suite over every sample of every format: the files in its
// package's testdata that it detects.
func TestFormats(t *testing.T) {
	known := registry.New()
	means := func(name string) bool { _, ok := known.Lookup(name); return ok }
	for _, f := range registry.All() {
		t.Run(packageOf(f), func(t *testing.T) {
			t.Parallel()
			samples := 0
			files, err := filepath.Glob(filepath.Join("..", packageOf(f), "testdata", "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range files {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if !f.Is(b[:min(len(b), 512)]) {
					continue
				}
				samples++
				t.Run(filepath.Base(name), func(t *testing.T) { formattest.Check(t, f, b, means) })
			}
			if samples == 0 {
				t.Errorf("%s has no sample: put one into the folder testdata of its package", f.Name)
			}
		})
	}
}

// TestEachSampleIsOfOneFormat checks that each sample is detected by its own row,
// in the order of the registry.
func TestEachSampleIsOfOneFormat(t *testing.T) {
	r := registry.New()
	for _, f := range registry.All() {
		files, err := filepath.Glob(filepath.Join("..", packageOf(f), "testdata", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			head := b[:min(len(b), 512)]
			if !f.Is(head) {
				continue
			}
			if first, ok := r.Find(head, head, func(format.Format) bool { return true }); !ok || first.Name != f.Name {
				t.Errorf("%s is found as %q, not as %q", name, first.Name, f.Name)
			}
		}
	}
}

// TestRows checks that each row is complete, no field has two meanings or lacks a
// gravity, and each format has a page.
func TestRows(t *testing.T) {
	meanings := map[string]format.Field{}
	pages := pagesText(t)
	for _, f := range registry.All() {
		readers := 0
		for _, has := range []bool{f.Open != nil, f.Spans != nil, f.Layout != nil, f.Set != nil, f.Archive, f.Document} {
			if has {
				readers++
			}
		}
		if f.Name == "" || f.Is == nil || readers != 1 {
			t.Errorf("%q: it has %d ways to be read, and needs a name and one", f.Name, readers)
		}
		for _, x := range f.Fields {
			if known, ok := meanings[x.Name]; ok && known != x {
				t.Errorf("%q: field %s means %+v, and %+v to another format", f.Name, x.Name, x, known)
			}
			meanings[x.Name] = x
			if x.Gravity == format.Unset {
				t.Errorf("%q: field %s has no gravity: name one, if it is format.Ordinary", f.Name, x.Name)
			}
		}
		if want := "`orchestrator/compare/format/" + packageOf(f) + "`"; !strings.Contains(pages, want) {
			t.Errorf("%q: no page of docs/formats names %s", f.Name, want)
		}
	}
}

func pagesText(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "..", "docs", "formats", "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	var out strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	return out.String()
}
