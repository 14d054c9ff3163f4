// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// laid returns the findings about two files of equal size whose format returns the
// given spans.
func laid(t *testing.T, a, b string, inA, inB []span.Span, rules ...Rule) []string {
	t.Helper()
	file := func(s string) File { return File{R: strings.NewReader(s), Size: int64(len(s))} }
	var out kept
	d := &difference{j: New(known(), rules), out: &out, path: "p/file", a: file(a), b: file(b), worst: verdict.Container, seen: map[seenKey]int{},
		inA: parts{Layout: span.NewMap(inA), list: inA, known: true}, inB: parts{Layout: span.NewMap(inB), list: inB, known: true}}
	if err := d.compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, f := range d.findings {
		have = append(have, fmt.Sprintf("%s %s@%d %s %q %q", f.Tier, f.Field, f.Offset, f.Cause, f.A, f.B))
	}
	return have
}

// TestDigestsExplainThemselvesByTheRest checks that a digest may differ only if
// something else differs and is allowed.
func TestDigestsExplainThemselvesByTheRest(t *testing.T) {
	read := func(b []byte) span.Value { return span.Value{Text: string(b)} }
	spans := []span.Span{{Name: "x.digest", Offset: 0, Length: 4, Kind: span.Digest}, {Name: "x.owner", Offset: 4, Length: 4, Kind: span.Owner, Read: read},
		{Name: "x.fixed", Offset: 8, Length: 4, Kind: span.Fixed, Read: read}}
	const file = "\x00\x01\x02\x03user\x00\x00\x00\x01end"
	for _, c := range []struct {
		name, b string
		want    []string
	}{
		{"alone", "\x00\x01\x02\x04user\x00\x00\x00\x01end", []string{"X x.digest@3 a digest of the rest of the file differs, though nothing else in it does"}},
		{"with what may differ", "\x00\x01\x02\x04USER\x00\x00\x00\x01end", []string{"2 x.owner@4 who built it", "2 x.digest@3 a digest of the rest of the file, which differs as reported"}},
		{"with what must not differ", "\x00\x01\x02\x04user\x00\x00\x00\x02end", []string{"X x.fixed@8 it must be the same in both", "X x.digest@3 a digest of the rest of the file, in which something unexplained"}},
		{"with plain bytes", "\x00\x01\x02\x04user\x00\x00\x00\x01enD", []string{"X content@14", "X x.digest@3 a digest of the rest of the file, in which something unexplained"}},
		{"without it", "\x00\x01\x02\x03USER\x00\x00\x00\x01end", []string{"2 x.owner@4"}},
	} {
		have := laid(t, file, c.b, spans, spans)
		if len(have) != len(c.want) {
			t.Errorf("%s: %q", c.name, have)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(have[i], want) {
				t.Errorf("%s: %q; want %q", c.name, have[i], want)
			}
		}
	}
}

// TestFieldsOfOneSideAreNeverMasked checks that nothing is explained away where
// only one file has a typed field, or has it elsewhere.
func TestFieldsOfOneSideAreNeverMasked(t *testing.T) {
	at := func(kind span.Kind, name string, offset, length int64) []span.Span {
		return []span.Span{{Name: name, Offset: offset, Length: length, Kind: kind, Read: func(b []byte) span.Value { return span.Value{Text: string(b)} }}}
	}
	const a, b = "\x00\x01\x02\x03\x04\x05\x06\x07", "\x00\x01\x02\x09\x04\x05\x06\x07"
	for _, c := range []struct {
		name     string
		inA, inB []span.Span
		want     string
	}{
		{"an owner in A", at(span.Owner, "x.owner", 2, 2), nil, "X x.owner@2 in one of them these bytes are no such field"},
		{"an owner in B", nil, at(span.Owner, "x.owner", 2, 2), "X x.owner@2 in one of them these bytes are no such field"},
		{"a digest in A", at(span.Digest, "x.digest", 2, 2), nil, "X x.digest@2 in one of them these bytes are no digest of what they stand for"},
		{"another field", at(span.Owner, "x.owner", 2, 2), at(span.Owner, "x.user", 2, 2), "X x.owner@2 in one of them these bytes are no such field, but x.user"},
		{"another place", at(span.Owner, "x.owner", 2, 2), at(span.Owner, "x.owner", 3, 2), "X x.owner@2 the field does not stand at the same place in both"},
		{"another length", at(span.Owner, "x.owner", 2, 2), at(span.Owner, "x.owner", 2, 3), "X x.owner@2 the field does not stand at the same place in both"},
	} {
		have := laid(t, a, b, c.inA, c.inB)
		if len(have) != 1 || !strings.HasPrefix(have[0], c.want) {
			t.Errorf("%s: %q; want %q", c.name, have, c.want)
		}
	}
}

