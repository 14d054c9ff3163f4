// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/recipes"
)

var update = flag.Bool("update", false, "write golden files anew")

// Times are given in another zone and with fractions: statements have neither.
var (
	begun = time.Date(2026, 3, 1, 13, 30, 5, 123456789, time.FixedZone("", 3600))
	ended = begun.Add(95 * time.Second)
)

func sum(s string) digest.Digest { return digest.Of([]byte(s)) }

func recipe() statement.Resource {
	return statement.Resource{Name: statement.RecipeName, URI: "git+https://example.org/ports", Digest: sum("recipe"), Commit: strings.Repeat("1a", 20)}
}

func artifact() []attest.Subject {
	return []attest.Subject{{Name: "gzip-1.12.pax.Z", Digest: sum("gzip")}}
}

func provenance() statement.Provenance {
	return statement.Provenance{
		Subjects: artifact(),
		External: statement.ExternalParameters{
			Recipe: statement.RecipeRef{URI: "git+https://example.org/ports", Path: "gzip/recipe.hcl"},
			Port:   "gzip", Version: "1.12", Overrides: map[string]string{"reproduce.repeats": "3", "build.limit": "2h0m0s"},
		},
		Internal: statement.InternalParameters{
			Repeats: 3, Baseline: "baseline", TestSuites: []string{"check"},
			Conditions: map[string]string{"timezone": "UTC0", "jobs": "2", "path": "/zfarm/a&b<c>"},
		},
		Dependencies: []statement.Resource{
			recipe(),
			{Name: "gzip-1.12.tar.xz", URI: "https://ftp.gnu.org/gnu/gzip/gzip-1.12.tar.xz", Digest: sum("source")},
			{Name: "zlib", URI: "zfarm:port/zlib/1.3.1", Digest: sum("zlib"), Annotations: map[string]string{"at": "build"}},
		},
		Builder:      statement.Builder{ID: statement.BuilderShared, Version: map[string]string{"zfarm": "0.1.0", "autotools": "0.1.0"}},
		InvocationID: "b-0001", StartedOn: begun, FinishedOn: ended,
		Byproducts: []statement.Resource{{Name: "baseline.log", Digest: sum("log"), MediaType: "text/plain", Annotations: map[string]string{"origin": "worker"}}},
	}
}

func testResult() statement.TestResult {
	return statement.TestResult{
		Subjects: artifact(), Suite: "check", Configuration: []statement.Resource{recipe()}, URL: "https://farm.example.org/builds/b-0001",
		Passed: []string{"hufts", "keep"}, Warned: []string{"pipe-output"}, Skipped: []string{"timestamp"}, Expected: []string{"zgrep-f"}, MinTests: 5,
	}
}

func repeat(name, worker, content string) statement.Repeat {
	return statement.Repeat{
		Name: name, Worker: statement.Worker{Name: worker, Attributes: map[string]string{"compiler": "clang 18", "release": "3.1"}},
		Variations: map[recipes.Variation]string{"timezone": "XYZ-3", "path": "/w/" + name}, StartedOn: begun, FinishedOn: ended,
		Outputs: []statement.Resource{{Name: "gzip-1.12.pax.Z", Digest: sum(content)}},
	}
}

func identical() statement.Reproducibility {
	return statement.Reproducibility{
		Subjects: artifact(), Verdict: statement.Identical, AllowedTiers: []statement.Tier{"0"}, Agreeing: 2,
		Repeats: []statement.Repeat{repeat("baseline", "zos1", "gzip"), repeat("varied", "zos2", "gzip")},
		Recipe:  recipe(), InvocationID: "b-0001",
	}
}

func equivalent() statement.Reproducibility {
	r := identical()
	r.Verdict, r.Tier, r.AllowedTiers = statement.Equivalent, "2", statement.Tiers()
	r.Repeats[1] = repeat("varied", "zos2", "other stamps")
	r.Findings = statement.Findings{Total: 3, Listed: []statement.Finding{
		{Path: "gzip-1.12/bin/gzip", Field: "zos.ppa2.date", Tier: "2", Cause: "build time"},
		{Path: "gzip-1.12/share/man/gzip.1", Field: "mtime", Tier: "1"},
	}}
	r.Masked = []statement.Masked{{Field: "zos.ppa2.date", Tier: "2", Count: 2}, {Field: "mtime", Tier: "1", Count: 1}}
	return r
}

