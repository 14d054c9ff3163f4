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

// cell shows one of the texts of a row.
func cell(i int) func([]string) string { return func(row []string) string { return row[i] } }

func TestTable(t *testing.T) {
	tab := tableOf([][]string{
		{"left", "serves", ""},
		{"a very long name", "out", "two\nlines\tand \x1b[31mred\x1b[0m"},
		{"right", "draining", strings.Repeat("long ", 40)},
	}, []column[[]string]{{style{head: "NAME", most: 8}, cell(0)}, {style{head: "STATE", state: true}, cell(1)}, {style{head: "WHY"}, cell(2)}})
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
	tab := tableOf([][]string{{"a", "b"}}, []column[[]string]{{style{}, cell(0)}, {style{}, cell(1)}})
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
