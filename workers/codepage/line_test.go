// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package codepage

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for _, tt := range []struct {
		in          string
		limit       int
		line, value string
	}{
		{"", 0, "", ""},
		{"plain ä 漢", 0, "plain ä 漢", "plain ä 漢"},
		{"two\nlines\tand\rmore", 0, `two\nlines\tand\rmore`, `two\nlines\tand\rmore`},
		{"\x1b[31mred\x07", 0, `\x1b[31mred\a`, `\x1b[31mred\a`},
		{"abc\u202edef\u200b\u00a0\u2028", 0, `abc\u202edef\u200b\u00a0\u2028`, `abc\u202edef\u200b\u00a0\u2028`},
		{"bad \xff\xc3", 0, `bad \xff\xc3`, `bad \xff\xc3`},
		{`back\slash`, 0, `back\slash`, `back\\slash`},
		{"exactly10!", 10, "exactly10!", "exactly10!"},
		{"more than 10", 10, "more th...", "more th..."},
		{"ends in \n", 9, "ends i...", "ends i..."},
		{"1234567\n", 9, `1234567\n`, `1234567\n`},
		{"123456\xe6\xbc\xa2!", 9, "123456...", "123456..."},
	} {
		if got := Line(tt.in, tt.limit); got != tt.line {
			t.Errorf("Line(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.line)
		}
		if got := Value(tt.in, tt.limit); got != tt.value {
			t.Errorf("Value(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.value)
		}
	}
}

// TestTextsOfVerdicts holds what the reports of the comparator rely on.
func TestTextsOfVerdicts(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", `\x1b`: `\x1b`, "\x1b[m": `\x1b[m`, "\xff": `\xff`, "\ufffd": "\ufffd", "grün\u0085": `grün\u0085`, "a\nb": `a\nb`,
	} {
		if have := Line(in, 0); have != want {
			t.Errorf("%q: %q, want %q", in, have, want)
		}
	}
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 10, "plain"}, {"\x1b[31m", 20, `\x1b[31m`}, {"tab\tnl\n", 20, `tab\tnl\n`}, {`quote" back\`, 30, `quote" back\\`},
		{"\u202egpj", 20, `\u202egpj`}, {"\xff", 9, `\xff`}, {"grün", 9, "grün"}, {"0123456789", 8, "01234..."}, {"ééééé", 8, "éé..."}, {"\x00\x00\x00", 8, `\x00...`},
	} {
		if got := Value(c.in, c.limit); got != c.want {
			t.Errorf("%q within %d: %q; want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"", 5, ""}, {"plain", 5, "plain"}, {"longer", 5, "lo..."}, {"\x1b longer", 5, "\x1b ..."},
		{"ééé", 6, "ééé"}, {"éééé", 6, "é..."}, {"éééé", 7, "éé..."}, {"漢漢漢", 8, "漢..."}, {"😀😀", 7, "😀..."}, {"a😀😀", 7, "a..."}, {"漢漢", 4, "..."},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80", 8, "\x80\x80\x80\x80\x80..."}, // no character begins
	} {
		if have := Cut(c.in, c.limit); have != c.want {
			t.Errorf("%q within %d: %q, want %q", c.in, c.limit, have, c.want)
		}
	}
}

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", `a\b "c"`: `a\b "c"`, "na\u00efve\n": `na\u00efve\n`, "\xff": `\xff`, `\\`: `\\`} {
		if have := ASCII(in); have != want {
			t.Errorf("%q: %q, want %q", in, have, want)
		}
	}
}

func TestLatin1(t *testing.T) {
	if got := string(Latin1([]byte{0xC8, 0x85, 0x93, 0x93, 0x96, 0x15, 0x25, 0xFF})); got != "Hello\n\x85\x9f" {
		t.Errorf("%q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("plain", 0)
	f.Add("\x1b]0;title\x07\xff\u202e\n", 12)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		for _, got := range []string{Line(s, limit), Value(s, limit)} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !strconv.IsPrint(r) }) {
				t.Errorf("%q is not safe to show: %q", s, got)
			}
			if limit >= len(cutMark) && len(got) > limit {
				t.Errorf("%q has %d bytes, more than %d", got, len(got), limit)
			}
		}
		if limit >= len(cutMark) && (len(Cut(s, limit)) > limit || utf8.ValidString(s) && !utf8.ValidString(Cut(s, limit))) {
			t.Errorf("%q within %d: %q", s, limit, Cut(s, limit))
		}
		if once := Line(s, 0); Line(once, 0) != once {
			t.Errorf("Line changes %q again", once)
		}
		if back, err := strconv.Unquote(`"` + strings.ReplaceAll(Value(s, 0), `"`, `\"`) + `"`); err != nil || back != s {
			t.Errorf("Value(%q) reads back as %q: %v", s, back, err)
		}
	})
}