// ruled is equivalent because of a rule of the recipe. Another rule was not
// used.
func ruled() statement.Reproducibility {
	r := equivalent()
	r.Findings.Total++
	r.Findings.Listed = append(r.Findings.Listed, statement.Finding{Path: "gzip-1.12/bin/gzip", Field: "rule.zopen.buildrev", Tier: "2", Cause: "the hook says when it was built"})
	r.Masked = append(r.Masked, statement.Masked{Field: "rule.zopen.buildrev", Tier: "2", Count: 1})
	r.Rules = []statement.Rule{
		{Name: "counter", Format: "json", Path: "share/*/release.json", Field: "/count", Tier: "0", Reason: "it counts <up>"},
		{Name: "zopen.buildrev", Format: "bytes", Pattern: `BuildRev:[0-9a-f]{7} ([0-9: -]{19} [A-Z]{3,5}) \$`, Tier: "2", Reason: "the hook says when it was built"},
	}
	return r
}

func different() statement.Reproducibility {
	r := identical()
	r.Verdict, r.Agreeing = statement.Different, 1
	r.Repeats[1] = repeat("varied", "zos2", "something else")
	r.Findings = statement.Findings{Total: 1, Listed: []statement.Finding{{Path: "gzip-1.12/bin/gzip", Field: "content", Tier: "X", Cause: "the time zone"}}}
	r.Subjects = r.AllOutputs()
	return r
}

func incomparable() statement.Reproducibility {
	r := different()
	r.Verdict, r.Findings, r.Reason = statement.Incomparable, statement.Findings{}, "the archive of repeat varied ends early"
	return r
}

// TestGolden pins the exact bytes: statements that were signed must not
// change.
func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		name  string
		build func() (attest.Statement, error)
	}{
		{"provenance", provenance().Statement},
		{"test-result", testResult().Statement},
		{"reproducibility-identical", identical().Statement},
		{"reproducibility-equivalent", equivalent().Statement},
		{"reproducibility-ruled", ruled().Statement},
		{"reproducibility-different", different().Statement},
		{"reproducibility-incomparable", incomparable().Statement},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := tc.build()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", tc.name+".json")
			if *update {
				if err := os.WriteFile(file, s.JSON, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(s.JSON)); diff != "" {
				t.Errorf("bytes (-want +got):\n%s", diff)
			}
			read, err := statement.Parse(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s, read); diff != "" {
				t.Errorf("read back (-built +read):\n%s", diff)
			}
		})
	}
}

// seconds compares times with the precision of statements.
func seconds() cmp.Options {
	return cmp.Options{cmp.Comparer(func(a, b time.Time) bool { return a.Unix() == b.Unix() }), cmpopts.EquateEmpty()}
}

