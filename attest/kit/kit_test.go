// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/attest/statement"
)

var update = flag.Bool("update", false, "write golden files anew")

const (
	gzip = "gzip-1.12.pax.Z"
	bash = "bash-5.2+p1.pax.Z"
)

func sum(s string) digest.Digest { return digest.Of([]byte(s)) }

func open(text string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

// farm signs, as the orchestrator would.
type farm struct {
	tb     testing.TB
	signer *cosign.Signer
}

// Opening a key is slow on purpose, so all tests share two.
var ours, theirs = sync.OnceValues(makeKey), sync.OnceValues(makeKey)

func makeKey() (*cosign.Signer, error) {
	private, _, err := cosign.GenerateKey([]byte("x"))
	if err != nil {
		return nil, err
	}
	return cosign.NewSigner(private, []byte("x"))
}

func newFarm(tb testing.TB) farm {
	tb.Helper()
	signer, err := ours()
	if err != nil {
		tb.Fatal(err)
	}
	return farm{tb, signer}
}

// otherFarm returns a farm with another key.
func otherFarm(tb testing.TB) farm {
	tb.Helper()
	signer, err := theirs()
	if err != nil {
		tb.Fatal(err)
	}
	return farm{tb, signer}
}

func (f farm) sign(s attest.Statement, err error) attest.Bundle {
	f.tb.Helper()
	if err != nil {
		f.tb.Fatal(err)
	}
	b, err := f.signer.Sign(f.tb.Context(), s)
	if err != nil {
		f.tb.Fatal(err)
	}
	return b
}

// story is the three kinds of statements about one artifact, before signing.
type story struct {
	name       string
	content    string
	provenance statement.Provenance
	compared   statement.Reproducibility
	tests      []statement.TestResult
}

func newStory(name, content string, suites ...string) story {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ended := begun.Add(time.Minute)
	about := []attest.Subject{{Name: name, Digest: sum(content)}}
	recipe := statement.Resource{Name: statement.RecipeName, URI: "git+https://example.org/ports", Digest: sum("recipe of " + name)}
	repeat := func(name, worker string) statement.Repeat {
		return statement.Repeat{
			Name: name, Worker: statement.Worker{Name: worker}, StartedOn: begun, FinishedOn: ended,
			Outputs: []statement.Resource{{Name: about[0].Name, Digest: about[0].Digest}},
		}
	}
	s := story{name: name, content: content}
	s.provenance = statement.Provenance{
		Subjects: about,
		External: statement.ExternalParameters{
			Recipe: statement.RecipeRef{URI: "git+https://example.org/ports", Path: "recipe.hcl"}, Port: "port", Version: "1",
		},
		Internal:     statement.InternalParameters{Repeats: 2, Baseline: "baseline", TestSuites: suites},
		Dependencies: []statement.Resource{recipe},
		Builder:      statement.Builder{ID: statement.BuilderShared},
		InvocationID: "b-" + name, StartedOn: begun, FinishedOn: ended,
	}
	s.compared = statement.Reproducibility{
		Subjects: about, Verdict: statement.Identical, AllowedTiers: []statement.Tier{"0"}, Agreeing: 2,
		Repeats: []statement.Repeat{repeat("baseline", "zos1"), repeat("varied", "zos2")},
		Recipe:  recipe, InvocationID: "b-" + name,
	}
	for _, suite := range suites {
		s.tests = append(s.tests, statement.TestResult{
			Subjects: about, Suite: suite, Configuration: []statement.Resource{recipe},
			Passed: []string{"a", "b"}, Skipped: []string{"c"}, Expected: []string{"d"}, MinTests: 4,
		})
	}
	return s
}

// differ makes the repeats of s differ in a way that tier 2 allows.
func (s *story) differ() {
	s.compared.Verdict, s.compared.Tier, s.compared.AllowedTiers = statement.Equivalent, "2", statement.Tiers()
	s.compared.Repeats[1].Outputs = []statement.Resource{{Name: s.name, Digest: sum("other stamps")}}
	s.compared.Findings = statement.Findings{Total: 1, Listed: []statement.Finding{{Path: "bin/gzip", Field: "zos.ppa2.date", Tier: "2"}}}
	s.compared.Masked = []statement.Masked{{Field: "zos.ppa2.date", Tier: "2", Count: 1}}
}

func rules() []statement.Rule {
	return []statement.Rule{
		{Name: "counter", Format: "json", Path: "share/release.json", Field: "/count", Tier: "0", Reason: "counts"},
		{Name: "perl.configured", Format: "text", Path: "lib/*/Config.pm", Pattern: "^cf_time='(.*)'$", Tier: "2", Reason: "perl records the date naïvely"},
	}
}

// rule makes the repeats of s differ in one more place, which a rule allows.
func (s *story) rule() {
	s.compared.Rules = rules()
	s.compared.Findings.Total += 3
	s.compared.Findings.Listed = append(s.compared.Findings.Listed, statement.Finding{Path: "lib/5/Config.pm", Field: "rule.perl.configured", Tier: "2"})
	s.compared.Masked = append(s.compared.Masked, statement.Masked{Field: "rule.perl.configured", Tier: "2", Count: 3})
}

// fail makes the repeats of s differ in a way that nothing allows.
func (s *story) fail() {
	s.compared.Verdict, s.compared.Agreeing = statement.Different, 1
	s.compared.Repeats[1].Outputs = []statement.Resource{{Name: s.name, Digest: sum("something else")}}
	s.compared.Findings = statement.Findings{Total: 120, Listed: []statement.Finding{
		{Path: "bin/gzip", Field: "content", Tier: "X", Cause: "the time zone"},
		{Path: "evil\x1b]0;name\nnew line", Field: "mode", Tier: "X"},
	}}
	s.compared.Subjects = s.compared.AllOutputs()
}

func (f farm) artifact(s story) kit.Artifact {
	f.tb.Helper()
	a := kit.Artifact{
		Name: s.name, Digest: sum(s.content), Open: open(s.content),
		Provenance: f.sign(s.provenance.Statement()), Reproducibility: f.sign(s.compared.Statement()),
	}
	for _, r := range s.tests {
		a.TestResults = append(a.TestResults, f.sign(r.Statement()))
	}
	return a
}

func (f farm) contents(stories ...story) kit.Contents {
	f.tb.Helper()
	c := kit.Contents{PublicKey: f.signer.PublicKey(), TrustedRoot: cosign.TrustedRoot()}
	for _, s := range stories {
		c.Artifacts = append(c.Artifacts, f.artifact(s))
	}
	return c
}

// two returns an artifact with one suite, and one with two.
func two() (a, b story) {
	return newStory(gzip, "the bytes of gzip", "check"), newStory(bash, "the bytes of bash", "check", "posix")
}

func (f farm) write(c kit.Contents) string {
	f.tb.Helper()
	dir := filepath.Join(f.tb.TempDir(), "kit")
	if err := kit.Write(f.tb.Context(), dir, c); err != nil {
		f.tb.Fatal(err)
	}
	return dir
}

func (f farm) findings(s story) kit.Findings {
	return kit.Findings{Reproducibility: f.sign(s.compared.Statement()), PublicKey: f.signer.PublicKey(), TrustedRoot: cosign.TrustedRoot()}
}

func (f farm) options() kit.Options {
	return kit.Options{Open: openVerifier, PublicKey: f.signer.PublicKey(), TrustedRoot: cosign.TrustedRoot()}
}

func openVerifier(key []byte) (attest.Verifier, error) { return cosign.NewVerifier(key) }

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case text != "" && (err == nil || !strings.Contains(err.Error(), text)):
		t.Errorf("error is %v, want one with %q", err, text)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// golden compares text with a file, in which variable parts are replaced.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestWriteAndVerify(t *testing.T) {
	f := newFarm(t)
	a, b := two()
	b.differ()
	b.rule()
	c := f.contents(a, b)
	c.Extra = []kit.Extra{{Name: "metadata.json", Data: []byte("{}")}, {Name: "report.txt", Data: []byte("fine")}}
	dir := f.write(c)
	want := []string{
		bash, bash + ".provenance.sigstore.json", bash + ".reproducibility.sigstore.json",
		bash + ".test-result-1.sigstore.json", bash + ".test-result-2.sigstore.json",
		gzip, gzip + ".provenance.sigstore.json", gzip + ".reproducibility.sigstore.json", gzip + ".test-result.sigstore.json",
		"metadata.json", "report.txt", "trusted_root.json", "verify.txt", "zfarm.pub",
	}
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if left := names(t, filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("beside the folder there is %q", left)
	}
	report, err := kit.Verify(t.Context(), dir, f.options())
	if err != nil {
		t.Fatal(err)
	}
	if !report.Releasable || !report.KeyPinned || report.KeyHint != f.signer.Hint() {
		t.Errorf("report is %+v", report)
	}
	var text, js bytes.Buffer
	if err := errors.Join(report.WriteText(&text), report.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", text.String())
	golden(t, "report.json", strings.Replace(js.String(), f.signer.Hint(), "HINT", 1))
	commands, err := os.ReadFile(filepath.Join(dir, "verify.txt"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "verify.txt", string(commands))
}

func TestVerifyWithTheFoldersOwnKey(t *testing.T) {
	f := newFarm(t)
	a, _ := two()
	dir := f.write(f.contents(a))
	report, err := kit.Verify(t.Context(), dir, kit.Options{Open: openVerifier})
	if err != nil {
		t.Fatal(err)
	}
	if report.KeyPinned || !strings.Contains(strings.Join(report.NotChecked, "\n"), "it came from the folder itself") {
		t.Errorf("the report does not say what the key is worth: %q", report.NotChecked)
	}
}

// edit rewrites a file of the folder.
func edit(t *testing.T, dir, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(bytes.Clone(b))
	if bytes.Equal(b, changed) {
		t.Fatalf("%s was not changed", name)
	}
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
}

// inBundle changes the base64 text of a field of a bundle.
func inBundle(t *testing.T, field string, change func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		_, rest, ok := bytes.Cut(b, []byte(`"`+field+`":"`))
		text, _, _ := bytes.Cut(rest, []byte(`"`))
		raw, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil || !ok {
			t.Fatal("no such field", field, err)
		}
		return bytes.Replace(b, text, []byte(base64.StdEncoding.EncodeToString(change(raw))), 1)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func swap(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exchange(t *testing.T, dir, a, b string) {
	t.Helper()
	a, b, tmp := filepath.Join(dir, a), filepath.Join(dir, b), filepath.Join(t.TempDir(), "tmp")
	must(t, errors.Join(os.Rename(a, tmp), os.Rename(b, a), os.Rename(tmp, b)))
}

func TestVerifyRefusesTampering(t *testing.T) {
	f, other := newFarm(t), otherFarm(t)
	a, b := two()
	whole := f.write(f.contents(a, b))
	foreign := other.write(other.contents(a, b))
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, name))) }
	}
	change := func(name string, how func(*testing.T) func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, dir, name, how(t)) }
	}
	add := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)) }
	}
	bundle := func(kind string) string { return gzip + "." + kind + ".sigstore.json" }
	plain := func(c func([]byte) []byte) func(*testing.T) func([]byte) []byte {
		return func(*testing.T) func([]byte) []byte { return c }
	}
	payload := func(c func([]byte) []byte) func(*testing.T) func([]byte) []byte {
		return func(t *testing.T) func([]byte) []byte { return inBundle(t, "payload", c) }
	}
	link := func(name, target string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.Symlink(target, filepath.Join(dir, name))) }
	}
	for _, tc := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   string
	}{
		{"artifact, one bit", change(gzip, plain(flip(3))), "not about the artifact"},
		{"artifact, cut", change(gzip, plain(func(b []byte) []byte { return b[:4] })), "not about the artifact"},
		{"artifact, emptied", change(gzip, plain(func([]byte) []byte { return nil })), "not about the artifact"},
		{"artifact dropped", remove(gzip), "does not belong here"},
		{"artifacts exchanged", func(t *testing.T, dir string) { exchange(t, dir, gzip, bash) }, "not about the artifact"},
		{"artifact renamed", func(t *testing.T, dir string) {
			for _, kind := range []string{"", ".provenance.sigstore.json", ".reproducibility.sigstore.json", ".test-result.sigstore.json"} {
				must(t, os.Rename(filepath.Join(dir, gzip+kind), filepath.Join(dir, "gzip-9.pax.Z"+kind)))
			}
		}, "not about an artifact gzip-9.pax.Z"},
		{"provenance, payload", change(bundle("provenance"), payload(swap(`"version":"1"`, `"version":"2"`))), "signature does not fit"},
		{"provenance, subject's name", change(bundle("provenance"), payload(swap(gzip, "gzip-1.13.pax.Z"))), "signature does not fit"},
		{"provenance, signature", change(bundle("provenance"), func(t *testing.T) func([]byte) []byte { return inBundle(t, "sig", flip(20)) }), "signature does not fit"},
		{"reproducibility, verdict", change(bundle("reproducibility"), payload(swap(`"k":2`, `"k":1`))), "signature does not fit"},
		{"test result, payload", change(bundle("test-result"), payload(swap(`"WARNED"`, `"PASSED"`))), "signature does not fit"},
		{"bundle is garbage", change(bundle("provenance"), plain(func([]byte) []byte { return []byte("{") })), "reading it"},
		{"bundle is huge", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, bundle("provenance")), 17<<20)) }, "the most is"},
		{"bundles exchanged between artifacts", func(t *testing.T, dir string) {
			exchange(t, dir, bundle("provenance"), bash+".provenance.sigstore.json")
		}, "not about the artifact"},
		{"bundles exchanged between kinds", func(t *testing.T, dir string) {
			exchange(t, dir, bundle("provenance"), bundle("reproducibility"))
		}, "predicate type is https://zfarm.dev/reproducibility/v1"},
		{"bundle of another farm", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(copied(t, foreign), bundle("provenance")), filepath.Join(dir, bundle("provenance"))))
		}, "signed by another key"},
		{"provenance dropped", remove(bundle("provenance")), "provenance: "},
		{"reproducibility dropped", remove(bundle("reproducibility")), "reproducibility: "},
		{"only test result dropped", remove(bundle("test-result")), `no good result of the suite "check"`},
		{"one of two test results dropped", remove(bash + ".test-result-2.sigstore.json"), "one was added, removed or renamed"},
		{"test result twice", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, bash+".test-result-2.sigstore.json"))
			must(t, errors.Join(err, os.WriteFile(filepath.Join(dir, bash+".test-result-3.sigstore.json"), b, 0o644)))
		}, "or there are two results of it"},
		{"file added", add("README", "hello"), "README: provenance"},
		{"file with a bad name added", add("a b", "hello"), `name "a b"`},
		{"terminal control in a name", add("a\x1b[2J", "hello"), `name "a\x1b[2J"`},
		{"bundle added", add("x.provenance.sigstore.json", "{}"), "does not belong here"},
		{"folder added", func(t *testing.T, dir string) { must(t, os.Mkdir(filepath.Join(dir, "docs"), 0o755)) }, "is a folder"},
		{"link added", link("more", "/etc/passwd"), "is a symbolic link"},
		{"pipe added", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644)) }, "is a special file"},
		{"artifact is a link to its own bytes", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, gzip), filepath.Join(filepath.Dir(dir), "outside")))
			link(gzip, "../outside")(t, dir)
		}, "is a symbolic link"},
		{"bundle is a link inside the folder", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, bundle("provenance")), filepath.Join(dir, "p")))
			link(bundle("provenance"), "p")(t, dir)
		}, "is a symbolic link"},
		{"key of another farm", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "zfarm.pub"), other.signer.PublicKey(), 0o644))
		}, "another key than the pinned one"},
		{"key, one bit", change("zfarm.pub", plain(flip(40))), "another key than the pinned one"},
		{"key dropped", remove("zfarm.pub"), "zfarm.pub"},
		{"trusted root", change("trusted_root.json", plain(swap("0.1", "0.2"))), "not the one that was expected"},
		{"trusted root dropped", remove("trusted_root.json"), "trusted_root.json"},
		{"commands", change("verify.txt", plain(func(b []byte) []byte { return append(b, "rm -rf /\n"...) })), "verify.txt was changed"},
		{"commands dropped", remove("verify.txt"), "verify.txt"},
		{"says it did not reproduce", add("NOT-REPRODUCIBLE.txt", ""), "did not reproduce"},
		{"everything dropped but the key", func(t *testing.T, dir string) {
			for _, name := range names(t, dir) {
				if name != "zfarm.pub" {
					must(t, os.Remove(filepath.Join(dir, name)))
				}
			}
		}, "no artifact"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := copied(t, whole)
			tc.tamper(t, dir)
			report, err := kit.Verify(t.Context(), dir, f.options())
			if !errors.Is(err, attest.ErrNotVerified) || report.Releasable {
				t.Fatalf("releasable %v, error %v", report.Releasable, err)
			}
			faults := strings.Join(report.Faults, "\n")
			if !strings.Contains(faults, tc.want) {
				t.Errorf("faults are\n%s\nwant one with %q", faults, tc.want)
			}
			if strings.ContainsAny(faults, "\x1b\x00") {
				t.Errorf("faults would steer the terminal: %q", faults)
			}
		})
	}
	if _, err := kit.Verify(t.Context(), copied(t, whole), f.options()); err != nil {
		t.Errorf("without tampering: %v", err)
	}
	// The folder of another farm is consistent, but not with the pinned key.
	report, err := kit.Verify(t.Context(), foreign, f.options())
	if !errors.Is(err, attest.ErrNotVerified) || len(report.Checked) > 2 {
		t.Errorf("the folder of another farm: %v, checked %q", err, report.Checked)
	}
}

