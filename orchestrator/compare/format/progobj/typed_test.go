// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/text/encoding/charmap"
)

// The parts of a program object as types, for tests that read and write them. They
// are independent of the package's tables of offsets, so that an error in either is
// detected.
type (
	fileHeader struct {
		Eyecatcher [8]byte
		Length     uint32
		Version    uint8
		Reserved   [3]byte
		Size       uint32
		Count      uint32
	}
	recordDecl struct {
		Type, Reserved uint16
		Offset, Length uint32
	}
	nameNode struct {
		Count, Reserved, Offset uint32
		Length                  uint16
		Flags                   uint8
		Reserved2               [5]byte
	}
	programAttributes struct { // PMAR
		Length                        uint16
		Level, Binder                 uint8
		Attributes                    [4]uint8
		Attributes5, AC               uint8
		Storage, MainEntry, ThisEntry uint32
		SSI                           [4]byte
		Extended, Reserved            uint16
	}
	loaderAttributes struct { // PMARL of format 3
		Length                                     uint16
		Attributes                                 [2]uint8
		Fill, Sublevel                             uint8
		Pages                                      uint32
		TextLength, TextOffset                     uint32
		IndexLength, IndexOffset                   uint32
		PRDTLength, PRDTOffset                     uint32
		PRATLength, PRATOffset                     uint32
		VirtualPages, LoaderOffset                 uint32
		Segments, Gaps                             uint16
		FirstStorage, SecondStorage, SecondOffset  uint32
		Date, Time                                 [4]byte
		User                                       [8]byte
		DLL, CMS                                   uint8
		Deferred                                   uint16
		DeferredLength, DeferredOffset, BLITOffset uint32
	}
	pageTable struct { // IEWPRAT
		Eyecatcher     [8]byte
		Length         uint32
		Version        uint8
		Reserved       [3]byte
		Used, Total    uint32
		Width, Unknown uint16
	}
	pageData struct { // IEWPRDT
		Eyecatcher [8]byte
		Length     uint32
		Version    uint8
		Reserved   [3]byte
		Total      uint32
	}
	pageEntry struct {
		Page     uint32
		Segment  uint16
		Checksum [4]byte
		Count    uint16
	}
	listHeader struct { // IEWLIDX, and the tables that it lists
		Eyecatcher [8]byte
		Length     uint32
		Version    uint8
		Reserved   [3]byte
		Count      uint32
	}
	listEntry struct {
		Type           uint8
		Reserved       [3]byte
		Offset, Length uint32
	}
	indexHeader struct { // IEWBXLF INDX
		Eyecatcher                                [8]byte
		Length                                    uint32
		Version                                   uint8
		Reserved                                  [3]byte
		Kind                                      [4]byte
		Names, Classes, Sections, Map, End, Zero1 uint32
		Zero2                                     uint32
	}
	indexTable struct { // IEWBXLF NAME, PSEC, PCLS, PMAP
		Eyecatcher [8]byte
		Length     uint32
		Version    uint8
		Reserved   [3]byte
		Kind       [4]byte
		Count      uint32
	}
	classRow struct {
		Name, Length, Offset, Address, Zero uint32
		Rest                                [18]byte
	}
	mapRow struct {
		Next          uint32
		Type, Flags   uint8
		Length        uint16
		Name          uint32
		Offset, Count uint32
		Size, Kind    uint16
		Fill          [8]byte
	}
	binderRow struct { // IDRB
		Product    [10]byte
		Version    [2]byte
		Date, Time [4]byte
		Size       uint32
		CallerLen  uint16
		Caller     [80]byte
	}
	translatorRow struct { // IDRL
		Product [10]byte
		Version [2]byte
		Date    [4]byte
	}
	userRow struct { // IDRU
		Date   [4]byte
		Length uint16
		Data   [80]byte
	}
	zapRow struct { // IDRZ, by the binder's manual
		Date [4]byte
		Data [8]byte
	}
)

// piece is a value of those types, or bytes, at an offset.
type piece struct {
	at    int64
	value any
}

// module is a program object in pieces that do not overlap.
type module []piece

// encode writes the pieces into a file of that size.
func (m module) encode(t testing.TB, size int64) []byte {
	t.Helper()
	out, owner := make([]byte, size), make([]bool, size)
	for _, p := range m {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.BigEndian, p.value); err != nil {
			t.Fatalf("%T at %d: %v", p.value, p.at, err)
		}
		for i, c := range b.Bytes() {
			if owner[p.at+int64(i)] {
				t.Fatalf("%T at %d overlaps at byte %d", p.value, p.at, p.at+int64(i))
			}
			owner[p.at+int64(i)], out[p.at+int64(i)] = true, c
		}
	}
	return out
}

