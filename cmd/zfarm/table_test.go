// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	tab := table{columns: []column{{head: "NAME", most: 8}, {head: "STATE", state: true}, {head: "WHY"}}}
	tab.add("left", "serves", "")
	tab.add("a very long name", "out", "two\nlines\tand \x1b[31mred\x1b[0m")
	tab.add("right", "draining", strings.Repeat("long ", 40))
	var b bytes.Buffer
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	want := `NAME      STATE     WHY
left      serves
a very …  out       two lines and \x1b[31mred\x1b[0m
right     draining  ` + strings.Repeat("long ", 15) + "long…\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +have)\n%s", diff)
	}
	for text := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(text, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, text)
		}
	}
}

func TestTableWithoutHeads(t *testing.T) {
	tab := table{columns: []column{{}, {}}}
	tab.add("a", "b")
	var b bytes.Buffer
	if err := tab.write(&b); err != nil || b.String() != "a  b\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestWrapped(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"one two", "one two"},
		{"one two three", "one two\n  three"},
		{"one two three four five", "one two\n  three\n  four\n  five"},
		{"incomprehensible thing", "incomprehensible\n  thing"},
	} {
		if diff := cmp.Diff(tc.want, wrapped(tc.text, 9, 2)); diff != "" {
			t.Errorf("%q (-want +have)\n%s", tc.text, diff)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for d, want := range map[time.Duration]string{0: "0 s ago", 90 * time.Second: "90 s ago", 3 * time.Minute: "3 min ago",
		-3 * time.Minute: "in 3 min", 47 * time.Hour: "47 h ago", 49 * time.Hour: "2 days ago", -90 * 24 * time.Hour: "in 90 days"} {
		if have := ago(now.Add(-d), now); have != want {
			t.Errorf("%s: %q, want %q", d, have, want)
		}
	}
	if have := ago(time.Time{}, now); have != "" {
		t.Errorf("no time: %q", have)
	}
}

func TestLifetime(t *testing.T) {
	for s, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "1h30m": 90 * time.Minute, "1s": time.Second,
		"": 0, "d": 0, "0d": 0, "-1d": 0, "-5m": 0, "36501d": 0, "9999999999999999999d": 0, "1.5d": 0, "soon": 0} {
		have, err := lifetime(s)
		if have != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %s, %v", s, have, err)
		}
	}
}

func TestFields(t *testing.T) {
	var b strings.Builder
	fields(&b, "build", "abc", "failure", "one\ntwo\x07\n", "verdict", "")
	if diff := cmp.Diff("build      abc\nfailure    one\n           two\\x07\n", b.String()); diff != "" {
		t.Errorf("(-want +have)\n%s", diff)
	}
}