func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "kit")
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// TestStatementsMustFit: the farm signed each statement correctly, but they do
// not belong together, or say what must not be released. Neither Write nor
// Verify accepts them.
func TestStatementsMustFit(t *testing.T) {
	f := newFarm(t)
	for _, tc := range []struct {
		name   string
		change func(*story)
		want   string
	}{
		{"other build", func(s *story) { s.compared.InvocationID = "b-0" }, `about the build "b-0"`},
		{"other recipe", func(s *story) { s.compared.Recipe.Digest = sum("x") }, "it is about the recipe"},
		{"other baseline", func(s *story) { s.provenance.Internal.Baseline = "varied" }, `its baseline is "baseline"`},
		{"more repeats promised", func(s *story) { s.provenance.Internal.Repeats = 3 }, "compares 2 repeats"},
		{"different", func(s *story) {
			s.fail()
			s.compared.Subjects = s.provenance.Subjects
		}, `verdict is "different"`},
		{"incomparable", func(s *story) {
			s.compared.Verdict, s.compared.Reason = statement.Incomparable, "torn"
		}, `verdict is "incomparable"`},
		{"failed suite", func(s *story) { s.tests[0].Failed = []string{"e"} }, `suite "check" failed`},
		{"suite without result", func(s *story) { s.provenance.Internal.TestSuites = []string{"check", "more"} }, `no good result of the suite "more"`},
		{"unknown suite", func(s *story) { s.tests[0].Suite = "other" }, `knows no suite "other"`},
		{"test of another recipe", func(s *story) {
			s.tests[0].Configuration = []statement.Resource{{Name: statement.RecipeName, Digest: sum("x")}}
		}, "is about the recipe"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := two()
			good := f.write(f.contents(s))
			tc.change(&s)
			bad := f.contents(s)
			dir := filepath.Join(t.TempDir(), "kit")
			wantError(t, kit.Write(t.Context(), dir, bad), tc.want)
			if left := names(t, filepath.Dir(dir)); len(left) != 0 {
				t.Errorf("a refused folder left %q", left)
			}
			a := bad.Artifacts[0]
			must(t, os.WriteFile(filepath.Join(good, gzip+".provenance.sigstore.json"), a.Provenance, 0o644))
			must(t, os.WriteFile(filepath.Join(good, gzip+".reproducibility.sigstore.json"), a.Reproducibility, 0o644))
			must(t, os.WriteFile(filepath.Join(good, gzip+".test-result.sigstore.json"), a.TestResults[0], 0o644))
			report, err := kit.Verify(t.Context(), good, f.options())
			if !errors.Is(err, attest.ErrNotVerified) || !strings.Contains(strings.Join(report.Faults, "\n"), tc.want) {
				t.Errorf("Verify: %v, faults %q; want %q", err, report.Faults, tc.want)
			}
		})
	}
}