// decoder reads a program object into pieces.
type decoder struct {
	t testing.TB
	b []byte
	m module
}

// take reads a value of a type at an offset.
func take[T any](d *decoder, at uint32) T {
	var v T
	if err := binary.Read(bytes.NewReader(d.b[at:]), binary.BigEndian, &v); err != nil {
		d.t.Fatalf("%T at %d: %v", v, at, err)
	}
	d.m = append(d.m, piece{int64(at), v})
	return v
}

func (d *decoder) bytes(at, length uint32) []byte {
	d.m = append(d.m, piece{int64(at), d.b[at : at+length]})
	return d.b[at : at+length]
}

func size(v any) uint32 { return uint32(binary.Size(v)) }

// decode splits a program object of format 3 into pieces; the bytes in between must
// be zero.
func decode(t testing.TB, b []byte) module {
	d := &decoder{t: t, b: b}
	h := take[fileHeader](d, 0)
	records := map[uint16]recordDecl{}
	for i := range h.Count {
		r := take[recordDecl](d, size(h)+i*size(recordDecl{}))
		records[r.Type] = r
	}
	take[nameNode](d, records[1].Offset)
	d.bytes(records[2].Offset, records[2].Length)
	take[programAttributes](d, records[3].Offset)
	take[loaderAttributes](d, records[3].Offset+size(programAttributes{}))
	d.pages(records)
	l := take[listHeader](d, records[6].Offset)
	for i := range l.Count {
		e := take[listEntry](d, records[6].Offset+size(l)+i*size(listEntry{}))
		d.bytes(e.Offset, e.Length)
	}
	behind := records[6].Offset + records[6].Length
	take[listHeader](d, behind) // IEWPGSTB
	d.bytes(behind+size(l), records[7].Offset-behind-size(l))
	d.bytes(records[7].Offset, records[7].Length)
	d.index(records[8])
	return d.m
}

func (d *decoder) pages(records map[uint16]recordDecl) {
	table := take[pageTable](d, records[4].Offset)
	rest := records[4].Offset + size(table)
	entries := d.bytes(rest, records[4].Length-size(table))
	at := records[5].Offset + size(take[pageData](d, records[5].Offset))
	for i := range table.Total {
		from := records[5].Offset + uint32(binary.BigEndian.Uint16(entries[2*i:]))
		if from == records[5].Offset {
			continue
		}
		d.bytes(at, from-at)
		take[pageEntry](d, from)
		at = from + size(pageEntry{})
	}
	d.bytes(at, records[5].Offset+records[5].Length-at)
}

func (d *decoder) index(r recordDecl) {
	h := take[indexHeader](d, r.Offset)
	names := take[indexTable](d, h.Names)
	at := h.Names + size(names)
	d.bytes(at, h.Sections-at)
	at = h.Sections + size(take[indexTable](d, h.Sections))
	d.bytes(at, h.Classes-at)
	classes := take[indexTable](d, h.Classes)
	for i := range classes.Count {
		take[classRow](d, h.Classes+size(classes)+i*size(classRow{}))
	}
	parts := take[indexTable](d, h.Map)
	for i := range parts.Count {
		row := take[mapRow](d, h.Map+size(parts)+i*size(mapRow{}))
		if row.Type == 0xc3 {
			d.class(row)
		}
	}
}

// class reads the content of a class, unless it is text that is loaded at once,
// which was read with its record.
func (d *decoder) class(row mapRow) {
	for i := range row.Count {
		at := row.Offset + i*uint32(row.Size)
		switch row.Size {
		case 106:
			take[binderRow](d, at)
		case 16:
			take[translatorRow](d, at)
		case 86:
			take[userRow](d, at)
		case 12:
			take[zapRow](d, at)
		default:
			if row.Flags != 0 {
				d.bytes(row.Offset, row.Count*uint32(row.Size))
			}
			return
		}
	}
}

// ebc returns text in EBCDIC, padded with blanks.
func ebc(s string, length int) []byte {
	b := bytes.Repeat([]byte{0x40}, length)
	for i, c := range []rune(s) {
		b[i], _ = charmap.CodePage1047.EncodeRune(c)
	}
	return b
}

func ebc8(s string) [8]byte   { return [8]byte(ebc(s, 8)) }
func ebc10(s string) [10]byte { return [10]byte(ebc(s, 10)) }

// realFile reads the program object gencert, which the real binder made.
func realFile(t testing.TB) []byte {
	t.Helper()
	dir := os.Getenv("ZFARM_ZOS_BINARIES")
	if dir == "" {
		t.Skip("set ZFARM_ZOS_BINARIES to a folder with the program object gencert to test on what the binder made")
	}
	b, err := os.ReadFile(filepath.Join(dir, "gencert"))
	if err != nil {
		t.Skipf("no program object gencert in ZFARM_ZOS_BINARIES: %v", err)
	}
	return b
}

