// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

func toEBCDIC(t testing.TB, s string) []byte {
	t.Helper()
	b, err := charmap.CodePage1047.NewEncoder().Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const codeID, registerID = 2, 3

// symbols are the symbols of a module with code and a class that registers PPA2s.
func symbols(t testing.TB) []Record {
	name := func(s string) []byte { return toEBCDIC(t, s) }
	return []Record{
		Symbol{ID: 1, Name: name("s#C")},
		Symbol{Type: elementType, ID: codeID, Owner: 1, Name: name("C_CODE64")},
		Symbol{Type: elementType, ID: registerID, Owner: 1, Name: name("C_@@QPPA2")},
		Symbol{Type: elementType, ID: 4, Owner: 1, Name: name("B_IDRU")},
		Symbol{Type: elementType, ID: 5, Owner: 1, Name: name("B_IDRZ")},
		Symbol{Type: elementType, ID: 6, Owner: 1, Name: name("B_IDRL")},
	}
}

// cut writes text in records of a given size.
func cut(code []byte, at uint32, size int) []Record {
	var out []Record
	for len(code) > 0 {
		n := min(size, len(code))
		out = append(out, Text{Element: codeID, Offset: at, Data: code[:n]})
		code, at = code[n:], at+uint32(n)
	}
	return out
}

// ppa2 is a PPA2 with its stamp at a given distance.
func ppa2(far int, flags byte) []byte {
	b := []byte{3, 0, 0x22, 4, 0, 0, 0, 0, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(int32(far)))
	return append(b, 0, 0, 0, 0, flags, 0, 0, 0)
}

const stampText = "20270115080910221080"

// stampBytes is a stamp with its service level.
func stampBytes(t testing.TB, service string) []byte {
	b := toEBCDIC(t, stampText)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(service))), toEBCDIC(t, service)...)
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// stamps returns the values of all stamps of PPA2s in a module.
func stamps(t testing.TB, b []byte) (times []span.Value, spans []span.Span) {
	t.Helper()
	f := open(t, b)
	for at := int64(0); at < int64(len(b)); at = f.End(at, int64(len(b))) {
		if s, _ := f.At(at); s.Name == "ppa2.compiled" {
			times, spans = append(times, s.Read(b[s.Offset:s.Offset+s.Length])), append(spans, s)
		}
	}
	return times, spans
}

func TestStampAcrossCards(t *testing.T) {
	want := time.Date(2027, 1, 15, 8, 9, 10, 0, time.UTC)
	for _, size := range []int{7, 20, 56, 60, 100, 1 << 15} {
		for before := range 160 {
			code := concat(bytes.Repeat([]byte{7}, before), ppa2(24, 0x85), stampBytes(t, ""), bytes.Repeat([]byte{9}, 30))
			b := wrapped(t, append(symbols(t), cut(code, 0, size)...)...)
			times, spans := stamps(t, b)
			if len(times) != 1 || !times[0].From.Equal(want) || !times[0].To.Equal(want.Add(time.Second-1)) {
				t.Fatalf("records of %d bytes, %d before: %+v", size, before, times)
			}
			if before%20 == 0 {
				owned(t, open(t, b), int64(len(b)))
			}
			// The bytes between its digits must not change unnoticed.
			for i := range spans[0].Length {
				at := spans[0].Offset + i
				if digit(b[at]) {
					continue
				}
				other := change(b, at, b[at]^1)
				if v := spans[0].Read(other[spans[0].Offset : spans[0].Offset+spans[0].Length]); !v.From.IsZero() {
					t.Fatalf("records of %d bytes, %d before: byte %d of the stamp changed and it is still %v", size, before, i, v.From)
				}
			}
		}
	}
}