func TestOptionsNarrowWhatIsAccepted(t *testing.T) {
	f := newFarm(t)
	s, _ := two()
	s.differ()
	dir := f.write(f.contents(s))
	for _, tc := range []struct {
		name   string
		change func(*kit.Options)
		want   string
	}{
		{"as it is", func(*kit.Options) {}, ""},
		{"this builder", func(o *kit.Options) { o.Builders = []string{statement.BuilderShared} }, ""},
		{"another builder", func(o *kit.Options) { o.Builders = []string{statement.BuilderEphemeral} }, "built by"},
		{"these tiers", func(o *kit.Options) { o.Tiers = []statement.Tier{"0", "2"} }, ""},
		{"lower tiers", func(o *kit.Options) { o.Tiers = []statement.Tier{"0", "1"} }, "zos.ppa2.date"},
		{"no tier", func(o *kit.Options) { o.Tiers = []statement.Tier{} }, "zos.ppa2.date"},
		{"a key that is none", func(o *kit.Options) { o.PublicKey = []byte("key") }, "PEM"},
		{"an empty key", func(o *kit.Options) { o.PublicKey = []byte{} }, "PEM"},
		{"no verifier", func(o *kit.Options) {
			o.Open = func([]byte) (attest.Verifier, error) { return nil, errors.New("no such verifier") }
		}, "no such verifier"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := f.options()
			tc.change(&o)
			_, err := kit.Verify(t.Context(), dir, o)
			wantError(t, err, tc.want)
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	f := newFarm(t)
	a, b := two()
	good := f.contents(a, b)
	for _, tc := range []struct {
		name   string
		change func(*kit.Contents)
		want   string
	}{
		{"nothing", func(c *kit.Contents) { c.Artifacts = nil }, "no artifact"},
		{"two of one name", func(c *kit.Contents) { c.Artifacts[1] = c.Artifacts[0] }, "two artifacts"},
		{"name with a slash", func(c *kit.Contents) { c.Artifacts[0].Name = "../x" }, "want letters"},
		{"name like an option", func(c *kit.Contents) { c.Artifacts[0].Name = "--key" }, "want letters"},
		{"name for a shell", func(c *kit.Contents) { c.Artifacts[0].Name = "a;b" }, "want letters"},
		{"name of a bundle", func(c *kit.Contents) { c.Artifacts[0].Name = "a.sigstore.json" }, "another meaning"},
		{"name of the key", func(c *kit.Contents) { c.Artifacts[0].Name = "zfarm.pub" }, "another meaning"},
		{"name of an extra file", func(c *kit.Contents) { c.Artifacts[0].Name = "metadata.json" }, "another meaning"},
		{"other name than signed", func(c *kit.Contents) { c.Artifacts[0].Name = "other" }, "not about an artifact other"},
		{"other digest than signed", func(c *kit.Contents) { c.Artifacts[0].Digest = sum("x") }, "not about an artifact"},
		{"other bytes than signed", func(c *kit.Contents) { c.Artifacts[0].Open = open("x") }, "its statements are about"},
		{"no bytes", func(c *kit.Contents) { c.Artifacts[0].Open = nil }, "no bytes"},
		{"bytes that end in an error", func(c *kit.Contents) {
			c.Artifacts[1].Open = func() (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader("the"), iotest.ErrReader(errors.New("lost")))), nil
			}
		}, "lost"},
		{"bytes that are not there", func(c *kit.Contents) { c.Artifacts[1].Open = kit.FromFile("/nowhere") }, "no such file"},
		{"no provenance", func(c *kit.Contents) { c.Artifacts[0].Provenance = nil }, "there is no bundle"},
		{"no reproducibility", func(c *kit.Contents) { c.Artifacts[0].Reproducibility = nil }, "there is no bundle"},
		{"no test result", func(c *kit.Contents) { c.Artifacts[0].TestResults = nil }, "no good result"},
		{"no key", func(c *kit.Contents) { c.PublicKey = nil }, "public key"},
		{"no root", func(c *kit.Contents) { c.TrustedRoot = nil }, "trusted root"},
		{"unknown extra file", func(c *kit.Contents) { c.Extra = []kit.Extra{{Name: "install.sh"}} }, "extra file"},
		{"extra file twice", func(c *kit.Contents) { c.Extra = []kit.Extra{{Name: "report.txt"}, {Name: "report.txt"}} }, "each once"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := good
			c.Artifacts = slices.Clone(good.Artifacts)
			tc.change(&c)
			dir := filepath.Join(t.TempDir(), "kit")
			wantError(t, kit.Write(t.Context(), dir, c), tc.want)
			if left := names(t, filepath.Dir(dir)); len(left) != 0 {
				t.Errorf("a refused folder left %q", left)
			}
		})
	}
}

