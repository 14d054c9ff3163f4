// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/autotools"
	"github.com/zfarm/zfarm/plugins/script"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/recipes/schema"
	"github.com/zfarm/zfarm/recipes/source"
)

// shipped has the plugins that the recipes here use.
type shipped map[string]plugins.Plugin

func builtIn() shipped {
	return shipped{"autotools": autotools.New("test"), "script": script.New("test")}
}

func (s shipped) Plugins(string) []string { return slices.Sorted(maps.Keys(s)) }

func (s shipped) Schema(kind, plugin string) ([]schema.Attribute, error) {
	p, ok := s[plugin]
	if !ok {
		return nil, fmt.Errorf("no plugin %q", plugin)
	}
	described := p.Description.Builder
	if kind == parse.KindTest {
		described = p.Description.Tester
	}
	var list []schema.Attribute
	for _, a := range described.Attributes {
		list = append(list, schema.Attribute(a))
	}
	return list, nil
}

// each calls do with every recipe of this folder.
func each(t *testing.T, do func(t *testing.T, r *recipes.Recipe)) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		found++
		t.Run(e.Name(), func(t *testing.T) {
			root, err := os.OpenRoot(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			r, diagnostics := parse.Dir(root.FS(), builtIn())
			if len(diagnostics) != 0 || r == nil {
				t.Fatalf("the recipe is not clean: %v", diagnostics)
			}
			do(t, r)
		})
	}
	if found == 0 {
		t.Fatal("there is no recipe")
	}
}

// TestRecipes: each folder holds one port, which has the folder's name and a
// complete recipe.
func TestRecipes(t *testing.T) {
	each(t, func(t *testing.T, r *recipes.Recipe) {
		if name := filepath.Base(t.Name()); r.Port != name {
			t.Errorf("the folder is %s, the port %s", name, r.Port)
		}
		if r.Identity.PURL == "" || r.Identity.Upstream == "" || len(r.Tests) == 0 {
			t.Errorf("purl %q, upstream %q and %d tests: all are wanted", r.Identity.PURL, r.Identity.Upstream, len(r.Tests))
		}
		for _, s := range r.Tests {
			if s.MinTests == 0 {
				t.Errorf("test %s: min_tests is 0, so a suite that is lost would not be noticed", s.Plugin)
			}
		}
		if !slices.Equal(r.Reproduce.Tiers, []int{0}) || !slices.Equal(r.Reproduce.Vary, recipes.Variations()) {
			t.Errorf("reproduces %+v, want all varied and tier 0: what needs less must say why here", r.Reproduce)
		}
		for _, s := range r.Sources {
			if !strings.HasPrefix(s.URL, "https://") {
				t.Errorf("source %s is not fetched by https", s.URL)
			}
		}
	})
}

// TestMeasured: the comment at the top of each recipe says what was measured.
func TestMeasured(t *testing.T) {
	measured := regexp.MustCompile(`\A# Measured on [^:]+: ([0-9]+) tests`)
	each(t, func(t *testing.T, r *recipes.Recipe) {
		text, err := os.ReadFile(filepath.Join(r.Port, parse.FileName))
		if err != nil {
			t.Fatal(err)
		}
		found := measured.FindSubmatch(text)
		if found == nil {
			t.Fatal("it does not begin with what was measured")
		}
		var total int
		if _, err := fmt.Sscan(string(found[1]), &total); err != nil {
			t.Fatal(err)
		}
		if n := r.Tests[0].MinTests; n > total || n < total*9/10 {
			t.Errorf("min_tests is %d of %d tests measured: want nearly all of them", n, total)
		}
	})
}

// TestNeeds: every need of a recipe is shipped, too, in a matching version.
func TestNeeds(t *testing.T) {
	versions := map[string]string{}
	each(t, func(_ *testing.T, r *recipes.Recipe) { versions[r.Port] = r.Version })
	each(t, func(t *testing.T, r *recipes.Recipe) {
		for _, n := range r.Needs {
			if v, ok := versions[n.Port]; !ok || !n.Version.Has(v) {
				t.Errorf("it needs %s %s; shipped is %q", n.Port, n.Version, v)
			}
		}
	})
}

// TestNoLibtoolFiles: a port with libraries excludes libtool's own files,
// which name folders of the build's needs and would end up in ports that need
// it.
func TestNoLibtoolFiles(t *testing.T) {
	each(t, func(t *testing.T, r *recipes.Recipe) {
		libraries := slices.Contains(r.Categories, "library") && r.Port != "ncurses" // which has no libtool
		if libraries && !slices.Contains(r.Package.Exclude, "lib/*.la") {
			t.Error("lib/*.la is not excluded")
		}
	})
}

// TestNothingIsLeftOver: every file beside a recipe belongs to it.
func TestNothingIsLeftOver(t *testing.T) {
	each(t, func(t *testing.T, r *recipes.Recipe) {
		used := map[string]bool{parse.FileName: true}
		for _, s := range r.Sources {
			for _, p := range s.Patches {
				used[p.Name] = true
			}
			if s.Signature != nil {
				used[s.Signature.Key.Name] = true
			}
		}
		err := fs.WalkDir(os.DirFS(r.Port), ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !used[name] {
				t.Errorf("%s is used by nothing", name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestKeys: a key file is readable and holds an accepted key. The signature is
// a dummy: the error about it shows that nothing else was wrong.
func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, r *recipes.Recipe) {
		for _, s := range r.Sources {
			if s.Signature == nil {
				continue
			}
			_, err := source.Verify(strings.NewReader(""), []byte("none"), *s.Signature, time.Now())
			if !errors.Is(err, source.ErrSignatureBad) {
				t.Errorf("%s: %v", s.Signature.Key.Name, err)
			}
		}
	})
}

// reserved reports whether the note on a signature is the known one of the
// port. Somebody must check any other note.
func reserved(port, note string) bool {
	known := map[string]string{
		"less":    "SHA-1",       // of 2021, by a key of 2004
		"ncurses": "key expired", // six months later
		"xz":      "key expired", // a year later
	}[port]
	return (known == "") == (note == "") && strings.Contains(note, known)
}

// TestSources fetches the files that the recipes name from a mirror, verifies
// them, and unpacks them as they would reach a worker.
func TestSources(t *testing.T) {
	mirror := os.Getenv("ZFARM_MIRROR")
	if mirror == "" {
		t.Skip("set ZFARM_MIRROR to a folder with the archives that the recipes name, and their .sig files")
	}
	f, err := source.New(source.Options{Cache: t.TempDir(), Mirrors: []string{mirror}, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, r *recipes.Recipe) {
		for _, s := range r.Sources {
			got, err := f.Fetch(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if (s.Signature == nil) != (got.Signed == nil) {
				t.Errorf("signed by %+v", got.Signed)
			}
			if got.Signed != nil && !reserved(r.Port, got.Signed.Note) {
				t.Errorf("accepted with other reservations than are known: %q", got.Signed.Note)
			}
			file, err := os.Open(got.Path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close() //nolint:errcheck // read only
			plain, isArchive, err := source.Expand(s.FileName(), file)
			if err != nil || !isArchive {
				t.Fatalf("archive %v, %v", isArchive, err)
			}
			defer plain.Close()
			var out bytes.Buffer
			if info, err := source.RepackTar(plain, &out, s.Into); err != nil || info.Members == 0 || out.Len() == 0 {
				t.Errorf("%+v, %v", info, err)
			}
		}
	})
}
