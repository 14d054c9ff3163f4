// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farmfile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/recipes/diagnostics"
)

var update = flag.Bool("update", false, "write the golden files anew")

func read(t testing.TB, path string) []byte {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func text(t testing.TB, d diagnostics.List, width int, colour bool) string {
	t.Helper()
	var b strings.Builder
	if err := d.WriteText(&b, width, colour); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, path)), got); diff != "" {
		t.Errorf("%s (-want +got; mend by -update):\n%s", path, diff)
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
			src := read(t, path)
			farm, diags := farmfile.Read(src, "farm.hcl")
			if farm != nil || diags.Err() == nil {
				t.Error("a farm was returned, or no error")
			}
			wanted := wantedErrors(src)
			for _, d := range diags {
				if d.Severity == diagnostics.SeverityWarning {
					continue
				}
				i := slices.IndexFunc(wanted[d.Line], func(want string) bool { return strings.Contains(d.Summary+"\n"+d.Detail, want) })
				if i < 0 || d.File != "farm.hcl" {
					t.Errorf("not wanted: %s line %d: %s; %s", d.File, d.Line, d.Summary, d.Detail)
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

func TestGood(t *testing.T) {
	for _, name := range []string{"minimal", "full"} {
		t.Run(name, func(t *testing.T) {
			path := "testdata/good/" + name
			farm, diags := farmfile.Read(read(t, path+".hcl"), "/etc/zfarm/farm.hcl")
			if diags.HasErrors() || (name == "full") != (len(diags) == 0) {
				t.Fatal(text(t, diags, 100, false))
			}
			got, err := json.MarshalIndent(farm, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, path+".json", string(got)+"\n")
		})
	}
}

// TestForeignLineEnds: a file with another system's line ends means the same.
func TestForeignLineEnds(t *testing.T) {
	src := read(t, "testdata/good/full.hcl")
	want, _ := farmfile.Read(src, "farm.hcl")
	got, diags := farmfile.Read(bytes.ReplaceAll(src, []byte("\n"), []byte("\r\n")), "farm.hcl")
	if got == nil {
		t.Fatal(diags)
	}
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "plan") }, cmp.Ignore())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRendering(t *testing.T) {
	src := read(t, "testdata/faults.hcl")
	farm, diags := farmfile.Read(src, "farm.hcl")
	if farm != nil {
		t.Error("a farm beside errors")
	}
	compareGolden(t, "testdata/faults.txt", text(t, diags, 100, false))
	compareGolden(t, "testdata/faults-40.txt", text(t, diags, 40, false))
	compareGolden(t, "testdata/faults-colour.txt", text(t, diags, 100, true))
	got, err := json.MarshalIndent(diags, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/faults.json", string(got)+"\n")
	if want := `farm.hcl:3,3: Unsupported argument; An argument named "databse" is not expected here. Did you mean "database"? (and 6 more)`; diags.Error() != want {
		t.Errorf("Error() = %s\nwant      %s", diags.Error(), want)
	}
}

// TestPasswords: passwords are not shown, whatever is wrong with them.
func TestPasswords(t *testing.T) {
	for name, src := range map[string]string{
		"database":        `farm "a" { database = "postgres://zfarm:hunter2@db/zfarm" }`,
		"query":           `farm "a" { database = "postgres://zfarm@db/zfarm?password=hunter2" }`,
		"wrong database":  `farm "a" { database = "mysql://zfarm:hunter2@db/zfarm" }`,
		"broken database": `farm "a" { database = "postgres://zfarm:hunter2@db:port/zfarm" }`,
		"worker":          `worker "a" { address = "ssh://build:hunter2@host/u/zfarm" }`,
		"broken worker":   `worker "a" { address = "ssh://build:hunter2@host:port/u/zfarm" }`,
		"mirror":          `farm "a" { mirrors = ["https://me:hunter2@example.com/"] }`,
		"broken mirror":   `farm "a" { mirrors = ["https://me:hunter2@example.com:port/"] }`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, src := range []string{src, strings.TrimSuffix(src, " }") + "\n}", src + " }"} { // the others cannot be parsed
				_, diags := farmfile.Read([]byte(src), "farm.hcl")
				shown := text(t, diags, 0, false) + diags.Error()
				b, err := json.Marshal(diags)
				if err != nil {
					t.Fatal(err)
				}
				if shown += string(b); len(diags) == 0 || strings.Contains(shown, "hunter2") {
					t.Errorf("shown:\n%s", shown)
				}
			}
		})
	}
	farm, diags := farmfile.Read([]byte(`farm "a" { database = "postgres://zfarm:hunter2@db/zfarm" }`), "farm.hcl")
	if farm == nil || !strings.Contains(farm.Database, "hunter2") || !slices.ContainsFunc(diags, func(d diagnostics.Diagnostic) bool { return d.Summary == "Password in the file" }) {
		t.Errorf("a password in the database's address: %v, %v; want it taken, with a warning", farm, diags)
	}
}

