// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package elf

import (
	"bytes"
	stdelf "debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// small makes an ELF file with three sections: null, .text and the names.
func small(wide, big bool) []byte {
	var order binary.ByteOrder = binary.LittleEndian
	data := byte(1)
	if big {
		order, data = binary.BigEndian, 2
	}
	names := "\x00.text\x00.shstrtab\x00"
	l, _ := layoutOf([]byte{0, 0, 0, 0, map[bool]byte{false: 1, true: 2}[wide], data})
	put := func(b []byte, v uint64) {
		if wide {
			order.PutUint64(b, v)
		} else {
			order.PutUint32(b, uint32(v))
		}
	}
	b := make([]byte, 200+3*l.shSize)
	copy(b, magic)
	b[4], b[5] = map[bool]byte{false: 1, true: 2}[wide], data
	put(b[l.shoff:], 200)
	order.PutUint16(b[l.phentsize+4:], uint16(l.shSize))
	order.PutUint16(b[l.phentsize+6:], 3)
	order.PutUint16(b[l.phentsize+8:], 2)
	copy(b[150:], names)
	for i, s := range []struct {
		name, kind uint32
		off, size  uint64
	}{{}, {1, 1, 100, 40}, {7, 3, 150, uint64(len(names))}} {
		h := b[200+int64(i)*l.shSize:]
		order.PutUint32(h, s.name)
		order.PutUint32(h[4:], s.kind)
		put(h[l.offset:], s.off)
		put(h[l.size:], s.size)
	}
	return b
}

func TestSpansOfEveryWidthAndOrder(t *testing.T) {
	for _, wide := range []bool{false, true} {
		for _, big := range []bool{false, true} {
			b := small(wide, big)
			spans, err := Spans(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			m := span.NewMap(spans)
			for at, want := range map[int64]string{0: "elf.header", 120: "elf.text", 155: "elf.shstrtab", 220: "elf.sections"} {
				if s, _ := m.At(at); s.Name != want {
					t.Errorf("wide %v, big %v: byte %d lies in %q; want %q", wide, big, at, s.Name, want)
				}
			}
		}
	}
}

func TestAgreesWithStandardLibrary(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no cc here: install a C compiler to compare on what it makes")
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.so")
	if err := os.WriteFile(src, []byte("int answer(void) { return 42; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(cc, "-shared", "-fPIC", "-Wl,--build-id", "-o", out, src).CombinedOutput(); err != nil {
		t.Skipf("cc cannot make a shared object here: %s", b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	f, err := stdelf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Skipf("cc does not make ELF files here: %v", err)
	}
	spans, err := Spans(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]span.Span{}
	for _, s := range spans {
		have[s.Name] = s
	}
	for _, s := range f.Sections {
		if s.Type == stdelf.SHT_NOBITS || s.Type == stdelf.SHT_NULL || s.FileSize == 0 {
			continue
		}
		got := have[field(s.Name)]
		if s.Name == buildID {
			if got.Kind != span.Digest || got.Offset != int64(s.Offset)+16 {
				t.Errorf("the build id is %+v", got)
			}
			continue
		}
		if got.Offset != int64(s.Offset) || got.Length != int64(s.FileSize) {
			t.Errorf("%s is %+v; want %d bytes at %d", s.Name, got, s.FileSize, s.Offset)
		}
	}
}

func TestSymbolsAgree(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no cc here: install a C compiler to compare on what it makes")
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.o")
	if err := os.WriteFile(src, []byte("int one(void) { return 1; }\nint two(void) { return one(); }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(cc, "-c", "-o", out, src).CombinedOutput(); err != nil {
		t.Skipf("cc cannot make an object here: %s", b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	f, err := stdelf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Skipf("cc does not make ELF files here: %v", err)
	}
	list, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"elf.symtab "} // the first has no name, and the library leaves it out
	for _, s := range list {
		name := s.Name
		if stdelf.ST_TYPE(s.Info) == stdelf.STT_SECTION {
			name = "" // the library may give it the name of the section
		}
		want = append(want, "elf.symtab "+name)
	}
	var have []string
	if err := Symbols(bytes.NewReader(b), int64(len(b)), func(table string, name []byte) { have = append(have, table+" "+string(name)) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(have, want) {
		t.Errorf("%q; want %q", have, want)
	}
}

func TestFaults(t *testing.T) {
	whole := small(true, true)
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
		{"empty", nil, "0 bytes"},
		{"magic", change(0, 'x'), "magic"},
		{"class", change(4, 3), "class 3"},
		{"order", change(5, 3), "byte order 3"},
		{"table outside", change(40, 0x7f), "section table lies outside"},
		{"names outside", change(200+128+24, 0x7f), "names lie outside"},
		{"many sections", change(60, 0xff, 0xff), "65535 sections"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Spans(bytes.NewReader(c.in), int64(len(c.in)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want %q", err, c.want)
			}
		})
	}
}

func FuzzSpans(f *testing.F) {
	f.Add(small(true, true))
	f.Add(small(false, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		spans, _ := Spans(bytes.NewReader(b), int64(len(b)))
		_ = Symbols(bytes.NewReader(b), int64(len(b)), func(table string, name []byte) {
			if table == "" || len(name) > maxText {
				t.Errorf("a symbol of %d bytes in %q", len(name), table)
			}
		})
		for _, s := range spans {
			if s.Offset < 0 || s.Length < 0 || s.Name != "elf.header" && s.Offset+s.Length > int64(len(b)) {
				t.Errorf("span %+v lies outside of %d bytes", s, len(b))
			}
		}
	})
}