func TestWritePlaces(t *testing.T) {
	f := newFarm(t)
	a, _ := two()
	c := f.contents(a)
	dir := t.TempDir() // exists, and is empty
	must(t, kit.Write(t.Context(), dir, c))
	err := kit.Write(t.Context(), dir, c)
	wantError(t, err, "not empty")
	wantError(t, err, "choose another")
	if _, err := kit.Verify(t.Context(), dir, f.options()); err != nil {
		t.Errorf("after a refused write: %v", err)
	}
	file := filepath.Join(dir, gzip)
	wantError(t, kit.Write(t.Context(), file, c), "not a directory")
	wantError(t, kit.Write(t.Context(), filepath.Join(dir, "no", "parent"), c), "no such file")

	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o755 {
		t.Errorf("the folder has mode %v", info.Mode())
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	parent := t.TempDir()
	if err := kit.Write(cancelled, filepath.Join(parent, "kit"), c); !errors.Is(err, context.Canceled) || len(names(t, parent)) != 0 {
		t.Errorf("after cancelling: %v, left %q", err, names(t, parent))
	}
	if _, err := kit.Verify(cancelled, dir, f.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("verifying after cancelling: %v", err)
	}
	if _, err := kit.Verify(t.Context(), filepath.Join(parent, "none"), f.options()); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, attest.ErrNotVerified) {
		t.Errorf("verifying nothing: %v", err)
	}
}

