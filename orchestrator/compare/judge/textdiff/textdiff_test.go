// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package textdiff

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func same(s string) string { return s }

// apply applies edits to a, which gives b.
func apply(a, b []string, edits []Edit) []string {
	var out []string
	at := 0
	for _, e := range edits {
		out = append(append(out, a[at:e.A0]...), b[e.B0:e.B1]...)
		at = e.A1
	}
	return append(out, a[at:]...)
}

func random(r *rand.Rand, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = string(rune('a'+r.IntN(6))) + "\n"
	}
	return out
}

func TestEditsMakeTheOther(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		a := random(r, r.IntN(60))
		b := slices.Clone(a)
		for range r.IntN(8) {
			at := r.IntN(len(b) + 1)
			b = append(slices.Clone(b[:at]), append(random(r, r.IntN(3)), b[min(len(b), at+r.IntN(3)):]...)...)
		}
		for _, limit := range []int{1000, 4} {
			edits, _ := Diff(a, b, limit)
			if got := apply(a, b, edits); !slices.Equal(got, b) {
				t.Fatalf("limit %d: %q to %q by %v makes %q", limit, a, b, edits, got)
			}
		}
	}
}

// length is the number of lines in the edits.
func length(edits []Edit) int {
	n := 0
	for _, e := range edits {
		n += e.A1 - e.A0 + e.B1 - e.B0
	}
	return n
}

// shortest computes the same by dynamic programming.
func shortest(a, b []string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range a {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range b {
			if a[i] == b[j] {
				next[j+1] = prev[j]
			} else {
				next[j+1] = 1 + min(prev[j+1], next[j])
			}
		}
		prev = next
	}
	return prev[len(b)]
}

func TestEditsAreShortest(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for range 300 {
		a, b := random(r, r.IntN(20)), random(r, r.IntN(20))
		edits, ok := Diff(a, b, 1000)
		if want := shortest(a, b); !ok || length(edits) != want {
			t.Fatalf("%q to %q: %v has %d lines; the shortest has %d", a, b, edits, length(edits), want)
		}
	}
}

func TestTooManyEditsAreOne(t *testing.T) {
	a, b := []string{"same\n"}, []string{"same\n"}
	for range 50 {
		a, b = append(a, "a\n"), append(b, "b\n")
	}
	edits, ok := Diff(a, b, 10)
	if d := cmp.Diff([]Edit{{1, 51, 1, 51}}, edits); d != "" || ok {
		t.Errorf("ok %v, -want +got:\n%s", ok, d)
	}
}

func TestPermuted(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"a\nb\n", "b\na\n", true}, {"a\nb\n", "a\nb\n", false}, {"a\na\n", "a\nb\n", false}, {"a\n", "a\na\n", false}} {
		if got := Permuted(Lines(c.a), Lines(c.b)); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestUnifiedIsThatOfDiff(t *testing.T) {
	program, err := exec.LookPath("diff")
	if err != nil {
		t.Skip("no diff here: install diffutils to compare with it")
	}
	var a []string
	for i := range 40 {
		a = append(a, strings.Repeat("x", i)+"\n")
	}
	b := slices.Clone(a)
	b[0], b[20], b[24] = "first\n", "twenty\n", "twenty-four\n"
	b = append(b[:38:38], "last\n")
	dir := t.TempDir()
	for name, lines := range map[string][]string{"a": a, "b": b} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.Command(program, "-u", filepath.Join(dir, "a"), filepath.Join(dir, "b")).Output() // exits with 1 by design
	_, want, _ := strings.Cut(string(out), "@@")
	edits, _ := Diff(a, b, 100)
	if d := cmp.Diff("@@"+want, Unified(a, b, edits, 1<<20, same)); d != "" {
		t.Errorf("-diff +ours:\n%s", d)
	}
}

func TestUnifiedIsBounded(t *testing.T) {
	a, b := Lines(strings.Repeat("a\n", 1000)), Lines(strings.Repeat("b\n", 1000))
	edits, _ := Diff(a, b, 5)
	for _, limit := range []int{0, 3, 50, 1000} {
		got := Unified(a, b, edits, limit, same)
		if len(got) > limit || limit >= 50 && !strings.HasSuffix(got, more) {
			t.Errorf("limit %d: %d bytes: %q", limit, len(got), got)
		}
	}
}

func FuzzDiff(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\nd")
	f.Add("", "\n\n")
	f.Fuzz(func(t *testing.T, x, y string) {
		a, b := Lines(x), Lines(y)
		edits, _ := Diff(a, b, 40)
		if got := apply(a, b, edits); !slices.Equal(got, b) {
			t.Errorf("%q to %q by %v makes %q", a, b, edits, got)
		}
		Unified(a, b, edits, 500, same)
	})
}

func BenchmarkDiff(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x := random(r, 100_000)
	y := slices.Clone(x)
	for range 100 {
		y[r.IntN(len(y))] = "changed\n"
	}
	for b.Loop() {
		Diff(x, y, 1000)
	}
}