// TestHostile reads sources that would crash HCL's parser if they were only
// longer.
func TestHostile(t *testing.T) {
	const n = 40_000
	for name, src := range map[string]string{
		"brackets":  strings.Repeat("a = [\n", n),
		"blocks":    strings.Repeat("a {\n", n),
		"templates": `a = "` + strings.Repeat("${\n", n),
		"minus":     "a = (" + strings.Repeat("-\n", n),
		"long line": "a = " + strings.Repeat("-", 5000),
		"large":     strings.Repeat("#\n", 1<<17+1),
		"workers":   strings.Repeat("worker \"a\" {}\n", 15_000),
		"names":     strings.Repeat("wrker \"a\" {}\n", 15_000),
		"NUL":       "farm \"a\" {}\x00",
		"escape":    "farm \"\x1b[2J\" {}",
		"escaped":   `farm "\u001b[2J\u202e" {}`,
		"encoding":  "farm \"\xff\" {}",
		"return":    "farm \"a\" {}\rfarm \"b\" {}",
	} {
		t.Run(name, func(t *testing.T) {
			farm, diags := farmfile.Read([]byte(src), "farm\x1b.hcl")
			if farm != nil || !diags.HasErrors() || len(diags) > 101 {
				t.Fatalf("%v, %d diagnostics: %v", farm, len(diags), diags)
			}
			shown := text(t, diags, 80, false)
			if len(shown) > 1<<18 || strings.ContainsAny(shown, "\x1b\u202e\r\x00") {
				t.Errorf("%d bytes: %.300q", len(shown), shown)
			}
		})
	}
}

func TestTooManyFaults(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "worker \"w%d\" {}\n", i)
	}
	_, diags := farmfile.Read([]byte(b.String()), "farm.hcl")
	if len(diags) != 101 || diags[100].Summary != "Too many faults" {
		t.Errorf("%d diagnostics, the last: %v", len(diags), diags[len(diags)-1])
	}
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"90d": 90 * day, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "1.5h": 90 * time.Minute, "36500d": 36500 * day, "never": 0,
		"1d30m0s": day + 30*time.Minute,
		// refused:
		"": -1, "d": -1, "-5d": -1, "5": -1, "1h1d": -1, "1d-1h": -1, "1 d": -1, "1.5d": -1, "+3h": -1, "99999999999999999999d": -1, "36501d": -1, "NEVER": -1, "9000000h": -1,
	} {
		farm, diags := farmfile.Read(fmt.Appendf(nil, "farm \"a\" {}\nretention { builds = %q }", s), "farm.hcl")
		switch {
		case want < 0 && farm != nil:
			t.Errorf("%q is taken as %v", s, farm.Retention.Builds)
		case want >= 0 && (farm == nil || farm.Retention.Builds != want):
			t.Errorf("%q: %v, want %v", s, diags, want)
		}
	}
}