// TestNothingIsThereBeforeEverythingIs: the folder does not exist while
// artifacts are copied, so that a killed process leaves none.
func TestNothingIsThereBeforeEverythingIs(t *testing.T) {
	f := newFarm(t)
	a, b := two()
	c := f.contents(a, b)
	dir := filepath.Join(t.TempDir(), "kit")
	opened := 0
	for i, artifact := range c.Artifacts {
		c.Artifacts[i].Open = func() (io.ReadCloser, error) {
			opened++
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder is there already: %v", err)
			}
			return artifact.Open()
		}
	}
	must(t, kit.Write(t.Context(), dir, c))
	if opened != 2 {
		t.Errorf("%d artifacts were opened", opened)
	}
}

func TestFindings(t *testing.T) {
	f := newFarm(t)
	s, _ := two()
	s.fail()
	s.compared.Rules = rules()
	found := f.findings(s)
	found.Extra = []kit.Extra{{Name: "verdict.json", Data: []byte("{}")}}
	dir := filepath.Join(t.TempDir(), "findings")
	must(t, kit.WriteFindings(t.Context(), dir, found))
	want := []string{"NOT-REPRODUCIBLE.txt", "findings.reproducibility.sigstore.json", "trusted_root.json", "verdict.json", "verify.txt", "zfarm.pub"}
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, name := range []string{"NOT-REPRODUCIBLE.txt", "verify.txt"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		golden(t, "findings-"+name, string(b))
	}
	report, err := kit.Verify(t.Context(), dir, f.options())
	if !errors.Is(err, attest.ErrNotVerified) || report.Releasable {
		t.Fatalf("releasable %v, error %v", report.Releasable, err)
	}
	if len(report.Faults) != 1 || !strings.Contains(report.Faults[0], "did not reproduce") {
		t.Errorf("faults are %q", report.Faults)
	}
	if len(report.Checked) != 4 {
		t.Errorf("checked is %q", report.Checked)
	}
	for _, tc := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   string
	}{
		{"statement", func(t *testing.T, dir string) {
			edit(t, dir, "findings.reproducibility.sigstore.json", inBundle(t, "payload", swap(`"k":1`, `"k":2`)))
		}, "signature does not fit"},
		{"text", func(t *testing.T, dir string) {
			edit(t, dir, "NOT-REPRODUCIBLE.txt", swap("Do not release", "Do release"))
		}, "was changed"},
		{"artifact put in", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, gzip), []byte(s.content), 0o644))
		}, "does not belong here"},
		{"statement taken out", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "findings.reproducibility.sigstore.json")))
		}, "no such file"},
		{"text taken out", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "NOT-REPRODUCIBLE.txt"))) }, "NOT-REPRODUCIBLE.txt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := copied(t, dir)
			tc.tamper(t, dir)
			report, err := kit.Verify(t.Context(), dir, f.options())
			if !errors.Is(err, attest.ErrNotVerified) || !strings.Contains(strings.Join(report.Faults, "\n"), tc.want) {
				t.Errorf("%v, faults %q", err, report.Faults)
			}
		})
	}
}