// Offsets of the parts of the small program object.
const (
	smallNames   = 120
	smallPMAR    = 148
	smallPRAT    = 284
	smallPRDT    = 320
	smallList    = 384
	smallText    = 4096
	smallPPA2    = smallText + 64
	smallStamp   = smallText + 96
	smallService = smallText + 4096 + 16
	smallZap     = 13000
	smallUser    = 13100
	smallIDRL    = 13300
	smallIDRB    = 13400
	smallESD     = 13600
	smallIndex   = 14000
	smallSize    = 16384
)

var packedDay, packedTime = [4]byte{0x20, 0x25, 0x04, 0x1f}, [4]byte{0x01, 0x23, 0x45, 0x6f}

// small builds a program object with one part of each kind, in the measured layout.
func small(t testing.TB, textLength int) []byte {
	grow := uint32(textLength+4095)/4096*4096 - 8192
	class := map[string]recordDecl{
		"B_TEXT": {1, 0, smallText, uint32(textLength)}, "B_IDRZ": {12, 0, smallZap + grow, 2}, "B_IDRU": {86, 0, smallUser + grow, 2},
		"B_IDRL": {16, 0, smallIDRL + grow, 3}, "B_IDRB": {106, 0, smallIDRB + grow, 1}, "B_ESD": {72, 0, smallESD + grow, 2},
	}
	index, indexLength := smallBinderIndex(smallIndex+grow, class)
	page := func(n uint32, first [4]byte) pageEntry { return pageEntry{n, 1, first, 1} }
	m := module{
		{0, fileHeader{ebc8("IEWPLMH"), 120, 3, [3]byte{}, smallSize + grow, 8}},
		{24, []recordDecl{{1, 0, smallNames, 20}, {2, 0, smallNames + 20, 8}, {3, 0, smallPMAR, 136}, {4, 0, smallPRAT, 36},
			{5, 0, smallPRDT, 60}, {6, 0, smallList, 32 + 60}, {7, 0, smallText, uint32(textLength)}, {8, 0, smallIndex + grow, indexLength}}},
		{smallNames, nameNode{1, 0, smallNames + 20, 5, 7, [5]byte{}}},
		{smallNames + 20, ebc("hello", 8)},
		{smallPMAR, programAttributes{30, 3, 9, [4]uint8{0xc2, 0xc0, 0x0c, 0x12}, 0, 0, uint32(textLength), 0, 0, [4]byte{}, 0, 0}},
		{smallPMAR + 30, loaderAttributes{98, [2]uint8{0x80, 0x40}, 0, 0, 2, uint32(textLength), smallText, indexLength, smallIndex + grow,
			60, smallPRDT, 36, smallPRAT, 2, smallList, 1, 0, uint32(textLength), 0, 0, packedDay, packedTime, ebc8("BUILDER"), 0x70, 0, 0, 0, 0, 0}},
		{smallPRAT, pageTable{ebc8("IEWPRAT"), 36, 1, [3]byte{}, 2, 2, 2, 7}},
		{smallPRAT + 28, []uint16{20, 40, 60, 0}},
		{smallPRDT, pageData{ebc8("IEWPRDT"), 20, 1, [3]byte{}, 60}},
		{smallPRDT + 20, page(0, [4]byte{0x47, 0, 0, 0})}, {smallPRDT + 32, []byte{1, 0, 0, 1, 0, 24, 0, 0}},
		{smallPRDT + 40, page(1, [4]byte{0x58, 0xf0, 0x30, 0})}, {smallPRDT + 52, []byte{1, 0, 0, 1, 0, 24, 0, 0}},
		{smallList, listHeader{ebc8("IEWLIDX"), 20, 1, [3]byte{}, 1}}, {smallList + 20, listEntry{2, [3]byte{}, smallList + 32, 60}},
		{smallList + 32, ebc("IEWPSEGM", 60)},
		{smallList + 92, listHeader{ebc8("IEWPGSTB"), 20, 1, [3]byte{}, 0}},
		{smallText, smallCode(textLength)},
		{int64(smallZap + grow), []zapRow{{packedDay, ebc8("UJ12345")}, {packedDay, ebc8("UJ54321")}}},
		{int64(smallUser + grow), []userRow{{packedDay, 8, [80]byte(ebc(" NOXPLNK", 80))}, {packedDay, 3, [80]byte(ebc("FIX", 80))}}},
		{int64(smallIDRL + grow), []translatorRow{{ebc10("5650ZOS"), [2]byte{2, 5}, packedDay}, {ebc10("569623400"), [2]byte{1, 6}, packedDay}, {ebc10("5650ZOS"), [2]byte{2, 5}, packedDay}}},
		{int64(smallIDRB + grow), binderRow{ebc10("5695PMB01"), [2]byte{2, 5}, packedDay, packedTime, uint32(textLength), 80, [80]byte(ebc("c89 ---", 80))}},
		{int64(smallESD + grow), make([]byte, 144)},
	}
	return append(m, index...).encode(t, int64(smallSize+grow))
}

