// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/report"
	"github.com/zfarm/zfarm/workers/codepage"
)

// update rewrites the golden files.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	os.Exit(m.Run())
}

func begun() time.Time { return time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC) }

// known describes two repeats that differ in every condition.
func known() Known {
	return Known{
		A: Conditions{Begun: begun(), Ended: begun().Add(10 * time.Minute), Zone: "AAA+12",
			Values: map[string]string{"build path": "/zfarm/w/first", "user": "builder1", "host": "LPARONE", "HOME": "/u/home1", "time zone": "AAA+12", "locale": "C", "jobs": "4"}},
		B: Conditions{Begun: begun().Add(time.Hour), Ended: begun().Add(70 * time.Minute), Zone: "BBB-14",
			Values: map[string]string{"build path": "/zfarm/w/secnd", "user": "another2", "host": "LPARTWO", "HOME": "/home2", "time zone": "BBB-14", "locale": "En_US", "jobs": "7"}},
	}
}

// longPath is known with a build path of another length.
func longPath() Known {
	k := known()
	k.B.Values = map[string]string{"build path": "/zfarm/w/the-second"}
	return k
}

// member is one member of a planted archive.
type member struct {
	tar.Header
	body string
}

func reg(name, body string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, ModTime: begun(), Format: tar.FormatPAX}, body}
}

// with changes the header of a member.
func (m member) with(change func(h *tar.Header)) member {
	change(&m.Header)
	return m
}

func (m member) record(key, value string) member {
	return m.with(func(h *tar.Header) { h.PAXRecords = map[string]string{key: value} })
}

