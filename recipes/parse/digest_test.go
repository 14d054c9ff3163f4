// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes/parse"
)

// pinned is the digest of testdata/good/gzip. It may change only together with
// the name of the canonical form in recipes.Canonical, because existing builds
// and statements refer to recipes by digest.
const pinned = "sha256:4c95b58e2f193da36b04db6574dc826439593ce901f3f6827851b649e7ecf261"

// gzipFolder returns a copy of testdata/good/gzip that a test may change.
func gzipFolder(t testing.TB) fstest.MapFS {
	t.Helper()
	dir := os.DirFS("testdata/good/gzip")
	fsys := fstest.MapFS{}
	for _, name := range []string{"recipe.hcl", "patches/zos.patch", "patches/another.patch", "keys/gzip.asc"} {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return fsys
}

// edit replaces text, which must be present.
func edit(t testing.TB, fsys fstest.MapFS, name, before, after string) {
	t.Helper()
	old := string(fsys[name].Data)
	if !strings.Contains(old, before) {
		t.Fatalf("%s does not hold %q", name, before)
	}
	fsys[name].Data = []byte(strings.Replace(old, before, after, 1))
}

func digestOf(t testing.TB, fsys fs.FS) digest.Digest {
	t.Helper()
	d, err := parseGood(t, fsys).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDigestPinned(t *testing.T) {
	if got := digestOf(t, gzipFolder(t)).String(); got != pinned {
		t.Errorf("the digest of testdata/good/gzip is %s, want %s: the canonical form has changed", got, pinned)
	}
}

func TestDigestOfSameMeaning(t *testing.T) {
	tests := map[string][2]string{
		"comment":              {"port \"gzip\" {", "// another comment\nport \"gzip\" {"},
		"spacing":              {"version    = \"1.12\"", "version=\"1.12\""},
		"order of arguments":   {"    purl     = \"pkg:generic/gnu/gzip@${version}\"\n    cpes     = [\"cpe:2.3:a:gnu:gzip:${version}:*:*:*:*:*:*:*\"]\n", "    cpes     = [\"cpe:2.3:a:gnu:gzip:${version}:*:*:*:*:*:*:*\"]\n    purl     = \"pkg:generic/gnu/gzip@${version}\"\n"},
		"order of blocks":      {"  tool \"make\" { version = \">= 4.0\" }\n  tool \"awk\" {}\n", "  tool \"awk\" {}\n  tool \"make\" { version = \">= 4.0\" }\n"},
		"order of needs":       {"  need \"zlib\" {}\n", ""},
		"interpolation":        {"gzip-${version}.tar.xz", "gzip-1.12.tar.xz"},
		"order of categories":  {`["core", "compression"]`, `["compression", "core", "core"]`},
		"order of variations":  {`["timezone", "path"]`, `["path", "timezone", "path"]`},
		"order of tiers":       {"[1, 0, 1]", "[0, 1]"},
		"order of times":       {`["run", "build"]`, `["build", "run"]`},
		"order of patterns":    {`["share/info/dir", "lib/*.la"]`, `["lib/*.la", "share/info/dir"]`},
		"order of failures":    {"    known_failure \"zgrep-signal\" { reason = \"Signals arrive late\" }\n    known_failure \"help-version\" { reason = \"No /dev/full there\" }\n", "    known_failure \"help-version\" { reason = \"No /dev/full there\" }\n    known_failure \"zgrep-signal\" { reason = \"Signals arrive late\" }\n"},
		"default signature":    {"      key          = \"keys/gzip.asc\"", "      key          = \"keys/gzip.asc\"\n      url          = \"https://ftp.gnu.org/gnu/gzip/gzip-1.12.tar.xz.sig\""},
		"default limit":        {"  test \"script\" {", "  test \"script\" {\n    limit = \"240m\"\n    min_tests = 0"},
		"default prefix":       {"  package {", "  package {\n    prefix = \"/opt/zfarm/gzip/1.12\""},
		"default include":      {"    include = [\"**\"]\n", ""},
		"default into":         {"    patches = ", "    into    = \"\"\n    patches = "},
		"default need":         {"  need \"zlib\" {}", "  need \"zlib\" {\n    at      = [\"build\"]\n    version = null\n  }"},
		"range":                {`">= 6.4"`, `">=6.4,>= 6.4"`},
		"fingerprint":          {"155D 3FC5 00C8 3448 6D1E  EA67 7FD9 FCCB 000B EEEE", "155d3fc500c834486d1eea677fd9fccb000beeee"},
		"checksum":             {"ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956", "sha256:CE5E03E519F637E1F814011ACE35C4F87B33C0BBABEEC35BAF5FBD3479E91956"},
		"licence":              {`"GPL-3.0-or-later"`, `" GPL-3.0-or-later "`},
		"null in a plugin":     {"    install  = null\n", ""},
		"loop written out":     {`concat(["--disable-nls"], [for x in split(" ", "gcc-warnings rpath") : "--disable-${x}"])`, `["--disable-nls", "--disable-gcc-warnings", "--disable-rpath"]`},
		"order in a map":       {"      CFLAGS            = format(\"-O2 -DNAME=%q\", upper(port))\n      gl_cv_func_printf = \"yes\"\n", "      \"gl_cv_func_printf\" = \"yes\", CFLAGS = \"-O2 -DNAME=\\\"GZIP\\\"\"\n"},
		"empty worker":         {"  tool \"awk\" {}\n", "  tool \"awk\" {}\n  worker {\n    labels = []\n    release = \"\"\n    system = null\n  }\n"},
		"limit in other words": {`"28h"`, `"27h60m"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			fsys := gzipFolder(t)
			edit(t, fsys, "recipe.hcl", tt[0], tt[1])
			if name == "order of needs" {
				edit(t, fsys, "recipe.hcl", "  tool \"awk\" {}\n", "  need \"zlib\" {}\n  tool \"awk\" {}\n")
			}
			if got := digestOf(t, fsys).String(); got != pinned {
				t.Errorf("the digest is another, of\n%s", canonical(t, parseGood(t, fsys)))
			}
		})
	}
	formatted := gzipFolder(t)
	out, diags := parse.Format(formatted["recipe.hcl"].Data)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	formatted["recipe.hcl"].Data = out
	if got := digestOf(t, formatted).String(); got != pinned {
		t.Error("formatting changes the digest")
	}
	unrelated := gzipFolder(t)
	unrelated["notes.txt"] = &fstest.MapFile{Data: []byte("not named by the recipe")}
	if got := digestOf(t, unrelated).String(); got != pinned {
		t.Error("a file that the recipe does not name changes the digest")
	}
}

func TestDigestOfOtherMeaning(t *testing.T) {
	tests := map[string][3]string{
		"patch":             {"patches/zos.patch", "new", "nev"},
		"key":               {"keys/gzip.asc", "mDME", "mDMF"},
		"name":              {"recipe.hcl", `port "gzip"`, `port "gzip2"`},
		"version":           {"recipe.hcl", `version    = "1.12"`, `version    = "1.13"`},
		"summary":           {"recipe.hcl", "compression program", "Compression program"},
		"licence":           {"recipe.hcl", "GPL-3.0-or-later", "GPL-3.0-only"},
		"order of patches":  {"recipe.hcl", `["patches/zos.patch", "patches/another.patch"]`, `["patches/another.patch", "patches/zos.patch"]`},
		"checksum":          {"recipe.hcl", "ce5e", "de5e"},
		"into":              {"recipe.hcl", `into   = "tests/more"`, `into   = "tests"`},
		"need":              {"recipe.hcl", `">= 6.4"`, `">= 6.5"`},
		"when needed":       {"recipe.hcl", `["run", "build"]`, `["run"]`},
		"tool":              {"recipe.hcl", `tool "awk"`, `tool "gawk"`},
		"limit":             {"recipe.hcl", `"28h"`, `"29h"`},
		"label":             {"recipe.hcl", `tool "awk" {}`, `worker { labels = ["zos-3.1"] }` + "\n" + `tool "awk" {}`},
		"value of a label":  {"recipe.hcl", `tool "awk" {}`, `worker { labels = ["zos=3.1"] }` + "\n" + `tool "awk" {}`},
		"system":            {"recipe.hcl", `tool "awk" {}`, `worker { system = "OS/390" }` + "\n" + `tool "awk" {}`},
		"release":           {"recipe.hcl", `tool "awk" {}`, `worker { release = ">= 28" }` + "\n" + `tool "awk" {}`},
		"value of a block":  {"recipe.hcl", `parallel = false`, `parallel = true`},
		"absent value":      {"recipe.hcl", `parallel = false`, ``},
		"empty value":       {"recipe.hcl", `install  = null`, `install  = []`},
		"order in a list":   {"recipe.hcl", "gcc-warnings rpath", "rpath gcc-warnings"},
		"plugin":            {"recipe.hcl", `build "autotools" {`, `build "cmake" {}` + "\n" + `/*`},
		"smallest suite":    {"recipe.hcl", `min_tests = 20`, `min_tests = 21`},
		"known failure":     {"recipe.hcl", `"zgrep-signal"`, `"zgrep-context"`},
		"reason":            {"recipe.hcl", "Signals arrive late", "Signals arrive early"},
		"no known failure":  {"recipe.hcl", `    known_failure "zgrep-signal" { reason = "Signals arrive late" }`, ``},
		"script":            {"recipe.hcl", `gzip ${version}$'`, `gzip'`},
		"package":           {"recipe.hcl", `"lib/*.la"`, `"lib/*.a"`},
		"repeats":           {"recipe.hcl", `repeats = 3`, `repeats = 4`},
		"variations":        {"recipe.hcl", `["timezone", "path"]`, `["timezone"]`},
		"tiers":             {"recipe.hcl", `[1, 0, 1]`, `[0]`},
		"fingerprint":       {"recipe.hcl", "155D", "155E"},
		"address":           {"recipe.hcl", "https://ftp.gnu.org", "https://ftpmirror.gnu.org"},
		"identity":          {"recipe.hcl", "git.savannah.gnu.org/git", "git.savannah.gnu.org/r"},
		"further signature": {"recipe.hcl", `key          = "keys/gzip.asc"`, `key          = "keys/gzip.asc"` + "\n" + `url = "https://example.org/a.sig"`},
	}
	seen := map[string]string{pinned: "the recipe itself"}
	for name, tt := range tests {
		fsys := gzipFolder(t)
		edit(t, fsys, tt[0], tt[1], tt[2])
		if name == "plugin" {
			edit(t, fsys, "recipe.hcl", "  test \"autotools\" {", "*/\n  test \"autotools\" {")
		}
		got := digestOf(t, fsys).String()
		if other, ok := seen[got]; ok {
			t.Errorf("%s: the digest is that of %s", name, other)
		}
		seen[got] = name
	}
}

// TestDigestOfWorker: the worker block means the same in any order and spacing.
func TestDigestOfWorker(t *testing.T) {
	src, err := os.ReadFile("testdata/good/worker/recipe.hcl")
	if err != nil {
		t.Fatal(err)
	}
	want := digestOf(t, folder(src))
	for _, change := range [][2]string{
		{`["zos-3.1", "compiler=openxl"]`, `["compiler=openxl", "zos-3.1"]`},
		{`"< 31,>=28"`, `">= 28, < 31, >=28"`},
	} {
		fsys := folder(src)
		edit(t, fsys, "recipe.hcl", change[0], change[1])
		if got := digestOf(t, fsys); got != want {
			t.Errorf("with %s the digest is %s, want %s", change[1], got, want)
		}
	}
}

// rulesFolder returns the recipe with rules, with a text replaced.
func rulesFolder(t *testing.T, before, after string) fs.FS {
	t.Helper()
	src, err := os.ReadFile("testdata/good/rules/recipe.hcl")
	if err != nil {
		t.Fatal(err)
	}
	fsys := folder(src)
	edit(t, fsys, "recipe.hcl", before, after)
	return fsys
}

// TestDigestOfRules: the order of rules has no meaning; everything in a rule
// has.
func TestDigestOfRules(t *testing.T) {
	const counter = "    rule \"counter\" {\n      format = \"json\"\n      field  = \"/release/~0count\"\n      tier   = 0\n      reason = \"counts up\"\n    }\n"
	want := digestOf(t, rulesFolder(t, "", ""))
	same := map[string][2]string{
		"order of rules":         {"tiers   = [0, 2]\n", "tiers   = [0, 2]\n" + counter},
		"path of nothing":        {"field  = \"/release/~0count\"\n", "field  = \"/release/~0count\"\npath = \"\"\n"},
		"pattern in other words": {`"^cf_time='(.*)'$"`, `"^cf_${"time"}='(.*)'$"`},
	}
	for name, change := range same {
		fsys := rulesFolder(t, change[0], change[1]).(fstest.MapFS)
		if name == "order of rules" {
			text := string(fsys["recipe.hcl"].Data)
			last := strings.LastIndex(text, counter)
			fsys["recipe.hcl"].Data = []byte(text[:last] + text[last+len(counter):])
		}
		if got := digestOf(t, fsys); got != want {
			t.Errorf("%s: the digest is another, of\n%s", name, canonical(t, parseGood(t, fsys)))
		}
	}
	seen := map[string]string{want.String(): "the recipe itself"}
	for name, change := range map[string][2]string{
		"name": {`"perl.configured"`, `"perl.configure"`}, "format": {`"bytes"`, `"text"`}, "path": {"perl5/*", "perl5/?"},
		"field": {"~0count", "count"}, "pattern": {"cf_time", "cf_date"}, "tier": {"tier   = 0", "tier   = 2"},
		"reason": {"counts up", "counts"}, "no path": {`path    = "lib/perl5/*/Config.pm"`, ""},
	} {
		got := digestOf(t, rulesFolder(t, change[0], change[1])).String()
		if other, ok := seen[got]; ok {
			t.Errorf("%s: the digest is that of %s", name, other)
		}
		seen[got] = name
	}
}