func TestWriteFindingsRefuses(t *testing.T) {
	f := newFarm(t)
	s, _ := two()
	good, bad := f.findings(s), s
	bad.fail()
	place := func() string { return filepath.Join(t.TempDir(), "findings") }
	wantError(t, kit.WriteFindings(t.Context(), place(), good), "this build reproduced")
	wantError(t, kit.WriteFindings(t.Context(), place(), kit.Findings{}), "there is no bundle")
	found := f.findings(bad)
	found.PublicKey = nil
	wantError(t, kit.WriteFindings(t.Context(), place(), found), "public key")
	found = f.findings(bad)
	found.Reproducibility = f.sign(s.provenance.Statement())
	wantError(t, kit.WriteFindings(t.Context(), place(), found), "predicate type")
}

// TestManyArtifacts: one statement may be about all artifacts of a build.
func TestManyArtifacts(t *testing.T) {
	f := newFarm(t)
	s := newStory("all", "all")
	var subjects []attest.Subject
	var outputs []statement.Resource
	for i := range 40 {
		text := fmt.Sprint("bytes ", i)
		subjects = append(subjects, attest.Subject{Name: fmt.Sprint("f", i), Digest: sum(text)})
		outputs = append(outputs, statement.Resource{Name: fmt.Sprint("f", i), Digest: sum(text)})
	}
	s.provenance.Subjects, s.compared.Subjects = subjects, subjects
	s.compared.Repeats[0].Outputs, s.compared.Repeats[1].Outputs = outputs, outputs
	c := kit.Contents{PublicKey: f.signer.PublicKey(), TrustedRoot: cosign.TrustedRoot()}
	made, compared := f.sign(s.provenance.Statement()), f.sign(s.compared.Statement())
	for i, subject := range subjects {
		c.Artifacts = append(c.Artifacts, kit.Artifact{
			Name: subject.Name, Digest: subject.Digest, Open: open(fmt.Sprint("bytes ", i)), Provenance: made, Reproducibility: compared,
		})
	}
	dir := f.write(c)
	report, err := kit.Verify(t.Context(), dir, f.options())
	if err != nil || len(report.Artifacts) != len(subjects) {
		t.Fatalf("%d artifacts, %v", len(report.Artifacts), err)
	}
	if !strings.Contains(strings.Join(report.NotChecked, "\n"), "f0: tests; the provenance names no suite") {
		t.Errorf("nothing says that there were no tests: %q", report.NotChecked)
	}
	exchange(t, dir, "f1", "f2")
	if _, err := kit.Verify(t.Context(), dir, f.options()); !errors.Is(err, attest.ErrNotVerified) {
		t.Errorf("two artifacts of one statement exchanged: %v", err)
	}
}

