// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"encoding/binary"
	"strings"
	"testing"
)

// elfWith makes a little-endian 64-bit ELF file from the name, type, flags and body
// of each section. Sections that link to another link to the first.
func elfWith(sections ...any) []byte {
	order := binary.LittleEndian
	out := make([]byte, 64)
	copy(out, "\x7fELF\x02\x01\x01")
	names := "\x00"
	var table []byte
	add := func(name string, kind, flags int, body string) {
		h := make([]byte, 64)
		order.PutUint32(h, uint32(len(names)))
		order.PutUint32(h[4:], uint32(kind))
		order.PutUint64(h[8:], uint64(flags))
		order.PutUint64(h[24:], uint64(len(out)))
		order.PutUint64(h[32:], uint64(len(body)))
		order.PutUint32(h[40:], 1)
		order.PutUint64(h[48:], 4)
		names += name + "\x00"
		out = append(out, body...)
		for len(out)%8 > 0 {
			out = append(out, 0)
		}
		table = append(table, h...)
	}
	table = append(table, make([]byte, 64)...)
	for i := 0; i < len(sections); i += 4 {
		add(sections[i].(string), sections[i+1].(int), sections[i+2].(int), sections[i+3].(string))
	}
	names += ".shstrtab\x00"
	h := make([]byte, 64)
	order.PutUint32(h, uint32(len(names)-10))
	order.PutUint32(h[4:], 3)
	order.PutUint64(h[24:], uint64(len(out)))
	order.PutUint64(h[32:], uint64(len(names)))
	out = append(out, names...)
	for len(out)%8 > 0 {
		out = append(out, 0)
	}
	table = append(table, h...)
	order.PutUint64(out[40:], uint64(len(out)))
	order.PutUint16(out[58:], 64)
	order.PutUint16(out[60:], uint16(len(table)/64))
	order.PutUint16(out[62:], uint16(len(table)/64-1))
	return append(out, table...)
}

func symbols(at ...uint32) string {
	var b []byte
	for _, a := range at {
		b = append(binary.LittleEndian.AppendUint32(b, a), make([]byte, 20)...)
	}
	return string(b)
}

func TestELFIsReadable(t *testing.T) {
	dynamic := func(tag, at uint64) string {
		b := binary.LittleEndian.AppendUint64(nil, tag)
		return string(append(binary.LittleEndian.AppendUint64(b, at), make([]byte, 16)...))
	}
	link := func(crc string) string { return "x.debug\x00" + crc }
	for _, tt := range []struct {
		name  string
		a, b  []byte
		want  string
		field string
		is    [2]string
		cause string
	}{
		{"compiler", elfWith(".comment", 1, 0x30, "GCC: 14.1\x00clang 22\x00"), elfWith(".comment", 1, 0x30, "GCC: 14.2\x00clang 22\x00"), "different",
			"elf.comment", [2]string{"GCC: 14.1; clang 22", "GCC: 14.2; clang 22"}, "what made it"},
		{"compiler of another length", elfWith(".comment", 1, 0x30, "GCC: 9\x00"), elfWith(".comment", 1, 0x30, "GCC: 10.2.33\x00"), "different",
			"elf.comment", [2]string{"GCC: 9", "GCC: 10.2.33"}, ""},
		{"needed", elfWith(".dynstr", 3, 2, "\x00liba.so\x00", ".dynamic", 6, 3, dynamic(1, 1)), elfWith(".dynstr", 3, 2, "\x00libb.so\x00", ".dynamic", 6, 3, dynamic(1, 1)), "different",
			"elf.dynamic.needed", [2]string{"liba.so", "libb.so"}, "its interpreter, the libraries it needs"},
		{"path in runpath", elfWith(".dynstr", 3, 2, "\x00/zfarm/w/first/lib\x00", ".dynamic", 6, 3, dynamic(29, 1)), elfWith(".dynstr", 3, 2, "\x00/zfarm/w/secnd/lib\x00", ".dynamic", 6, 3, dynamic(29, 1)),
			"equivalent (tier 2)", "embedded.build path", [2]string{"/zfarm/w/first", "/zfarm/w/secnd"}, ""},
		{"string", elfWith(".debug_str", 1, 0x30, "one\x00a.c in here\x00two\x00"), elfWith(".debug_str", 1, 0x30, "one\x00b.c in here\x00two\x00"), "different",
			"elf.debug_str", [2]string{"a.c in here", "b.c in here"}, ""},
		{"debug link", elfWith(".gnu_debuglink", 1, 0, link("abcd")), elfWith(".gnu_debuglink", 1, 0, link("abce")), "different",
			"elf.gnu_debuglink.crc", [2]string{"61626364", "61626365"}, "nothing else"},
		{"note", elfWith(".note.x", 7, 0, "\x04\x00\x00\x00\x04\x00\x00\x00\x09\x00\x00\x00Rgo\x00one!"), elfWith(".note.x", 7, 0, "\x04\x00\x00\x00\x04\x00\x00\x00\x09\x00\x00\x00Rgo\x00two!"), "different",
			"elf.note.rgo.9", [2]string{"0400000004000000090000005267" + "6f006f6e6521", "0400000004000000090000005267" + "6f0074776f21"}, ""},
		{"symbols in another order", elfWith(".strtab", 3, 0, "\x00one\x00two\x00", ".symtab", 2, 0, symbols(0, 1, 5)), elfWith(".strtab", 3, 0, "\x00one\x00two\x00", ".symtab", 2, 0, symbols(0, 5, 1)), "different",
			"elf.symtab", [2]string{"01", "05"}, "link order"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, y := plantedPair(t, reg("p/lib.so", string(tt.a)), reg("p/lib.so", string(tt.b)))
			v := verdictOf(t, x, y, known())
			if v.String() != tt.want {
				t.Errorf("%s; want %s", v, tt.want)
			}
			for _, f := range v.Findings {
				if f.Field == tt.field && strings.HasPrefix(f.A, tt.is[0]) && strings.HasPrefix(f.B, tt.is[1]) && strings.Contains(f.Cause+f.Evidence, tt.cause) {
					return
				}
			}
			t.Errorf("no finding %s %q: %+v", tt.field, tt.is, v.Findings)
		})
	}
}
