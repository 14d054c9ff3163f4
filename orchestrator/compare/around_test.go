// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/goff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/obj"
)

// goffFile is a module with an element of code, an element of data, and the records
// given.
func goffFile(t testing.TB, more ...goff.Record) string {
	t.Helper()
	all := []goff.Record{goff.Header{Level: 1},
		goff.Symbol{ID: 1, Name: []byte(ebcdic("source#C"))},
		goff.Symbol{Type: 1, ID: 2, Owner: 1, Name: []byte(ebcdic("C_CODE64"))},
		goff.Symbol{Type: 1, ID: 3, Owner: 1, Name: []byte(ebcdic("C_WSA64"))},
	}
	var out []byte
	for _, r := range append(append(all, more...), goff.End{}) {
		var err error
		if out, err = goff.Append(out, r); err != nil {
			t.Fatal(err)
		}
	}
	return string(out)
}

// goffText is the text of an element in records of size bytes each.
func goffText(element uint32, text string, size int) []goff.Record {
	var out []goff.Record
	at := uint32(0)
	for piece := range slices.Chunk([]byte(text), size) {
		out = append(out, goff.Text{Element: element, Offset: at, Data: piece})
		at += uint32(len(piece))
	}
	return out
}

// cards is an object module with the text of a section, 56 bytes a card. The
// address rises by the given step with each card.
func cards(t testing.TB, text string, step int) string {
	t.Helper()
	var out []byte
	address := 0
	for piece := range slices.Chunk([]byte(text), 56) {
		c := obj.Text{ID: [2]byte{0, 1}, Address: [3]byte{0, byte(address >> 8), byte(address)}, Data: piece}
		var err error
		if out, err = obj.Append(out, c); err != nil {
			t.Fatal(err)
		}
		address += step
	}
	return string(out)
}

// long is text with the given text behind a number of other bytes.
func long(before int, said string) string {
	return strings.Repeat("\x07", before) + said + strings.Repeat("\x07", 90)
}

func TestTextsAcrossRecords(t *testing.T) {
	const pathA, pathB = "\x00/zfarm/w/first/a.c\x00", "\x00/zfarm/w/secnd/a.c\x00"
	one := func(text string) string { return goffFile(t, goffText(2, text, 4096)...) }
	few := func(text string) string { return goffFile(t, goffText(2, text, 9)...) }
	apart := func(text string) string {
		all := goffText(2, text, 9)
		for i := range all {
			x := all[i].(goff.Text)
			x.Offset *= 2
			all[i] = x
		}
		return goffFile(t, all...)
	}
	mixed := func(text string) string { // two elements in turn
		all := goffText(2, text, 9)
		for i := range all {
			x := all[i].(goff.Text)
			x.Element += uint32(i % 2)
			all[i] = x
		}
		return goffFile(t, all...)
	}
	named := func(name string) string {
		return goffFile(t, goff.Symbol{Type: 4, ID: 9, Owner: 1, Name: []byte(name)})
	}
	placed := func(text string, unpacked uint32) string {
		all := goffText(2, text, 9)
		x := all[1].(goff.Text)
		x.True = unpacked
		all[1] = x
		return goffFile(t, all...)
	}
	contiguous := func(text string) string { return cards(t, text, 56) }
	const path = "2 embedded.build path: the build path is embedded"
	for _, c := range []struct {
		name, a, b string
		want       string
		found      []string
	}{
		{"GOFF, in one record", one(long(47, pathA)), one(long(47, pathB)), "equivalent (tier 2)", []string{path}},
		{"GOFF, in EBCDIC", one(long(47, ebcdic(pathA))), one(long(47, ebcdic(pathB))), "equivalent (tier 2)", []string{path}},
		{"GOFF, in short records", few(long(5, pathA)), few(long(5, pathB)), "equivalent (tier 2)", []string{path}},
		{"GOFF, twice", few(long(5, pathA+pathA)), few(long(5, pathB+pathB)), "equivalent (tier 2)", []string{path}},
		{"GOFF, in a name", named(long(0, pathA)), named(long(0, pathB)), "equivalent (tier 2)", []string{path}},
		{"GOFF, a stamp", one(long(52, "15:04:05")), one(long(52, "16:04:06")), "equivalent (tier 2)", []string{"2 stamp.time"}},
		{"GOFF, a stamp outside", one(long(52, "15:04:05")), one(long(52, "19:04:06")), "different", []string{"X goff.txt.C_CODE64: looks like a time"}},
		{"GOFF, a host", one(long(52, "LPARONE ")), one(long(52, "LPARTWO ")), "different", []string{"X embedded.host"}},
		{"GOFF, in records that lie apart", apart(long(5, pathA)), apart(long(5, pathB)), "different", []string{"X goff.txt.C_CODE64"}},
		{"GOFF, in two elements", mixed(long(5, pathA)), mixed(long(5, pathB)), "different", []string{"X goff.txt.C_CODE64", "X goff.txt.C_WSA64"}},
		{"GOFF, between the pieces", few(long(5, pathA)), placed(long(5, pathB), 3), "different", []string{path, "X goff.place.unpacked"}},
		{"GOFF, a byte beside it", few(long(5, pathA)), few(long(5, strings.Replace(pathB, "a.c", "b.c", 1))), "different", []string{path, "X goff.txt.C_CODE64"}},
		{"GOFF, another path", few(long(5, pathA)), few(long(5, strings.Replace(pathB, "secnd", "sacnd", 1))), "different", []string{"X goff.txt.C_CODE64"}},
		{"OBJ", contiguous(long(47, pathA)), contiguous(long(47, pathB)), "equivalent (tier 2)", []string{path}},
		{"OBJ, a stamp", contiguous(long(53, "15:04:05")), contiguous(long(53, "16:05:05")), "equivalent (tier 2)", []string{"2 stamp.time"}},
		{"OBJ, in cards that lie apart", cards(t, long(46, pathA), 60), cards(t, long(46, pathB), 60), "different", []string{"X obj.txt"}},
		{"OBJ, in the sequence number between", contiguous(long(47, pathA)), numbered(contiguous(long(47, pathB))), "different", []string{path, "X obj.sequence"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := plantedPair(t, reg("p/x.o", c.a), reg("p/x.o", c.b))
			check(t, verdictOf(t, a, b, known()), planted{want: c.want, found: c.found})
		})
	}
	t.Run("in one place", func(t *testing.T) {
		a, b := plantedPair(t, reg("p/x.o", few(long(5, pathA))), reg("p/x.o", few(long(5, pathB))))
		if v := verdictOf(t, a, b, known()); strings.Contains(v.Findings[0].Evidence, several) {
			t.Errorf("one place is told as several: %+v", v.Findings)
		}
	})
}