func TestListen(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8473": true, "[::1]:8473": true, "localhost:0": true, "127.1.2.3:1": true, "[::ffff:127.0.0.1]:1": true,
		":8473": false, "0.0.0.0:8473": false, "[::]:8473": false, "10.0.0.7:8473": false, "farm.example.com:8473": false, "localhost.example.com:1": false,
	} {
		farm, diags := farmfile.Read(fmt.Appendf(nil, "farm \"a\" { listen = %q }", address), "farm.hcl")
		if (farm != nil) != want {
			t.Errorf("%s: %v, want it taken: %t", address, diags, want)
		}
		insecure := fmt.Appendf(nil, "farm \"a\" {\n listen = %q\n insecure = true\n}", address)
		if farm, diags := farmfile.Read(insecure, "farm.hcl"); farm == nil || farm.Listen != address || !farm.Insecure {
			t.Errorf("%s, insecure: %v", address, diags)
		}
	}
}

func TestPatience(t *testing.T) {
	for src, want := range map[string]time.Duration{
		``:                                  10 * time.Minute,
		`worker "a" { address = "local:" }`: 10 * time.Minute,
		"worker \"a\" {\n address = \"local:\"\n lease = \"4m\"\n}": 2 * time.Minute,
		`scheduling { patience = "29m" }`:                           29 * time.Minute,
	} {
		farm, diags := farmfile.Read([]byte("farm \"a\" {}\n"+src), "farm.hcl")
		if farm == nil || farm.Patience != want {
			t.Errorf("%s: %v, want %v", src, diags, want)
		}
	}
}

func TestNext(t *testing.T) {
	zone := time.FixedZone("ZFA", 12*3600)
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tt := range []struct{ cron, after, want string }{
		{"0 3 * * 0", "2024-05-01T00:00:00Z", "2024-05-05T03:00:00Z"},
		{"0 3 * * 0", "2024-05-05T03:00:00Z", "2024-05-12T03:00:00Z"}, // never the same time again
		{"0 3 * * SUN", "2024-05-05T02:59:59Z", "2024-05-05T03:00:00Z"},
		{"  0   3 29 2 * ", "2024-05-01T00:00:00Z", "2028-02-29T03:00:00Z"},
		{"@monthly", "2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z"},
		{"*/15 8-10 * * 1-5", "2024-05-03T10:45:00Z", "2024-05-06T08:00:00Z"},
	} {
		src := fmt.Appendf(nil, "farm \"a\" {}\nrebuild \"x\" { cron = %q }", strings.TrimSpace(tt.cron))
		farm, diags := farmfile.Read(src, "farm.hcl")
		if farm == nil {
			t.Errorf("%s: %v", tt.cron, diags)
			continue
		}
		// The caller's zone must not matter.
		if got := farm.Rebuilds[0].Next(at(tt.after).In(zone)); !got.Equal(at(tt.want)) || got.Location() != time.UTC {
			t.Errorf("%s after %s: %s, want %s", tt.cron, tt.after, got, tt.want)
		}
	}
	if got := (farmfile.Rebuild{Cron: "@daily"}).Next(time.Now()); !got.IsZero() {
		t.Errorf("Next of a Rebuild that was not read = %v", got)
	}
}

