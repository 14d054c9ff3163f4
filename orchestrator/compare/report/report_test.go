// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/registry"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// TestGravestIsToldFirst checks the order: authority, tools, files, content, and
// explained differences last.
func TestGravestIsToldFirst(t *testing.T) {
	v := verdict.Verdict{Outcome: verdict.Different, Findings: []verdict.Finding{
		{Path: "a", Field: "embedded.user", Tier: verdict.Forbidden, Cause: "the user is embedded"},
		{Path: "b", Field: "mtime", Tier: verdict.Header},
		{Path: "c", Field: "content", Tier: verdict.Forbidden},
		{Path: "d", Field: "stamp.time", Tier: verdict.Stamp, Cause: "the time of the build is embedded"},
		{Path: "e", Field: "member", Tier: verdict.Forbidden, Cause: "it is in A only"},
		{Path: "f", Field: "idrz.zap", Tier: verdict.Forbidden},
		{Path: "g", Field: "mode", Tier: verdict.Forbidden, Cause: "setuid set in B"},
	}}
	var order []string
	for _, g := range summarise(v, registry.New()).Deciding {
		order = append(order, g.Field)
	}
	want := []string{"mode", "idrz.zap", "member", "content", "embedded.user", "stamp.time", "mtime"}
	if d := cmp.Diff(want, order); d != "" {
		t.Errorf("-want +have:\n%s", d)
	}
}

// TestUnknownFieldIsNoMilder ranks a field of a later version as one without a
// gravity of its own.
func TestUnknownFieldIsNoMilder(t *testing.T) {
	for _, f := range []verdict.Finding{{Tier: verdict.Forbidden}, {Tier: verdict.Forbidden, Cause: "known"}, {Tier: verdict.Header}} {
		if have, want := rank(f, format.Unset), rank(f, format.Ordinary); have != want {
			t.Errorf("%+v: rank %d, want %d", f, have, want)
		}
	}
}

func TestSummarySaysWhatWouldHelp(t *testing.T) {
	mtime, stamp, mode := verdict.Finding{Field: "mtime", Tier: verdict.Header}, verdict.Finding{Field: "stamp.time", Tier: verdict.Stamp}, verdict.Finding{Field: "zos.extattr", Tier: verdict.Forbidden}
	for _, c := range []struct {
		v            verdict.Verdict
		text, advice string
	}{
		{verdict.Verdict{Outcome: verdict.Identical}, "byte for byte", ""},
		{verdict.Verdict{Outcome: verdict.Incomparable, Reason: "A ends too early"}, "A ends too early", "take neither"},
		{verdict.Verdict{Outcome: verdict.Equivalent, Allowed: []verdict.Tier{verdict.Header}, Findings: []verdict.Finding{mtime}}, "1 difference", ""},
		{verdict.Verdict{Outcome: verdict.Different, Findings: []verdict.Finding{mtime, stamp}}, "of tier 1, 2 were not allowed", "With tier 1, 2 allowed"},
		{verdict.Verdict{Outcome: verdict.Different, Allowed: []verdict.Tier{verdict.Header}, Findings: []verdict.Finding{mtime, stamp}}, "of tier 2 were", "With tier 2 allowed"},
		{verdict.Verdict{Outcome: verdict.Different, Allowed: []verdict.Tier{verdict.Header}, Findings: []verdict.Finding{mtime, mode}}, "1 difference of tier X, which nothing can allow, and 1 of other", "APF"},
	} {
		s := summarise(c.v, registry.New())
		if !strings.Contains(s.Text, c.text) || !strings.Contains(s.Advice, c.advice) || c.advice == "" && s.Advice != "" {
			t.Errorf("%s: %q, %q; want %q, %q", c.v, s.Text, s.Advice, c.text, c.advice)
		}
	}
}

