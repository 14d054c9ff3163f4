// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

var update = flag.Bool("update", false, "compile the objects in testdata anew, with clang-22")

// epoch is the compile time in the objects in testdata; the compiler uses it
// instead of the clock.
const epoch = 1_800_000_000 // 2027-01-15 08:00:00 UTC

// made says how an object in testdata is made.
type made struct {
	name, source, folder string
	epoch                int64
	edit                 [2]string
	args                 []string
}

func objects() []made {
	return []made{
		{name: "plain", source: "plain", epoch: epoch},
		{name: "later", source: "plain", epoch: epoch + 2},
		{name: "changed", source: "plain", epoch: epoch, edit: [2]string{"return 3", "return 5"}},
		{name: "time", source: "time", epoch: epoch},
		{name: "time-later", source: "time", epoch: epoch + 2},
		{name: "file-a", source: "file", folder: "/tmp/build-a", epoch: epoch},
		{name: "file-b", source: "file", folder: "/tmp/build-b", epoch: epoch},
		{name: "mapped-a", source: "file", folder: "/tmp/build-a", epoch: epoch, args: []string{"-ffile-prefix-map=/tmp/build-a=."}},
		{name: "mapped-b", source: "file", folder: "/tmp/build-b", epoch: epoch, args: []string{"-ffile-prefix-map=/tmp/build-b=."}},
	}
}

// compile compiles C for z/OS; if epoch is 0, with the time of the clock.
func compile(t *testing.T, source, out string, epoch int64, args ...string) {
	t.Helper()
	cc, err := exec.LookPath("clang-22")
	if err != nil {
		t.Skip("no clang-22 here: install it (Debian package clang-22) to make objects for z/OS")
	}
	cmd := exec.Command(cc, append(args, "--target=s390x-ibm-zos", "-c", source, "-o", out)...)
	cmd.Env = append(os.Environ(), "TZ=UTC0")
	if epoch != 0 {
		cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH="+strconv.FormatInt(epoch, 10))
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compiling %s: %v: %s", source, err, b)
	}
}