// numbered is an object whose first card has a sequence number.
func numbered(s string) string { return s[:72] + "\xf0\xf0\xf1" + s[75:] }

func TestRulesAcrossRecords(t *testing.T) {
	file := func(id string) string { return goffFile(t, goffText(2, long(5, "\x00id="+id+" \x00"), 9)...) }
	for _, c := range []struct {
		name, a, b, want string
		found            []string
	}{
		{"the group", file("123456789012"), file("987654321098"), "equivalent (tier 2)", []string{"2 rule.id"}},
		{"beside the group", file("123456789012"), file("98765432109x"), "different", []string{"X goff.txt.C_CODE64"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, ruling(t, reg("p/x.o", c.a), reg("p/x.o", c.b), idRule("bytes")), planted{want: c.want, found: c.found})
		})
	}
}

// TestNothingHidesBetweenRecords changes bytes of an object whose other differences
// are explained: every change between the pieces of a path must be reported.
// Testing each third byte covers every column of a card, since cards have 80.
func TestNothingHidesBetweenRecords(t *testing.T) {
	const pathA, pathB = "\x00/zfarm/w/first/a.c\x00", "\x00/zfarm/w/secnd/a.c\x00"
	for _, c := range []struct{ name, a, b string }{
		{"GOFF", goffFile(t, goffText(2, long(3, pathA), 9)...), goffFile(t, goffText(2, long(3, pathB), 9)...)},
		{"GOFF, one record", goffFile(t, goffText(2, long(47, pathA), 999)...), goffFile(t, goffText(2, long(47, pathB), 999)...)},
		{"OBJ", cards(t, long(47, pathA), 56), cards(t, long(47, pathB), 56)},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := 0; i < len(c.b); i += 7 {
				b := []byte(c.b)
				b[i] ^= 0x15
				x, y := archive(t, reg("x.o", c.a)), archive(t, reg("x.o", string(b)))
				if v := verdictOf(t, x, y, known()); v.Outcome != Different {
					t.Fatalf("a flip at byte %d of %d: %s, %+v", i, len(b), v, v.Findings)
				}
			}
		})
	}
}

// TestFieldsOfOneSide has fields whose form the format fixes in one file only: they
// are reported by name and never explained away.
func TestFieldsOfOneSide(t *testing.T) {
	read := func(name ...string) string {
		b, err := os.ReadFile(filepath.Join(name...))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	object, program := read("format", "goff", "testdata", "plain.o"), read("format", "progobj", "testdata", "small.po")
	put := func(s, from, to string) string {
		if !strings.Contains(s, from) {
			t.Fatalf("%q is not there", from)
		}
		return strings.Replace(s, from, to, 1)
	}
	user := program[148+30+74:][:8]
	for _, c := range []struct{ name, a, b, found string }{
		{"a date of letters", object, put(object, ebcdic("20270115080000221080"), ebcdic("EVIL0115080000221080")),
			"X ppa2.compiled: in one of them these bytes are no such field"},
		{"a version of letters", object, put(object, ebcdic("20270115080000221080"), ebcdic("20270115080000EVIL80")),
			"X ppa2.version: in one of them these bytes are no such field"},
		{"a user who is none", program, put(program, user, "\x90\xec\xd0\x0c\x41\xf0\x00\x04"),
			"X pmarl.userid: in one of them these bytes are no such field"},
		{"a stamp of the build in its place", object, put(object, ebcdic("20270115080000221080"), ebcdic("/w/15:04:05 a ")+ebcdic("221080")),
			"X ppa2.compiled: in one of them these bytes are no such field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := plantedPair(t, reg("p/x", c.a), reg("p/x", c.b))
			planted := planted{want: "different", found: []string{c.found}}
			check(t, verdictOf(t, a, b, known()), planted)
			check(t, verdictOf(t, b, a, known()), planted)
		})
	}
}

// TestManyFindingsAreBounded has more findings in one member than are kept: all
// must be counted.
func TestManyFindingsAreBounded(t *testing.T) {
	const n = maxFindings + 500
	file := func(entry byte) []byte {
		var out []byte
		for range n {
			c := append([]byte("\x02\xe3\xe7\xe3\x40"), bytes.Repeat([]byte{0x40}, 75)...)
			c[5], c[10], c[11] = entry, 0, 0
			out = append(out, c...)
		}
		return out
	}
	v := verdictOf(t, archive(t, reg("x", string(file(1)))), archive(t, reg("x", string(file(2)))), known())
	if v.Outcome != Different || len(v.Fields) != 1 || v.Fields[0].Findings != n {
		t.Errorf("%s: %+v", v, v.Fields)
	}
}