// writeNamed makes the files that an example names, empty ones.
func writeNamed(t *testing.T, dir, src string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)\b(cert|key|password_file|public|known_hosts|path) += "(?:file:)?([^"/][^"]*)"|identity += \["([^"/][^"]*)"\]`).FindAllStringSubmatch(src, -1) {
		file := filepath.Join(dir, m[2]+m[3])
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	src := strings.ReplaceAll(string(read(t, "testdata/good/full.hcl")), "/usr/local/bin/zfarm", "plugins/autotools")
	path := filepath.Join(dir, farmfile.FileName)
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	_, diags := farmfile.Load(path)
	missing := 0
	for _, d := range diags {
		if d.Summary != "Missing file" || d.Line == 0 || !strings.Contains(d.Detail, dir) {
			t.Errorf("%+v", d)
		}
		missing++
	}
	if missing != 8 {
		t.Errorf("%d files are said to be missing, want 8", missing)
	}
	writeNamed(t, dir, src)
	farm, diags := farmfile.Load(path)
	if len(diags) > 0 {
		t.Fatal(text(t, diags, 100, false))
	}
	if want := filepath.Join(dir, "keys", "id_ed25519"); farm.Dir != dir || farm.Workers[0].Identity[0] != want {
		t.Errorf("Dir = %s, Identity = %v", farm.Dir, farm.Workers[0].Identity)
	}

	// A folder where a file should be.
	if err := os.Remove(filepath.Join(dir, "known_hosts")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "known_hosts"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, diags := farmfile.Load(path); len(diags) != 1 || diags[0].Summary != "Unusable file" || !strings.Contains(diags[0].Detail, "known_hosts should be a known_hosts file") {
		t.Errorf("a folder as known_hosts: %v", diags)
	}
}

// TestLoadRelative: relative names stay valid when the process changes its
// folder.
func TestLoadRelative(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile(farmfile.FileName, []byte("farm \"a\" {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	farm, diags := farmfile.Load(farmfile.FileName)
	if farm == nil || !filepath.IsAbs(farm.Store) || !strings.HasSuffix(farm.Store, "/store") || !filepath.IsAbs(strings.TrimPrefix(farm.Database, "sqlite:")) {
		t.Errorf("%+v, %v", farm, diags)
	}
	if diags[0].File != farmfile.FileName {
		t.Errorf("the file is called %s", diags[0].File)
	}
}

func TestLoadNothing(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, 256<<10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.hcl"): "no such file or directory. Name another file, or write this one",
		dir:                            "is not a regular file",
		large:                          "may have 262144 bytes at most",
	} {
		farm, diags := farmfile.Load(path)
		if farm != nil || len(diags) != 1 || !strings.Contains(diags[0].Detail, want) {
			t.Errorf("Load(%s) = %v, %v; want one error with %q", path, farm, diags, want)
		}
	}
}

// TestManual parses the example of the manual as the one file of a farm.
func TestManual(t *testing.T) {
	manual := string(read(t, "../../docs/farm.md"))
	examples := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(manual, -1)
	if len(examples) != 2 {
		t.Fatalf("%d examples in the manual, want a short one and a complete one", len(examples))
	}
	for _, m := range examples {
		dir := t.TempDir()
		writeNamed(t, dir, m[1])
		path := filepath.Join(dir, farmfile.FileName)
		if err := os.WriteFile(path, []byte(m[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, diags := farmfile.Load(path); len(diags) > 0 {
			t.Errorf("the manual's example:\n%s", text(t, diags, 100, false))
		}
	}
	// The complete example uses every name of the language.
	for _, name := range regexp.MustCompile(`(?m)^ *([a-z_]+) (?:"[^"]*" )?[={]|^([a-z]+) `).FindAllStringSubmatch(string(read(t, "testdata/good/full.hcl")), -1) {
		if word := name[1] + name[2]; !regexp.MustCompile(`(?m)^ *` + word + ` `).MatchString(examples[1][1]) {
			t.Errorf("the manual's example lacks %q", word)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	var src strings.Builder
	src.Write(read(b, "testdata/good/full.hcl"))
	for i := range 500 {
		fmt.Fprintf(&src, "worker \"w%d\" {\n  address = \"ssh://build@h%d.example.com/u/zfarm\"\n  slots = 2\n  labels = { a = \"b\" }\n}\n", i, i)
	}
	for b.Loop() {
		if farm, diags := farmfile.Read([]byte(src.String()), "farm.hcl"); farm == nil {
			b.Fatal(diags)
		}
	}
}
