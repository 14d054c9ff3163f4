// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestEdits(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "badc", 2}} {
		if got := edits(tt.a, tt.b); got != tt.want {
			t.Errorf("edits(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestHint(t *testing.T) {
	few, many := []string{"path", "timezone"}, slices.Repeat([]string{"abcdef"}, maxList+1)
	for _, tt := range []struct {
		given string
		names []string
		want  string
	}{
		{"timezon", few, ` Did you mean "timezone"?`},
		{"moon", few, " Known here: path, timezone."},
		{"moon", many, ""},
		{"moon", nil, ""},
		{strings.Repeat("path", maxWord), []string{strings.Repeat("path", maxWord)}, " Known here: " + strings.Repeat("path", maxWord) + "."},
	} {
		if got := Hint(tt.given, tt.names); got != tt.want {
			t.Errorf("Hint(%.20q) = %q, want %q", tt.given, got, tt.want)
		}
	}
}
