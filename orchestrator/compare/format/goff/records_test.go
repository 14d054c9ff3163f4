// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func roundTrip(t testing.TB, b []byte) []Record {
	t.Helper()
	var out []byte
	var all []Record
	for r, err := range Records(bytes.NewReader(b)) {
		if err != nil {
			t.Fatal(err)
		}
		if out, err = Append(out, r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if !bytes.Equal(b, out) {
		t.Fatalf("%d bytes came back as %d others", len(b), len(out))
	}
	return all
}

func TestRecordsComeBack(t *testing.T) {
	for _, m := range objects() {
		for _, r := range roundTrip(t, object(t, m.name)) {
			if u, ok := r.(Unknown); ok {
				t.Errorf("%s: not known: %x", m.name, u.Bytes)
			}
		}
	}
}

func TestDecoded(t *testing.T) {
	all := roundTrip(t, object(t, "plain"))
	if h, ok := all[0].(Header); !ok || h.Level != 1 {
		t.Errorf("the first record is %+v", all[0])
	}
	want := Symbol{Type: 1, ID: 2, Owner: 1, Length: 204, Space: 1, Flags: 0x80,
		Attributes: [10]byte{4, 0, 8, 0, 3}, Name: []byte{0xc3, 0x6d, 0xc3, 0xd6, 0xc4, 0xc5, 0xf6, 0xf4}}
	got, ok := all[2].(Symbol)
	got.Attributes = [10]byte{}
	want.Attributes = got.Attributes
	if d := cmp.Diff(want, got); !ok || d != "" {
		t.Error(d)
	}
	if e, ok := all[len(all)-1].(End); !ok || e.Tail != nil {
		t.Errorf("the last record is %+v", all[len(all)-1])
	}
}

// samples are records of every kind, long and odd ones among them.
func samples() []Record {
	long := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 9000)
	return []Record{
		Header{Level: 1, Properties: []byte{1, 2}, Reserved2: [6]byte{5: 7}},
		Symbol{Type: 2, ID: 7, Name: long[:32767], Signature: [8]byte{1}},
		Symbol{Type: 4, ID: 8, Name: long[:8], Tail: []byte{}},
		Text{Style: 1, Element: 9, Offset: 1 << 31, Data: long},
		Text{Element: 9, Data: long[:56], Tail: make([]byte, 77)},
		Text{Element: 9, Tail: append(make([]byte, 55), 1)},
		Relocations{Reserved: 3, Data: long[:100]},
		Lengths{Items: []Length{{1, 0, 20}, {2, 3, 4}}},
		End{Flags: 2, Name: long[:60], Records: 9},
		Unknown{[]byte{9, 8, 7}},
	}
}

func TestAppend(t *testing.T) {
	for _, want := range samples() {
		b, err := Append(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		all := roundTrip(t, b)
		clean := cmp.Transformer("nil", func(b []byte) string { return string(b) })
		if d := cmp.Diff([]Record{want}, all, clean); d != "" {
			t.Error(d)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, r := range []Record{
		Text{Data: make([]byte, 1<<16)},
		Text{Tail: make([]byte, maxCards*payload)},
		Header{Properties: make([]byte, 21)},
	} {
		if _, err := Append(nil, r); !errors.Is(err, ErrFormat) {
			t.Errorf("%T: %v", r, err)
		}
	}
}

func TestRecordsTellOfReader(t *testing.T) {
	broken := errors.New("broken")
	var err error
	for _, err = range Records(iotest.ErrReader(broken)) {
		if err == nil {
			t.Error("a record of nothing")
		}
	}
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// wrapped appends records between a header and an end.
func wrapped(t testing.TB, records ...Record) []byte {
	t.Helper()
	var b []byte
	var err error
	for _, r := range append(append([]Record{Header{Level: 1}}, records...), End{}) {
		if b, err = Append(b, r); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestFaults(t *testing.T) {
	text := Text{Element: 1, Data: make([]byte, 200)}
	whole := wrapped(t, text)
	endless := bytes.Clone(whole)
	for len(endless) < 3*maxCards*cardSize {
		endless = append(endless, append([]byte{3, 0x13, 0}, make([]byte, payload)...)...)
	}
	for _, c := range []struct {
		name  string
		in    []byte
		want  string
		first int64 // first byte that is unknown
	}{
		{"whole", whole, "", -1},
		{"twice", append(bytes.Clone(whole), whole...), "", -1},
		{"kind", change(whole, 80+1, 0x70), "at byte 80: no record", 80},
		{"chain is cut", change(whole, 80+1, 0x10), "at byte 80: no record", 80},
		{"chain is broken", change(whole, 160+1, 0x22), "at byte 80: no record", 80},
		{"too long", change(whole, 80+22, 0xff), "at byte 80: no record", 80},
		{"rest", append(bytes.Clone(whole), 3, 4), "no record", 400},
		{"behind", append(bytes.Clone(whole), whole[320:]...), "outside of a module", 400},
		{"no end", whole[:320], "no end record", -1},
		{"begun twice", append(bytes.Clone(whole[:320]), whole...), "before the last one ended", -1},
		{"count", change(whole, 320+11, 9), "3 records says that it has 9", -1},
		{"endless", endless, "no record", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t, c.in)
			if err := f.Fault(); c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("fault %v; want %q", err, c.want)
			}
			if len(c.in) < 1<<12 {
				owned(t, f, int64(len(c.in)))
			}
			first := int64(-1)
			for at := int64(0); at < int64(len(c.in)) && first < 0; at = f.End(at, int64(len(c.in))) {
				if s, _ := f.At(at); s.Name == unknownName {
					first = at
				}
			}
			if first != c.first {
				t.Errorf("byte %d is the first unknown; want %d", first, c.first)
			}
			roundTrip(t, c.in)
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "zeros": make([]byte, 160), "text": []byte(strings.Repeat("hello ", 40))} {
		if _, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(bytes.NewReader(nil), 800); err == nil {
		t.Error("a file that is shorter than said was read")
	}
}

func TestIs(t *testing.T) {
	whole := wrapped(t)
	for _, c := range []struct {
		in   []byte
		want bool
	}{{whole[:64], true}, {whole[:48], true}, {whole[:3], false}, {change(whole, 51, 2)[:64], false}, {change(whole, 0, 2), false}, {change(whole, 1, 0), false}} {
		if got := Is(c.in); got != c.want {
			t.Errorf("%x: %v", c.in[:3], got)
		}
	}
}
