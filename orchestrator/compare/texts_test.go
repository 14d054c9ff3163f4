// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// longText is longer than a text that is shown with all its edits.
func longText(line string) string { return strings.Repeat(line, maxText/len(line)+100) }

func TestLongTexts(t *testing.T) {
	body := longText("a line of some text\n")
	numbered := func(swap bool) string {
		var s strings.Builder
		for i := range 250_000 {
			if swap && i%2 == 0 {
				fmt.Fprintf(&s, "line %d\nline %d\n", i+1, i)
			} else if !swap && i%2 == 0 {
				fmt.Fprintf(&s, "line %d\nline %d\n", i, i+1)
			}
		}
		return s.String()
	}
	path := func(s string) string { return strings.Repeat("cc -I/zfarm/w/"+s+"/include -c a.c\n", maxText/30) }
	for _, tt := range []struct {
		name, a, b string
		known      Known
		want       string
		found      []string
		hunk       string
	}{
		{"a line", body + "one\n" + body, body + "2\n" + body, known(), "different", []string{"X content"}, "-one\n+2\n"},
		{"a line of the same length", body + "one\n" + body, body + "two\n" + body, known(), "different", []string{"X content"}, "-one\n+two\n"},
		{"another order", numbered(false), numbered(true), known(), "different", []string{"X content: the same lines in another order"}, "-line 0\n"},
		{"code page", body, ebcdic(body), known(), "different", []string{"X content: the same text in another code page"}, ""},
		{"ends of lines", body, strings.ReplaceAll(body, "\n", "\r\n"), known(), "different", []string{"X content: the same lines, ended by LF in A and by CR LF in B"}, ""},
		{"a build path", path("first"), path("the-second"), longPath(), "different", []string{"X embedded.build path: the build path is embedded, with another length"}, "/first"},
		{"a stamp", body + "15:04:05\n", body + "16:04:05\n", known(), "equivalent (tier 2)", []string{"2 stamp.time"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, y := plantedPair(t, reg("p/f", tt.a), reg("p/f", tt.b))
			v := verdictOf(t, x, y, tt.known)
			check(t, v, planted{want: tt.want, found: tt.found})
			if len(v.Findings) > 0 && !strings.Contains(v.Findings[0].Hunk, tt.hunk) || len(v.Findings[0].Hunk) > verdict.MaxHunk {
				t.Errorf("hunk %q; want %q", v.Findings[0].Hunk, tt.hunk)
			}
		})
	}
}

func TestEndsOfLines(t *testing.T) {
	tagged := func(s, tag string) member { return reg("p/f", s).record("ZOS.taginfo", tag) }
	for _, tt := range []struct {
		name  string
		a, b  member
		found []string
	}{
		{"LF and CR LF", reg("p/f", "a\nb\n"), reg("p/f", "a\r\nb\r\n"), []string{"X content: the same lines, ended by LF in A and by CR LF in B"}},
		{"CR", reg("p/f", "a\nb\n"), reg("p/f", "a\rb\r"), []string{"X content: the same lines, ended by LF in A and by CR in B"}},
		{"NEL in UTF-8", reg("p/f", "a\nb\n"), reg("p/f", "a\u0085b\u0085"), []string{"X content: the same lines, ended by LF in A and by NEL in B"}},
		{"NEL in ISO 8859-1", tagged("a\nb\n", "1 819"), tagged("a\x85b\x85", "1 819"), []string{"X content: the same lines, ended by LF in A and by NEL in B"}},
		{"NL and LF in EBCDIC", tagged("\x81\x15\x82\x15", "1 1047"), tagged("\x81\x25\x82\x25", "1 1047"), []string{"X content: the same lines, ended by NL in A and by LF in B"}},
		{"in another code page", tagged("\x81\x25\x82\x25", "1 1047"), tagged("a\nb\n", "1 819"),
			[]string{"X zos.taginfo", "X content: the same lines, ended by LF in A and by LF in B, in another code page"}},
		{"none at the end", reg("p/f", "a\nb\n"), reg("p/f", "a\nb"), []string{"X content: the same lines, ended by LF in A and by LF and nothing (the last) in B"}},
		{"mixed", reg("p/f", "a\nb\n"), reg("p/f", "a\r\nb\n"), []string{"X content: the same lines, ended by LF in A and by LF and CR LF in B"}},
		{"untagged", reg("p/f", "hello\n"), reg("p/f", ebcdic("hello\n")), []string{"X content: the same text in another code page"}},
		{"another text in another code page", reg("p/f", "hello\n"), reg("p/f", ebcdic("hullo\n")), []string{"X content"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, y := plantedPair(t, tt.a, tt.b)
			check(t, verdictOf(t, x, y, known()), planted{want: "different", found: tt.found})
		})
	}
}
