// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
	"golang.org/x/text/encoding/charmap"
)

// part is a member as the tests write it.
type part struct {
	name, content               string
	mtime, uid, gid, mode, fill string
	size                        string // "" is that of content
	before                      string // before the content, e.g. a name; counts as content
	blank                       bool
}

func (p part) header() string {
	or := func(s, d string) string {
		if s == "" && !p.blank {
			return d
		}
		return s
	}
	size := or(p.size, fmt.Sprint(len(p.before)+len(p.content)))
	if p.blank {
		size = fmt.Sprint(len(p.content))
	}
	return fmt.Sprintf("%-16s%-12s%-6s%-6s%-8s%-10s`\n", p.name, or(p.mtime, "1700000000"), or(p.uid, "100"), or(p.gid, "200"), or(p.mode, "100644"), size)
}

func archiveOf(parts ...part) []byte {
	var b bytes.Buffer
	b.WriteString(magic)
	for _, p := range parts {
		b.WriteString(p.header() + p.before + p.content)
		if b.Len()%2 == 1 {
			fill := p.fill
			if fill == "" {
				fill = "\n"
			}
			b.WriteString(fill)
		}
	}
	return b.Bytes()
}

// ebcdic writes text as z/OS does.
func ebcdic(s string) []byte {
	b, err := charmap.CodePage1047.NewEncoder().Bytes([]byte(s))
	if err != nil {
		panic(err)
	}
	return bytes.ReplaceAll(b, []byte{0x25}, []byte{0x15})
}

// zos writes an archive like ar on z/OS, with a symbol table and long names.
func zos(parts ...part) []byte {
	var b bytes.Buffer
	b.WriteString(ebcdicMagic)
	for _, p := range parts {
		b.Write(ebcdic(p.header()))
		b.Write(ebcdic(p.before))
		b.WriteString(p.content)
		if b.Len()%2 == 1 {
			b.WriteByte(0x15)
		}
	}
	return b.Bytes()
}

