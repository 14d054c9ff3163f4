// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"strings"
	"testing"

	"github.com/zfarm/zfarm/recipes"
)

func TestParseRange(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{">=4.0", ">= 4.0"},
		{"  >=  4.0 ,<5", ">= 4.0, < 5"},
		{"< 5, >= 4.0", ">= 4.0, < 5"},
		{"< 5, >= 4.0, < 5", ">= 4.0, < 5"},
		{"4.0", "= 4.0"},
		{"~> 1.2", "~> 1.2"},
		{"!= 1.3, > 1", "!= 1.3, > 1"},
		{">= 9.9p1", ">= 9.9p1"},
		{">= 1.1.1w", ">= 1.1.1w"},
		{">= 2.0rc1", ">= 2.0rc1"},
	}
	for _, tt := range tests {
		got, err := recipes.ParseRange(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("ParseRange(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
		again, err := recipes.ParseRange(string(got))
		if err != nil || again != got {
			t.Errorf("ParseRange(%q) = %q, %v; want it unchanged", got, again, err)
		}
	}
}

func TestParseRangeRefuses(t *testing.T) {
	for _, in := range []string{" ", ",", ">=", ">= x", "latest", "> 1,", "=> 1", "1 2", ">= 1 || < 2", ">= 1..2",
		"^1.2", ">= 99999999999999999999", strings.Repeat("> 1,", 8) + "> 1", "> " + strings.Repeat("1", 65)} {
		if got, err := recipes.ParseRange(in); err == nil {
			t.Errorf("ParseRange(%q) = %q, want an error", in, got)
		}
	}
}

func TestRangeHas(t *testing.T) {
	tests := []struct {
		r    recipes.Range
		v    string
		want bool
	}{
		{"", "whatever", true},
		{">= 4.0", "4.0", true},
		{">= 4.0", "4", true},
		{">= 4.0", "4.4.1", true},
		{">= 4.0", "3.82", false},
		{">= 4.0, < 5", "5.0", false},
		{">= 4.0", "unreadable", false},
		{">= 4.0", "", false},
		{"~> 1.2", "1.9", true},
		{"~> 1.2", "2.0", false},
		{">= 400", "668", true},
		{">= 9.0", "9.9p1", true},
		{">= 9.9p2", "9.9p1", false},
		{">= 9.9p2", "9.10", true},
		{">= 9.9p2", "9.10p1", true},
		{"< 9.9", "9.9p1", false},
		{">= 1.1.1k", "1.1.1w", true},
		{">= 1.1.1k", "1.1.1", false},
		{">= 1.1.1k", "1.1.1a", false},
		{"~> 1.1.1k", "1.1.2", false},
		{">= 1.9", "1.9.15p5", true},
		{">= 2.0", "2.1rc1", false},
		{">= 2.1rc1", "2.1rc2", true},
		{"garbage", "1", false},
	}
	for _, tt := range tests {
		if got := tt.r.Has(tt.v); got != tt.want {
			t.Errorf("Range(%q).Has(%q) = %v, want %v", tt.r, tt.v, got, tt.want)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{">= 4.0, < 5", "~> 1.1.1k", "9.9p1", "=", "!=1,,", ">= 1.0-rc.1+x"} {
		f.Add(s, "1.2")
	}
	f.Fuzz(func(t *testing.T, s, v string) {
		r, err := recipes.ParseRange(s)
		if err != nil {
			return
		}
		again, err := recipes.ParseRange(string(r))
		if err != nil || again != r {
			t.Fatalf("ParseRange(%q) = %q, %v; want it unchanged", r, again, err)
		}
		if recipes.Range(s).Has(v) != r.Has(v) {
			t.Fatalf("%q and its normal form %q disagree on %q", s, r, v)
		}
	})
}
