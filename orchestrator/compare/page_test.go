// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/report"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

func pageOf(t *testing.T, v Verdict) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.HTML(&out, v, report.PageOptions{Title: "p 1 <b>", A: "a.pax", B: "b.pax"}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPage(t *testing.T) {
	a := archive(t, reg("p/doc", "one\ntwo <script>alert(1)</script>\nthree\n"), reg("p/bin", "\x01\x02same"), reg("p/same", "x"),
		reg("p/stamp", "built 15:04:05\n"))
	b := archive(t, reg("p/doc", "one\nTwo <script>alert(1)</script>\nthree\n"), reg("p/bin", "\x01\x03same"),
		reg("p/same", "x").with(func(h *tar.Header) { h.Mode = 0o4755 }), reg("p/stamp", "built 16:04:05\n"))
	page := pageOf(t, verdictOf(t, a, b, known()))
	page = strings.Replace(page, asset(t, "page.css"), "(style)\n", 1)
	page = strings.Replace(page, asset(t, "page.js"), "(script)\n", 1)
	golden(t, "page.html", regexp.MustCompile(`sha256-[^&]*&`).ReplaceAllString(page, "sha256-(digest)&"))
}

// TestPageIsInert checks that the page runs nothing that comes from the artifacts.
func TestPageIsInert(t *testing.T) {
	hostile := "\"><script>alert(1)</script><img src=x onerror=alert(2)>"
	a := archive(t, reg("p/"+hostile, "one "+hostile))
	b := archive(t, reg("p/"+hostile, "two "+hostile))
	v := verdictOf(t, a, b, known())
	v.Findings = append(v.Findings, Finding{Path: hostile, Field: hostile, A: hostile, B: hostile + hostile, Cause: hostile, Evidence: hostile,
		Hunk: "@@ " + hostile + "\n-" + hostile + "\n+" + hostile + "x\n", Tier: Forbidden})
	page := pageOf(t, v)
	if strings.Count(page, "<script") != 1 || strings.Contains(page, "<img") {
		t.Errorf("the page has elements of the artifacts in it:\n%s", page)
	}
	if strings.Contains(page, "src=\"") || strings.Contains(page, "href=") {
		t.Error("the page fetches something")
	}
}

// TestPageRunsItsOwnScriptOnly computes the digest over the text between the tags,
// as browsers do.
func TestPageRunsItsOwnScriptOnly(t *testing.T) {
	page := pageOf(t, Verdict{Outcome: Different, Findings: []Finding{{Path: "a", Field: "content", Tier: Forbidden}}})
	_, rest, _ := strings.Cut(page, "<script>")
	script, _, ok := strings.Cut(rest, "</script>")
	sum := sha256.Sum256([]byte(script))
	policy := html.UnescapeString(regexp.MustCompile(`Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)[1])
	if want := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !ok || !strings.Contains(policy, want) {
		t.Errorf("the policy is %q, the script needs %q", policy, want)
	}
	if strings.Contains(policy, "script-src 'unsafe") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the policy is %q", policy)
	}
}

func TestPageStaysSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("one of many members, which -short leaves out")
	}
	var left, right []member
	for i := range 10_000 {
		left = append(left, reg(fmt.Sprintf("p/d%d/f%d", i/100, i), strings.Repeat("line\n", 20)+"left"))
		right = append(right, reg(fmt.Sprintf("p/d%d/f%d", i/100, i), strings.Repeat("line\n", 20)+"right"))
	}
	v, err := Archives(t.Context(), input("a.pax", archive(t, left...)), input("b.pax", archive(t, right...)), Options{MaxFindings: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, v)
	if len(page) > 2_000_000 || v.Differing != 10_000 {
		t.Errorf("%d bytes for %d differing members", len(page), v.Differing)
	}
	if n := strings.Count(page, `class="f `); n < len(v.Findings) || n < 9_000 {
		t.Errorf("%d of %d findings are on the page", n, len(v.Findings))
	}
}

// hostileVerdict has n findings with values that grow most when escaped.
func hostileVerdict(n int) Verdict {
	v := Verdict{Outcome: Different, Members: n, Differing: n}
	for i := range n {
		grows := strings.Repeat("'+\"\x1b", verdict.MaxValue/4)
		v.Findings = append(v.Findings, Finding{Path: fmt.Sprintf("d'%d/%d%s", i%100, i, grows[:40]), Field: "content" + fmt.Sprint(i%700), A: grows, B: grows + "x",
			Cause: grows, Evidence: grows, Tier: Forbidden, Hunk: strings.Repeat("-'\n", 1000)})
	}
	return v
}

func TestOutputsAreBoundedWhateverTheyHold(t *testing.T) {
	v := hostileVerdict(10_000)
	if page := pageOf(t, v); len(page) > 2_000_000 {
		t.Errorf("%d bytes of page", len(page))
	}
	for _, colour := range []bool{false, true} {
		var text bytes.Buffer
		if err := report.Text(&text, v, report.Options{Hunks: true, Colour: colour}); err != nil {
			t.Fatal(err)
		}
		if text.Len() > 2_000_000 || !strings.Contains(text.String(), "more findings about") {
			t.Errorf("%d bytes of text, colour %v", text.Len(), colour)
		}
	}
}

// TestDeepPathsAreBounded checks paths of many folders, whose markup is larger than
// their text.
func TestDeepPathsAreBounded(t *testing.T) {
	v := Verdict{Outcome: Different}
	for i := range 3000 {
		v.Findings = append(v.Findings, Finding{Path: fmt.Sprint(i) + strings.Repeat("/'", verdict.MaxPath/2-3), Field: "content", Tier: Forbidden})
	}
	page := pageOf(t, v)
	if n := strings.Count(page, "<details"); len(page) > 2_000_000 || n < 100 {
		t.Errorf("%d bytes, %d folders", len(page), n)
	}
	if strings.Contains(page, strings.Repeat("</details>\n", deepest+1)) {
		t.Error("folders lie deeper than browsers like")
	}
}

func TestPageShowsWhatDecidesFirst(t *testing.T) {
	v := Verdict{Outcome: Different, Allowed: []Tier{Header}}
	for i := range 30_000 {
		v.Findings = append(v.Findings, Finding{Path: fmt.Sprintf("p/%d", i), Field: "mtime", A: "1", B: "2", Offset: -1, Tier: Header})
	}
	v.Findings = append(v.Findings, Finding{Path: "z/last", Field: "mode", A: "0755", B: "4755", Offset: -1, Tier: Forbidden, Cause: "setuid set in B"})
	page := pageOf(t, v)
	if !strings.Contains(page, "<u>last</u>") || strings.Contains(page, "<u>29999</u>") || !strings.Contains(page, "of 30001 differences are shown") {
		t.Error("the page does not show the finding that decides, or does not say what it leaves out")
	}
}
