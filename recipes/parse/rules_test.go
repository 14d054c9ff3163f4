// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"regexp/syntax"
	"strings"
	"testing"
)

func TestLiterals(t *testing.T) {
	for pattern, want := range map[string]int{
		`^cf_time='(.*)'$`:         10,
		`(.*)`:                     0,
		`^    (.*)`:                0,
		`a b\t(c)\.`:               3,
		`(?i)stamp(.)`:             5,
		`[a][bc](.)`:               1,
		`(?:ab|cde)(.)`:            2,
		`(?:ab|cde|)(.)`:           0,
		`(?:abc)?(?:d)*(.)`:        0,
		`(?:ab)+(.)`:               2,
		`(?:ab){3,}(.)`:            6,
		`(?:ab){0,5}(.)`:           0,
		`(stamp)`:                  0,
		`(?:x(?:yz|w)){2}(.)`:      4,
		`größe=(.)`:                6,
		`BuildRev:[0-9a-f]{7} (.)`: 9,
	} {
		re, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if got := literals(re); got != want {
			t.Errorf("literals(%s) = %d, want %d", pattern, got, want)
		}
	}
}

func TestFaultOfPattern(t *testing.T) {
	for _, tt := range []struct{ pattern, format, want string }{
		{`^cf_time='(.*)'$`, "text", ""},
		{`built ([0-9]{4})`, "bytes", ""},
		{`([0-9]+)`, "json", ""},
		{`([0-9]+)`, "bytes", "could hide anything"},
		{`abc(.*)`, "text", "could hide anything"},
		{`abcd(.*)`, "text", ""},
		{`abcd(?P<when>.*)`, "text", ""},
		{`abcd(?:(.*))`, "text", ""},
		{`abcd(.*)|efgh`, "text", "alternative"},
		{`abcd(.*)?`, "text", "repetition"},
		{`abcd(x|y)`, "text", ""},
		{``, "json", "has none"},
		{`abcd\1(.*)`, "text", "no RE2 expression"},
		{strings.Repeat("a", maxPattern-3) + `(.)`, "text", ""},
		{strings.Repeat("a", maxPattern-2) + `(.)`, "text", "1024 bytes"},
	} {
		got := faultOfPattern(tt.pattern, tt.format)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s for %s: %q, want %q", tt.pattern, tt.format, got, tt.want)
		}
	}
}