func TestStampNeedsPPA2(t *testing.T) {
	far := bytes.Repeat([]byte{0x47, 0, 0, 1}, 50_000)
	stamp := stampBytes(t, "")
	register := func(at uint64) Record {
		return Text{Element: registerID, Data: binary.BigEndian.AppendUint64(nil, at)}
	}
	for _, c := range []struct {
		name string
		code []byte
		more []Record
		want int
	}{
		{"beside", concat(ppa2(24, 0), stamp), nil, 1},
		{"digits alone", concat(far[:400], stamp, far[:400]), nil, 0},
		{"another distance", concat(ppa2(25, 0), stamp), nil, 0},
		{"another language", change(concat(ppa2(24, 0), stamp), 0, 2), nil, 0},
		{"assembler", change(concat(ppa2(24, 0), stamp), 0, 15), nil, 1},
		{"behind", concat(stamp, ppa2(-22, 0)), nil, 1},
		{"far before", concat(stamp, far, ppa2(-22-len(far), 0)), nil, 1},
		{"far behind", concat(ppa2(24+len(far), 0), far, stamp), nil, 1},
		{"longer digits", concat(ppa2(28, 0), toEBCDIC(t, "1234"), stamp), nil, 1},
		{"13 digits", concat(ppa2(24, 0), stamp[:13], []byte{0}, stamp[14:]), nil, 0},
		{"registered", concat(ppa2(24, 0), stamp), []Record{register(0)}, 1},
		{"one of two registered", concat(ppa2(24, 0), stamp, ppa2(24, 0), stamp), []Record{register(0)}, 1},
		{"both registered", concat(ppa2(24, 0), stamp, ppa2(24, 0), stamp), []Record{register(0), register(46)}, 2},
		{"registered elsewhere", concat(ppa2(24, 0), stamp), []Record{register(900)}, 1},
		{"at the end of the buffer", concat(far[:maxBuffer-90], ppa2(24, 0), stamp, far[:3000]), nil, 1},
		{"many", bytes.Repeat(concat(ppa2(24, 0), stamp), 3000), nil, 3000},
		{"nothing but digits", bytes.Repeat([]byte{0xf0}, 300_000), nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{56, 1000, 1 << 15} {
				b := wrapped(t, append(append(symbols(t), cut(c.code, 0, size)...), c.more...)...)
				times, _ := stamps(t, b)
				if len(times) != c.want {
					t.Errorf("records of %d bytes: %d stamps; want %d", size, len(times), c.want)
				}
			}
		})
	}
}

func TestStampNeedsItsElement(t *testing.T) {
	header, stamp := ppa2(24, 0), stampBytes(t, "")
	for name, records := range map[string][]Record{
		"another element": {Text{Element: codeID, Data: header}, Text{Element: 9, Offset: 24, Data: stamp}},
		"another place":   {Text{Element: codeID, Data: header}, Text{Element: codeID, Offset: 25, Data: stamp}},
		"structured":      {Text{Element: codeID, Data: concat(header, stamp), Style: 1}},
		"packed":          {Text{Element: codeID, Data: concat(header, stamp), Encoding: 1}},
		"a user's record": {Text{Element: 4, Data: concat(header, stamp)}},
	} {
		if times, _ := stamps(t, wrapped(t, append(symbols(t), records...)...)); len(times) != 0 {
			t.Errorf("%s: %+v", name, times)
		}
	}
}

func TestService(t *testing.T) {
	for _, c := range []struct {
		flags    byte
		far      bool
		want     string
		kind     span.Kind
		readable string
	}{
		{0x20, false, "ppa2.service", span.Fixed, "000b HLE77C0:a.c"},
		{0x20, true, "ppa2.service", span.Fixed, "000b HLE77C0:a.c"},
		{0, false, "goff.txt.C_CODE64", span.Plain, ""},
	} {
		gap := make([]byte, 0, 1000)
		if c.far {
			gap = gap[:1000]
		}
		code := concat(ppa2(24+len(gap), c.flags), gap, stampBytes(t, "HLE77C0:a.c"))
		b := wrapped(t, append(symbols(t), cut(code, 0, 1<<15)...)...)
		_, version := value(t, b, "ppa2.version", 0)
		at := version.Offset + version.Length
		s, _ := open(t, b).At(at)
		if s.Name != c.want || s.Kind != c.kind {
			t.Errorf("flags %#x: behind the version lies %+v", c.flags, s)
		}
		if s.Read != nil {
			if v := s.Read(b[s.Offset : s.Offset+s.Length]); v.Text != c.readable {
				t.Errorf("the service level is %q", v.Text)
			}
		}
	}
}

