// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"fmt"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// The sections of the attributes record, with the lengths in their first 2 bytes.
// PMARL grew with the formats of program objects.
const (
	pmarLength  = 30
	pmarlAudit  = 64 + 2 // with date, time and user id of saving
	pmarlFormat = pmarlAudit + 16
	pmarlMax    = 1024
	savedLength = 8
)

// attributes returns the region of the record with the attributes of the program
// and who saved it. Only the time and user are ever masked.
func (f *File) attributes(records map[recordType]declaration) ([]region, error) {
	d, ok := records[recordAttributes]
	if !ok {
		f.fault("there is no record of attributes")
		f.plain = true
		return nil, nil
	}
	g := region{start: d.offset, end: d.offset + d.length, name: "pmar.unknown"}
	b, err := f.read("attributes", d.offset, int(min(d.length, pmarLength+pmarlMax)))
	if err != nil {
		return nil, err
	}
	if len(b) < pmarLength+2 || u16(b) != pmarLength {
		f.fault("the attributes are not laid out as known")
		f.plain = true
		return []region{g}, nil
	}
	g.fields = pmarFields()
	pmarl := b[pmarLength:]
	length := u16(pmarl)
	if length < pmarlFormat || length > int64(len(pmarl)) {
		f.fault("the second section of attributes has %d bytes", length)
		f.plain = true
		return []region{g}, nil
	}
	for _, p := range pmarlFields() {
		if p.offset+p.length <= length {
			p.offset += pmarLength
			g.fields = append(g.fields, p)
		}
	}
	f.agree(pmarl, records)
	for i, p := range g.fields {
		if p.kind == span.Owner && !userID(b[p.offset:p.offset+p.length]) {
			g.fields[i].kind = span.Fixed // not a user id, so never masked
		}
	}
	return []region{g}, nil
}

// agree checks that the attributes, which the loader uses, match the declarations,
// which this package uses.
func (f *File) agree(pmarl []byte, records map[recordType]declaration) {
	for _, c := range []struct {
		kind           recordType
		length, offset int
		what           string
	}{{recordText, 10, 14, "text"}, {recordIndex, 18, 22, "the binder index"}} {
		d := records[c.kind]
		if length, offset := u32(pmarl[c.length:]), u32(pmarl[c.offset:]); length != d.length || offset != d.offset {
			f.fault("the attributes place %s at byte %d with %d bytes, the header at byte %d with %d", c.what, offset, length, d.offset, d.length)
			f.plain = true
		}
	}
}

func pmarFields() []field {
	return []field{
		{name: "pmar.length", length: 2},
		{"pmar.level", 2, 1, span.Fixed, number},
		{"pmar.binder", 3, 1, span.Fixed, number},
		{"pmar.attributes1", 4, 1, span.Fixed, bits("RENT", "REUS", "OVLY", "TEST", "LOAD", "SCTR", "EXEC", "1BLK")},
		{"pmar.attributes2", 5, 1, span.Fixed, bits("FLVL", "ORG0", "", "NRLD", "NREP", "TSTN", "", "REFR")},
		{"pmar.attributes3", 6, 1, span.Fixed, bits("", "BIG", "PAGA", "SSI", "APF", "LFMT", "SIGNED", "")},
		{"pmar.modes", 7, 1, span.Fixed, modes},
		{"pmar.attributes5", 8, 1, span.Fixed, bits("", "", "", "", "", "", "", "LONGPARM")},
		{"pmar.ac", 9, 1, span.Fixed, number},
		{name: "pmar.storage", offset: 10, length: 4},
		{"pmar.entry.main", 14, 4, span.Fixed, number},
		{"pmar.entry", 18, 4, span.Fixed, number},
		{"pmar.ssi", 22, 4, span.Fixed, raw},
		{"pmar.extended", 26, 2, span.Fixed, raw},
		{name: "pmar.reserved", offset: 28, length: 2},
	}
}

// pmarlFields returns the fields at their offsets from the start of that section.
// Those behind its end are left out.
func pmarlFields() []field {
	return []field{
		{name: "pmarl.length", length: 2},
		{"pmarl.attributes1", 2, 1, span.Fixed, bits("NMIG", "PRIME", "PACK", "XPLINK", "", "", "", "")},
		{"pmarl.attributes2", 3, 1, span.Fixed, bits("CMPR", "RMODE31.1", "RMODE31.2", "", "ALIGN.1", "ALIGN.2", "FILL", "")},
		{"pmarl.fill", 4, 1, span.Fixed, raw},
		{"pmarl.sublevel", 5, 1, span.Fixed, number},
		{name: "pmarl.pages", offset: 6, length: 4},
		{name: "pmarl.text", offset: 10, length: 8},
		{name: "pmarl.index", offset: 18, length: 8},
		{name: "pmarl.prdt", offset: 26, length: 8},
		{name: "pmarl.prat", offset: 34, length: 8},
		{name: "pmarl.loader", offset: 42, length: 8},
		{name: "pmarl.segments", offset: 50, length: 16},
		{"pmarl.saved", pmarlAudit, savedLength, span.Stamp, bound},
		{"pmarl.userid", pmarlAudit + savedLength, 8, span.Owner, ebcdic},
		{"pmarl.dll", 82, 1, span.Fixed, bits("HIDE", "DLL", "DELETE", "BLIT", "MANGLED", "", "", "")},
		{"pmarl.cms", 83, 1, span.Fixed, raw},
		{name: "pmarl.deferred", offset: 84, length: 10},
		{name: "pmarl.blit", offset: 94, length: 4},
		{"pmarl.attributes3", 98, 1, span.Fixed, bits("RMODE64.1", "RMODE64.2", "", "", "", "", "", "")},
		{name: "pmarl.reserved", offset: 99, length: 7},
	}
}

// bits returns a Read function for a byte of attributes, with names from the
// highest bit down. Bits without a name are shown as numbers.
func bits(names ...string) func([]byte) span.Value {
	return func(b []byte) span.Value {
		var set []string
		for i, name := range names {
			bit := byte(0x80) >> i
			switch {
			case b[0]&bit == 0:
			case name == "":
				set = append(set, fmt.Sprintf("%#02x", bit))
			default:
				set = append(set, name)
			}
		}
		if len(set) == 0 {
			return span.Value{Text: "none"}
		}
		return span.Value{Text: strings.Join(set, " ")}
	}
}

// modes reads the byte with the addressing and residence modes.
func modes(b []byte) span.Value {
	amode := [...]string{"24", "64", "31", "ANY"}
	residence := "24"
	switch {
	case b[0]&0x20 != 0:
		residence = "64"
	case b[0]&0x10 != 0:
		residence = "ANY"
	}
	s := fmt.Sprintf("AMODE %s, of aliases %s, RMODE %s", amode[b[0]&3], amode[b[0]>>2&3], residence)
	if rest := b[0] & 0xc0; rest != 0 {
		s += fmt.Sprintf(", %#02x", rest)
	}
	return span.Value{Text: s}
}
