// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"

	"github.com/zfarm/zfarm/orchestrator/compare/report"
)

// propertyBase has members of every kind, with valid stamps on both sides.
func propertyBase(t testing.TB, clock string) []byte {
	return archive(t,
		reg("p/text", "one\ntwo\nbuilt "+clock+"\n"),
		reg("p/bin", "\x00\x01\x02"+strings.Repeat("code", 300)+clock+"\x00"+strings.Repeat("more", 300)),
		reg("p/tagged", "tagged\n").record("ZOS.taginfo", "1 819"),
		reg("p/link", "").with(func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "text" }))
}

// regions of an archive: bytes of content, and everything before the end.
func contents(t testing.TB, b []byte) (ranges [][2]int64, end int64) {
	r := pax.NewReader(bytes.NewReader(b))
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ranges, r.Trailer().Offset
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Size > 0 {
			ranges = append(ranges, [2]int64{m.Offset, m.Offset + m.Size})
		}
	}
}

// TestFlipInContentIsDifferent flips random bits of content beside a valid stamp:
// the stamp must never excuse them.
func TestFlipInContentIsDifferent(t *testing.T) {
	a, b := propertyBase(t, "15:04:05"), propertyBase(t, "16:04:05")
	if v := verdictOf(t, a, b, known()); v.String() != "equivalent (tier 2)" {
		t.Fatalf("without a flip: %s", v)
	}
	ranges, _ := contents(t, b)
	stamps := [][2]int64{}
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("16:04:05"))
		if i < 0 {
			break
		}
		stamps = append(stamps, [2]int64{int64(at + i), int64(at + i + 8)})
		at += i + 8
	}
	r := rand.New(rand.NewPCG(5, 5))
	for range 150 {
		in := ranges[r.IntN(len(ranges))]
		at := in[0] + r.Int64N(in[1]-in[0])
		if inside(stamps, at) {
			continue
		}
		flipped := bytes.Clone(b)
		flipped[at] ^= 1 << r.IntN(8)
		if v := verdictOf(t, a, flipped, known()); v.Outcome != Different {
			t.Fatalf("byte %d flipped from %q to %q: %s", at, b[at], flipped[at], v)
		}
	}
}

func inside(ranges [][2]int64, at int64) bool {
	for _, r := range ranges {
		if at >= r[0] && at < r[1] {
			return true
		}
	}
	return false
}

// TestFlipAnywhereIsTold flips random bits anywhere: the verdict must never be
// identical or without a reason.
func TestFlipAnywhereIsTold(t *testing.T) {
	a := propertyBase(t, "15:04:05")
	r := rand.New(rand.NewPCG(6, 6))
	_, end := contents(t, a)
	for range 300 {
		b := bytes.Clone(a)
		at := r.IntN(len(b))
		b[at] ^= 1 << r.IntN(8)
		v := verdictOf(t, a, b, known())
		switch v.Outcome {
		case Incomparable:
			if v.Reason == "" {
				t.Fatalf("byte %d: incomparable without a reason", at)
			}
		case Identical:
			t.Fatalf("byte %d flipped: identical", at)
		default:
			if len(v.Findings) == 0 {
				t.Fatalf("byte %d flipped: %s without a finding", at, v)
			}
			if int64(at) >= end && v.Outcome != Different {
				t.Fatalf("byte %d behind the end flipped: %s", at, v)
			}
		}
	}
}

// TestExplainedBytesLieInTheirFindings checks, on random mixtures of stamps and
// flips, that the verdict is equivalent only if only stamps differ.
func TestExplainedBytesLieInTheirFindings(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		var a, b strings.Builder
		clean := true
		for range 1 + r.IntN(6) {
			filler := strings.Repeat(".", r.IntN(12)) + "\x00"
			a.WriteString(filler)
			b.WriteString(filler)
			switch r.IntN(4) {
			case 0:
				a.WriteString("15:01:0" + fmt.Sprint(r.IntN(10)))
				b.WriteString("16:01:0" + fmt.Sprint(r.IntN(10)))
			case 1:
				a.WriteString("/zfarm/w/first")
				b.WriteString("/zfarm/w/secnd")
			case 2:
				a.WriteString("15:01:01")
				b.WriteString("17:01:01")
				clean = false
			case 3:
				a.WriteString("x")
				b.WriteString("y")
				clean = false
			}
			a.WriteString(".")
			b.WriteString(".")
		}
		if a.String() == b.String() {
			continue
		}
		v := verdictOf(t, []byte(a.String()), []byte(b.String()), known())
		if (v.Outcome == Equivalent) != clean {
			t.Fatalf("%q and %q: %s, %+v", a.String(), b.String(), v, v.Findings)
		}
	}
}