func TestIdentification(t *testing.T) {
	item := func(kind byte, text string) []byte {
		b := toEBCDIC(t, text)
		return append(binary.BigEndian.AppendUint16([]byte{0, kind}, uint16(len(b))), b...)
	}
	day := time.Date(2009, 5, 22, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		item     []byte
		from, to time.Time
		text     string
	}{
		{"short", item(0, "569623400 010609142"), day, day.Add(24*time.Hour - 1), "2009-05-22"},
		{"short, of the last century", item(1, "569623400 010666001"), time.Date(1966, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1966, 1, 2, 0, 0, 0, -1, time.UTC), "1966-01-01"},
		{"assembler", item(3, "569623400 01062026112220050300"), time.Date(2026, 4, 22, 22, 0, 50, 300e6, time.UTC), time.Date(2026, 4, 22, 22, 0, 50, 301e6-1, time.UTC), "2026-04-22 22:00:50.300"},
		{"calendar", item(3, "Debian cla22102026112220050300"), time.Date(2026, 11, 22, 20, 5, 3, 0, time.UTC), time.Date(2026, 11, 22, 20, 5, 3, 10e6-1, time.UTC), "2026-11-22 20:05:03.00"},
		{"julian of another", item(4, "SOMEBODY  01062014148132317530"), time.Date(2014, 5, 28, 13, 23, 17, 530e6, time.UTC), time.Date(2014, 5, 28, 13, 23, 17, 531e6-1, time.UTC), "2014-05-28 13:23:17.530"},
		{"no date", item(3, "Debian cla22102026999999999999"), time.Time{}, time.Time{}, "2026999999999999"},
		{"no short date", item(0, "569623400 010609400"), time.Time{}, time.Time{}, "09400"},
		{"no digits", item(3, "569623400 0106            abcd"), time.Time{}, time.Time{}, "            abcd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for before := range 5 {
				data := bytes.Repeat(item(2, "0123456789abcdef"), before)
				b := wrapped(t, append(symbols(t), Text{Element: 6, Style: 1, Data: append(data, c.item...)})...)
				owned(t, open(t, b), int64(len(b)))
				v, s := value(t, b, "idrl.translated", 0)
				if !v.From.Equal(c.from) || !v.To.Equal(c.to) || v.Text != c.text || s.Kind != span.Stamp || v.Zoned {
					t.Errorf("%d items before: %+v", before, v)
				}
				if v, _ := value(t, b, "idrl.version", 0); len(v.Text) != 4 {
					t.Errorf("%d items before: version %q", before, v.Text)
				}
			}
		})
	}
}

func TestUsersRecordsAndZaps(t *testing.T) {
	for _, c := range []struct {
		id   uint32
		data []byte
		want string
	}{
		{4, toEBCDIC(t, "20270115080910"), "idru"},
		{5, bytes.Repeat(toEBCDIC(t, "ZAPPED  "), 20), "idrz.zap"},
		{6, []byte{0, 3, 0, 99, 1, 2}, "idrl.unknown"},
		{6, []byte{0, 3, 0, 2, 1, 2}, "idrl.unknown"},
		{6, []byte{0, 9, 0, 2, 1, 2}, "idrl.unknown"},
		{77, []byte{1}, "goff.txt"},
	} {
		style := byte(1)
		b := wrapped(t, append(symbols(t), Text{Element: c.id, Style: style, Data: c.data})...)
		f := open(t, b)
		owned(t, f, int64(len(b)))
		at := int64(len(b)) - cardSize - int64(len(c.data)+prefixSize*2)/payload*cardSize - cardSize
		var found bool
		for ; at < int64(len(b)); at = f.End(at, int64(len(b))) {
			s, _ := f.At(at)
			found = found || s.Name == c.want
		}
		if !found {
			t.Errorf("no %s for %x", c.want, c.data)
		}
	}
	// An id that two symbols have names neither.
	twice := wrapped(t, append(symbols(t), Symbol{Type: elementType, ID: codeID, Name: []byte{0xc1}}, Text{Element: codeID, Data: []byte{1}})...)
	if s, _ := open(t, twice).At(int64(len(twice)) - 2*cardSize + textData); s.Name != "goff.txt" {
		t.Errorf("text of an id given twice lies in %s", s.Name)
	}
}