func TestUpdateObjects(t *testing.T) {
	if !*update {
		return
	}
	for _, m := range objects() {
		src, err := os.ReadFile(filepath.Join("testdata", m.source+".c"))
		if err != nil {
			t.Fatal(err)
		}
		if m.edit[0] != "" {
			src = bytes.Replace(src, []byte(m.edit[0]), []byte(m.edit[1]), 1)
		}
		folder := m.folder
		if folder == "" {
			folder = t.TempDir()
		} else {
			defer os.RemoveAll(folder) //nolint:errcheck // in the worst case it stays
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		// The name of the source file becomes the name of the section.
		in := filepath.Join(folder, m.source+".c")
		if err := os.WriteFile(in, src, 0o600); err != nil {
			t.Fatal(err)
		}
		compile(t, in, filepath.Join("testdata", m.name+".o"), m.epoch, m.args...)
	}
}

func object(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".o"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// differing lists, in order, the fields in which two files of equal size differ. A
// question mark follows a field that is not the same in both files.
func differing(t testing.TB, a, b []byte) []string {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("files of %d and %d bytes", len(a), len(b))
	}
	inA, inB := open(t, a), open(t, b)
	var out []string
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		sa, _ := inA.At(int64(i))
		sb, _ := inB.At(int64(i))
		name := sa.Name
		if !sa.Same(sb) {
			name += " ? " + sb.Name
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// value returns the value of the first field of that name behind an offset.
func value(t testing.TB, b []byte, name string, from int64) (span.Value, span.Span) {
	t.Helper()
	f := open(t, b)
	for at := from; at < int64(len(b)); at = f.End(at, int64(len(b))) {
		if s, _ := f.At(at); s.Name == name {
			return s.Read(b[s.Offset : s.Offset+s.Length]), s
		}
	}
	t.Fatalf("no %s in the file", name)
	return span.Value{}, span.Span{}
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

// change returns b with other bytes at an offset.
func change(b []byte, at int64, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

func TestPairs(t *testing.T) {
	plain := object(t, "plain")
	_, date := value(t, plain, "ppa2.compiled", 0)
	_, product := value(t, plain, "idrl.product", 0)
	_, version := value(t, plain, "idrl.version", 0)
	_, release := value(t, plain, "ppa2.version", 0)
	_, reusable := value(t, plain, "goff.esd.executable", 0)
	for _, c := range []struct {
		name string
		a, b []byte
		want []string
	}{
		{"nothing", plain, plain, nil},
		{"two seconds later", plain, object(t, "later"), []string{"ppa2.compiled", "idrl.translated"}},
		{"the time in the source", object(t, "time"), object(t, "time-later"), []string{"goff.txt.C_CODE64", "ppa2.compiled", "idrl.translated"}},
		{"another folder", object(t, "file-a"), object(t, "file-b"), []string{"goff.txt.C_CODE64"}},
		{"another folder, mapped", object(t, "mapped-a"), object(t, "mapped-b"), nil},
		{"a change of the source", plain, object(t, "changed"), []string{"goff.txt.C_CODE64"}},
		{"another compiler", plain, change(plain, product.Offset, 0xc9), []string{"idrl.product"}},
		{"another version", plain, change(plain, version.Offset+1, 0xf3), []string{"idrl.version"}},
		{"another version in the PPA2", plain, change(plain, release.Offset+1, 0xf3), []string{"ppa2.version"}},
		{"no date", plain, change(plain, date.Offset+4, 0xf9, 0xf9), []string{"ppa2.compiled"}},
		{"no digits", plain, change(plain, date.Offset+4, 0xc1), []string{"ppa2.compiled ? goff.txt.C_CODE64"}},
		{"padding", plain, change(plain, int64(len(plain))-1, 1), []string{"goff.reserved"}},
		{"reserved", plain, change(plain, 20, 1), []string{"goff.reserved"}},
		{"an attribute", plain, change(plain, reusable.Offset, plain[reusable.Offset]^0x20), []string{"goff.esd.executable"}},
		{"a name", plain, change(plain, 80+72, 0xa4), []string{"goff.esd.name"}},
		{"a version of a record", plain, change(plain, 82, 1), []string{"goff.prefix ? goff.unknown"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, differing(t, c.a, c.b)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestValues(t *testing.T) {
	plain := object(t, "plain")
	at := time.Unix(epoch, 0).UTC()
	for _, c := range []struct {
		field, text string
		from        time.Time
	}{
		{"ppa2.compiled", "2027-01-15 08:00:00", at},
		{"idrl.translated", "2027-01-15 08:00:00.00", at},
		{"idrl.product", "Debian cla", time.Time{}},
		{"ppa2.version", "221080", time.Time{}},
		{"ppa2.service", "0000", time.Time{}},
		{"goff.hdr.level", "00000001", time.Time{}},
		{"goff.esd.executable", "reusability 3, bit 3 0, read-only 0, executable 0", time.Time{}},
	} {
		v, s := value(t, plain, c.field, 0)
		if v.Text != c.text || !v.From.Equal(c.from) {
			t.Errorf("%s is %q from %v; want %q from %v", c.field, v.Text, v.From, c.text, c.from)
		}
		if stamp := s.Kind == span.Stamp; stamp == c.from.IsZero() {
			t.Errorf("%s has kind %d", c.field, s.Kind)
		}
	}
	_, date := value(t, plain, "ppa2.compiled", 0)
	if v, _ := value(t, change(plain, date.Offset+4, 0xf9, 0xf9), "ppa2.compiled", 0); !v.From.IsZero() || v.Text != "20279915080000" {
		t.Errorf("month 99 is read as %+v", v)
	}
}

func TestEveryByteHasAnOwner(t *testing.T) {
	for _, m := range objects() {
		b := object(t, m.name)
		f := open(t, b)
		if err := f.Fault(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		owned(t, f, int64(len(b)))
		for at := range b {
			if s, _ := f.At(int64(at)); strings.HasSuffix(s.Name, "unknown") {
				t.Fatalf("%s: byte %d lies in %s", m.name, at, s.Name)
			}
		}
	}
}

// TestClock compiles with the clock until the second has changed.
func TestClock(t *testing.T) {
	dir := t.TempDir()
	src, out := filepath.Join("testdata", "plain.c"), filepath.Join(dir, "plain.o")
	var first []byte
	for range 500 {
		compile(t, src, out, 0)
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if bytes.Equal(first, b) {
			continue
		}
		if d := cmp.Diff([]string{"ppa2.compiled", "idrl.translated"}, differing(t, first, b)); d != "" {
			t.Error(d)
		}
		for _, field := range []string{"ppa2.compiled", "idrl.translated"} {
			if v, _ := value(t, b, field, 0); time.Since(v.From).Abs() > 36*time.Hour {
				t.Errorf("%s is %v", field, v.From)
			}
		}
		return
	}
	t.Fatal("the clock did not move while 500 objects were made")
}

func TestAssembler(t *testing.T) {
	dir := os.Getenv("ZFARM_ZOS_BINARIES")
	if dir == "" {
		t.Skip("set ZFARM_ZOS_BINARIES to a folder with iplstatx.obj from github.com/IBM/IBM-Z-zOS")
	}
	b, err := os.ReadFile(filepath.Join(dir, "iplstatx.obj"))
	if err != nil {
		t.Skipf("no object of the assembler: %v", err)
	}
	f := open(t, b)
	if err := f.Fault(); err != nil {
		t.Error(err)
	}
	owned(t, f, int64(len(b)))
	v, s := value(t, b, "idrl.translated", 0)
	if want := time.Date(2014, 5, 28, 13, 23, 17, 530e6, time.UTC); !v.From.Equal(want) || s.Kind != span.Stamp {
		t.Errorf("translated at %+v; want %v", v, want)
	}
	for field, want := range map[string]string{"idrl.product": "569623400", "idrl.version": "0106"} {
		if v, _ := value(t, b, field, 0); v.Text != want {
			t.Errorf("%s is %q; want %q", field, v.Text, want)
		}
	}
	roundTrip(t, b)
}