func TestReportIsPrintable(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "zfarm.pub"), []byte("x"), 0o644))
	must(t, os.Symlink("x", filepath.Join(dir, "e\x1b[31mvil\n- Releasable \u202e")))
	report, err := kit.Verify(t.Context(), dir, kit.Options{Open: openVerifier})
	if err == nil {
		t.Fatal("no error")
	}
	var text bytes.Buffer
	must(t, report.WriteText(&text))
	if strings.ContainsAny(text.String(), "\x1b\u202e") || strings.Contains(text.String(), "\n- Releasable") {
		t.Errorf("report would steer the terminal: %q", text.String())
	}
	var js bytes.Buffer
	must(t, report.WriteJSON(&js))
	if !json.Valid(js.Bytes()) || strings.Contains(js.String(), "null") {
		t.Errorf("JSON is %s", js.String())
	}
}

func FuzzPeek(f *testing.F) {
	s, _ := two()
	good, err := s.provenance.Statement()
	if err != nil {
		f.Fatal(err)
	}
	payload := base64.StdEncoding.EncodeToString(good.JSON)
	f.Add([]byte(`{"dsseEnvelope":{"payload":"` + payload + `"}}`))
	f.Add([]byte(`{"dsseEnvelope":{"payload":"e30="}}`))
	f.Add([]byte(`{"dsseEnvelope":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := kit.Peek(b)
		if err == nil && (len(s.Subjects) == 0 || !json.Valid(s.JSON)) {
			t.Errorf("statement about nothing: %q", s.JSON)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	f := newFarm(b)
	x, y := two()
	dir := f.write(f.contents(x, y))
	for b.Loop() {
		if _, err := kit.Verify(b.Context(), dir, f.options()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	f := newFarm(b)
	x, y := two()
	c := f.contents(x, y)
	parent := b.TempDir()
	for i := 0; b.Loop(); i++ {
		if err := kit.Write(b.Context(), filepath.Join(parent, fmt.Sprint(i)), c); err != nil {
			b.Fatal(err)
		}
	}
}