func open(t testing.TB, b []byte) *container.Container {
	t.Helper()
	c, err := Open(bytes.NewReader(b), int64(len(b)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list shows what was read.
func list(b []byte, c *container.Container) string {
	var s strings.Builder
	for _, e := range c.Entries {
		fmt.Fprintf(&s, "%s|%s|%d hidden", e.Name, b[e.Offset:e.Offset+e.Size], e.Hidden.Count)
		for _, f := range e.Fields {
			fmt.Fprintf(&s, "|%s", f.Value)
		}
		s.WriteString("\n")
	}
	for _, f := range c.Fields {
		fmt.Fprintf(&s, "%s=%s (%d)\n", f.Name, f.Value, f.Weight)
	}
	fmt.Fprintf(&s, "%s, %d hidden\n", c.Kind, c.Hidden.Count)
	return s.String()
}

func TestOpen(t *testing.T) {
	const stamp = "2023-11-14T22:13:20Z|100|200|100644"
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", []byte(magic), "ar archive, 0 hidden\n"},
		{"short names", archiveOf(part{name: "a.o/", content: "aaa"}, part{name: "b.o", content: "bb"}),
			"a.o|aaa|0 hidden|" + stamp + "|closed by a slash|newline\nb.o|bb|0 hidden|" + stamp + "|padded|\nar archive, 0 hidden\n"},
		{"long names", archiveOf(part{name: "//", content: "a_very_long_name.o/\nanother_long_name.o/\n", blank: true},
			part{name: "/20", content: "x!"}, part{name: "/0", content: "y!"}),
			"another_long_name.o|x!|0 hidden|" + stamp + "|in the table|\na_very_long_name.o|y!|0 hidden|" + stamp + "|in the table|\nar.names=41 bytes (0)\nar archive, 0 hidden\n"},
		{"names nobody has", archiveOf(part{name: "//", content: "a_very_long_name.o/\nsecret/\n", uid: "7"}, part{name: "/0", content: "y!"}),
			"a_very_long_name.o|y!|0 hidden|" + stamp + "|in the table|\nar.names=28 bytes, its header says \"1700000000  7     200   100644  \" (9)\nar archive, 8 hidden\n"},
		{"names of BSD", archiveOf(part{name: "#1/20", before: "long name with blank", content: "zz"}, part{name: "#1/8", before: "ab\x00xyz\x00\x00", content: "z"}),
			"long name with blank|zz|0 hidden|" + stamp + "|before the content, 20 bytes|\nab|z|3 hidden|" + stamp + "|before the content, 8 bytes|newline\nar archive, 0 hidden\n"},
		{"padding", archiveOf(part{name: "a/", content: "a", fill: "\x00"}, part{name: "b/", content: "b", fill: "!"}),
			"a|a|0 hidden|" + stamp + "|closed by a slash|zero\nb|b|1 hidden|" + stamp + "|closed by a slash|other\nar archive, 0 hidden\n"},
		{"padding left out", bytes.TrimSuffix(archiveOf(part{name: "a/", content: "a"}), []byte("\n")),
			"a|a|0 hidden|" + stamp + "|closed by a slash|left out at the end\nar archive, 0 hidden\n"},
		{"odd numbers", archiveOf(part{name: "a/", mtime: "01", uid: "-1", gid: " 5", mode: "99", size: "0002", content: "aa"}),
			"a|aa|0 hidden|\"01          \"|\"-1    \"|\" 5    \"|\"99      \"|closed by a slash, its size written \"0002      \"|\nar archive, 0 hidden\n"},
		{"z/OS", zos(part{name: "__.SYMDEF", mtime: "0", content: "\x00\x00\x00\x00"}, part{name: "a.o", content: "abc"}, part{name: "#1/18", before: "a_very_long_name.o", content: "de"}),
			"__.SYMDEF|\x00\x00\x00\x00|0 hidden|1970-01-01T00:00:00Z|100|200|100644|padded|\na.o|abc|0 hidden|" + stamp + "|padded|newline\na_very_long_name.o|de|0 hidden|" + stamp + "|before the content, 18 bytes|\nz/OS ar archive, 0 hidden\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !Is(c.in) {
				t.Error("it is not recognised")
			}
			if diff := cmp.Diff(c.want, list(c.in, open(t, c.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	e := open(t, archiveOf(part{name: "a/"})).Entries[0]
	want := []container.Weight{container.Header, container.Header, container.Header, container.Header, container.Form, container.Form}
	var have []container.Weight
	for _, f := range e.Fields {
		have = append(have, f.Weight)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

func TestFaults(t *testing.T) {
	good := archiveOf(part{name: "a.o/", content: "aaaa"})
	for _, c := range []struct {
		name   string
		in     []byte
		limits container.Limits
		want   string
	}{
		{"nothing", nil, container.Limits{}, "byte 0: 8 bytes should be here"},
		{"other magic", []byte("!<arch>\r"), container.Limits{}, "magic"},
		{"thin", []byte(thinMagic), container.Limits{}, "thin archive"},
		{"header cut off", good[:40], container.Limits{}, "byte 8: 60 bytes should be here"},
		{"content cut off", good[:len(good)-1], container.Limits{}, "does not fit in the 3"},
		{"end of header", bytes.Replace(good, []byte("`\n"), []byte("x\n"), 1), container.Limits{}, "byte 66: a header ends with"},
		{"no size", archiveOf(part{name: "a/", size: "x"}), container.Limits{}, "\"x         \" bytes"},
		{"negative size", archiveOf(part{name: "a/", size: "-1"}), container.Limits{}, "does not fit"},
		{"no table", archiveOf(part{name: "/5"}), container.Limits{}, "table of long names of 0 bytes"},
		{"two tables", archiveOf(part{name: "//"}, part{name: "//"}), container.Limits{}, "second table"},
		{"no end of name", archiveOf(part{name: "//", content: "abcd"}, part{name: "/1"}), container.Limits{}, "has no end"},
		{"odd name", archiveOf(part{name: "/x"}), container.Limits{}, `a name is written "/x"`},
		{"name beyond content", archiveOf(part{name: "#1/9", content: "aa"}), container.Limits{}, "said to have"},
		{"members", archiveOf(part{name: "a/"}, part{name: "b/"}), container.Limits{Members: 1}, "more than 1 members"},
		{"names", archiveOf(part{name: "a/"}), container.Limits{Names: 10}, "names and fields"},
		{"content", good, container.Limits{Content: 3}, "more than 3 bytes lie inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(c.in), int64(len(c.in)), c.limits)
			if err == nil || !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want %q", err, c.want)
			}
		})
	}
}

// broken is a file that returns read errors.
type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestFileThatCannotBeRead(t *testing.T) {
	want := errors.New("no disk")
	if _, err := Open(broken{want}, 100, container.Limits{}); !errors.Is(err, want) || errors.Is(err, container.ErrFormat) {
		t.Errorf("error %v", err)
	}
}

// many is an endless virtual archive of empty members.
type many struct{ member []byte }

func (m many) ReadAt(p []byte, at int64) (int, error) {
	n := 0
	if at < int64(len(magic)) {
		n = copy(p, magic[at:])
	}
	for n < len(p) {
		n += copy(p[n:], m.member[(at+int64(n)-int64(len(magic)))%int64(len(m.member)):])
	}
	return n, nil
}

func TestTenMillionMembers(t *testing.T) {
	m := many{[]byte(part{name: "a/"}.header())}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Open(m, int64(len(magic)+10_000_000*headerSize), container.Limits{Names: 32 << 20})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "raise the limit") {
		t.Errorf("error %v", err)
	}
	// Growing slices are copied, so the total allocated is several times the memory
	// in use.
	if took := after.TotalAlloc - before.TotalAlloc; took > 8*32<<20 {
		t.Errorf("it took %d bytes", took)
	}
}

func systemV(symbols []string, offsets []uint32, attributes bool) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(symbols)))
	for _, o := range offsets {
		b = binary.BigEndian.AppendUint32(b, o)
		if attributes {
			b = binary.BigEndian.AppendUint32(b, 7)
		}
	}
	for _, s := range symbols {
		if attributes {
			s = string(ebcdic(s))
		}
		b = append(b, s+"\x00"...)
	}
	return string(b)
}

func bsd(order binary.AppendByteOrder, names string, lines ...uint32) string {
	b := order.AppendUint32(nil, uint32(4*len(lines)))
	for _, l := range lines {
		b = order.AppendUint32(b, l)
	}
	return string(order.AppendUint32(b, uint32(len(names)))) + names
}

func TestSymbols(t *testing.T) {
	a, b := part{name: "a.o/", content: "aa"}, part{name: "b.o/", content: "bb"}
	at := func(table int) (uint32, uint32) {
		first := uint32(len(magic) + headerSize + table + table%2)
		return first, first + headerSize + 2
	}
	x, y := at(20)
	want := []Symbol{{Name: "one", Member: 2}, {Name: "two", Member: 1}}
	for _, c := range []struct {
		name   string
		in     []byte
		want   []Symbol
		hidden int64
	}{
		{"none", archiveOf(a, b), nil, 0},
		{"not first", archiveOf(a, part{name: "__.SYMDEF", content: "xx"}), nil, 0},
		{"System V", archiveOf(part{name: "/", content: systemV([]string{"one", "two"}, []uint32{y, x}, false)}, a, b), want, 0},
		{"pointing nowhere", archiveOf(part{name: "/", content: systemV([]string{"one", "two"}, []uint32{y, x + 1}, false)}, a, b),
			[]Symbol{{Name: "one", Member: 2}, {Name: "two", Member: -1}}, 0},
		{"something behind", archiveOf(part{name: "/", content: systemV([]string{"one", "two"}, []uint32{y + 4, x + 4}, false) + "\x00\x00x\x00"}, a, b), want, 4},
	} {
		t.Run(c.name, func(t *testing.T) { symbolsAre(t, c.in, c.want, c.hidden) })
	}
	x, y = at(4 + 16 + 4 + 8)
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		t.Run(fmt.Sprint("BSD ", order), func(t *testing.T) {
			in := archiveOf(part{name: "__.SYMDEF SORTED", content: bsd(order, "two\x00one\x00", 4, y, 0, x)}, a, b)
			symbolsAre(t, in, want, 0)
		})
	}
	x, y = at(4 + 8 + 4 + 8)
	symbolsAre(t, archiveOf(part{name: "__.SYMDEF", content: bsd(binary.LittleEndian, "two\x00one\x00", 4, y)}, a, b), want[:1], 4)
	x, y = at(28)
	symbolsAre(t, zos(part{name: "__.SYMDEF", content: systemV([]string{"one", "two"}, []uint32{y, x}, true)}, a, b),
		[]Symbol{{Name: "one", Member: 2, Attributes: 7}, {Name: "two", Member: 1, Attributes: 7}}, 0)
}

func symbolsAre(t *testing.T, in []byte, want []Symbol, hidden int64) {
	t.Helper()
	table, err := Symbols(bytes.NewReader(in), int64(len(in)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if table == nil {
		table = &Table{}
	}
	if diff := cmp.Diff(want, table.Symbols); diff != "" || table.Hidden.Count != hidden {
		t.Errorf("%d hidden, %s", table.Hidden.Count, diff)
	}
}

func TestFaultsOfSymbols(t *testing.T) {
	shared := strings.Repeat("x", 1000) + "\x00"
	var lines []uint32
	for range 1000 {
		lines = append(lines, 0, 8)
	}
	for _, c := range []struct {
		name, member, content, want string
		limits                      container.Limits
	}{
		{"short", "/", "\x00", "table of 1 bytes", container.Limits{}},
		{"too many", "/", "\xff\xff\xff\xff", "does not fit", container.Limits{}},
		{"too few names", "/", "\x00\x00\x00\x01\x00\x00\x00\x08abc", "end before symbol 0", container.Limits{}},
		{"lines of BSD", "__.SYMDEF", "\x07\x00\x00\x00\x00\x00\x00\x00", "lines of a symbol table", container.Limits{}},
		{"names shared by many", "__.SYMDEF", bsd(binary.LittleEndian, shared, lines...), "names and fields", container.Limits{Names: 10_000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := archiveOf(part{name: c.member, content: c.content})
			_, err := Symbols(bytes.NewReader(in), int64(len(in)), c.limits)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want %q", err, c.want)
			}
		})
	}
}

// made makes archives of two objects with an installed program.
func made(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	tool, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("no %s here: install it to read what it writes", program)
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no cc here: install a C compiler to put objects into archives")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("%s does not make this here: %s", name, out)
		}
	}
	for name, text := range map[string]string{"one.c": "int one(void) { return 1; }\n", "a_rather_long_name_of_two.c": "int two(void) { return 2; }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run(cc, "-c", name)
	}
	run(tool, append(args, "out.a", "one.o", "a_rather_long_name_of_two.o")...)
	b, err := os.ReadFile(filepath.Join(dir, "out.a"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatArchiversWrite(t *testing.T) {
	for _, args := range [][]string{{"ar", "rcsU"}, {"ar", "rcsD"}, {"llvm-ar", "--format=gnu", "rcsD"}, {"llvm-ar", "--format=bsd", "rcsU"}, {"llvm-ar", "--format=darwin", "rcsD"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			in := made(t, args[0], args[1:]...)
			c := open(t, in)
			table, err := Symbols(bytes.NewReader(in), int64(len(in)), container.Limits{})
			if err != nil || table == nil {
				t.Fatal(table, err)
			}
			if len(c.Entries) != 3 || c.Entries[1].Name != "one.o" || c.Entries[2].Name != "a_rather_long_name_of_two.o" || c.Hidden.Count != 0 {
				t.Fatalf("%+v", c.Entries)
			}
			for _, e := range c.Entries[1:] {
				if !bytes.Contains(in[e.Offset:e.Offset+e.Size], []byte("one")) && e.Name == "one.o" || e.Hidden.Count != 0 {
					t.Errorf("%s is not what was put in: %+v", e.Name, e)
				}
			}
			want := []Symbol{{Name: "one", Member: 1}, {Name: "two", Member: 2}}
			if diff := cmp.Diff(want, table.Symbols); diff != "" || table.Hidden.Count != 0 {
				t.Errorf("%d hidden, %s", table.Hidden.Count, diff)
			}
		})
	}
}

func TestThinArchivesAreRefused(t *testing.T) {
	in := made(t, "ar", "rcsT")
	if _, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{}); err == nil || !strings.Contains(err.Error(), "thin") {
		t.Errorf("error %v", err)
	}
}

func TestPlantedDifferences(t *testing.T) {
	base := part{name: "a/", content: "aaa"}
	for _, c := range []struct {
		field string
		other part
	}{
		{"ar.mtime", part{name: "a/", content: "aaa", mtime: "1700000001"}},
		{"ar.uid", part{name: "a/", content: "aaa", uid: "0"}},
		{"ar.gid", part{name: "a/", content: "aaa", gid: "0"}},
		{"ar.mode", part{name: "a/", content: "aaa", mode: "100755"}},
		{"ar.naming", part{name: "a", content: "aaa"}},
		{"ar.padding", part{name: "a/", content: "aaa", fill: "\x00"}},
	} {
		a, b := open(t, archiveOf(base)).Entries[0], open(t, archiveOf(c.other)).Entries[0]
		var differ []string
		for i := range a.Fields {
			if a.Fields[i] != b.Fields[i] {
				differ = append(differ, a.Fields[i].Name)
			}
		}
		if diff := cmp.Diff([]string{c.field}, differ); diff != "" || a.Name != b.Name {
			t.Errorf("%s: %s", c.field, diff)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(archiveOf(part{name: "//", content: "a_very_long_name.o/\n", blank: true}, part{name: "/0", content: "y!"}, part{name: "#1/3", before: "abc"}))
	f.Add(archiveOf(part{name: "/", content: systemV([]string{"one"}, []uint32{88}, false)}, part{name: "a/"}))
	f.Add(archiveOf(part{name: "__.SYMDEF", content: bsd(binary.LittleEndian, "two\x00one\x00", 4, 8)}))
	f.Add(zos(part{name: "__.SYMDEF", content: systemV([]string{"one"}, []uint32{8}, true)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, l := bytes.NewReader(b), container.Limits{Content: 1 << 20}
		var c *container.Container
		var err error
		containertest.Little(t, containertest.All, func() { c, err = Open(r, int64(len(b)), l) })
		if err != nil {
			if !errors.Is(err, container.ErrFormat) {
				t.Errorf("error %v", err)
			}
			return
		}
		total := int64(len(magic))
		for _, e := range c.Entries {
			if e.Offset < 0 || e.Size < 0 || e.Offset+e.Size > int64(len(b)) {
				t.Errorf("%q lies outside: %+v", e.Name, e)
			}
			total += headerSize + e.Size
		}
		if total > int64(len(b)) {
			t.Errorf("%d bytes are told of %d", total, len(b))
		}
		var table *Table
		containertest.Little(t, containertest.All, func() { table, err = Symbols(r, int64(len(b)), l) })
		if err == nil && table != nil {
			for _, s := range table.Symbols {
				if s.Member >= len(c.Entries) {
					t.Errorf("%+v of %d entries", s, len(c.Entries))
				}
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	var parts []part
	for range 1000 {
		parts = append(parts, part{name: "a.o/", content: strings.Repeat("x", 10_000)})
	}
	in := archiveOf(parts...)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