func fuzzSeeds(f *testing.F) {
	for _, m := range objects() {
		f.Add(object(f, m.name))
	}
	code := concat(make([]byte, 50), ppa2(24, 0x20), stampBytes(f, "LEVEL"), make([]byte, 40))
	f.Add(wrapped(f, append(symbols(f), cut(code, 0, 30)...)...))
	var odd []Record
	for _, r := range samples() {
		if b, err := Append(nil, r); err == nil && len(b) < 1000 {
			odd = append(odd, r)
		}
	}
	f.Add(wrapped(f, odd...))
}

// agree checks that spans and records agree on which cards are records.
func agree(t testing.TB, f *File, b []byte) {
	t.Helper()
	at, inside := int64(0), false
	for r, err := range Records(bytes.NewReader(b)) {
		if err != nil {
			t.Fatal(err)
		}
		cards, err := Append(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		_, header := r.(Header)
		_, none := r.(Unknown)
		inside = inside || header
		for end := at + int64(len(cards)); at < end; at += cardSize {
			if s, _ := f.At(at); (s.Name == unknownName) != (none || !inside) {
				t.Fatalf("byte %d of a %T lies in %s", at, r, s.Name)
			}
		}
		at -= at % cardSize
		if _, end := r.(End); end {
			inside = false
		}
	}
}

// inPieces checks that a byte lies in one of the pieces of a text, if there are
// any, and that the pieces are in order and do not touch.
func inPieces(t testing.TB, pieces []span.Stretch, at, size int64) {
	t.Helper()
	last, here := int64(-1), pieces == nil
	for _, p := range pieces {
		if p.Length <= 0 || p.Offset <= last || p.End() > size {
			t.Fatalf("pieces %v of %d bytes", pieces, size)
		}
		last, here = p.End(), here || at >= p.Offset && at < p.End()
	}
	if !here {
		t.Fatalf("byte %d lies in none of %v", at, pieces)
	}
}

func FuzzOpen(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		owned(t, file, int64(len(b)))
		agree(t, file, b)
		for at := int64(0); at < int64(len(b)); at = file.End(at, int64(len(b))) {
			if s, _ := file.At(at); s.Read != nil {
				s.Read(b[s.Offset : s.Offset+s.Length])
				s.Read(nil)
			}
			inPieces(t, file.Joined(at, 200), at, int64(len(b)))
		}
	})
}

func FuzzRecords(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b) })
}

// large is a module with a lot of code.
func large(b *testing.B, size, per int) []byte {
	code := make([]byte, size)
	for i := range code {
		code[i] = byte(i * 7 >> 3)
	}
	return wrapped(b, append(symbols(b), cut(code, 0, per)...)...)
}

