// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"regexp"
	"strings"
	"testing"
)

// ruling compares two members under rules, with every tier allowed.
func ruling(t *testing.T, a, b member, rules ...Rule) Verdict {
	t.Helper()
	x, y := plantedPair(t, a, b)
	o := Options{Allowed: []Tier{Container, Header, Stamp}, Known: known(), Rules: rules, Workdir: t.TempDir()}
	v, err := Archives(t.Context(), input("a.pax", x), input("b.pax", y), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func idRule(format string) Rule {
	return Rule{Name: "id", Format: format, Pattern: regexp.MustCompile(`id=([0-9]+)`), Tier: Stamp, Reason: "a number drawn at random"}
}

func anyRule(format string) Rule {
	return Rule{Name: "any", Format: format, Pattern: regexp.MustCompile(`(?s)(.*)`), Tier: Container, Reason: "anything goes"}
}

func TestRulesOfText(t *testing.T) {
	const reason = ": a number drawn at random"
	for _, tt := range []struct {
		name, a, b string
		want       string
		found      []string
	}{
		{"the group", "one\nid=12 x\n", "one\nid=34 x\n", "equivalent (tier 2)", []string{"2 rule.id" + reason}},
		{"of another length", "one\nid=12 x\ntwo\n", "one\nid=345 x\ntwo\n", "equivalent (tier 2)", []string{"2 rule.id" + reason}},
		{"twice in a line", "id=1 id=2\n", "id=3 id=4\n", "equivalent (tier 2)", []string{"2 rule.id"}},
		{"in two lines", "id=1\nid=2\n", "id=33\nid=44\n", "equivalent (tier 2)", []string{"2 rule.id", "2 rule.id"}},
		{"beside a stamp", "at 15:04:05\nid=1\n", "at 16:04:05\nid=222\n", "equivalent (tier 2)", []string{"2 stamp.time", "2 rule.id"}},
		{"a stamp needs no rule", "id=1795359845\n", "id=1795363445\n", "equivalent (tier 2)", []string{"2 stamp.epoch"}},
		{"something else in its line", "id=1 a\n", "id=2 b\n", "different", []string{"X content"}},
		{"something else in another line", "id=1\na\n", "id=22\nb\n", "different", []string{"2 rule.id", "X content"}},
		{"once in A only", "id=1\n", "id=x\n", "different", []string{"X content"}},
		{"a line more", "id=1\n", "id=2\nmore\n", "different", []string{"X content"}},
		{"another end of a line", "id=1\n", "id=2\r\n", "different", []string{"X content"}},
		{"no newline at the end", "id=1\n", "id=2", "different", []string{"X content"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, long := range []string{"", strings.Repeat("the same line, for long\n", 2*maxText/24)} {
				a, b := reg("p/f", long+tt.a), reg("p/f", long+tt.b)
				check(t, ruling(t, a, b, idRule("text")), planted{want: tt.want, found: tt.found})
			}
			a, b := reg("p/f", ebcdic(tt.a)).record("ZOS.taginfo", "1 1047"), reg("p/f", ebcdic(tt.b)).record("ZOS.taginfo", "1 1047")
			check(t, ruling(t, a, b, idRule("text")), planted{want: tt.want, found: tt.found})
		})
	}
}

func TestRulesOfBytes(t *testing.T) {
	filler := strings.Repeat("\x00\x01code", 200)
	for _, tt := range []struct {
		name, a, b string
		want       string
		found      []string
	}{
		{"the group", "\x00id=12 x\x00", "\x00id=34 x\x00", "equivalent (tier 2)", []string{"2 rule.id: a number drawn at random"}},
		{"in EBCDIC", "\x00" + ebcdic("id=12 x") + "\x00", "\x00" + ebcdic("id=34 x") + "\x00", "equivalent (tier 2)", []string{"2 rule.id"}},
		{"a byte beside it", "\x00id=12 x\x00", "\x00id=34 y\x00", "different", []string{"2 rule.id", "X content"}},
		{"a byte far from it", "\x00id=12 x\x00" + filler + "1", "\x00id=34 x\x00" + filler + "2", "different", []string{"2 rule.id", "X content"}},
		{"what the pattern wants around it", "\x00id=12\x00", "\x00jd=34\x00", "different", []string{"X content"}},
		{"of another length", "\x00id=12 x\x00", "\x00id=3  x\x00", "different", []string{"X content"}},
		{"in another place", "\x00id=12  \x00", "\x00 id=12 \x00", "different", []string{"X content"}},
		{"in a longer file", "\x00id=12 x\x00", "\x00id=34 x\x00\x00", "different", []string{"X content"}},
		{"not printable", "\x00id=1\x01 x\x00", "\x00id=1\x02 x\x00", "different", []string{"X content"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check(t, ruling(t, reg("p/f", filler+tt.a), reg("p/f", filler+tt.b), idRule("bytes")), planted{want: tt.want, found: tt.found})
		})
	}
}

func TestRulesOfJSON(t *testing.T) {
	field := func(pointer, pattern string) Rule {
		r := Rule{Name: "nonce", Format: "json", Field: pointer, Tier: Header, Reason: "drawn at random"}
		if pattern != "" {
			r.Pattern = regexp.MustCompile(pattern)
		}
		return r
	}
	for _, tt := range []struct {
		name, a, b string
		rule       Rule
		want       string
		found      []string
	}{
		{"the value", `{"n":{"a/b":"x12"}}`, `{"n":{"a/b":"x3"}}`, field("/n/a~1b", `x(\d+)`), "equivalent (tier 1)", []string{"1 rule.nonce: drawn at random"}},
		{"any value", `{"n":12}`, `{"n":-3e9}`, field("/n", ""), "equivalent (tier 1)", []string{"1 rule.nonce"}},
		{"without a group", `{"n":12}`, `{"n":3}`, field("/n", `\d+`), "equivalent (tier 1)", []string{"1 rule.nonce"}},
		{"not whole", `{"n":"x12"}`, `{"n":"x3"}`, field("/n", `(\d+)`), "different", []string{"X json:/n"}},
		{"a part outside the group", `{"n":"x12"}`, `{"n":"y12"}`, field("/n", `[xy](\d+)`), "different", []string{"X json:/n"}},
		{"alternatives are whole as well", `{"n":"12"}`, `{"n":"13"}`, field("/n", `1|(1\d)`), "equivalent (tier 1)", []string{"1 rule.nonce"}},
		{"another value", `{"n":1,"m":1}`, `{"n":2,"m":2}`, field("/n", ""), "different", []string{"1 rule.nonce", "X json:/m"}},
		{"another kind", `{"n":1}`, `{"n":"1"}`, field("/n", ""), "different", []string{"X json:/n: it is a value of another kind"}},
		{"below the pointer", `{"n":{"x":1}}`, `{"n":{"x":2}}`, field("/n", ""), "different", []string{"X json:/n/x"}},
		{"added", `{}`, `{"n":1}`, field("/n", ""), "different", []string{"X json:/n: it is in B only"}},
		{"removed", `{"n":1}`, `{}`, field("/n", ""), "different", []string{"X json:/n: it is in A only"}},
		{"written in another form", `{"n":1}`, `{ "n":2}`, field("/n", ""), "different", []string{"1 rule.nonce", "X content"}},
		{"keys in another order", `{"n":1,"m":2}`, `{"m":2,"n":3}`, field("/n", ""), "different", []string{"1 rule.nonce", "X content"}},
		{"only escaped otherwise", `{"n":"a"}`, `{"n":"\u0061"}`, field("/n", `(.)`), "different", []string{"X json:/n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check(t, ruling(t, reg("p/f", tt.a), reg("p/f", tt.b), tt.rule), planted{want: tt.want, found: tt.found})
		})
	}
}

// TestRulesNeverMask has, for each case, rules of every format that match
// everything.
func TestRulesNeverMask(t *testing.T) {
	file := reg("p/f", "text\n")
	object := func(comment string) string { return string(elfWith(".comment", 1, 0, comment, ".data", 1, 0, "id=1")) }
	code := func(body string) string { return string(elfWith(".text", 1, 4, body, ".data", 1, 0, "same")) }
	for _, tt := range []struct {
		name  string
		a, b  member
		found []string
	}{
		{"mode", file, file.with(func(h *tar.Header) { h.Mode = 0o4644 }), []string{"X mode"}},
		{"attribute", file.record("ZOS.extattr", "--s-"), file.record("ZOS.extattr", "a-s-"), []string{"X zos.extattr"}},
		{"tag", file.record("ZOS.taginfo", "1 1047"), file.record("ZOS.taginfo", "1 819"), []string{"X zos.taginfo"}},
		{"another name", file, reg("p/g", "text\n"), []string{"X member", "X member"}},
		{"code page", reg("p/f", ebcdic("one\n")).record("ZOS.taginfo", "1 1047"), reg("p/f", "one\n").record("ZOS.taginfo", "1 819"), []string{"X zos.taginfo", "X content"}},
		{"code page and text", reg("p/f", ebcdic("one\n")).record("ZOS.taginfo", "1 1047"), reg("p/f", "two\n").record("ZOS.taginfo", "1 819"), []string{"X zos.taginfo", "X content"}},
		{"order of lines", reg("p/f", "one\ntwo\n"), reg("p/f", "two\none\n"), []string{"X content: the same lines in another order"}},
		{"ends of lines", reg("p/f", "one\ntwo\n"), reg("p/f", "one\r\ntwo\n"), []string{"X content: the same lines, ended by LF in A and by LF and CR LF in B"}},
		{"another number of lines", reg("p/f", "one\n"), reg("p/f", "one\ntwo\n"), []string{"X content"}},
		{"a compiler", reg("p/f", object("GCC 1.0\x00")), reg("p/f", object("GCC 1.1\x00")), []string{"X elf.comment"}},
		{"code", reg("p/f", code("mov id")), reg("p/f", code("add id")), []string{"X elf.text"}},
		{"size of a binary", reg("p/f", "\x00one"), reg("p/f", "\x00one1"), []string{"X content"}},
		{"text and bytes", reg("p/f", "one\n"), reg("p/f", "on\x00\n"), []string{"X content"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := ruling(t, tt.a, tt.b, anyRule("text"), anyRule("bytes"), Rule{Name: "root", Format: "json", Reason: "anything"})
			check(t, v, planted{want: "different", found: tt.found})
		})
	}
}

// TestRulesThatAreNone checks that invalid rules are ignored and mask nothing.
func TestRulesThatAreNone(t *testing.T) {
	for name, r := range map[string]Rule{
		"tier X":      {Name: "r", Format: "text", Pattern: regexp.MustCompile(`(.*)`), Tier: Forbidden},
		"tier 3":      {Name: "r", Format: "text", Pattern: regexp.MustCompile(`(.*)`), Tier: 3},
		"tier -1":     {Name: "r", Format: "text", Pattern: regexp.MustCompile(`(.*)`), Tier: -1},
		"no pattern":  {Name: "r", Format: "text"},
		"no group":    {Name: "r", Format: "text", Pattern: regexp.MustCompile(`.*`)},
		"two groups":  {Name: "r", Format: "text", Pattern: regexp.MustCompile(`(.)(.*)`)},
		"format":      {Name: "r", Format: "xml", Pattern: regexp.MustCompile(`(.*)`)},
		"other path":  {Name: "r", Format: "text", Path: "g", Pattern: regexp.MustCompile(`(.*)`)},
		"whole path":  {Name: "r", Format: "text", Path: "p/f", Pattern: regexp.MustCompile(`(.*)`)},
		"faulty path": {Name: "r", Format: "text", Path: "[", Pattern: regexp.MustCompile(`(.*)`)},
		"for bytes":   anyRule("bytes"),
		"for JSON":    {Name: "r", Format: "json"},
	} {
		if v := ruling(t, reg("p/f", "one\n"), reg("p/f", "two\n"), r); v.Outcome != Different {
			t.Errorf("%s: %s, %+v", name, v, v.Findings)
		}
	}
	for _, glob := range []string{"", "f", "*", "[a-z]"} {
		r := Rule{Name: "r", Format: "text", Path: glob, Pattern: regexp.MustCompile(`(.*)`)}
		if v := ruling(t, reg("p/f", "one\n"), reg("p/f", "two\n"), r); v.String() != "equivalent (tier 0)" {
			t.Errorf("path %q: %s, %+v", glob, v, v.Findings)
		}
	}
	r := idRule("text")
	v, err := Archives(t.Context(), input("a", []byte("id=1\n")), input("b", []byte("id=2\n")), Options{Rules: []Rule{r}, Allowed: []Tier{Header}})
	if err != nil || v.Outcome != Different || len(v.Findings) != 1 || v.Findings[0].Tier != Stamp {
		t.Errorf("a rule of a tier that is not allowed: %s, %+v, %v", v, v.Findings, err)
	}
}

// TestRuleIsTold checks that the verdict always lists a rule that was used, with
// what it masked.
func TestRuleIsTold(t *testing.T) {
	r := idRule("text")
	r.Reason = "see\x1b[2J the notes"
	v := ruling(t, reg("p/f", "id=12\n"), reg("p/f", "id=3456\n"), r)
	if len(v.Findings) != 1 {
		t.Fatal(v.Findings)
	}
	f := v.Findings[0]
	if f.Path != "p/f" || f.A != "12" || f.B != "3456" || !strings.Contains(f.Evidence, "id=([0-9]+)") || f.Cause != `see\x1b[2J the notes` {
		t.Errorf("%+v", f)
	}
}