// TestStampsOfUnknownTime checks that bytes which are not a time on either side are
// not a stamp.
func TestStampsOfUnknownTime(t *testing.T) {
	k := known()
	j := New(k, nil)
	in := func(c Conditions) span.Value { return span.Value{From: c.Begun, To: c.Begun, Zoned: true} }
	for _, c := range []struct {
		name string
		a, b span.Value
		tier verdict.Tier
		want string
	}{
		{"both", in(k.A), in(k.B), verdict.Stamp, "is recorded"},
		{"none in A", span.Value{}, in(k.B), verdict.Forbidden, "are no time"},
		{"none in B", in(k.A), span.Value{}, verdict.Forbidden, "are no time"},
		{"A outside", in(k.B), in(k.B), verdict.Forbidden, "lies outside"},
		{"B outside", in(k.A), in(k.A), verdict.Forbidden, "lies outside"},
	} {
		f := verdict.Finding{Tier: verdict.Forbidden}
		if j.stampField(&f, c.a, c.b); f.Tier != c.tier || !strings.Contains(f.Cause, c.want) {
			t.Errorf("%s: tier %s, %s", c.name, f.Tier, f.Cause)
		}
	}
	for _, k := range []Known{{A: k.A}, {B: k.B}} {
		f := verdict.Finding{Tier: verdict.Forbidden}
		if New(k, nil).stampField(&f, in(known().A), in(known().B)); f.Tier != verdict.Forbidden || !strings.Contains(f.Cause, "not known") {
			t.Errorf("tier %s, %s", f.Tier, f.Cause)
		}
	}
}

// TestFindingsBeyondTheBoundAreHandedOn checks that they are added at once instead
// of being kept back.
func TestFindingsBeyondTheBoundAreHandedOn(t *testing.T) {
	const n = maxFindings + 7
	file := func(entry byte) string {
		card := append([]byte("\x02\xe3\xe7\xe3\x40"), bytes.Repeat([]byte{0x40}, 75)...)
		card[5], card[10], card[11] = entry, 0, 0
		return strings.Repeat(string(card), n)
	}
	all := judged(t, "p/x", file(1), file(2), known())
	if len(all) != n || all[0].Offset < all[n-1].Offset {
		t.Errorf("%d findings; the first is at byte %d, the last at %d", len(all), all[0].Offset, all[n-1].Offset)
	}
}

// TestOnePlaceIsNotSeveral checks that reporting the same byte twice counts as one
// place.
func TestOnePlaceIsNotSeveral(t *testing.T) {
	file := File{R: strings.NewReader("0123456789"), Size: 10}
	d := &difference{j: New(known(), nil), out: &kept{}, a: file, b: file, seen: map[seenKey]int{}}
	x := func(at int64) explanation {
		return explanation{finding: verdict.Finding{Field: "f", A: "a", B: "b", Offset: at, Tier: verdict.Stamp}, end: at + 1}
	}
	d.addExplained(x(3), span.Span{})
	d.addExplained(x(3), span.Span{})
	if len(d.findings) != 1 || d.findings[0].Evidence != "" {
		t.Fatalf("%+v", d.findings)
	}
	d.addExplained(x(5), span.Span{})
	d.addExplained(x(7), span.Span{})
	if len(d.findings) != 1 || d.findings[0].Evidence != severalPlaces+"3" {
		t.Errorf("%+v", d.findings)
	}
}

// TestRulesStayWithinOnePart checks that a rule explains bytes of one part of the
// format only.
func TestRulesStayWithinOnePart(t *testing.T) {
	const a, b = "\x00\x01id=12\x00", "\x00\x01id=34\x00"
	plain := func(ends ...int64) []span.Span {
		var out []span.Span
		at := int64(0)
		for i, end := range append(ends, int64(len(a))) {
			out = append(out, span.Span{Name: fmt.Sprint("x.", i), Offset: at, Length: end - at})
			at = end
		}
		return out
	}
	rule := idRule("bytes")
	if have := laid(t, a, b, plain(), plain(), rule); len(have) != 1 || !strings.HasPrefix(have[0], "2 rule.id@5") {
		t.Errorf("in one part: %q", have)
	}
	have := laid(t, a, b, plain(6), plain(6), rule)
	if len(have) != 2 || !strings.HasPrefix(have[0], "X x.0@5") || !strings.HasPrefix(have[1], "X x.1@6") {
		t.Errorf("across two parts: %q", have)
	}
}

