// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// named returns a roster of names, of which sums are made by sum.
func named(t *testing.T, names []string, sum func(string) uint64) *roster {
	t.Helper()
	r := &roster{sum: sum}
	for i, name := range names {
		if err := r.add(&pax.Member{Name: name, Header: int64(i) * blockSize}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// length makes few sums of many names.
func length(s string) uint64 { return uint64(len(s)) }

// own makes a sum for each name.
func own(s string) uint64 {
	sum := uint64(0)
	for _, c := range []byte(s) {
		sum = sum*257 + uint64(c)
	}
	return sum * 0x9E3779B97F4A7C15
}

// TestPairsByName checks, on random names of which many stand twice, what pairUp
// says against what is obvious.
func TestPairsByName(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	some := func() []string {
		var out []string
		for range r.IntN(12) {
			out = append(out, string(rune('a'+r.IntN(9))))
		}
		if r.IntN(2) == 0 {
			slices.Sort(out)
		}
		return out
	}
	for range 5000 {
		a, b := some(), some()
		if r.IntN(3) == 0 {
			b = append(slices.Clone(a), b...)
		}
		p := pairUp(named(t, a, own), named(t, b, own))
		var partners, wantPartners []int
		var added, wantAdded []int
		taken := map[string]int{}
		for i, name := range a {
			j, ok := p.partner(i)
			if !ok {
				j = -1
			}
			partners = append(partners, j)
			wantPartners = append(wantPartners, nth(b, name, taken[name]))
			taken[name]++
		}
		for _, j := range p.added {
			added = append(added, int(j))
		}
		seen := map[string]int{}
		for j, name := range b {
			if seen[name]++; seen[name] > taken[name] {
				wantAdded = append(wantAdded, j)
			}
		}
		all := map[string]bool{}
		twice := 0
		for _, name := range append(slices.Clone(a), b...) {
			if !all[name] && max(taken[name], seen[name]) > 1 {
				twice++
			}
			all[name] = true
		}
		if d := cmp.Diff([]any{wantPartners, wantAdded, len(all), twice}, []any{partners, added, p.unlike, len(p.twice)}); d != "" {
			t.Fatalf("%q and %q, -want +got:\n%s", a, b, d)
		}
	}
}

// nth returns where name stands in names for the nth time, -1 if it does not.
func nth(names []string, name string, n int) int {
	for i, other := range names {
		if other == name {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return -1
}

// TestNamesOfOneSum has names that only share their sums: they are not the same.
func TestNamesOfOneSum(t *testing.T) {
	a, b := archive(t, reg("ab", "1")), archive(t, reg("xy", "1"))
	left, right := &artifact{}, &artifact{}
	o := Options{}.withDefaults()
	for _, x := range []struct {
		art *artifact
		in  []byte
	}{{left, a}, {right, b}} {
		h := &handle{at: bytes.NewReader(x.in), size: int64(len(x.in))}
		if err := x.art.load(t.Context(), h, o, length); err != nil {
			t.Fatal(err)
		}
	}
	p := pairUp(&left.tree.roster, &right.tree.roster)
	looks, err := (&comparison{o: o}).screen(t.Context(), left.tree, right.tree, p, 0)
	if err != nil || len(looks) != 1 || looks[0] != lookAsStrangers {
		t.Errorf("%v, %v", looks, err)
	}
}

// inPlace is an input that can be read anywhere, as a file can.
func inPlace(name string, b []byte) Input {
	return Input{Name: name, Open: func() (io.ReadCloser, error) {
		return struct {
			*io.SectionReader
			io.Closer
		}{io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), io.NopCloser(nil)}, nil
	}}
}

// TestInPlaceSaysTheSame compares random pairs as files are compared, as streams
// and compressed: there is one verdict.
func TestInPlaceSaysTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for range 60 {
		var a, b []member
		for i := range 1 + r.IntN(30) {
			m := reg(fmt.Sprintf("p/%03d", i), strings.Repeat(fmt.Sprint(i, " "), r.IntN(2000)))
			n := m
			switch r.IntN(12) {
			case 0:
				n = n.bodied(m.body + "x")
			case 1:
				n = n.with(func(h *tar.Header) { h.ModTime = begun().Add(time.Hour) })
			case 2:
				n = n.record("ZOS.taginfo", "1 1047")
			case 3:
				if len(m.body) > 0 {
					n = n.bodied(m.body[:len(m.body)-1] + "!")
				}
			case 4:
				a = append(a, m)
				continue
			}
			a, b = append(a, m), append(b, n)
		}
		if r.IntN(3) == 0 {
			r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		}
		x, y := archive(t, a...), archive(t, b...)
		if r.IntN(2) == 0 {
			y = append(y, make([]byte, r.IntN(3)*512)...)
		}
		want := compared(t, input("a", x), input("b", y))
		if d := cmp.Diff(want, compared(t, inPlace("a", x), inPlace("b", y))); d != "" {
			t.Fatalf("-stream +in place:\n%s", d)
		}
		if want.Outcome == Identical {
			continue
		}
		want.Bytes = 0
		packed := compared(t, inPlace("a", dotZ(t, x)), inPlace("b", dotZ(t, y)))
		if packed.Bytes = 0; cmp.Diff(want, packed) != "" {
			t.Fatalf("-stream +compressed:\n%s", cmp.Diff(want, packed))
		}
	}
}

func compared(t *testing.T, a, b Input) Verdict {
	t.Helper()
	v, err := Archives(t.Context(), a, b, Options{Known: known(), Workdir: t.TempDir(), Allowed: []Tier{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestGlobalRecordsReachTheirMembers changes global records within an archive.
func TestGlobalRecordsReachTheirMembers(t *testing.T) {
	global := func(value string) member {
		return member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": value}}}
	}
	a := archive(t, reg("1", "x"), global("one"), reg("2", "x"), global("two"), reg("3", "x"), reg("4", "x"))
	b := archive(t, reg("1", "x"), global("one"), reg("2", "x"), global("TWO"), reg("3", "x"), reg("4", "x"))
	var got []string
	for _, f := range compared(t, inPlace("a", a), inPlace("b", b)).Findings {
		got = append(got, f.Path+" "+f.Field+" "+f.A+" "+f.B)
	}
	want := []string{" global records comment=two comment=TWO", "3 record.comment two TWO", "4 record.comment two TWO"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestFaultsOfFilesAreErrors: a file that cannot be read is not a broken archive.
func TestFaultsOfFilesAreErrors(t *testing.T) {
	lost := errors.New("disk lost")
	whole := archive(t, reg("a", strings.Repeat("x", 100_000)), reg("b", strings.Repeat("y", 100_000)))
	other := archive(t, reg("a", strings.Repeat("x", 100_000)), reg("b", strings.Repeat("z", 100_000)))
	for good := range int64(len(whole)) / 5000 {
		broken := Input{Name: "broken", Open: func() (io.ReadCloser, error) {
			return struct {
				*io.SectionReader
				io.Closer
			}{io.NewSectionReader(brokenAt{bytes.NewReader(whole), good * 5000, lost}, 0, int64(len(whole))), io.NopCloser(nil)}, nil
		}}
		if _, err := Archives(t.Context(), broken, inPlace("b", other), Options{}); !errors.Is(err, lost) {
			t.Fatalf("broken from byte %d: %v", good*5000, err)
		}
	}
}

// brokenAt cannot be read from a byte on.
type brokenAt struct {
	r    io.ReaderAt
	from int64
	err  error
}

func (b brokenAt) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > b.from {
		return 0, b.err
	}
	return b.r.ReadAt(p, at)
}

// TestScreeningEnds: it stops when nobody waits for it.
func TestScreeningEnds(t *testing.T) {
	a, b := archive(t, reg("a", "1")), archive(t, reg("a", "2"))
	ctx, cancel := context.WithCancel(t.Context())
	left, right, err := loadBoth(ctx, inPlace("a", a), inPlace("b", b), Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	c := &comparison{o: Options{}.withDefaults()}
	if _, err := c.screen(ctx, left.tree, right.tree, pairUp(&left.tree.roster, &right.tree.roster), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