// TestReportOfForeignVerdictIsSafe has a verdict from a file, whose texts may not
// be escaped.
func TestReportOfForeignVerdictIsSafe(t *testing.T) {
	evil := "\x1b]0;x\x07\u202e\r\xff\n"
	v := verdict.Verdict{Outcome: verdict.Different, Reason: evil, Findings: []verdict.Finding{{Path: evil, Field: evil, A: evil, B: evil, Cause: evil, Evidence: evil, Hunk: "-" + evil + "+" + evil, Tier: verdict.Forbidden}}}
	var out bytes.Buffer
	if err := Text(&out, v, Options{Hunks: true, A: evil, B: evil}); err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(out.Bytes(), "\x1b\x07\r\u202e") || bytes.Contains(out.Bytes(), []byte{0xff}) {
		t.Errorf("%q", out.String())
	}
}

func TestRowsStandSideBySide(t *testing.T) {
	have := rows("@@ -1,3 +1,2 @@\n one\n-two\n-three\n+2\n")
	want := []row{
		{Head: "@@ -1,3 +1,2 @@"},
		{Left: []stretch{{"one", false}}, Right: []stretch{{"one", false}}, Same: true},
		{Left: []stretch{{"two", true}}, Right: []stretch{{"2", true}}},
		{Left: []stretch{{"three", true}}},
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("-want +have:\n%s", d)
	}
	l, r := marked("size 10 bytes", "size 20 bytes")
	if d := cmp.Diff([]stretch{{"size ", false}, {"1", true}, {"0 bytes", false}}, l); d != "" {
		t.Errorf("-want +have:\n%s", d)
	}
	if d := cmp.Diff([]stretch{{"size ", false}, {"2", true}, {"0 bytes", false}}, r); d != "" {
		t.Errorf("-want +have:\n%s", d)
	}
}

// TestBytesAreMarkedOneByOne checks that equal bytes between two that differ are
// not marked, neither as numbers nor as text.
func TestBytesAreMarkedOneByOne(t *testing.T) {
	have := rows("- 00000010  c1c2c3c4                          ....\n+ 00000010  c1c5c3f1                          ....\n+ 00000020  40                                @\n")
	pad := strings.Repeat(" ", 12)
	want := []stretch{{"00000010  c1", false}, {"c2", true}, {"c3", false}, {"c4", true}, {strings.Repeat(" ", 27) + "  .", false}, {".", true}, {".", false}, {".", true},
		{pad + "  A", false}, {"B", true}, {"C", false}, {"D", true}}
	if len(have) != 2 || have[1].Left != nil || len(have[1].Right) == 0 {
		t.Fatalf("%+v", have)
	}
	if d := cmp.Diff(want, have[0].Left); d != "" {
		t.Errorf("-want +have:\n%s", d)
	}
}

// FuzzRows checks for any hunk that all its lines are present and no row is empty.
func FuzzRows(f *testing.F) {
	f.Add("@@ -1 +1 @@\n one\n-two\n+2\n")
	f.Add("- 00000010  c1c2c3c4                          ....\n+ 00000010  c1c5c3c4                          ....\n...\n")
	f.Fuzz(func(t *testing.T, hunk string) {
		for _, r := range rows(hunk) {
			if r.Head == "" && r.Left == nil && r.Right == nil {
				t.Errorf("an empty row of %q", hunk)
			}
		}
	})
}

// TestJSONIsSafeToShow: JSON may end on a terminal, too.
func TestJSONIsSafeToShow(t *testing.T) {
	const foreign = "\u009b31m\x7f\u202e\u2066"
	var out bytes.Buffer
	if err := JSON(&out, verdict.Verdict{Outcome: verdict.Incomparable, Reason: foreign}); err != nil {
		t.Fatal(err)
	}
	var back verdict.Verdict
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Reason != foreign {
		t.Errorf("read back as %q, %v", back.Reason, err)
	}
	if strings.ContainsAny(out.String(), "\u009b\x7f\u202e\u2066") {
		t.Errorf("holds characters that a terminal obeys: %q", out.String())
	}
}
