// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

type file struct {
	Member
	body string
}

// read reads a whole archive.
func read(r io.Reader, l Limits) ([]file, Trailer, error) {
	var all []file
	z := NewReaderLimits(r, l)
	for {
		m, err := z.Next()
		if err == io.EOF { //nolint:errorlint // Next promises io.EOF itself
			return all, z.Trailer(), nil
		}
		if err != nil {
			return all, Trailer{}, err
		}
		body, err := io.ReadAll(z)
		if err != nil {
			return all, Trailer{}, err
		}
		all = append(all, file{*m, string(body)})
		all[len(all)-1].Member = *m
	}
}

func write(t testing.TB, files []file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, f := range files {
		f.Size = int64(len(f.body))
		if err := w.WriteHeader(&f.Member); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func when() time.Time { return time.Unix(1795359845, 0).UTC() }

// samples are members of every kind that the canonical form can hold.
func samples() []file {
	long := strings.Repeat("folder/", 30) + strings.Repeat("n", 120)
	fits := strings.Repeat("f", 90) + "/" + strings.Repeat("n", 99)
	return []file{
		{Member: Member{Name: "p/", Type: Directory, Mode: 0o755, ModTime: when()}},
		{Member: Member{Name: "p/empty", Type: Regular, Mode: 0o644, ModTime: when()}},
		{Member: Member{Name: "p/su", Type: Regular, Mode: 0o6755, ModTime: when()}, body: strings.Repeat("x", 512)},
		{Member: Member{Name: "p/tagged", Type: Regular, Mode: 0o644, ModTime: when(),
			Records: []Record{{ZOSExtattr, "a-s-"}, {ZOSTag, "1 819"}}}, body: "text\n"},
		{Member: Member{Name: "p/half", Type: Regular, Mode: 0o644, ModTime: time.Unix(5, 250e6).UTC()}, body: "1"},
		{Member: Member{Name: "p/old", Type: Regular, Mode: 0o644, ModTime: time.Unix(-3, 250e6).UTC()}, body: "1"},
		{Member: Member{Name: "p/link", Type: Symlink, Mode: 0o777, ModTime: when(), Link: "../" + long}},
		{Member: Member{Name: "p/hard", Type: HardLink, Mode: 0o644, ModTime: when(), Link: "p/empty"}},
		{Member: Member{Name: "p/grün", Type: Regular, Mode: 0o644, ModTime: when()}, body: "ü"},
		{Member: Member{Name: fits, Type: Regular, Mode: 0o644, ModTime: when()}, body: "fits"},
		{Member: Member{Name: long, Type: Regular, Mode: 0o644, ModTime: when()}, body: strings.Repeat("long", 300)},
	}
}

// strip removes the values that depend on the position in the archive.
func strip(files []file) []file {
	out := make([]file, len(files))
	for i, f := range files {
		f.Offset, f.Header, f.HeaderSum, f.Size = 0, 0, [32]byte{}, int64(len(f.body))
		out[i] = f
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	b := write(t, samples())
	if len(b)%recordSize != 0 {
		t.Errorf("%d bytes are not a multiple of %d", len(b), recordSize)
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "one byte": iotest.OneByteReader(bytes.NewReader(b)),
		"data with EOF": iotest.DataErrReader(bytes.NewReader(b))} {
		got, trailer, err := read(r, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(strip(samples()), strip(got), cmp.AllowUnexported(file{})); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
		if trailer.NonZero != 0 || trailer.First != -1 || trailer.Offset+trailer.Length != int64(len(b)) {
			t.Errorf("%s: trailer %+v of %d bytes", name, trailer, len(b))
		}
	}
}

func TestWriterUsesUstarWhereItFits(t *testing.T) {
	b := write(t, []file{samples()[9], samples()[2]})
	if bytes.Contains(b, []byte("PaxHeader")) {
		t.Error("an extended header stands where ustar would do")
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Member
	}{
		{"no name", Member{Type: Regular}},
		{"not UTF-8", Member{Name: "\xff", Type: Regular}},
		{"NUL", Member{Name: "a\x00b", Type: Regular}},
		{"record twice", Member{Name: "a", Type: Regular, Records: []Record{{"k", "1"}, {"k", "2"}}}},
		{"record for a field", Member{Name: strings.Repeat("é", 9), Type: Regular, Records: []Record{{"path", "other"}}}},
		{"key", Member{Name: "a", Type: Regular, Records: []Record{{"k=", "1"}}}},
	} {
		if err := NewWriter(io.Discard).WriteHeader(&c.m); err == nil {
			t.Errorf("%s was written", c.name)
		}
	}
	w := NewWriter(io.Discard)
	if err := w.WriteHeader(&Member{Name: "a", Type: Regular, Size: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("abc")); err == nil {
		t.Error("more content than announced was written")
	}
	if err := w.Close(); err == nil {
		t.Error("an archive with missing content was ended")
	}
}

func TestStandardLibraryReadsOurs(t *testing.T) {
	tr := tar.NewReader(bytes.NewReader(write(t, samples())))
	for _, want := range samples() {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != want.ustarName() || h.Linkname != want.Link || h.Mode != int64(want.Mode) || !h.ModTime.Equal(want.ModTime) ||
			string(body) != want.body || h.Typeflag != byte(want.Type) {
			t.Errorf("%+v became %+v", want, h)
		}
		for _, r := range want.Records {
			if h.PAXRecords[r.Key] != r.Value {
				t.Errorf("%s: record %s is %q", want.Name, r.Key, h.PAXRecords[r.Key])
			}
		}
	}
}

func TestWeReadStandardLibrary(t *testing.T) {
	for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		t.Run(format.String(), func(t *testing.T) {
			var out bytes.Buffer
			w := tar.NewWriter(&out)
			h := &tar.Header{Name: "p/file", Mode: 0o4755, Uid: 12, Gid: 34, Uname: "u", Gname: "g", Size: 3, ModTime: when(), Format: format, Typeflag: tar.TypeReg}
			want := Member{Name: "p/file", Type: Regular, Mode: 0o4755, UID: 12, GID: 34, Uname: "u", Gname: "g", ModTime: when(), Size: 3}
			if format != tar.FormatUSTAR {
				h.Name = strings.Repeat("long", 70)
				want.Name = h.Name
				h.Uid = 1 << 40
				want.UID = 1 << 40
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte("abc")); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, _, err := read(&out, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strip([]file{{want, "abc"}}), strip(got), cmp.AllowUnexported(file{})); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// tree makes a small tree with links on disk.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("d", 90), strings.Repeat("e", 90))
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"a": "A\n", "bin": "\x00\x01", filepath.Join(strings.Repeat("d", 90), strings.Repeat("e", 90), "deep"): "deep"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(strings.Repeat("x/", 90)+"y", filepath.Join(dir, "sym")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "hard")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "bin"), 0o4711|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAgreesWithStandardLibraryOnGNUTar reads archives of GNU tar in each of its
// formats, and compares the result with the standard library's field by field.
func TestAgreesWithStandardLibraryOnGNUTar(t *testing.T) {
	program, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("no tar here: install GNU tar to compare with it")
	}
	if banner, err := exec.Command(program, "--version").Output(); err != nil || !strings.Contains(string(banner), "GNU tar") {
		t.Skip("this tar is not GNU tar: install it to compare with it")
	}
	for _, format := range []string{"ustar", "pax", "gnu"} {
		t.Run(format, func(t *testing.T) {
			args := []string{"--format=" + format, "-C", tree(t), "-cf", "-", "."}
			if format == "pax" {
				args = append([]string{"--pax-option=ZOS.taginfo:=1 819,ZOS.filefmt=NA"}, args...)
			}
			if format == "ustar" { // its links have at most 100 bytes
				args = append([]string{"--exclude=./sym"}, args...)
			}
			b, err := exec.Command(program, args...).Output()
			if err != nil {
				t.Fatalf("tar %s: %v", strings.Join(args, " "), err)
			}
			got, _, err := read(bytes.NewReader(b), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			tr := tar.NewReader(bytes.NewReader(b))
			for i := 0; ; {
				h, err := tr.Next()
				if err == io.EOF {
					if i != len(got) || i < 7 {
						t.Errorf("%d members; the other reader has %d", len(got), i)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if h.Typeflag == tar.TypeXGlobalHeader {
					continue
				}
				body, _ := io.ReadAll(tr)
				agree(t, got[i], h, string(body), format == "pax")
				i++
			}
		})
	}
}

func agree(t *testing.T, m file, h *tar.Header, body string, tagged bool) {
	t.Helper()
	ours := fmt.Sprint(m.Name, m.Link, byte(m.Type), m.Mode, m.UID, m.GID, m.Uname, m.Gname, m.Size, m.ModTime.UnixNano(), m.body)
	theirs := fmt.Sprint(h.Name, h.Linkname, h.Typeflag, h.Mode, h.Uid, h.Gid, h.Uname, h.Gname, h.Size, h.ModTime.UnixNano(), body)
	if ours != theirs {
		t.Errorf("%q: have %s, the other reader %s", m.Name, ours, theirs)
	}
	if tag, _ := m.Record(ZOSTag); tagged && tag != "1 819" {
		t.Errorf("%q has the tag %q", m.Name, tag)
	}
	if form, _ := m.Record(ZOSFileForm); tagged && form != "NA" {
		t.Errorf("%q lacks the global record: %q", m.Name, form)
	}
	if m.Hidden != 0 {
		t.Errorf("%q has %d hidden bytes", m.Name, m.Hidden)
	}
}

func TestOthersUnpackOurs(t *testing.T) {
	files := []file{samples()[0], samples()[1], samples()[2], samples()[3], samples()[7], samples()[9]}
	b := write(t, files)
	for _, args := range [][]string{{"tar", "-xpf", "-"}, {"pax", "-r"}} {
		t.Run(args[0], func(t *testing.T) {
			program, err := exec.LookPath(args[0])
			if err != nil {
				t.Skipf("no %s here: install it to compare with it", args[0])
			}
			dir := t.TempDir()
			cmd := exec.Command(program, args[1:]...)
			cmd.Dir, cmd.Stdin = dir, bytes.NewReader(b)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, f := range files {
				if f.Type != Regular {
					continue
				}
				got, err := os.ReadFile(filepath.Join(dir, f.Name))
				if err != nil || string(got) != f.body {
					t.Errorf("%s: %q, %v", f.Name, got, err)
				}
			}
		})
	}
}

// header makes one header block with a correct checksum.
func header(change func(b []byte)) []byte {
	m := Member{Name: "m", Type: Regular, Mode: 0o644, ModTime: when()}
	b := m.block()
	change(b)
	var sum int
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func extendedHeader(flag byte, body string) []byte {
	b := header(func(b []byte) {
		b[156] = flag
		copy(b[124:], fmt.Sprintf("%011o", len(body)))
	})
	return append(append(b, body...), make([]byte, padding(int64(len(body))))...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func plain() []byte { return header(func([]byte) {}) }

func end() []byte { return make([]byte, 1024) }

func TestFaults(t *testing.T) {
	whole := write(t, samples())
	flipped := bytes.Clone(whole)
	flipped[0] ^= 1
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", nil, "without its two zero blocks"},
		{"within a header", whole[:100], "within a header"},
		{"without end", plain(), "without its two zero blocks"},
		{"one zero block", join(plain(), make([]byte, 512)), "within its two zero blocks"},
		{"zero block between", join(make([]byte, 512), plain(), end()), "a single zero block"},
		{"content cut", join(header(func(b []byte) { copy(b[124:], "00000001000") }), []byte("x")), "within the content"},
		{"checksum", flipped, "checksum"},
		{"member of x missing", join(extendedHeader('x', "9 a=bcde\n"), end()), "without its member"},
		{"record length", join(extendedHeader('x', "8 a=bcde\n"), plain(), end()), "wrong length"},
		{"record without key", join(extendedHeader('x', "6 =bb\n"), plain(), end()), "no key"},
		{"two x", join(extendedHeader('x', "6 a=b\n"), extendedHeader('x', "6 a=b\n"), plain(), end()), "two extended headers"},
		{"sparse", join(extendedHeader('x', "22 GNU.sparse.major=1\n"), plain(), end()), "sparse"},
		{"GNU sparse", join(header(func(b []byte) { b[156] = 'S' }), end()), "is sparse"},
		{"x size lies", join(header(func(b []byte) { b[156] = 'x'; copy(b[124:], "00003000000") })), "within an extended header"},
		{"x size beyond", join(header(func(b []byte) { b[156] = 'x'; copy(b[124:], "77777777777") })), "at most 1048576"},
		{"long name beyond", join(header(func(b []byte) { b[156] = 'L'; copy(b[124:], "00003000000") })), "at most 65537"},
		{"negative size", join(header(func(b []byte) { copy(b[124:], bytes.Repeat([]byte{0xff}, 12)) }), end()), "negative"},
		{"size not a number", join(header(func(b []byte) { copy(b[124:], "zzz") }), end()), "not a number"},
		{"no name", join(header(func(b []byte) { b[0] = 0 }), end()), "without a name"},
		{"folder with content", join(header(func(b []byte) { b[156] = '5'; copy(b[124:], "00000001000") }), end()), "512 bytes of content"},
		{"link to nothing", join(header(func(b []byte) { b[156] = '2' }), end()), "link to nothing"},
		{"time", join(extendedHeader('x', "12 mtime=1e\n"), plain(), end()), "not a time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := read(bytes.NewReader(c.in), Limits{})
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want ErrFormat with %q", err, c.want)
			}
		})
	}
}

func TestEveryCutIsTold(t *testing.T) {
	whole := write(t, samples()[:5])
	_, trailer, err := read(bytes.NewReader(whole), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range int(trailer.Offset) {
		if _, _, err := read(bytes.NewReader(whole[:n]), Limits{}); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestLimits(t *testing.T) {
	if _, _, err := read(bytes.NewReader(join(plain(), plain(), end())), Limits{Members: 1}); !errors.Is(err, ErrFormat) {
		t.Errorf("two members with a limit of one: %v", err)
	}
	if _, _, err := read(bytes.NewReader(join(extendedHeader('x', "6 a=b\n"), plain(), end())), Limits{Records: 5}); !errors.Is(err, ErrFormat) {
		t.Errorf("six bytes of records with a limit of five: %v", err)
	}
	if _, _, err := read(bytes.NewReader(join(header(func(b []byte) { copy(b, "four") }), end())), Limits{Name: 3}); !errors.Is(err, ErrFormat) {
		t.Errorf("four bytes of name with a limit of three: %v", err)
	}
}

func TestSourceErrorIsHandedOn(t *testing.T) {
	lost := errors.New("lost")
	whole := write(t, samples())
	for n := 0; n < len(whole); n += 100 {
		_, _, err := read(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(lost)), Limits{})
		if !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestHiddenBytesAreTold(t *testing.T) {
	padded := join(header(func(b []byte) { copy(b[124:], "00000000001") }), []byte("x"), make([]byte, 511))
	padded[512+100] = 'h'
	for _, c := range []struct {
		name string
		in   []byte
		want int64
	}{
		{"nothing", plain(), 0},
		{"behind the name", header(func(b []byte) { copy(b, "m\x00hid") }), 3},
		{"behind the prefix", header(func(b []byte) { b[510] = 'h' }), 1},
		{"behind the mode", header(func(b []byte) { copy(b[100:], "0644\x00hid") }), 3},
		{"padding", padded, 1},
		{"overridden record", join(extendedHeader('x', "8 a=hid\n6 a=b\n"), plain()), 5},
		{"behind a long name", join(extendedHeader('L', "name\x00hid"), plain()), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewReader(bytes.NewReader(join(c.in, end())))
			m, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Next(); err != io.EOF { //nolint:errorlint // Next promises io.EOF itself
				t.Fatal(err)
			}
			if m.Hidden != c.want || (m.HiddenSum != [32]byte{}) != (c.want > 0) {
				t.Errorf("%d hidden bytes, sum %x; want %d", m.Hidden, m.HiddenSum, c.want)
			}
		})
	}
}

func TestTrailerIsTold(t *testing.T) {
	_, trailer, err := read(bytes.NewReader(join(plain(), end(), make([]byte, 100), []byte("hid\x00den"))), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if trailer.NonZero != 6 || trailer.First != 512+1024+100 || trailer.Length != 107 {
		t.Errorf("trailer %+v", trailer)
	}
}

func TestRecordsInForce(t *testing.T) {
	b := join(extendedHeader('g', "12 g=global\n10 h=gone\n"), extendedHeader('x', "5 h=\n9 x=own1\n9 g=own2\n"), plain(), plain(), end())
	got, _, err := read(bytes.NewReader(b), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]Record{{{"g", "own2"}, {"x", "own1"}}, {{"g", "global"}, {"h", "gone"}}}
	if d := cmp.Diff(want, [][]Record{got[0].Records, got[1].Records}); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, samples()))
	f.Add(join(extendedHeader('g', "12 g=global\n"), extendedHeader('x', "9 x=own1\n"), plain(), end()))
	f.Add(join(extendedHeader('L', "name\x00"), extendedHeader('K', "link\x00"), plain(), end(), []byte("x")))
	f.Add(odd())
	f.Fuzz(func(t *testing.T, b []byte) {
		before := allocated()
		files, _, err := read(bytes.NewReader(b), Limits{})
		if got := allocated() - before; len(b) < 1<<20 && got > mostAllocated {
			t.Errorf("%d bytes made it ask for %d MiB", len(b), got>>20)
		}
		agreesInPlace(t, b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("error %v does not wrap ErrFormat", err)
			}
			return
		}
		again(t, files)
	})
}

// again writes what was read and reads it again: everything that the canonical form
// can hold must be preserved.
func again(t *testing.T, files []file) {
	var out bytes.Buffer
	w := NewWriter(&out)
	for i := range files {
		if err := w.WriteHeader(&files[i].Member); err != nil {
			return
		}
		if _, err := io.WriteString(w, files[i].body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, err := read(&out, Limits{})
	if err != nil || len(got) != len(files) {
		t.Fatalf("%d members became %d: %v", len(files), len(got), err)
	}
	for i, f := range files {
		g := got[i]
		if g.Name != f.ustarName() || g.Link != f.Link || g.body != f.body || g.Mode != f.Mode || !g.ModTime.Equal(f.ModTime) {
			t.Errorf("%+v became %+v", f, g)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	var files []file
	for i := range 2000 {
		files = append(files, file{Member{Name: fmt.Sprint("f", i), Type: Regular, Mode: 0o644, ModTime: when(),
			Records: []Record{{ZOSTag, "1 819"}}}, strings.Repeat("x", 20000)})
	}
	in := write(b, files)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		r := NewReader(bytes.NewReader(in))
		for {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