// differing is the initial state of a difference between two files.
func differing(a, b string) *difference {
	file := func(s string) File { return File{R: strings.NewReader(s), Size: int64(len(s))} }
	return &difference{j: New(known(), nil), out: &kept{}, path: "p/file", a: file(a), b: file(b), seen: map[seenKey]int{},
		inA: parts{Layout: span.NewMap(nil)}, inB: parts{Layout: span.NewMap(nil)}}
}

// TestValuesThatStandOftenerAreTold checks values that occur more often on one
// side.
func TestValuesThatStandOftenerAreTold(t *testing.T) {
	with := func(count int) *entry {
		s := &countedValue{key: valueKey{text: "v"}, count: count}
		return &entry{values: map[valueKey]*countedValue{s.key: s}, order: []*countedValue{s}}
	}
	if len(with(2).without(with(1))) != 1 || len(with(1).without(with(2))) != 0 || len(with(2).without(with(2))) != 0 || len(with(1).without(&entry{})) != 1 {
		t.Error("values are told on the wrong side")
	}
}

// TestShiftedValuesAreNeverMasked checks that a build path of equal length in both
// files does not excuse text that is shifted.
func TestShiftedValuesAreNeverMasked(t *testing.T) {
	d := differing("/zfarm/w/first ", "/zfarm/w/secnd ")
	text := func(f File) *pieces {
		p := &pieces{r: f.R}
		p.add(span.Stretch{Length: f.Size})
		return p
	}
	if err := d.known("x.text", text(d.a), text(d.b), 9); err != nil || len(d.findings) != 1 || d.findings[0].Tier != verdict.Forbidden || d.findings[0].Field != "embedded.build path" {
		t.Errorf("%v, %+v", err, d.findings)
	}
}

// TestOnlyTheSameSymbolsHaveAnOrder checks that different sets of symbols are not
// reported as another order.
func TestOnlyTheSameSymbolsHaveAnOrder(t *testing.T) {
	for names, want := range map[string]bool{"b,a": true, "a,c": false, "a,b": false, "a,b,c": false} {
		d := differing("a,b", names)
		d.findings, d.worst = []verdict.Finding{{Field: "x.symbols", Tier: verdict.Forbidden}}, verdict.Forbidden
		read := func(r io.ReaderAt, size int64, each func(string, []byte)) error {
			b := make([]byte, size)
			if _, err := r.ReadAt(b, 0); err != nil {
				return err
			}
			for _, name := range bytes.Split(b, []byte(",")) {
				each("x.symbols", name)
			}
			return nil
		}
		d.inA.of, d.inB.of = format.Format{Symbols: read}, format.Format{Symbols: read}
		if err := d.order(); err != nil || strings.Contains(d.findings[0].Evidence, "in another order") != want {
			t.Errorf("a,b and %s: %v, %q", names, err, d.findings[0].Evidence)
		}
	}
}

// cut is a layout that cuts one text into pieces.
type cut struct {
	span.Layout
	pieces []span.Stretch
}

func (c cut) Joined(int64, int64) []span.Stretch { return c.pieces }

// TestPiecesMustBeTheSame checks that a text that is cut differently in the two
// files is not joined to search for explanations.
func TestPiecesMustBeTheSame(t *testing.T) {
	d := differing("/zfarm/|w/first ", "/zfarm/|w/secnd ")
	one := []span.Stretch{{Offset: 0, Length: 7}, {Offset: 8, Length: 8}}
	other := []span.Stretch{{Offset: 0, Length: 6}, {Offset: 8, Length: 8}}
	for _, c := range []struct {
		inB    []span.Stretch
		joined bool
	}{{one, true}, {other, false}} {
		d.inA.Layout, d.inB.Layout = cut{span.NewMap(nil), one}, cut{span.NewMap(nil), c.inB}
		w, err := d.surroundings(10, false)
		if err != nil || (w.pieces != nil) != c.joined {
			t.Errorf("%v: %v, %v", c.inB, w.pieces, err)
		}
	}
}
