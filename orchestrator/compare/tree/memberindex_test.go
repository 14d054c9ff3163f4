// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// named returns an index of names that are hashed by sum.
func named(t *testing.T, names []string, sum func(string) uint64) *memberIndex {
	t.Helper()
	r := &memberIndex{sum: sum}
	for i, name := range names {
		if err := r.add(&pax.Member{Name: name, Header: int64(i) * blockSize}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// length is a hash with many collisions.
func length(s string) uint64 { return uint64(len(s)) }

// own is a hash without collisions.
func own(s string) uint64 {
	sum := uint64(0)
	for _, c := range []byte(s) {
		sum = sum*257 + uint64(c)
	}
	return sum * 0x9E3779B97F4A7C15
}

// TestPairsByName compares pairUp with a simple implementation, on random names of
// which many occur twice.
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
		if d := cmp.Diff([]any{wantPartners, wantAdded, len(all), twice}, []any{partners, added, p.names, len(p.repeated)}); d != "" {
			t.Fatalf("%q and %q, -want +got:\n%s", a, b, d)
		}
	}
}

// nth returns the index of the nth occurrence of name in names, -1 if there is
// none.
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

// TestNamesOfOneSum has different names with the same sum: they must not be paired.
func TestNamesOfOneSum(t *testing.T) {
	a, b := oneMember(t, "ab", "1"), oneMember(t, "xy", "1")
	left, right := &artifact{}, &artifact{}
	l := Limits{Bytes: 1 << 30, Members: 1000}
	for _, x := range []struct {
		art *artifact
		in  []byte
	}{{left, a}, {right, b}} {
		h := &handle{at: bytes.NewReader(x.in), size: int64(len(x.in))}
		if err := x.art.load(t.Context(), h, l, length); err != nil {
			t.Fatal(err)
		}
	}
	p := pairUp(&left.tree.index, &right.tree.index)
	extents, err := (&comparison{limits: l}).screen(t.Context(), left.tree, right.tree, p, 0)
	if err != nil || len(extents) != 1 || extents[0] != extentUnpaired {
		t.Errorf("%v, %v", extents, err)
	}
}

// TestScreeningEnds checks that screening stops when its context ends.
func TestScreeningEnds(t *testing.T) {
	a, b := oneMember(t, "a", "1"), oneMember(t, "a", "2")
	ctx, cancel := context.WithCancel(t.Context())
	left, right, err := loadBoth(ctx, inPlace("a", a), inPlace("b", b), Limits{Bytes: 1 << 30, Members: 1000})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	c := &comparison{limits: Limits{Members: 1000}}
	if _, err := c.screen(ctx, left.tree, right.tree, pairUp(&left.tree.index, &right.tree.index), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// oneMember is an archive of one file.
func oneMember(t testing.TB, name, body string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Format: tar.FormatPAX})
	if err == nil {
		_, err = w.Write([]byte(body))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inPlace is an input with random access, like a file.
func inPlace(name string, b []byte) Input {
	return Input{Name: name, Open: func() (io.ReadCloser, error) {
		return struct {
			*io.SectionReader
			io.Closer
		}{io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), io.NopCloser(nil)}, nil
	}}
}

// TestMembersAreFewBytes checks that the memory for a member does not depend on the
// length of its name.
func TestMembersAreFewBytes(t *testing.T) {
	const members = 7 * pieceSize
	r := &memberIndex{sum: own}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range members {
		if err := r.add(&pax.Member{Name: fmt.Sprintf("%0300d", i), Header: int64(i) * 1024}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if each := float64(heap()-before) / members; each > 20 { // 12, and other allocations of the test binary
		t.Errorf("%.1f bytes each", each)
	}
	if r.unsorted || r.len() != members {
		t.Errorf("%d members, unsorted is %v", r.len(), r.unsorted)
	}
}
