// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package obj

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

func ebcdic(t testing.TB, s string) []byte {
	t.Helper()
	b, err := charmap.CodePage1047.NewEncoder().Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func identified(t testing.TB, s string) Identification {
	b := ebcdic(t, s)
	return Identification{[10]byte(b), [4]byte(b[10:]), [5]byte(b[14:])}
}

// deck is one card of every kind.
func deck(t testing.TB) []Card {
	blanks := [8]byte(bytes.Repeat([]byte{blank}, 8))
	name := func(s string) [8]byte { return [8]byte(ebcdic(t, s)) }
	return []Card{
		Test{Data: []byte{1, 2, 3}},
		Symbols{ID: [2]byte{0, 1}, Items: []Symbol{{Name: name("MAIN    "), Length: [3]byte{0, 1, 4}}, {Name: name("OTHER   "), Type: 2, Flag: blank, Length: [3]byte(blanks[:])}}},
		Text{Address: [3]byte{0, 0, 8}, ID: [2]byte{0, 1}, Data: []byte{7, 8, 9}},
		Relocations{Data: bytes.Repeat([]byte{5}, 56)},
		End{Entry: [3]byte(blanks[:]), ID: [2]byte(blanks[:]), Name: blanks, Length: [4]byte(blanks[:]), Count: 0xf2,
			Identified: [2]Identification{identified(t, "569623400 010609142"), identified(t, "SECOND    020326326")}},
		Statement{[cardSize]byte(ebcdic(t, "  NAME MAIN(R)"+strings.Repeat(" ", 66)))},
	}
}

func encode(t testing.TB, cards ...Card) []byte {
	t.Helper()
	var b []byte
	var err error
	for _, c := range cards {
		if b, err = Append(b, c); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func roundTrip(t testing.TB, b []byte) []Card {
	t.Helper()
	var all []Card
	for c, err := range Cards(bytes.NewReader(b)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if out := encode(t, all...); !bytes.Equal(b, out) {
		t.Fatalf("%d bytes came back as %d others", len(b), len(out))
	}
	return all
}

func open(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// owned checks that the spans follow each other without gaps, and that all their
// bytes return the same span.
func owned(t testing.TB, f *File, size int64) {
	t.Helper()
	for at := int64(0); at < size; {
		s, ok := f.At(at)
		end := s.Offset + s.Length
		if !ok || s.Name == "" || s.Offset != at || s.Length <= 0 || end > size {
			t.Fatalf("byte %d of %d lies in %+v", at, size, s)
		}
		if s.Kind != span.Plain && s.Read == nil {
			t.Fatalf("%s at %d is typed and cannot be read", s.Name, at)
		}
		for _, x := range []int64{end - 1, at + s.Length/2, at + s.Length/3} {
			if other, _ := f.At(x); !other.Same(s) {
				t.Fatalf("byte %d lies in %+v, its first in %+v", x, other, s)
			}
			if got := f.End(x, size); got != end {
				t.Fatalf("the span of byte %d ends at %d; want %d", x, got, end)
			}
		}
		at = end
	}
}

// names lists the fields of a file in order, each once.
func names(t testing.TB, b []byte) []string {
	f := open(t, b)
	var out []string
	for at := int64(0); at < int64(len(b)); at = f.End(at, int64(len(b))) {
		if s, _ := f.At(at); !slices.Contains(out, s.Name) {
			out = append(out, s.Name)
		}
	}
	return out
}

func TestCardsComeBack(t *testing.T) {
	b := encode(t, deck(t)...)
	if d := cmp.Diff(deck(t), roundTrip(t, b)); d != "" {
		t.Error(d)
	}
	// Columns without a meaning must be preserved too.
	for at := range b {
		other := bytes.Clone(b)
		other[at] ^= 0x41
		roundTrip(t, other)
	}
}

func TestFields(t *testing.T) {
	b := encode(t, deck(t)...)
	f := open(t, b)
	if err := f.Fault(); err != nil {
		t.Error(err)
	}
	owned(t, f, int64(len(b)))
	want := []string{"obj.card", "obj.reserved", "obj.sym.count", "obj.sym", "obj.sequence", "obj.esd.count", "obj.esd.id", "obj.esd.name", "obj.esd.type",
		"obj.esd.address", "obj.esd.flag", "obj.esd.length", "obj.txt.address", "obj.txt.count", "obj.txt.id", "obj.txt", "obj.rld.count", "obj.rld",
		"obj.end.entry", "obj.end.id", "obj.end.name", "obj.end.length", "obj.end.count", "obj.end.product", "obj.end.version", "obj.end.translated", "obj.control"}
	if d := cmp.Diff(want, names(t, b)); d != "" {
		t.Error(d)
	}
}

func TestEnd(t *testing.T) {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		count byte
		id    string
		text  string
		from  time.Time
	}{
		{0xf1, "569623400 010609142", "2009-05-22", day(2009, 5, 22)},
		{0xf2, "569623400 010665366", "65366", time.Time{}},
		{0xf1, "569623400 010664366", "2064-12-31", day(2064, 12, 31)},
		{0xf1, "569623400 010666001", "1966-01-01", day(1966, 1, 1)},
		{0xf1, "569623400 0106ABCDE", "ABCDE", time.Time{}},
		{0xf3, "569623400 010609142", "", time.Time{}},
		{blank, "569623400 010609142", "", time.Time{}},
	} {
		b := encode(t, End{Count: c.count, Identified: [2]Identification{identified(t, c.id), identified(t, c.id)}})
		s, _ := open(t, b).At(identAt + identProduct + identVersion)
		if c.text == "" {
			if s.Name != "obj.reserved" || s.Kind != span.Plain {
				t.Errorf("count %#x: %+v", c.count, s)
			}
			continue
		}
		v := s.Read(b[s.Offset : s.Offset+s.Length])
		if s.Name != "obj.end.translated" || s.Kind != span.Stamp || v.Text != c.text || !v.From.Equal(c.from) {
			t.Errorf("%q is read as %+v in %s", c.id, v, s.Name)
		}
		if !c.from.IsZero() && v.To.Sub(v.From) != 24*time.Hour-1 {
			t.Errorf("%q lasts %v", c.id, v.To.Sub(v.From))
		}
	}
}

// TestPairs lists the field of each changed byte.
func TestPairs(t *testing.T) {
	b := encode(t, deck(t)...)
	for _, c := range []struct {
		name string
		at   int
		want string
		kind span.Kind
	}{
		{"text", 2*cardSize + 16, "obj.txt", span.Plain},
		{"behind the text", 2*cardSize + 19, "obj.reserved", span.Plain},
		{"sequence", 3*cardSize - 1, "obj.sequence", span.Plain},
		{"product", 4*cardSize + 35, "obj.end.product", span.Fixed},
		{"version", 4*cardSize + 43, "obj.end.version", span.Fixed},
		{"date", 4*cardSize + 51, "obj.end.translated", span.Stamp},
		{"second date", 4*cardSize + 70, "obj.end.translated", span.Stamp},
		{"statement", 5*cardSize + 8, "obj.control", span.Plain},
		{"symbol", cardSize + 24, "obj.esd.type", span.Fixed},
	} {
		other := bytes.Clone(b)
		other[c.at]++
		sa, _ := open(t, b).At(int64(c.at))
		sb, _ := open(t, other).At(int64(c.at))
		if !sa.Same(sb) || sa.Name != c.want || sa.Kind != c.kind {
			t.Errorf("%s: %+v and %+v; want %s", c.name, sa, sb, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	whole := encode(t, deck(t)...)
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[at:], with)
		return b
	}
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"whole", whole, ""},
		{"kind", change(cardSize+1, 0xc1), "at byte 80: no card"},
		{"mark", change(cardSize, 0x3f), "at byte 80: no card"},
		{"count of symbols", change(cardSize+11, 17), "at byte 80: no card"},
		{"too many symbols", change(cardSize+11, 64), "at byte 80: no card"},
		{"count of text", change(2*cardSize+11, 57), "at byte 160: no card"},
		{"short", whole[:len(whole)-1], "at byte 400: no card"},
		{"no end", whole[:4*cardSize], "no END card"},
		{"behind the end", append(bytes.Clone(whole), whole[:cardSize]...), "no END card"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t, c.in)
			if err := f.Fault(); c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("fault %v; want %q", err, c.want)
			}
			owned(t, f, int64(len(c.in)))
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
	whole := encode(t, deck(t)...)
	if _, err := Open(bytes.NewReader(whole), int64(len(whole))+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is shorter than said: %v", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, c := range []Card{Text{Data: make([]byte, 57)}, Relocations{Data: make([]byte, 57)}, Test{Data: make([]byte, 57)}, Symbols{Items: make([]Symbol, 4)}, End{Rest: make(Rest, 3)}} {
		if _, err := Append(nil, c); !errors.Is(err, ErrFormat) {
			t.Errorf("%T: %v", c, err)
		}
	}
}

func TestCardsTellOfReader(t *testing.T) {
	broken := errors.New("broken")
	var err error
	for _, err = range Cards(iotest.ErrReader(broken)) {
		if err == nil {
			t.Error("a card of nothing")
		}
	}
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestIs(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{{"\x02\xc5\xe2\xc4", true}, {"\x02\xc5\xd5\xc4   ", true}, {"\x02\xc5\xe2", false}, {"\x03\xf0\x00\x00", false}, {"\x02ESD", false}, {"", false}} {
		if got := Is([]byte(c.in)); got != c.want {
			t.Errorf("%x: %v", c.in, got)
		}
	}
}

func TestAssembler(t *testing.T) {
	dir := os.Getenv("ZFARM_ZOS_BINARIES")
	if dir == "" {
		t.Skip("set ZFARM_ZOS_BINARIES to a folder with iplmerg4.obj from github.com/IBM/IBM-Z-zOS")
	}
	b, err := os.ReadFile(filepath.Join(dir, "iplmerg4.obj"))
	if err != nil {
		t.Skipf("no object of the assembler: %v", err)
	}
	f := open(t, b)
	if err := f.Fault(); err != nil {
		t.Error(err)
	}
	owned(t, f, int64(len(b)))
	if slices.Contains(names(t, b), "obj.unknown") {
		t.Error("something in it is not known")
	}
	cards := roundTrip(t, b)
	end, ok := cards[len(cards)-1].(End)
	if want := identified(t, "569623400 010609142"); !ok || end.Identified[0] != want || end.Count != 0xf1 {
		t.Errorf("it ends with %+v", end)
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
	b := encode(f, deck(f)...)
	f.Add(b)
	f.Add(b[4*cardSize:])
	f.Add(b[cardSize : 3*cardSize-5])
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b)
		file, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		owned(t, file, int64(len(b)))
		for at := int64(0); at < int64(len(b)); at = file.End(at, int64(len(b))) {
			if s, _ := file.At(at); s.Read != nil {
				s.Read(b[s.Offset : s.Offset+s.Length])
				s.Read(nil)
			}
			inPieces(t, file.Joined(at, 200), at, int64(len(b)))
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	in := bytes.Repeat(encode(b, deck(b)...), 20_000)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := Open(bytes.NewReader(in), int64(len(in))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAt(b *testing.B) {
	in := bytes.Repeat(encode(b, deck(b)...), 200)
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

func BenchmarkCards(b *testing.B) {
	in := bytes.Repeat(encode(b, deck(b)...), 20_000)
	b.SetBytes(int64(len(in)))
	var out []byte
	for b.Loop() {
		out = out[:0]
		for c, err := range Cards(bytes.NewReader(in)) {
			if err == nil {
				out, err = Append(out, c)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
