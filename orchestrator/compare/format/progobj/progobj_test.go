// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

var update = flag.Bool("update", false, "write golden files anew")

func open(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// walk visits every span, and fails unless each byte has exactly one.
func walk(t testing.TB, f *File, size int64, visit func(s span.Span, at, end int64)) {
	t.Helper()
	for at := int64(0); at < size; {
		s, ok := f.At(at)
		end := f.End(at, size)
		if !ok || s.Name == "" || at < s.Offset || at >= s.Offset+s.Length || end <= at || end > size {
			t.Fatalf("byte %d lies in %+v up to %d", at, s, end)
		}
		if last, _ := f.At(end - 1); !last.Same(s) {
			t.Fatalf("bytes %d to %d begin in %s and end in %s", at, end, s.Name, last.Name)
		}
		visit(s, at, end)
		at = end
	}
	if s, ok := f.At(size); ok {
		t.Errorf("the byte behind the end lies in %s", s.Name)
	}
	if s, ok := f.At(-1); ok {
		t.Errorf("the byte before the beginning lies in %s", s.Name)
	}
}

func TestSpans(t *testing.T) {
	b := small(t, 8192)
	var out strings.Builder
	walk(t, open(t, b), int64(len(b)), func(s span.Span, at, end int64) {
		fmt.Fprintf(&out, "%6d %6d %-24s %d", at, end-at, s.Name, s.Kind)
		if s.Read != nil {
			fmt.Fprintf(&out, " %s", s.Read(b[s.Offset:s.Offset+s.Length]).Text)
		}
		fmt.Fprintln(&out)
	})
	golden := filepath.Join("testdata", "small.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), out.String()); d != "" {
		t.Errorf("spans differ (-want +got), run with -update if that is meant:\n%s", d)
	}
}

// edit changes a byte, and says in which field it must be reported.
type edit struct {
	at   int64
	name string
	kind span.Kind
}

func testEdits(t *testing.T, b []byte, edits []edit) {
	for _, e := range edits {
		changed := bytes.Clone(b)
		changed[e.at] ^= 0x01
		f, g := open(t, b), open(t, changed)
		sa, _ := f.At(e.at)
		sb, _ := g.At(e.at)
		if sa.Name != e.name || sa.Kind != e.kind || sb.Name != e.name {
			t.Errorf("byte %#x lies in %s of kind %d, changed in %s; want %s of kind %d", e.at, sa.Name, sa.Kind, sb.Name, e.name, e.kind)
		}
		if !sa.Same(sb) {
			t.Errorf("byte %#x: %+v and %+v are not the same part", e.at, sa, sb)
		}
	}
}

func TestEditsOfSmall(t *testing.T) {
	testEdits(t, small(t, 8192), []edit{
		{12, "po.header.version", span.Fixed},
		{13, "po.header.reserved", span.Plain},
		{smallNames + 20, "po.name", span.Fixed},
		{smallPMAR + 4, "pmar.attributes1", span.Fixed},
		{smallPMAR + 7, "pmar.modes", span.Fixed},
		{smallPMAR + 9, "pmar.ac", span.Fixed},
		{smallPMAR + 30 + 67, "pmarl.saved", span.Stamp},
		{smallPMAR + 30 + 72, "pmarl.saved", span.Stamp},
		{smallPMAR + 30 + 75, "pmarl.userid", span.Owner},
		{smallPMAR + 129, "pmar.unknown", span.Plain},
		{smallPRAT + 1, "prat", span.Plain},
		{smallPRDT + 33, "prdt", span.Plain},
		{smallList + 40, "psegm", span.Plain},
		{smallList + 112, "po.padding", span.Plain},
		{smallText + 50, "po.text", span.Plain},
		{smallText + 310, "po.text", span.Plain}, // digits to which nothing points
		{smallStamp + 13, "ppa2.compiled", span.Stamp},
		{smallStamp + 15, "ppa2.version", span.Fixed},
		{smallService, "ppa2.compiled", span.Stamp},
		{smallZap + 3, "idrz.zap", span.Fixed},
		{smallZap + 12 + 6, "idrz.zap", span.Fixed},
		{smallUser + 1, "idru.created", span.Stamp},
		{smallUser + 86 + 7, "idru", span.Fixed},
		{smallIDRL + 16, "idrl.product", span.Fixed},
		{smallIDRL + 16 + 11, "idrl.version", span.Fixed},
		{smallIDRL + 32 + 13, "idrl.translated", span.Stamp},
		{smallIDRL + 48, "po.padding", span.Plain},
		{smallIDRB + 10, "idrb.binder", span.Fixed},
		{smallIDRB + 18, "idrb.bound", span.Stamp},
		{smallIDRB + 21, "idrb.size", span.Plain},
		{smallIDRB + 27, "idrb.caller", span.Fixed},
		{smallESD + 100, "po.class.B_ESD", span.Plain},
		{smallSize - 1, "po.padding", span.Plain},
	})
}

func TestEditsOfGencert(t *testing.T) {
	b := realFile(t)
	testEdits(t, b, []edit{
		{0x98, "pmar.attributes1", span.Fixed},
		{0x9b, "pmar.modes", span.Fixed},
		{0x9d, "pmar.ac", span.Fixed},
		{0xf5, "pmarl.saved", span.Stamp},
		{0xfa, "pmarl.saved", span.Stamp},
		{0xfd, "pmarl.userid", span.Owner},
		{0x680, "po.padding", span.Plain},
		{0x1100, "po.text", span.Plain},
		{0x19bd, "ppa2.compiled", span.Stamp},
		{0x19c0, "ppa2.version", span.Fixed},
		{0xa010, "po.text", span.Plain}, // of the deferred segment
		{0xb010, "po.class.B_ESD", span.Plain},
		{0x18890, "idrl.product", span.Fixed},
		{0x1889d, "idrl.translated", span.Stamp},
		{0x18c40, "po.padding", span.Plain},
		{0x1b89b, "idru.created", span.Stamp},
		{0x1b8a3, "idru", span.Fixed},
		{0x1c05f, "idrb.binder", span.Fixed},
		{0x1c061, "idrb.bound", span.Stamp},
		{0x1c06f, "idrb.caller", span.Fixed},
		{0x1fbc0, "bxlf.classes.address", span.Plain},
		{0x24ff0, "po.padding", span.Plain},
	})
	f := open(t, b)
	if len(f.Faults()) > 0 {
		t.Errorf("it has faults: %v", f.Faults())
	}
	count := map[string]int{}
	walk(t, f, int64(len(b)), func(s span.Span, _, _ int64) { count[s.Name]++ })
	for name, want := range map[string]int{"prdt.checksum": 6, "ppa2.compiled": 22, "idrl.product": 58, "idru": 23, "idrb.bound": 1, "po.unknown": 0, "po.trailing": 0} {
		if count[name] != want {
			t.Errorf("%d parts are %s; want %d", count[name], name, want)
		}
	}
}

// Changing the beginning of a page changes its checksum too; a value that differs
// from its page is not a checksum.
func TestChecksums(t *testing.T) {
	b := small(t, 8192)
	if s, _ := open(t, b).At(smallPRDT + 47); s.Name != "prdt.checksum" || s.Kind != span.Digest || s.Offset != smallPRDT+46 || s.Length != 4 {
		t.Errorf("the checksum lies in %+v", s)
	}
	both := bytes.Clone(b)
	both[smallText+4096]++
	both[smallPRDT+46]++
	if s, _ := open(t, both).At(smallPRDT + 47); s.Kind != span.Digest {
		t.Errorf("the checksum of a changed page lies in %+v", s)
	}
	for _, at := range []int64{smallText + 4096, smallPRDT + 46, smallPRDT + 43} {
		one := bytes.Clone(b)
		one[at]++
		if s, _ := open(t, one).At(smallPRDT + 47); s.Name != prdt || s.Kind != span.Plain {
			t.Errorf("with another byte %d the checksum lies in %+v", at, s)
		}
	}
}

func TestStampsNeedEvidence(t *testing.T) {
	for name, change := range map[string]struct {
		at    int64
		value []byte
	}{
		"no PPA2 points to it":       {smallPPA2 + 15, []byte{0}},
		"what points is no PPA2":     {smallPPA2, []byte{0}},
		"a digit more before it":     {smallStamp - 1, []byte{0xf1}},
		"a digit more behind it":     {smallStamp + 20, []byte{0xf1}},
		"a letter in the version":    {smallStamp + 18, []byte{0xc1}},
		"PPA2 points elsewhere":      {smallPPA2 + 12, []byte{0xff, 0xff, 0xff, 0xff}},
		"the level of PPA2 is wrong": {smallPPA2 + 3, []byte{0x99}},
	} {
		b := small(t, 8192)
		if s, _ := open(t, b).At(smallStamp); s.Kind != span.Stamp {
			t.Fatalf("the stamp lies in %+v", s)
		}
		copy(b[change.at:], change.value)
		if s, _ := open(t, b).At(smallStamp); s.Name != text || s.Kind != span.Plain {
			t.Errorf("%s: it lies in %+v", name, s)
		}
	}
	for name, at := range map[string]int64{"the service level is too long": smallService + 20, "it is not text": smallService + 22} {
		b := small(t, 8192)
		b[at] = 1
		if s, _ := open(t, b).At(smallService); s.Name != text {
			t.Errorf("%s: the stamp lies in %+v", name, s)
		}
	}
}

// Digits to which a PPA2 points are a compile time without a valid time; those with
// a service level behind them are text.
func TestStampsWithoutDate(t *testing.T) {
	b := small(t, 8192)
	b[smallStamp+4], b[smallService+4] = 0xf2, 0xf2
	s, _ := open(t, b).At(smallStamp)
	if s.Name != "ppa2.compiled" || s.Kind != span.Stamp || !s.Read(b[s.Offset:s.Offset+s.Length]).From.IsZero() {
		t.Errorf("it lies in %+v", s)
	}
	if s, _ := open(t, b).At(smallService); s.Name != text {
		t.Errorf("with a service level it lies in %+v", s)
	}
}

// Stamps must be found once each, regardless of the boundaries of windows.
func TestStampsAcrossWindows(t *testing.T) {
	const length = 2*window + 8192
	b := small(t, length)
	stamp := append(ebc("20250210123459020500", 20), append([]byte{0, 7}, ebc("HLE77D0", 7)...)...)
	before := open(t, b).stamps
	for shift := int64(-2 * overlap); shift < 2*overlap; shift += 13 {
		at := smallText + window + shift
		changed := b[at : at+int64(len(stamp))]
		saved := bytes.Clone(changed)
		copy(changed, stamp)
		got := open(t, b).stamps
		if d := cmp.Diff(append(before[:len(before):len(before)], at), got); d != "" {
			t.Errorf("%d bytes behind the end of a window (-want +got):\n%s", shift, d)
		}
		copy(changed, saved)
	}
	run := b[smallText+window-overlap-10:][:30] // its last 20 begin a window
	copy(run, ebc("777777777720250210123459020500", 30))
	if got := open(t, b).stamps; len(got) != len(before) {
		t.Errorf("a longer run of digits is taken for a stamp: %d", got)
	}
}

func TestValues(t *testing.T) {
	at := time.Date(2025, 2, 10, 12, 34, 56, 0, time.UTC)
	for _, c := range []struct {
		read     func([]byte) span.Value
		bytes    string
		text     string
		from, to time.Time
	}{
		{bound, "\x20\x25\x04\x1f\x01\x23\x45\x6f", "2025-02-10 12:34:56", at, at},
		{bound, "\x20\x25\x04\x1f\x01\x23\x46\x0f", "2025041f0123460f", time.Time{}, time.Time{}},
		{bound, "\x20\x25\x04\x1f\x11\x23\x45\x6f", "2025041f1123456f", time.Time{}, time.Time{}},
		{bound, "\x20\x25\x04\x1d\x01\x23\x45\x6f", "2025041d0123456f", time.Time{}, time.Time{}},
		{translated, "\x20\x25\x04\x1f", "2025-02-10", at.Truncate(24 * time.Hour), at.Truncate(24 * time.Hour).Add(24*time.Hour - 1)},
		{translated, "\x20\x25\x36\x6f", "2025366f", time.Time{}, time.Time{}},
		{translated, "\x20\x25\x00\x0f", "2025000f", time.Time{}, time.Time{}},
		{translated, "\x00\x00\x04\x1f", "0000041f", time.Time{}, time.Time{}},
		{translated, "\x20\x2a\x04\x1f", "202a041f", time.Time{}, time.Time{}},
		{compiled, string(ebc("20250210123456", 14)), "2025-02-10 12:34:56", at, at},
		{compiled, string(ebc("20250230123456", 14)), "f2f0f2f5f0f2f3f0f1f2f3f4f5f6", time.Time{}, time.Time{}},
		{product, string(ebc("5650ZOS", 10)) + "\x02\x05", "5650ZOS 0205", time.Time{}, time.Time{}},
		{counted, "\x00\x02\xc1\xc2\x00\x00", "AB", time.Time{}, time.Time{}},
		{counted, "\x00\x02\xc1\xc2\x00\x01", "AB | 0001", time.Time{}, time.Time{}},
		{counted, "\x00\x09\xc1\xc2", "0009c1c2", time.Time{}, time.Time{}},
		{ebcdic, "\xc1\x00\x27\x15\xc2\x40\x00", "A ..B", time.Time{}, time.Time{}},
		{modes, "\x12", "AMODE 31, of aliases 24, RMODE ANY", time.Time{}, time.Time{}},
		{modes, "\xad", "AMODE 64, of aliases ANY, RMODE 64, 0x80", time.Time{}, time.Time{}},
		{bits("RENT", "", "", "", "", "", "", "LAST"), "\xc1", "RENT 0x40 LAST", time.Time{}, time.Time{}},
	} {
		v := c.read([]byte(c.bytes))
		if d := cmp.Diff(span.Value{Text: c.text, From: c.from, To: c.to}, v); d != "" {
			t.Errorf("%x (-want +got):\n%s", c.bytes, d)
		}
	}
}

// put returns small with a 4-byte number at an offset.
func put(t testing.TB, at int64, n uint32) []byte {
	b := small(t, 8192)
	binary.BigEndian.PutUint32(b[at:], n)
	return b
}

func TestDamage(t *testing.T) {
	mapAt := int64(bytes.Index(small(t, 8192), ebc("PMAP", 4)))
	for _, c := range []struct {
		name  string
		b     []byte
		fault string
		at    int64
		want  string
		plain bool
	}{
		{"longer than declared", append(small(t, 8192), 1, 2, 3), "declares 16384 bytes, the file has 16387", smallSize + 1, "po.trailing", false},
		{"cut off", small(t, 8192)[:smallSize-5], "declares 16384 bytes", smallText, "po.text", false},
		{"record of unknown type", put(t, 24+12*4, 9<<16), "unknown type 9", smallPRDT, "po.unknown", false},
		{"second record of a type", put(t, 24+12*4, 7<<16), "second of type 7", smallText, "po.unknown", true},
		{"record outside", put(t, 24+12*6+8, 1<<30), "record 7 lies outside", smallText, "po.text", true},
		{"records overlap", put(t, 24+12*4+4, smallPMAR+60), "overlaps with pmar", smallPMAR + 30 + 75, "po.unknown", true},
		{"text elsewhere by the attributes", put(t, smallPMAR+30+14, smallText+64), "the attributes place text at byte 4160", smallIDRB + 12, "idrb.bound", true},
		{"attributes of another form", put(t, smallPMAR, 0x001d0309), "not laid out as known", smallPMAR, "pmar.unknown", true},
		{"short second section", put(t, smallPMAR+30, 0x00108040), "has 16 bytes", smallPMAR + 40, "pmar.unknown", true},
		{"no eyecatcher in the index", put(t, smallIndex, 0), "does not begin with its eyecatcher", smallIDRB, "po.unknown", false},
		{"map leads back", put(t, mapAt+8+32, 32), "leads back", smallIDRB, "po.unknown", false},
		{"map leads out", put(t, mapAt+8+32, 32*1000), "leads out of itself", smallIDRB, "po.unknown", false},
		{"map leads to no class", put(t, mapAt+8+32, 32*7), "leads to something else", smallIDRB, "po.unknown", false},
		{"class outside", put(t, mapAt+8+32*2+12, 0xfffffff0), "po.class.B_IDRZ lies outside", smallZap, "po.unknown", false},
		{"class over text", put(t, mapAt+8+32*2+12, smallText), "overlaps", smallText + 1, "po.unknown", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t, c.b)
			if got := strings.Join(f.Faults(), "; "); !strings.Contains(got, c.fault) {
				t.Errorf("its faults are %q; want %q", got, c.fault)
			}
			if s, _ := f.At(c.at); s.Name != c.want {
				t.Errorf("byte %d lies in %s; want %s", c.at, s.Name, c.want)
			}
			walk(t, f, int64(len(c.b)), func(s span.Span, at, _ int64) {
				if c.plain && s.Kind != span.Plain {
					t.Errorf("byte %d is %s of kind %d, though the file contradicts itself", at, s.Name, s.Kind)
				}
			})
		})
	}
}