func TestDecodeReadsWhatWasBuilt(t *testing.T) {
	build := func(s attest.Statement, err error) attest.Statement {
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	p, err := statement.DecodeProvenance(build(provenance().Statement()))
	if diff := cmp.Diff(provenance(), p, seconds()); diff != "" || err != nil {
		t.Errorf("provenance: %v (-want +got):\n%s", err, diff)
	}
	if r, ok := p.Recipe(); !ok || r.Digest != sum("recipe") {
		t.Errorf("Recipe() = %v, %v", r, ok)
	}
	r, err := statement.DecodeTestResult(build(testResult().Statement()))
	if diff := cmp.Diff(testResult(), r, seconds()); diff != "" || err != nil {
		t.Errorf("test result: %v (-want +got):\n%s", err, diff)
	}
	for _, want := range []statement.Reproducibility{identical(), equivalent(), ruled(), different(), incomparable()} {
		got, err := statement.DecodeReproducibility(build(want.Statement()))
		if diff := cmp.Diff(want, got, seconds()); diff != "" || err != nil {
			t.Errorf("reproducibility %s: %v (-want +got):\n%s", want.Verdict, err, diff)
		}
	}
}

func TestRuleOf(t *testing.T) {
	r := ruled()
	for field, want := range map[string]string{"rule.counter": "counter", "rule.zopen.buildrev": "zopen.buildrev", "rule.": "", "rule.count": "", "counter": "", "mtime": ""} {
		if rule, ok := r.RuleOf(field); rule.Name != want || ok != (want != "") {
			t.Errorf("RuleOf(%q) = %q, %v, want %q", field, rule.Name, ok, want)
		}
	}
}

func TestBuildersDoNotKeepCallersSlices(t *testing.T) {
	p := provenance()
	s, err := p.Statement()
	if err != nil {
		t.Fatal(err)
	}
	p.Subjects[0].Name = "changed"
	if s.Subjects[0].Name == "changed" {
		t.Error("the statement shares its subjects with the caller")
	}
}

func TestSubjects(t *testing.T) {
	many := func(n int) []attest.Subject {
		var list []attest.Subject
		for i := range n {
			list = append(list, attest.Subject{Name: fmt.Sprint("f", i), Digest: sum(fmt.Sprint(i))})
		}
		return list
	}
	for _, tc := range []struct {
		name     string
		subjects []attest.Subject
		want     string // part of the error; "" for none
	}{
		{"none", nil, "no subject"},
		{"most", many(attest.MaxSubjects), ""},
		{"one too many", many(attest.MaxSubjects + 1), "split it"},
		{"zero digest", []attest.Subject{{Name: "a"}}, "has no digest"},
		{"no name", []attest.Subject{{Digest: sum("a")}}, "name is missing"},
		{"same name", []attest.Subject{{Name: "a", Digest: sum("a")}, {Name: "a", Digest: sum("b")}}, "two subjects"},
		{"terminal control", []attest.Subject{{Name: "a\x1b[2J", Digest: sum("a")}}, "control characters"},
		{"not UTF-8", []attest.Subject{{Name: "a\xff", Digest: sum("a")}}, "not UTF-8"},
		{"long name", []attest.Subject{{Name: strings.Repeat("a", 5000), Digest: sum("a")}}, "5000 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := provenance()
			p.Subjects = tc.subjects
			_, err := p.Statement()
			wantError(t, err, tc.want)
		})
	}
}

// wantError checks that err contains the text, or is nil if text is "".
func wantError(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case text != "" && err == nil:
		t.Errorf("no error, want one with %q", text)
	case text != "" && !strings.Contains(err.Error(), text):
		t.Errorf("error %q lacks %q", err, text)
	}
}

func TestProvenanceRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*statement.Provenance)
		want   string
	}{
		{"builder id", func(p *statement.Provenance) { p.Builder.ID = "zfarm" }, "not an absolute URI"},
		{"no invocation", func(p *statement.Provenance) { p.InvocationID = "" }, "invocation id is missing"},
		{"no start", func(p *statement.Provenance) { p.StartedOn = time.Time{} }, "startedOn"},
		{"ends first", func(p *statement.Provenance) { p.FinishedOn = begun.Add(-time.Hour) }, "lies before"},
		{"no port", func(p *statement.Provenance) { p.External.Port = "" }, "port is missing"},
		{"no version", func(p *statement.Provenance) { p.External.Version = "" }, "version is missing"},
		{"recipe uri", func(p *statement.Provenance) { p.External.Recipe.URI = "" }, "recipe's uri is missing"},
		{"no recipe", func(p *statement.Provenance) { p.Dependencies = p.Dependencies[1:] }, "0 dependencies have the name"},
		{"two recipes", func(p *statement.Provenance) { p.Dependencies = append(p.Dependencies, recipe()) }, "2 dependencies have the name"},
		{"other recipe", func(p *statement.Provenance) { p.Dependencies[0].URI = "git+https://example.org/x" }, "its dependency says"},
		{"recipe by commit alone", func(p *statement.Provenance) { p.Dependencies[0].Digest = digest.Digest{} }, "recipe has no digest"},
		{"floating dependency", func(p *statement.Provenance) { p.Dependencies[1].Digest = digest.Digest{} }, "neither digest nor commit"},
		{"nameless dependency", func(p *statement.Provenance) { p.Dependencies[1].Name, p.Dependencies[1].URI = "", "" }, "neither uri nor name"},
		{"short commit", func(p *statement.Provenance) { p.Dependencies[0].Commit = "1a2b3c" }, "lower-case hexadecimal"},
		{"no repeats", func(p *statement.Provenance) { p.Internal.Repeats = 0 }, "0 repeats"},
		{"no baseline", func(p *statement.Provenance) { p.Internal.Baseline = "" }, "baseline is missing"},
		{"condition not UTF-8", func(p *statement.Provenance) { p.Internal.Conditions["locale"] = "\xff" }, "not UTF-8"},
		{"too big", func(p *statement.Provenance) {
			for i := range 3000 {
				p.Internal.Conditions[fmt.Sprint(i)] = strings.Repeat("x", 4000)
			}
		}, "say less"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := provenance()
			tc.change(&p)
			_, err := p.Statement()
			wantError(t, err, tc.want)
		})
	}
}