// archive packs members.
func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		h := m.Header
		h.Size = int64(len(m.body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t testing.TB, b []byte, header gzip.Header, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Header = header
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func dotZ(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := compress.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func input(name string, b []byte) Input {
	return Input{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

func verdictOf(t testing.TB, a, b []byte, k Known) Verdict {
	t.Helper()
	v, err := Archives(t.Context(), input("a.pax", a), input("b.pax", b), Options{Allowed: []Tier{Container, Header, Stamp}, Known: k, Workdir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ebcdic returns text in IBM-1047, as far as these tests need it.
func ebcdic(s string) string {
	table := map[byte]byte{}
	for c := range 256 {
		table[codepage.Latin1([]byte{byte(c)})[0]] = byte(c)
	}
	table['\n'] = 0x15
	out := []byte(s)
	for i, c := range out {
		out[i] = table[c]
	}
	return string(out)
}

// planted is a pair of artifacts with a known difference. The findings are "tier
// field" or "tier field: beginning of the cause". Each must be present, and no
// other.
type planted struct {
	name  string
	a, b  []byte
	known Known
	want  string // the expected Verdict.String
	found []string
}

// pair packs one member of each side beside one that is the same.
func plantedPair(t testing.TB, a, b member) ([]byte, []byte) {
	same := reg("p/same", "the same\n")
	return archive(t, same, a), archive(t, same, b)
}

func TestPlanted(t *testing.T) {
	for _, c := range append(plantedHeaders(t), append(plantedContainers(t), plantedContents(t)...)...) {
		t.Run(c.name, func(t *testing.T) {
			v := verdictOf(t, c.a, c.b, c.known)
			check(t, v, c)
			back := verdictOf(t, c.b, c.a, Known{A: c.known.B, B: c.known.A})
			if back.String() != v.String() || len(back.Findings) != len(v.Findings) {
				t.Errorf("the other way round: %s with %d findings; want %s with %d", back, len(back.Findings), v, len(v.Findings))
			}
		})
	}
}

func check(t *testing.T, v Verdict, c planted) {
	t.Helper()
	if v.String() != c.want {
		t.Errorf("verdict %s (%s); want %s", v, v.Reason, c.want)
	}
	left := append([]string{}, c.found...)
	for _, f := range v.Findings {
		short := f.Tier.String() + " " + f.Field
		i := 0
		for i < len(left) && left[i] != short && (!strings.HasPrefix(left[i], short+": ") || !strings.HasPrefix(short+": "+f.Cause, left[i])) {
			i++
		}
		if i == len(left) {
			t.Errorf("finding not wanted: %+v", f)
			continue
		}
		left = append(left[:i], left[i+1:]...)
	}
	for _, f := range left {
		t.Errorf("no finding %q", f)
	}
}

func plantedHeaders(t *testing.T) []planted {
	file := reg("p/bin/x", "text\n")
	make := func(name string, b member, want string, found ...string) planted {
		x, y := plantedPair(t, file, b)
		return planted{name, x, y, known(), want, found}
	}
	link := func(to string) member {
		return reg("p/l", "").with(func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, to })
	}
	linkA, linkB := plantedPair(t, link("a"), link("b"))
	extA, extB := plantedPair(t, file.record("ZOS.extattr", "--s-"), file.record("ZOS.extattr", "a-s-"))
	tagA, tagB := plantedPair(t, file.record("ZOS.taginfo", "1 1047"), file.record("ZOS.taginfo", "1 819"))
	auditA, auditB := plantedPair(t, file.record("ZOS.useraudit", "fff"), file.record("ZOS.useraudit", "---"))
	devA, devB := plantedPair(t, file.with(func(h *tar.Header) { h.Name, h.Typeflag, h.Devminor = "p/d", tar.TypeChar, 1 }).empty(),
		file.with(func(h *tar.Header) { h.Name, h.Typeflag, h.Devminor = "p/d", tar.TypeChar, 2 }).empty())
	return []planted{
		make("setuid", file.with(func(h *tar.Header) { h.Mode = 0o4644 }), "different", "X mode: setuid set in B"),
		make("exec bit", file.with(func(h *tar.Header) { h.Mode = 0o755 }), "different", "X mode: executable set in B"),
		make("owner", file.with(func(h *tar.Header) { h.Uid, h.Gname = 7, "STAFF" }), "equivalent (tier 1)", "1 uid", "1 gname"),
		make("mtime", file.with(func(h *tar.Header) { h.ModTime = begun().Add(time.Hour) }), "equivalent (tier 1)", "1 mtime"),
		make("mtime by a part of a second", file.with(func(h *tar.Header) { h.ModTime = begun().Add(time.Millisecond) }), "equivalent (tier 1)", "1 mtime"),
		make("atime", file.with(func(h *tar.Header) { h.AccessTime = begun() }), "equivalent (tier 1)", "1 atime"),
		make("type", file.with(func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeLink, "p/same" }).empty(), "different", "X type", "X link: the link leads elsewhere"),
		make("tag lost", file.record("ZOS.taginfo", "1 819"), "different", "X zos.taginfo: the file tag decides how text is read"),
		make("unknown record", file.record("VENDOR.key", "1"), "different", "X record.VENDOR.key"),
		{"APF", extA, extB, known(), "different", []string{"X zos.extattr: APF authorised in B"}},
		{"tag", tagA, tagB, known(), "different", []string{"X zos.taginfo: the file tag decides how text is read"}},
		{"audit flags", auditA, auditB, known(), "different", []string{"X zos.useraudit"}},
		{"device", devA, devB, known(), "different", []string{"X device"}},
		{"link target", linkA, linkB, known(), "different", []string{"X link: the link leads elsewhere"}},
	}
}

func (m member) empty() member {
	m.body = ""
	return m
}

func plantedContainers(t *testing.T) []planted {
	x, y := reg("p/x", "x\n"), reg("p/y", "y\n")
	xy := archive(t, x, y)
	moreZeros := append(bytes.Clone(xy), make([]byte, 512)...)
	behind := append(bytes.Clone(xy), []byte("hidden")...)
	padded := bytes.Clone(xy)
	padded[512+100] = 'h'
	renamed := reg("p/z", "y\n")
	dotted := reg("./p/y", "y\n")
	global := func(value string) []byte {
		g := member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"ZOS.filefmt": value}, Format: tar.FormatPAX}}
		return archive(t, x, g)
	}
	plain := gzip.Header{}
	return []planted{
		{"nothing", xy, xy, known(), "identical", nil},
		{"member added", archive(t, x), xy, known(), "different", []string{"X member: it is in B only"}},
		{"member renamed", xy, archive(t, x, renamed), known(), "different", []string{"X member: it is in A only", "X member: it is in B only"}},
		{"other spelling of a name", xy, archive(t, x, dotted), known(), "different", []string{"X name"}},
		{"duplicate", xy, archive(t, x, y, y), known(), "different", []string{"X member: it is in B only", "X duplicate"}},
		{"order", xy, archive(t, y, x), known(), "equivalent (tier 0)", []string{"0 order"}},
		{"blocking", xy, moreZeros, known(), "equivalent (tier 0)", []string{"0 format"}},
		{"header format", xy, archive(t, x, y.with(func(h *tar.Header) { h.Format = tar.FormatGNU })), known(), "equivalent (tier 0)", []string{"0 format"}},
		{"trailing data", xy, behind, known(), "different", []string{"X trailing data", "0 format"}},
		{"padding", xy, padded, known(), "different", []string{"X padding"}},
		{"global record behind all members", global("NA"), global("CR"), known(), "different", []string{"X global records"}},
		{".Z and not", xy, dotZ(t, xy), known(), "equivalent (tier 0)", []string{"0 compression"}},
		{".Z, member differs", dotZ(t, archive(t, x)), dotZ(t, archive(t, x.with(func(h *tar.Header) { h.Mode = 0o600 }))), known(), "different", []string{"X mode"}},
		{"gzip level", zipped(t, xy, plain, 1), zipped(t, xy, plain, 9), known(), "equivalent (tier 0)", []string{"0 compression"}},
		{"gzip time and name", zipped(t, xy, gzip.Header{ModTime: begun(), Name: "a"}, 9), zipped(t, xy, gzip.Header{ModTime: begun().Add(time.Hour), Name: "b"}, 9), known(),
			"equivalent (tier 1)", []string{"1 gzip.time", "1 gzip.name"}},
		{"gzip comment", zipped(t, xy, gzip.Header{Comment: "a"}, 9), zipped(t, xy, plain, 9), known(), "different", []string{"X gzip.comment"}},
		{"cut short", xy, xy[:700], known(), "incomparable", nil},
		{".Z cut short", dotZ(t, xy), dotZ(t, xy)[:40], known(), "incomparable", nil},
		{"checksum", xy, append([]byte("x"), xy[1:]...), known(), "incomparable", nil},
		{"archive and file", xy, []byte("no archive\n"), known(), "incomparable", nil},
		{"files, time inside", []byte("built 15:04:05\n"), []byte("built 16:04:05\n"), known(), "equivalent (tier 2)", []string{"2 stamp.time"}},
		{"files", []byte("one\n"), []byte("two\n"), known(), "different", []string{"X content"}},
	}
}

func plantedContents(t *testing.T) []planted {
	var all []planted
	add := func(name, a, b, want string, found ...string) {
		x, y := plantedPair(t, reg("p/f", a), reg("p/f", b))
		all = append(all, planted{name, x, y, known(), want, found})
	}
	const timeCause = ": the time of the build is embedded"
	const outside = ": looks like a time, but outside the time of the build"
	add("__DATE__ in the zones", "x Nov 22 2026 x\n", "x Nov 23 2026 x\n", "equivalent (tier 2)", "2 stamp.date"+timeCause)
	add("__TIME__ in a binary", "\x00\x0115:04:05\x00", "\x00\x0116:04:05\x00", "equivalent (tier 2)", "2 stamp.time"+timeCause)
	add("__TIME__ in EBCDIC", "\x00"+ebcdic("15:04:05")+"\x00", "\x00"+ebcdic("16:04:05")+"\x00", "equivalent (tier 2)", "2 stamp.time"+timeCause)
	add("ISO", "2026-11-22T15:04:05Z\n", "2026-11-22T16:04:05Z\n", "equivalent (tier 2)", "2 stamp.datetime"+timeCause)
	add("epoch", "t=1795359845\n", "t=1795363445\n", "equivalent (tier 2)", "2 stamp.epoch"+timeCause)
	add("two stamps", "15:04:05 15:04:06\n", "16:04:05 16:04:06\n", "equivalent (tier 2)", "2 stamp.time"+timeCause, "2 stamp.time"+timeCause)
	add("__DATE__ outside", "x Nov 22 2026 x\n", "x Nov 29 2026 x\n", "different", "X content"+outside)
	add("__TIME__ outside", "15:04:05\n", "15:24:05\n", "different", "X content"+outside)
	add("a stamp and one byte", "15:04:05 a\n", "16:04:05 b\n", "different", "2 stamp.time", "X content")
	add("one byte right behind a stamp", "15:04:05a\n", "16:04:05b\n", "different", "2 stamp.time", "X content")
	add("one byte that follows a stamp without a gap", "15:04:05a\n", "16:04:06b\n", "different", "2 stamp.time", "X content")
	add("a stamp in another place", "15:04:05 \n", " 16:04:05\n", "different", "X content")
	add("a stamp against none", "15:04:05\n", "15:04:xx\n", "different", "X content")
	add("build path of equal length", "f /zfarm/w/first/a.c\x00", "f /zfarm/w/secnd/a.c\x00", "equivalent (tier 2)", "2 embedded.build path: the build path is embedded")
	add("build path in EBCDIC", ebcdic("f /zfarm/w/first/a.c"), ebcdic("f /zfarm/w/secnd/a.c"), "equivalent (tier 2)", "2 embedded.build path: the build path is embedded")
	add("part of a build path", "/zfarm/w/first\x00", "/zfarm/w/firsd\x00", "different", "X content")
	add("host", "on LPARONE.\x00", "on LPARTWO.\x00", "different", "X embedded.host: the host is embedded")
	add("user", "by builder1 \n", "by another2 \n", "different", "X embedded.user: the user is embedded")
	add("zone and time", "15:04:05 AAA+12\n", "16:04:05 BBB-14\n", "different", "2 stamp.time", "X embedded.time zone: the time zone is embedded")
	add("jobs", "make -j4 \x00", "make -j7 \x00", "different", "X content")
	add("name of the time zone", "15:04:05 AAA\n", "16:04:05 BBB\n", "different", "2 stamp.time", "X embedded.time zone: the time zone is embedded")
	add("jobs alone", "make -j 4 \x00", "make -j 7 \x00", "different", "X embedded.jobs: the jobs is embedded")
	add("HOME of another length", "HOME=/u/home1\n", "HOME=/home2\n", "different", "X embedded.HOME: the HOME is embedded")
	add("lines in another order", "one\ntwo\nthree\n", "three\none\ntwo\n", "different", "X content: the same lines in another order")
	add("longer text", "one\n", "one\ntwo\n", "different", "X content")
	add("longer binary", "\x00one", "\x00onetwo", "different", "X content")
	x, y := plantedPair(t, reg("p/f", "f /zfarm/w/first/a.c\n"), reg("p/f", "f /zfarm/w/the-second/a.c\n"))
	all = append(all, planted{"build path of another length", x, y, longPath(), "different", []string{"X embedded.build path: the build path is embedded, with another length"}})
	x, y = plantedPair(t, reg("p/f", "\x00f /zfarm/w/first/a.c\n"), reg("p/f", "\x00f /zfarm/w/the-second/a.c\n"))
	all = append(all, planted{"build path of another length in a binary", x, y, longPath(), "different",
		[]string{"X embedded.build path: the build path is embedded, with another length", "X content"}})
	x, y = plantedPair(t, reg("p/f", "15:04:05\n"), reg("p/f", "16:04:05\n"))
	all = append(all, planted{"nothing known", x, y, Known{}, "different", []string{"X content: looks like a time, but the time of the build is not known"}})
	x, y = plantedPair(t, reg("p/f", ebcdic("one\ntwo\n")).record("ZOS.taginfo", "1 1047"), reg("p/f", "one\ntwo\n").record("ZOS.taginfo", "1 819"))
	all = append(all, planted{"code page", x, y, known(), "different", []string{"X zos.taginfo", "X content: the same text in another code page"}})
	return all
}

// compile compiles an object and links it as a shared object with a build id.
func compile(t *testing.T, source string) []byte {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no cc here: install a C compiler to compare what it makes")
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.so")
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cc, "-shared", "-fPIC", "-nostdlib", "-Wl,--build-id=sha1", "-o", out, "a.c")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("cc cannot make a shared object here: %s", text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("\x7fELF")) {
		t.Skip("cc does not make ELF files here")
	}
	return b
}

func TestPlantedELF(t *testing.T) {
	source := func(stamp string, answer int) string {
		return fmt.Sprintf("const char built[] = %q; int answer(void) { return %d; }\n", stamp, answer)
	}
	first := compile(t, source("15:04:05", 42))
	idOnly := bytes.Clone(first)
	at := bytes.Index(idOnly, []byte("GNU\x00")) + 4
	idOnly[at+3] ^= 1
	for _, c := range []struct {
		name  string
		b     []byte
		want  string
		found []string
	}{
		{"stamp", compile(t, source("16:04:05", 42)), "equivalent (tier 2)", []string{"2 stamp.time", "2 elf.note.gnu.build-id: a digest of the rest of the file, which differs as reported"}},
		{"code", compile(t, source("15:04:05", 43)), "different", []string{"X elf.text", "X elf.note.gnu.build-id: a digest of the rest of the file, in which something unexplained differs"}},
		{"stamp and code", compile(t, source("16:04:05", 43)), "different", []string{"2 stamp.time", "X elf.text", "X elf.note.gnu.build-id"}},
		{"build id alone", idOnly, "different", []string{"X elf.note.gnu.build-id: a digest of the rest of the file differs, though nothing else in it does"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := plantedPair(t, reg("p/lib.so", string(first)), reg("p/lib.so", string(c.b)))
			check(t, verdictOf(t, a, b, known()), planted{want: c.want, found: c.found})
		})
	}
	t.Run("another size", func(t *testing.T) {
		b := compile(t, source("16:04:05 and more that needs room in the section", 42)+"int more(int x) { return x * 3 + answer(); }\n")
		x, y := plantedPair(t, reg("p/lib.so", string(first)), reg("p/lib.so", string(b)+"x"))
		v := verdictOf(t, x, y, known())
		var text bool
		for _, f := range v.Findings {
			text = text || f.Field == "elf.text" && f.Tier == Forbidden
		}
		if v.Outcome != Different || !text {
			t.Errorf("verdict %s; elf.text named: %v", v, text)
		}
	})
}

func TestAllowedTiersDecide(t *testing.T) {
	a, b := plantedPair(t, reg("p/f", "15:04:05\n"), reg("p/f", "16:04:05\n"))
	for _, c := range []struct {
		allowed []Tier
		want    string
	}{{nil, "different"}, {[]Tier{Container, Header}, "different"}, {[]Tier{Stamp}, "equivalent (tier 2)"}} {
		v, err := Archives(t.Context(), input("a", a), input("b", b), Options{Allowed: c.allowed, Known: known()})
		if err != nil || v.String() != c.want {
			t.Errorf("allowed %v: %s, %v; want %s", c.allowed, v, err, c.want)
		}
	}
}

// TestReport compares the report of a verdict with many kinds of findings.
func TestReport(t *testing.T) {
	file := reg("p/doc", "one\ntwo\nthree\n").record("ZOS.extattr", "--s-")
	escape := reg("p/\x1b[31mred", "x\n")
	stamped := reg("p/stamp", "built 15:04:05\n")
	binary := reg("p/bin", "\x00\x01\x02 same")
	a := archive(t, reg("p/only-a", ""), file, escape, stamped, binary)
	b := archive(t, file.record("ZOS.extattr", "a-s-").with(func(h *tar.Header) { h.Mode = 0o4755 }).bodied("one\n2\x1b[2J\nthree\n"),
		escape.bodied("y\n"), stamped.bodied("built 16:04:05\n"), binary.bodied("\x00\x01\x03 same"))
	for name, v := range map[string]Verdict{
		"different":    verdictOf(t, a, b, known()),
		"identical":    verdictOf(t, a, a, known()),
		"incomparable": verdictOf(t, a, a[:1000], known()),
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := report.Text(&out, v, report.Options{Hunks: true}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", out.String())
			for i, c := range out.String() {
				if c < ' ' && c != '\n' || c == 0x7f || c >= 0x80 && c < 0xa0 {
					t.Errorf("control %q at %d could steer a terminal", c, i)
				}
			}
		})
	}
}

func (m member) bodied(body string) member {
	m.body = body
	return m
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if update() {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestReportShowsSomeMembers(t *testing.T) {
	v := Verdict{Outcome: Different, Findings: []Finding{{Path: "a", Tier: Forbidden}, {Path: "a", Tier: Forbidden}, {Path: "b", Tier: Forbidden}}, Omitted: 4}
	var out strings.Builder
	if err := report.Text(&out, v, report.Options{MaxMembers: 1}); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "\nb\n") || !strings.Contains(s, "1 more finding about 1 member;") || !strings.Contains(s, "4 further findings") {
		t.Errorf("report:\n%s", s)
	}
}

func TestReportErrorIsHandedOn(t *testing.T) {
	full := errors.New("full")
	err := report.Text(failing{full}, Verdict{Outcome: Identical}, report.Options{})
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
}

// failing is a writer that always fails.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// asset is a static part of the page.
func asset(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("report", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Bounds of the packages below that tests here reach.
const (
	maxText     = 2 << 20
	maxFindings = 4096
	maxValues   = 100
	maxDepth    = 8
	deepest     = 24
	several     = "at several places, the first at byte "
)