func TestOwnerMustBeName(t *testing.T) {
	b := small(t, 8192)
	copy(b[smallPMAR+30+74:], "\x07\xfe\x07\xfe")
	if s, _ := open(t, b).At(smallPMAR + 30 + 74); s.Kind != span.Fixed {
		t.Errorf("what is no user id is of kind %d", s.Kind)
	}
}

func TestNotProgramObjects(t *testing.T) {
	whole := small(t, 8192)
	for name, b := range map[string][]byte{
		"empty": {}, "short": whole[:20], "ELF": append([]byte("\x7fELF"), whole[4:]...), "cut off in its header": whole[:60],
		"many records": put(t, 20, 65), "header longer than the file": put(t, 8, smallSize+1), "header too short": put(t, 8, 100),
	} {
		if _, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if Is(whole[:7]) || !Is(whole[:8]) {
		t.Error("the eyecatcher is not what tells a program object")
	}
}

// failing returns bytes up to an offset, then an error.
type failing struct {
	b  []byte
	at int64
}

var errDisk = errors.New("the disk is gone")

func (r failing) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > r.at {
		return 0, errDisk
	}
	return copy(p, r.b[offset:]), nil
}

func TestErrorsOfReading(t *testing.T) {
	b := small(t, 8192)
	for at := int64(0); at < smallIndex+600; at += 20 {
		if _, err := Open(failing{b, at}, int64(len(b))); !errors.Is(err, errDisk) {
			t.Errorf("with nothing readable from byte %d on the error is %v", at, err)
		}
	}
	if _, err := Open(bytes.NewReader(b[:5000]), int64(len(b))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of a file that ends early the error is %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	whole := small(f, 8192)
	f.Add(whole)
	f.Add(whole[:smallIndex])
	f.Add(append(bytes.Clone(whole), 0))
	f.Add(put(f, smallPMAR+30+14, 0))
	f.Add(whole[:24])
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		walk(t, file, int64(len(b)), func(s span.Span, _, _ int64) {
			if s.Read != nil {
				_ = s.Read(b[s.Offset : s.Offset+s.Length])
			}
		})
		if len(file.Faults()) > maxFaults {
			t.Errorf("it has %d faults", len(file.Faults()))
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct {
		name string
		fill func([]byte)
	}{{"text", func([]byte) {}}, {"digits", func(t []byte) {
		for i := range t {
			t[i] = 0xf0 + byte(i*7%10)
		}
	}}, {"stamps", func(t []byte) {
		stamp := append(ebc("20250210123457020500", 20), 0, 0, 0, 0)
		for i := 0; i+len(stamp) <= len(t); i += len(stamp) {
			copy(t[i:], stamp)
		}
	}}} {
		b.Run(c.name, func(b *testing.B) {
			const length = 64 << 20
			data := small(b, length)
			c.fill(data[smallText+8192 : smallText+length])
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(bytes.NewReader(data), int64(len(data))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAt(b *testing.B) {
	f := open(b, small(b, 8192))
	b.SetBytes(smallSize)
	for b.Loop() {
		for at := int64(0); at < smallSize; at++ {
			if _, ok := f.At(at); !ok {
				b.Fatal(at)
			}
		}
	}
}