func TestResult(t *testing.T) {
	names := []string{"a"}
	for _, tc := range []struct {
		name string
		r    statement.TestResult
		want string
	}{
		{"all passed", statement.TestResult{Passed: names}, statement.ResultPassed},
		{"nothing", statement.TestResult{}, statement.ResultFailed},
		{"only skipped", statement.TestResult{Skipped: names}, statement.ResultFailed},
		{"one skipped", statement.TestResult{Passed: names, Skipped: names}, statement.ResultWarned},
		{"expected failure", statement.TestResult{Passed: names, Expected: names}, statement.ResultWarned},
		{"unexpected pass", statement.TestResult{Passed: names, Warned: names}, statement.ResultWarned},
		{"one failed", statement.TestResult{Passed: names, Failed: names, Warned: names}, statement.ResultFailed},
		{"shrunk", statement.TestResult{Passed: names, MinTests: 2}, statement.ResultFailed},
		{"just enough", statement.TestResult{Passed: names, MinTests: 1}, statement.ResultPassed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.r.Result(); got != tc.want {
				t.Errorf("Result() = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTestResultRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*statement.TestResult)
		want   string
	}{
		{"no configuration", func(r *statement.TestResult) { r.Configuration = nil }, "names no \"recipe\""},
		{"no suite", func(r *statement.TestResult) { r.Suite = "" }, "suite is missing"},
		{"nameless test", func(r *statement.TestResult) { r.Failed = []string{""} }, "is empty"},
		{"test not UTF-8", func(r *statement.TestResult) { r.Failed = []string{"\xff"} }, "not UTF-8"},
		{"url", func(r *statement.TestResult) { r.URL = "farm" }, "not an absolute URI"},
		{"min tests", func(r *statement.TestResult) { r.MinTests = -1 }, "-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := testResult()
			tc.change(&r)
			_, err := r.Statement()
			wantError(t, err, tc.want)
		})
	}
}

func TestReproducibilityRefuses(t *testing.T) {
	type change = func(*statement.Reproducibility)
	for _, tc := range []struct {
		name   string
		of     func() statement.Reproducibility
		change change
		want   string
	}{
		{"one repeat", identical, func(r *statement.Reproducibility) { r.Repeats = r.Repeats[:1] }, "1 repeats"},
		{"same repeat twice", identical, func(r *statement.Reproducibility) { r.Repeats[1].Name = "baseline" }, "two repeats"},
		{"more agree than are", identical, func(r *statement.Reproducibility) { r.Agreeing = 3 }, "3 of 2"},
		{"none agrees, not even the baseline", different, func(r *statement.Reproducibility) { r.Agreeing = 0 }, "0 of 2"},
		{"none agrees, incomparable", incomparable, func(r *statement.Reproducibility) { r.Agreeing = 0 }, "0 of 2"},
		{"fewer than none agree", different, func(r *statement.Reproducibility) { r.Agreeing = -1 }, "-1 of 2"},
		{"recipe not pinned", identical, func(r *statement.Reproducibility) { r.Recipe.Digest, r.Recipe.Commit = digest.Digest{}, "" }, "pinned"},
		{"unknown verdict", identical, func(r *statement.Reproducibility) { r.Verdict = "fine" }, "unknown verdict"},
		{"forbidden tier allowed", identical, func(r *statement.Reproducibility) { r.AllowedTiers = []statement.Tier{"X"} }, "cannot be allowed"},
		{"identical with a tier", identical, func(r *statement.Reproducibility) { r.Tier = "0" }, "with tier"},
		{"identical, one output differs", identical, func(r *statement.Reproducibility) { r.Repeats[1] = repeat("varied", "zos2", "x") }, "are not the subjects"},
		{"identical, not all agree", identical, func(r *statement.Reproducibility) { r.Agreeing = 1 }, "1 of 2"},
		{"identical with findings", identical, func(r *statement.Reproducibility) { r.Findings.Total = 1 }, "1 findings"},
		{"identical, output missing", identical, func(r *statement.Reproducibility) { r.Repeats[1].Outputs = nil }, "are not the subjects"},
		{"output without digest", identical, func(r *statement.Reproducibility) { r.Repeats[1].Outputs[0].Digest = digest.Digest{} }, "lacks name or digest"},
		{"equivalent beyond what is allowed", equivalent, func(r *statement.Reproducibility) { r.AllowedTiers = []statement.Tier{"0", "1"} }, "not allowed"},
		{"equivalent, finding of a higher tier", equivalent, func(r *statement.Reproducibility) { r.Findings.Listed[0].Tier = "X" }, "differs in tier X"},
		{"equivalent, unlisted higher tier", equivalent, func(r *statement.Reproducibility) { r.Tier = "1"; r.Findings.Listed = nil }, "was masked in tier 2"},
		{"equivalent, nothing masked", equivalent, func(r *statement.Reproducibility) { r.Masked = nil }, "0 masked"},
		{"equivalent, not all masked", equivalent, func(r *statement.Reproducibility) { r.Masked[0].Count = 1 }, "3 findings, of which 2 are masked"},
		{"equivalent, subject is not the baseline's", equivalent, func(r *statement.Reproducibility) { r.Subjects[0].Digest = sum("other stamps") }, "do not fit"},
		{"equivalent, other names", equivalent, func(r *statement.Reproducibility) { r.Repeats[1].Outputs[0].Name = "x" }, "do not fit"},
		{"different, all agree", different, func(r *statement.Reproducibility) { r.Agreeing = 2 }, "2 of 2"},
		{"different without findings", different, func(r *statement.Reproducibility) { r.Findings = statement.Findings{} }, "0 findings"},
		{"different, foreign subject", different, func(r *statement.Reproducibility) { r.Subjects[0].Digest = sum("never built") }, "came out of no repeat"},
		{"more listed than found", different, func(r *statement.Reproducibility) { r.Findings.Total = 0 }, "1 findings listed of 0"},
		{"finding of unknown tier", different, func(r *statement.Reproducibility) { r.Findings.Listed[0].Tier = "3" }, "unknown tier"},
		{"use of no rule", ruled, func(r *statement.Reproducibility) { r.Rules = r.Rules[:1] }, `masked: field "rule.zopen.buildrev" has no rule`},
		{"use of no rule, not masked", ruled, func(r *statement.Reproducibility) { r.Rules, r.Masked = r.Rules[:1], r.Masked[:2] }, `finding: field "rule.zopen.buildrev" has no rule`},
		{"rule of another tier", ruled, func(r *statement.Reproducibility) { r.Rules[1].Tier = "1" }, `its rule is one of tier "1"`},
		{"finding of another tier than its rule's", ruled, func(r *statement.Reproducibility) { r.Findings.Listed[2].Tier = "0" }, `in tier "0"`},
		{"rule of the forbidden tier", ruled, func(r *statement.Reproducibility) { r.Rules[0].Tier = "X" }, "cannot be allowed by a rule"},
		{"rule of a tier that is none", ruled, func(r *statement.Reproducibility) { r.Rules[0].Tier = "3" }, "cannot be allowed by a rule"},
		{"rule twice", ruled, func(r *statement.Reproducibility) { r.Rules[0] = r.Rules[1] }, "two rules have the name"},
		{"rule without a name", ruled, func(r *statement.Reproducibility) { r.Rules[0].Name = "" }, "a name has lower-case letters"},
		{"rule with a bad name", ruled, func(r *statement.Reproducibility) { r.Rules[0].Name = "a b" }, "a name has lower-case letters"},
		{"rule of an unknown format", ruled, func(r *statement.Reproducibility) { r.Rules[0].Format = "xml" }, "format is"},
		{"rule for json without a field", ruled, func(r *statement.Reproducibility) { r.Rules[0].Field = "" }, "has a field if"},
		{"rule for bytes with a field", ruled, func(r *statement.Reproducibility) { r.Rules[1].Field = "/a" }, "has a field if"},
		{"rule for bytes without a pattern", ruled, func(r *statement.Reproducibility) { r.Rules[1].Pattern = "" }, "pattern is missing"},
		{"rule without a reason", ruled, func(r *statement.Reproducibility) { r.Rules[0].Reason = "" }, "reason is missing"},
		{"rule with a terminal control", ruled, func(r *statement.Reproducibility) { r.Rules[1].Pattern = "\x1b[2J" }, "control characters"},
		{"too many rules", ruled, func(r *statement.Reproducibility) {
			for i := range statement.MaxRules {
				x := r.Rules[0]
				x.Name = fmt.Sprint("r", i)
				r.Rules = append(r.Rules, x)
			}
		}, "34 rules"},
		{"incomparable without reason", incomparable, func(r *statement.Reproducibility) { r.Reason = "" }, "without a reason"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := tc.of()
			tc.change(&r)
			_, err := r.Statement()
			wantError(t, err, tc.want)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good, err := provenance().Statement()
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) []byte {
		b := bytes.Replace(good.JSON, []byte(old), []byte(new), 1)
		if bytes.Equal(b, good.JSON) {
			t.Fatalf("%q is not in the statement", old)
		}
		return b
	}
	subject := `{"digest":{"sha256":"` + sum("gzip").Hex() + `"},"name":"gzip-1.12.pax.Z"}`
	for _, tc := range []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", nil, "unexpected end"},
		{"not JSON", []byte("{"), "unexpected end"},
		{"not an object", []byte(`"x"`), "cannot unmarshal"},
		{"more after it", append(bytes.Clone(good.JSON), " {}"...), "bytes after"},
		{"not UTF-8", replace("gzip", "g\xffip"), "UTF-8"},
		{"other type", replace("Statement/v1", "Statement/v0.1"), "_type"},
		{"no predicate type", replace(`"predicateType"`, `"predicatetype"`), "no such field"},
		{"second subject list", replace(`"_type"`, `"Subject":[],"_type"`), "twice"},
		{"key twice", replace(`"_type"`, `"_type":"x","_type"`), "twice"},
		{"key twice, long s", replace(`"resolvedDependencies"`, `"re\u017folvedDependencies":[],"resolvedDependencies"`), "twice"},
		{"key twice below", replace(`"port":"gzip"`, `"port":"gzip","PORT":"bash"`), "twice"},
		{"extra field", replace(`"_type"`, `"more":1,"_type"`), "no such field"},
		{"no subject", replace(subject, ""), "no subject"},
		{"null subject", replace(subject, "null"), "name is missing"},
		{"upper-case digest", replace(sum("gzip").Hex(), strings.ToUpper(sum("gzip").Hex())), "lower-case"},
		{"prefixed digest", replace(`"sha256":"`, `"sha256":"sha256:`), "lower-case"},
		{"other digest", replace(`"sha256"`, `"sha1"`), "unknown kind"},
		{"zero digest", replace(sum("gzip").Hex(), strings.Repeat("0", 64)), "of a file"},
		{"deep", []byte(strings.Repeat("[", 100_000)), "nested deeper"},
		{"wide", []byte("[" + strings.Repeat("[],", 300_000) + "[]]"), "objects and arrays"},
		{"huge", bytes.Repeat([]byte(" "), statement.MaxSize+1), "the most is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := statement.Parse(tc.in)
			wantError(t, err, tc.want)
			if !errors.Is(err, attest.ErrNotVerified) {
				t.Errorf("error %v does not wrap ErrNotVerified", err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	decoders := map[string]func(attest.Statement) error{
		"provenance":      func(s attest.Statement) error { _, err := statement.DecodeProvenance(s); return err },
		"test-result":     func(s attest.Statement) error { _, err := statement.DecodeTestResult(s); return err },
		"reproducibility": func(s attest.Statement) error { _, err := statement.DecodeReproducibility(s); return err },
	}
	for _, tc := range []struct {
		name, file, decoder, old, new, want string
	}{
		{"other predicate", "test-result", "provenance", "", "", "predicate type is https://in-toto.io"},
		{"other build type", "provenance", "provenance", "build/v1", "build/v2", "build type"},
		{"unknown external parameter", "provenance", "provenance", `"port":`, `"skipTests":"yes","port":`, "unknown field"},
		{"better than its tests", "test-result", "test-result", "WARNED", "PASSED", "amount to WARNED"},
		{"expected failure hidden", "test-result", "test-result", `"pipe-output","zgrep-f"`, `"pipe-output"`, "expected failures"},
		{"skipped tests hidden", "test-result", "test-result", `"timestamp"`, ``, "amount to FAILED"},
		{"more repeats than listed", "reproducibility-identical", "reproducibility", `"n":2`, `"n":5`, "n=5"},
		{"more workers than listed", "reproducibility-identical", "reproducibility", `"distinctWorkers":2`, `"distinctWorkers":3`, "on 3 workers"},
		{"independent", "reproducibility-identical", "reproducibility", "one-farm", "independent", "independence"},
		{"rule taken away", "reproducibility-ruled", "reproducibility", `"name":"zopen.buildrev"`, `"name":"zopen.other"`, "has no rule"},
		{"tier of a rule beyond 2", "reproducibility-ruled", "reproducibility", `"field":"/count","tier":"0"`, `"field":"/count","tier":"X"`, "cannot be allowed by a rule"},
		{"verdict improved", "reproducibility-different", "reproducibility", `"different"`, `"identical"`, "verdict identical"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", tc.file+".json"))
			if err != nil {
				t.Fatal(err)
			}
			changed := bytes.Replace(b, []byte(tc.old), []byte(tc.new), 1)
			if tc.old != "" && bytes.Equal(changed, b) {
				t.Fatalf("%q is not in the statement", tc.old)
			}
			err = decoders[tc.decoder](attest.Statement{JSON: changed})
			wantError(t, err, tc.want)
			if !errors.Is(err, attest.ErrNotVerified) {
				t.Errorf("error %v does not wrap ErrNotVerified", err)
			}
		})
	}
}

func TestDecodeRefusesNoPredicate(t *testing.T) {
	s, err := testResult().Statement()
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := bytes.Cut(s.JSON, []byte(`,"predicate":`))
	for _, tail := range []string{`}`, `,"predicate":null}`, `,"predicate":[]}`} {
		_, err := statement.DecodeTestResult(attest.Statement{JSON: append(bytes.Clone(head), tail...)})
		wantError(t, err, "no predicate")
	}
}

// TestDecodeIgnoresMoreFields: later versions may add fields, except to the
// external parameters.
func TestDecodeIgnoresMoreFields(t *testing.T) {
	s, err := provenance().Statement()
	if err != nil {
		t.Fatal(err)
	}
	s.JSON = bytes.Replace(s.JSON, []byte(`"repeats":`), []byte(`"later":{"a":[1]},"repeats":`), 1)
	if _, err := statement.DecodeProvenance(s); err != nil {
		t.Error(err)
	}
}

func TestAllOutputsIsBounded(t *testing.T) {
	r := different()
	for i := range 2 * attest.MaxSubjects {
		r.Repeats[0].Outputs = append(r.Repeats[0].Outputs, statement.Resource{Name: fmt.Sprint(i), Digest: sum(fmt.Sprint(i))})
	}
	r.Subjects = r.AllOutputs()
	if len(r.Subjects) != attest.MaxSubjects {
		t.Errorf("%d subjects, want %d", len(r.Subjects), attest.MaxSubjects)
	}
	if _, err := r.Statement(); err != nil {
		t.Error(err)
	}
}

func fuzz(f *testing.F, decode func(*testing.T, attest.Statement) (attest.Statement, error)) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := decode(t, attest.Statement{JSON: b})
		if err != nil {
			if !errors.Is(err, attest.ErrNotVerified) {
				t.Errorf("error %v does not wrap ErrNotVerified", err)
			}
			return
		}
		if !json.Valid(again.JSON) {
			t.Errorf("what was read is built as %s", again.JSON)
		}
	})
}

// rebuilt composes a statement from a value that was read: every value that
// can be read can be composed.
func rebuilt(t *testing.T, s attest.Statement, err error) attest.Statement {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), "say less") {
		t.Fatal("read, but cannot be built:", err)
	}
	if err != nil {
		s.JSON = []byte("{}")
	}
	return s
}

