// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package diagnostics

import (
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"one two three", 0, "one two three"},
		{"one two three", 7, "one two\nthree"},
		{"one two three", 8, "one two\nthree"},
		{"incomprehensible a", 5, "incomprehensible\na"},
		{"a\nb c", 3, "a\nb c"},
		{"ä ö ü", 3, "ä ö\nü"},
	} {
		if got := wrap(tt.in, tt.width); got != tt.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä":  "plain ä",
		"a\x1b[2J": `a\x1b[2J`,
		"\u202e":   `\u202e`,
		"\xff":     `\xff`,
		"a\tb\n":   "a\tb\\n",
		"\u009b":   `\u009b`,
	} {
		if got := printable(in, "\t"); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := printable(strings.Repeat("x", maxText+1), ""); len(got) != maxText+3 {
		t.Errorf("a long text has %d bytes", len(got))
	}
}