// many packs n members whose contents all differ.
func many(t testing.TB, n int, mark string) []byte {
	var all []member
	for i := range n {
		all = append(all, reg(fmt.Sprintf("p/<&>%d/%s", i, strings.Repeat("long", 20)), strings.Repeat("<same>\n", 50)+mark+strings.Repeat("\x1b<", 1500)+"\n"))
	}
	return archive(t, all...)
}

func TestVerdictStaysSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("one of many members, which -short leaves out")
	}
	a, b := many(t, 10_000, "a"), many(t, 10_000, "b")
	for _, most := range []int{0, 100_000} {
		v, err := Archives(t.Context(), input("a", a), input("b", b), Options{MaxFindings: most, Workdir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > 2_000_000 || v.Outcome != Different || v.Differing != 10_000 || v.Members != 10_000 || len(v.Findings)+v.Omitted != 10_000 {
			t.Errorf("%d bytes of JSON, %s, %d of %d members, %d findings and %d omitted", len(out), v, v.Differing, v.Members, len(v.Findings), v.Omitted)
		}
	}
}

// TestGraveFindingIsKept has a grave finding as the last of more findings than are
// kept.
func TestGraveFindingIsKept(t *testing.T) {
	var a, b []member
	for i := range 50 {
		m := reg(fmt.Sprint("p/", i), "")
		a, b = append(a, m), append(b, m.with(func(h *tar.Header) { h.ModTime = begun().Add(time.Hour) }))
	}
	b[49].Mode = 0o4644
	v, err := Archives(t.Context(), input("a", archive(t, a...)), input("b", archive(t, b...)), Options{MaxFindings: 10, Allowed: []Tier{Header}})
	if err != nil {
		t.Fatal(err)
	}
	kept := false
	for _, f := range v.Findings {
		kept = kept || f.Field == "mode"
	}
	if !kept || len(v.Findings) != 10 || v.Omitted != 41 || v.Outcome != Different {
		t.Errorf("%s, %d findings, %d omitted, the mode among them: %v", v, len(v.Findings), v.Omitted, kept)
	}
}

func TestBoundsAreIncomparable(t *testing.T) {
	a, b := archive(t, reg("a", strings.Repeat("x", 5000)), reg("b", "")), archive(t, reg("a", strings.Repeat("y", 5000)), reg("b", ""))
	for _, o := range []Options{{MaxBytes: 4000}, {MaxMembers: 1}} {
		v, err := Archives(t.Context(), input("a", dotZ(t, a)), input("b", dotZ(t, b)), o)
		if err != nil || v.Outcome != Incomparable || v.Reason == "" {
			t.Errorf("%+v: %s (%s), %v", o, v, v.Reason, err)
		}
	}
	nested := a
	for range 5 {
		nested = dotZ(t, nested)
	}
	if v := verdictOf(t, nested, a, Known{}); v.Outcome != Incomparable {
		t.Errorf("five layers: %s", v)
	}
}

func TestErrorsOfReadingAreErrors(t *testing.T) {
	lost := errors.New("disk lost")
	b := archive(t, reg("a", "x"))
	broken := Input{Name: "broken", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:600]), iotest.ErrReader(lost))), nil
	}}
	closed := Input{Name: "closed", Open: func() (io.ReadCloser, error) { return nil, lost }}
	opened := 0
	late := Input{Name: "late", Open: func() (io.ReadCloser, error) {
		if opened++; opened == 1 {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:600]), iotest.ErrReader(lost))), nil
	}}
	for _, in := range []Input{broken, closed, late} {
		if _, err := Archives(t.Context(), in, input("b", append([]byte("x"), b...)), Options{}); !errors.Is(err, lost) {
			t.Errorf("%s: %v", in.Name, err)
		}
	}
	if _, err := Archives(t.Context(), input("a", dotZ(t, b)), input("b", b), Options{Workdir: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a missing work folder is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Archives(ctx, input("a", b), input("b", b), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestEqualDigestsAreNotRead checks that inputs with equal digests are not read,
// and that different or missing digests decide nothing.
func TestEqualDigestsAreNotRead(t *testing.T) {
	never := func(d digest.Digest) Input {
		return Input{Name: "never", Digest: d, Open: func() (io.ReadCloser, error) { return nil, errors.New("it was opened") }}
	}
	one, two := digest.Of([]byte("one")), digest.Of([]byte("two"))
	v, err := Archives(t.Context(), never(one), never(one), Options{})
	if err != nil || v.Outcome != Identical || v.Bytes != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	for _, d := range [][2]digest.Digest{{one, two}, {one, {}}, {{}, {}}} {
		if _, err := Archives(t.Context(), never(d[0]), never(d[1]), Options{}); err == nil {
			t.Errorf("%s and %s were compared without being opened", d[0], d[1])
		}
	}
}

func TestNothingIsLeftInWorkdir(t *testing.T) {
	dir := t.TempDir()
	a, b := archive(t, reg("a", "x")), archive(t, reg("a", "y"))
	if _, err := Archives(t.Context(), input("a", dotZ(t, a)), input("b", dotZ(t, b[:900])), Options{Workdir: dir}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%d files left, %v", len(left), err)
	}
}

func TestTierText(t *testing.T) {
	for _, tier := range []Tier{Container, Header, Stamp, Forbidden} {
		b, err := json.Marshal(tier)
		if err != nil {
			t.Fatal(err)
		}
		var back Tier
		if err := json.Unmarshal(b, &back); err != nil || back != tier {
			t.Errorf("%s became %s, %v", tier, back, err)
		}
	}
	var bad Tier
	if err := bad.UnmarshalText([]byte("3")); err == nil {
		t.Error("tier 3 was taken")
	}
}

// FuzzArchives checks for any input that there is a verdict that is bounded and
// safe to show, that different bytes are never identical, that tier X is never
// equivalent, and that swapping the sides gives the same verdict.
func FuzzArchives(f *testing.F) {
	a := propertyBase(f, "15:04:05")
	f.Add(a, propertyBase(f, "16:04:05"))
	f.Add(dotZ(f, a), a)
	f.Add([]byte("15:04:05 /zfarm/w/first"), []byte("16:04:05 /zfarm/w/secnd"))
	f.Add([]byte("\x7fELF\x02\x01"+strings.Repeat("0", 48)), []byte("\x7fELF\x02\x01"+strings.Repeat("0", 46))) // cut within the header
	f.Add([]byte("\x7fELF\x02\x01"+strings.Repeat("\x00", 100)), []byte("\x7fELF\x02\x01"+strings.Repeat("\x01", 100)))
	f.Add(elfWith(".comment", 1, 0x30, "GCC: 14.1\x00", ".text", 1, 4, "id=1"), elfWith(".comment", 1, 0x30, "GCC: 14.2\x00", ".text", 1, 4, "id=2"))
	f.Add([]byte(`{"time":1795359845,"n":[1,{"a":"x"}],"p":"/zfarm/w/first"}`), []byte(`{"time":1795363445,"n":[2],"p":"/zfarm/w/secnd"}`))
	f.Add([]byte(arFile("1", "x.o=one", "y=id=1 15:04:05")), []byte(arFile("2", "y=id=2 16:04:05", "x.o=one")))
	f.Add([]byte("one\nid=12\n15:04:05\n"), []byte("one\nid=345\n16:04:05\n"))
	f.Add([]byte("one\r\ntwo\r\n"), []byte("two\none\n"))
	f.Add([]byte("\x00id=12 \x00/zfarm/w/first"), []byte("\x00id=34 \x00/zfarm/w/secnd"))
	f.Add([]byte(ebcdic("one\ntwo\n")), []byte("one\ntwo\n"))
	for _, name := range []string{"plain", "later", "changed"} {
		if b, err := os.ReadFile(filepath.Join("format", "goff", "testdata", name+".o")); err == nil {
			f.Add(b, append(bytes.Clone(b[:len(b)-80]), a[:80]...))
		}
	}
	f.Add([]byte(goffFile(f, goffText(2, long(5, "/zfarm/w/first 15:04:05 id=12"), 9)...)), []byte(goffFile(f, goffText(2, long(5, "/zfarm/w/secnd 16:04:05 id=34"), 9)...)))
	f.Add([]byte(goffFile(f, goffText(2, long(5, "/zfarm/w/first 15:04:05"), 9)...)), []byte(goffFile(f, goffText(2, long(9, "/zfarm/w/secnd 16:04:05"), 30)...)))
	f.Add([]byte(cards(f, long(50, "/zfarm/w/first 15:04:05"), 56)), []byte(cards(f, long(50, "/zfarm/w/secnd 16:04:05"), 56)))
	if b, err := os.ReadFile(filepath.Join("format", "progobj", "testdata", "small.po")); err == nil {
		other := append(bytes.Clone(b), "more"...)
		copy(other[148+30+74:], "\x90\xec\xd0\x0c")
		f.Add(b, other)
		f.Add(b, other[:len(b)])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		o := Options{Known: known(), MaxBytes: 8 << 20, Allowed: []Tier{0, 1, 2}, Workdir: t.TempDir(), MaxFindings: 100_000,
			Rules: []Rule{idRule("text"), idRule("bytes"), {Name: "n", Format: "json", Field: "/n/0", Tier: Stamp, Reason: "any"}}}
		v, err := Archives(t.Context(), input("a", a), input("b", b), o)
		if err != nil {
			t.Fatal(err)
		}
		if (v.Outcome == Identical) != bytes.Equal(a, b) {
			t.Errorf("%s, but equal is %v", v, bytes.Equal(a, b))
		}
		if (v.Outcome == Different || v.Outcome == Equivalent) && len(v.Findings) == 0 {
			t.Errorf("%s without findings", v)
		}
		if grave := slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Tier == Forbidden }); grave != (v.Outcome == Different) {
			t.Errorf("%s, and a finding of tier X: %v", v, grave)
		}
		o.Known.A, o.Known.B = o.Known.B, o.Known.A
		back, err := Archives(t.Context(), input("a", b), input("b", a), o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(fieldsOf(v), fieldsOf(back)); d != "" || v.String() != back.String() {
			t.Errorf("%s, the other way round %s (-want +have):\n%s", v, back, d)
		}
		var out bytes.Buffer
		if err := report.Text(&out, v, report.Options{Hunks: true}); err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(out.Bytes()) || bytes.ContainsAny(out.Bytes(), "\x1b\x00\r\x7f") {
			t.Errorf("the report is not safe to show: %q", out.String())
		}
	})
}

// fieldsOf lists the tier and field of all findings, sorted.
func fieldsOf(v Verdict) []string {
	out := []string{}
	for _, f := range v.Findings {
		out = append(out, f.Path+" "+f.Tier.String()+" "+f.Field)
	}
	slices.Sort(out)
	return out
}

// BenchmarkDenseDifferences has a member in which every byte differs without an
// explanation, which is the most expensive case.
func BenchmarkDenseDifferences(b *testing.B) {
	var sides [2][]byte
	for i := range sides {
		body := make([]byte, 1<<20)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(body)
		sides[i] = body
	}
	b.SetBytes(2 << 20)
	for b.Loop() {
		v, err := Archives(b.Context(), input("a", sides[0]), input("b", sides[1]), Options{Known: known(), Workdir: b.TempDir()})
		if err != nil || v.Outcome != Different {
			b.Fatal(v, err)
		}
	}
}