func FuzzParse(f *testing.F) {
	fuzz(f, func(_ *testing.T, s attest.Statement) (attest.Statement, error) { return statement.Parse(s.JSON) })
}

func FuzzDecodeProvenance(f *testing.F) {
	fuzz(f, func(t *testing.T, s attest.Statement) (attest.Statement, error) {
		p, err := statement.DecodeProvenance(s)
		if err != nil {
			return s, err
		}
		again, err := p.Statement()
		return rebuilt(t, again, err), nil
	})
}

func FuzzDecodeTestResult(f *testing.F) {
	fuzz(f, func(t *testing.T, s attest.Statement) (attest.Statement, error) {
		r, err := statement.DecodeTestResult(s)
		if err != nil {
			return s, err
		}
		again, err := r.Statement()
		return rebuilt(t, again, err), nil
	})
}

func FuzzDecodeReproducibility(f *testing.F) {
	fuzz(f, func(t *testing.T, s attest.Statement) (attest.Statement, error) {
		r, err := statement.DecodeReproducibility(s)
		if err != nil {
			return s, err
		}
		again, err := r.Statement()
		return rebuilt(t, again, err), nil
	})
}

func BenchmarkProvenance(b *testing.B) {
	p := provenance()
	for b.Loop() {
		if _, err := p.Statement(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeThousandSubjects(b *testing.B) {
	p := provenance()
	p.Subjects = nil
	for i := range attest.MaxSubjects {
		p.Subjects = append(p.Subjects, attest.Subject{Name: fmt.Sprint("f", i), Digest: sum(fmt.Sprint(i))})
	}
	s, err := p.Statement()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(s.JSON)))
	for b.Loop() {
		if _, err := statement.DecodeProvenance(s); err != nil {
			b.Fatal(err)
		}
	}
}

// TestVariations: every known variation can be stated, another cannot. A
// reader accepts others, since a later version may vary more.
func TestVariations(t *testing.T) {
	r := identical()
	for _, v := range recipes.Variations() {
		r.Repeats[1].Variations[v] = "value of " + string(v)
	}
	s, err := r.Statement()
	if err != nil {
		t.Fatal(err)
	}
	read, err := statement.DecodeReproducibility(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Repeats[1].Variations, read.Repeats[1].Variations); diff != "" {
		t.Errorf("(-stated +read):\n%s", diff)
	}
	for _, name := range []recipes.Variation{"HOME", "time zone", "environment ZFARM_CAPTURED", "host", "user"} {
		r := identical()
		r.Repeats[1].Variations[name] = "x"
		_, err := r.Statement()
		wantError(t, err, string(name))
	}
	later := attest.Statement{PredicateType: s.PredicateType, Subjects: s.Subjects, JSON: bytes.Replace(s.JSON, []byte(`"umask":`), []byte(`"hostname":`), 1)}
	if _, err := statement.DecodeReproducibility(later); err != nil {
		t.Errorf("a statement with a variation of a later version: %v", err)
	}
}