func BenchmarkOpen(b *testing.B) {
	for _, per := range []int{56, 1 << 15} {
		b.Run(fmt.Sprintf("records of %d", per), func(b *testing.B) {
			in := large(b, 16<<20, per)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(bytes.NewReader(in), int64(len(in))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAt(b *testing.B) {
	in := large(b, 1<<20, 1<<15)
	f := open(b, in)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		for at := int64(0); at < int64(len(in)); at = f.End(at, int64(len(in))) {
			if _, ok := f.At(at); !ok {
				b.Fatal("a byte without a span")
			}
		}
	}
}

// BenchmarkAtOfHostile gets each span of cards that are not records, and of records
// with many small parts.
func BenchmarkAtOfHostile(b *testing.B) {
	card := func(flags byte) []byte { return append([]byte{3, flags, 0}, make([]byte, payload)...) }
	for name, in := range map[string][]byte{
		"broken chains":  wrapped(b, Unknown{bytes.Repeat(concat(card(0x11), bytes.Repeat(card(0x13), 800), card(0x03)), 10)}),
		"endless chain":  wrapped(b, Unknown{bytes.Repeat(card(0x13), 8000)}),
		"cut chain":      wrapped(b, Unknown{concat(card(0x10), bytes.Repeat(card(0x13), 900))}),
		"identification": wrapped(b, append(symbols(b), Text{Element: 6, Style: 1, Data: bytes.Repeat([]byte{0, 9, 0, 1, 0}, 13_000)})...),
	} {
		b.Run(name, func(b *testing.B) {
			f := open(b, in)
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				for at := int64(0); at < int64(len(in)); at = f.End(at, int64(len(in))) {
					if _, ok := f.At(at); !ok {
						b.Fatal("a byte without a span")
					}
				}
			}
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	in := large(b, 16<<20, 1<<15)
	b.SetBytes(int64(len(in)))
	var out []byte
	for b.Loop() {
		out = out[:0]
		for r, err := range Records(bytes.NewReader(in)) {
			if err == nil {
				out, err = Append(out, r)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// endless is a virtual module with endless records.
type endless struct{ first, rest []byte }

func (e endless) ReadAt(p []byte, at int64) (int, error) {
	for n := 0; n < len(p); {
		x := at + int64(n)
		if x < int64(len(e.first)) {
			n += copy(p[n:], e.first[x:])
		} else {
			n += copy(p[n:], e.rest[(x-int64(len(e.first)))%int64(len(e.rest)):])
		}
	}
	return len(p), nil
}

// TestMemory reads files with as much as possible to index.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads long input with one goroutine: run it without -short")
	}
	const size = 64 << 20
	name := bytes.Repeat([]byte{0xc1}, 400)
	encode := func(records ...Record) []byte {
		var b []byte
		var err error
		for _, r := range records {
			if b, err = Append(b, r); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	stamp := concat(ppa2(24, 0x20), stampBytes(t, "LEVEL"))
	for what, rest := range map[string][]byte{
		"symbols":    encode(Symbol{Type: elementType, ID: 1, Name: name[:60]}),
		"modules":    encode(Header{Level: 1}),
		"stamps":     encode(Text{Element: codeID, Data: bytes.Repeat(stamp, 500)}),
		"spread":     encode(append(cut(stamp, 0, 9), Header{Level: 1})...),
		"entries":    encode(Text{Element: registerID, Data: make([]byte, 1<<15)}),
		"one byte":   encode(Text{Element: codeID, Data: []byte{1}, Tail: make([]byte, 500)}),
		"PPA2s":      encode(Text{Element: codeID, Data: bytes.Repeat([]byte{3, 0, 0x22}, 10_000)}),
		"no data":    encode(Text{Element: codeID, Tail: make([]byte, 70_000)}),
		"no records": make([]byte, 80),
	} {
		t.Run(what, func(t *testing.T) {
			in := endless{encode(append([]Record{Header{Level: 1}}, symbols(t)...)...), rest}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			f, err := Open(in, size)
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 48<<20 {
				t.Errorf("%d MiB are kept of a file", kept>>20)
			}
			for at := int64(0); at < size; at += 1_000_003 {
				if s, ok := f.At(at); !ok || s.Length <= 0 {
					t.Errorf("byte %d lies in %+v", at, s)
				}
			}
		})
	}
}
