// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package bytediff

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// slow is a simple implementation that compares byte by byte.
func slow(a, b []byte) []Range {
	var out []Range
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End() == int64(i) {
			out[n-1].Length++
		} else {
			out = append(out, Range{int64(i), 1})
		}
	}
	return out
}

func TestDiffAgreesWithDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		a := make([]byte, r.IntN(3*window))
		b := bytes.Clone(a)
		for range r.IntN(50) {
			if len(b) > 0 {
				at := r.IntN(len(b))
				for i := at; i < min(len(b), at+r.IntN(700)); i++ {
					b[i]++
				}
			}
		}
		got, err := Diff(t.Context(), bytes.NewReader(a), bytes.NewReader(b), int64(len(a)), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(slow(a, b), got); d != "" {
			t.Fatalf("-want +got:\n%s", d)
		}
		equal, err := Equal(t.Context(), bytes.NewReader(a), bytes.NewReader(b), int64(len(a)))
		if err != nil || equal != bytes.Equal(a, b) {
			t.Errorf("equal is %v, %v", equal, err)
		}
	}
}

func TestLimitCoversTheRest(t *testing.T) {
	a, b := make([]byte, 1000), make([]byte, 1000)
	for i := 0; i < 1000; i += 10 {
		b[i] = 1
	}
	got, err := Diff(t.Context(), bytes.NewReader(a), bytes.NewReader(b), 1000, 3)
	want := []Range{{0, 1}, {10, 1}, {20, 971}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, d)
	}
}

func TestShortFileIsAnError(t *testing.T) {
	_, err := Diff(t.Context(), strings.NewReader("ab"), strings.NewReader("abc"), 3, 9)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

func TestMerge(t *testing.T) {
	got := Merge([]Range{{0, 1}, {3, 1}, {20, 5}, {33, 1}}, 8)
	if d := cmp.Diff([]Range{{0, 4}, {20, 5}, {33, 1}}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestHex(t *testing.T) {
	a, b := "0123456789abcdef\x1b[31mred", "0123456789abcdef\x1b[32mred...and more"
	got := Hex(strings.NewReader(a), strings.NewReader(b), int64(len(a)), int64(len(b)), []Range{{19, 1}, {24, 11}}, 4096)
	want := `- 00000010  1b5b33316d726564                  .[31mred
+ 00000010  1b5b33326d7265642e2e2e616e64206d  .[32mred...and m
+ 00000020  6f7265                            ore
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if short := Hex(strings.NewReader(a), strings.NewReader(b), 24, 35, []Range{{19, 16}}, 150); len(short) > 150 || !strings.HasSuffix(short, "...\n") {
		t.Errorf("with a limit of 150: %q", short)
	}
}