// smallCode is text with a stamp to which a PPA2 points, one with a service level
// behind it, and digits that are neither.
func smallCode(length int) []byte {
	b := bytes.Repeat([]byte{0x07}, length)
	copy(b, []byte{0x47, 0, 0, 0})
	copy(b[4096:], []byte{0x58, 0xf0, 0x30, 0})
	copy(b[smallPPA2-smallText:], []byte{3, 0, 0x22, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, smallStamp - smallPPA2})
	copy(b[smallStamp-smallText:], ebc("20250210123456020500", 20))
	copy(b[smallService-smallText:], append(ebc("20250210123457020500", 20), append([]byte{0, 7}, ebc("HLE77D0", 7)...)...))
	copy(b[300:], ebc("20250210123458020500", 20))
	return b
}

// smallBinderIndex maps the named classes. type is the size of an entry, length the
// number of entries.
func smallBinderIndex(at uint32, class map[string]recordDecl) (module, uint32) {
	names := []string{"B_TEXT", "B_IDRZ", "B_IDRU", "B_IDRL", "B_IDRB", "B_ESD"}
	head := func(kind string, count int) indexTable {
		return indexTable{ebc8("IEWBXLF"), 24, 2, [3]byte{}, [4]byte(ebc(kind, 4)), uint32(count)}
	}
	h := indexHeader{ebc8("IEWBXLF"), 48, 3, [3]byte{}, [4]byte(ebc("INDX", 4)), at + 48, 0, 0, 0, 0, 0, 0}
	var places []uint32
	var texts bytes.Buffer
	first := h.Names + 24 + 4*uint32(len(names))
	for _, n := range names {
		places = append(places, first+uint32(texts.Len()))
		fmt.Fprintf(&texts, "\x01\x00%c%s", len(n), ebc(n, len(n)))
	}
	h.Sections = (first + uint32(texts.Len()) + 3) / 4 * 4
	h.Classes = h.Sections + 24 + 56
	h.Map = h.Classes + 24 + uint32(38*len(names)+3)/4*4
	h.End = h.Map + 24 + 32*uint32(len(names)+2)
	m := module{{int64(at), h}, {int64(h.Names), head("NAME", len(names))}, {int64(h.Names + 24), places}, {int64(first), texts.Bytes()},
		{int64(h.Sections), head("PSEC", 1)}, {int64(h.Sections + 24), ebc("", 56)}, {int64(h.Classes), head("PCLS", len(names))},
		{int64(h.Map), head("PMAP", len(names)+2)}, {int64(h.Map + 24), mapRow{Next: 32 * uint32(len(names)+1), Type: 0xd4}}}
	for i, n := range names {
		c, flags, next := class[n], uint8(0x60), 32*uint32(i+2)
		if n == "B_TEXT" {
			flags = 0
		}
		if i == len(names)-1 {
			next = 0
		}
		m = append(m, piece{int64(h.Classes + 24 + 38*uint32(i)), classRow{Name: uint32(i + 1), Length: c.Length, Address: 0x22f848f8 + 16*uint32(i)}},
			piece{int64(h.Map + 24 + 32*uint32(i+1)), mapRow{next, 0xc3, flags, 0x6a, uint32(i + 1), c.Offset, c.Length, c.Type, 4, ebc8("NONE")}})
	}
	return append(m, piece{int64(h.End - 32), mapRow{Type: 0xc5}}), h.End - at
}

// The small program object is written to testdata for the tests of other packages,
// since there is no binder here.
func TestSmallIsKept(t *testing.T) {
	golden := filepath.Join("testdata", "small.po")
	if *update {
		if err := os.WriteFile(golden, small(t, 8192), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, small(t, 8192)) {
		t.Errorf("%s is another program object, run with -update if that is meant", golden)
	}
}

func TestTypesGiveTheSameBytesBack(t *testing.T) {
	for name, b := range map[string][]byte{"small": small(t, 8192), "gencert": nil} {
		t.Run(name, func(t *testing.T) {
			if b == nil {
				b = realFile(t)
			}
			m := decode(t, b)
			if back := m.encode(t, int64(len(b))); !bytes.Equal(back, b) {
				t.Error("the bytes written differ from those read")
			}
			t.Logf("%d pieces", len(m))
		})
	}
}
