// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"encoding/binary"
	"sort"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// fieldAt returns the field that contains byte x of a joined record, except for the
// prefix of the first card.
func (f *File) fieldAt(m module, rec lastRecord, x int) field {
	raw := rec.raw
	from, to := raw.data()
	if x >= to {
		return field{from: to, to: raw.size(), name: reservedName}
	}
	if x >= from {
		return f.dataField(m, rec, x)
	}
	rest := field{from: prefixSize, to: from, name: reservedName}
	for _, fd := range head(raw.kind()) {
		switch {
		case fd.to <= x:
			rest.from = max(rest.from, fd.to)
		case fd.from > x:
			rest.to = min(rest.to, fd.from)
		default:
			return fd
		}
	}
	return rest
}

// dataField returns the field of a byte in the variable part of a record.
func (f *File) dataField(m module, rec lastRecord, x int) field {
	raw := rec.raw
	from, to := raw.data()
	plain := func(name string) field { return field{from: from, to: to, name: name} }
	switch raw.kind() {
	case KindHeader:
		return field{from: from, to: to, name: "goff.hdr.properties", kind: span.Fixed, read: readHex}
	case KindSymbol:
		return plain("goff.esd.name")
	case KindRelocations:
		return plain("goff.rld")
	case KindLengths:
		return plain("goff.len")
	case KindEnd:
		return plain("goff.end")
	}
	class, part := f.class(m.items[0], m.items[1], binary.BigEndian.Uint32(raw[4:]))
	switch {
	case class == "":
		return plain(textName)
	case part != "":
		return plain(textField(class, part))
	case class == "B_IDRL" && raw[3]&0x0f == structured:
		return translator(rec, x)
	case class == "B_IDRU":
		return field{from: from, to: to, name: "idru", kind: span.Fixed, read: readText}
	case class == "B_IDRZ":
		return field{from: from, to: to, name: "idrz.zap", kind: span.Fixed, read: readText}
	}
	return plain(textField(class, ""))
}

// Lengths of identification items, in bytes.
const (
	identHead    = 4
	identProduct = 10
	identVersion = 4
	identShort   = 19 // format 1: a date of five digits
	identLong    = 30 // format 3: a date and time of 16
)

// structured is the style of text that consists of records for the binder.
const structured = 1

// idents returns the offsets of the identification items in a joined record, and
// the end of the last. An item is a reserved byte, a type, a length, and that many
// bytes.
func idents(raw record) []int {
	at, to := raw.data()
	out := []int{at}
	for at+identHead <= to {
		n := int(raw[place(at+2)])<<8 | int(raw[place(at+3)])
		if n == 0 || at+identHead+n > to {
			break
		}
		at += identHead + n
		out = append(out, at)
	}
	return out
}

// translator returns the field of a byte in identification data (IDRL).
func translator(rec lastRecord, x int) field {
	i := sort.SearchInts(rec.idents, x+1) - 1
	if from := rec.idents[i]; i+1 < len(rec.idents) {
		return ident(rec.raw.joined(from, rec.idents[i+1]), x-from).move(from)
	}
	_, to := rec.raw.data()
	return field{from: rec.idents[i], to: to, name: "idrl.unknown"}
}

// move shifts a field within a record.
func (fd field) move(by int) field {
	fd.from += by
	fd.to += by
	return fd
}

// ident returns the field of byte x of one item.
func ident(item []byte, x int) field {
	fixed := func(from, to int, name string, read func([]byte) span.Value) field {
		return field{from, to, name, span.Fixed, read, true}
	}
	if x < identHead {
		return fixed(0, identHead, "idrl.format", readHex)
	}
	const product, version = identHead + identProduct, identHead + identProduct + identVersion
	dated := func(read func([]byte) span.Value) field {
		switch {
		case x < product:
			return fixed(identHead, product, "idrl.product", readText)
		case x < version:
			return fixed(product, version, "idrl.version", readText)
		}
		return field{version, len(item), "idrl.translated", span.Stamp, read, true}
	}
	kind, n := item[1], len(item)-identHead
	switch {
	case (kind == 0 || kind == 1) && n == identShort:
		return dated(readShortJulian)
	case (kind == 3 || kind == 4) && n == identLong:
		if assembled(item[identHead:product]) {
			return dated(readJulian)
		}
		return dated(readTranslated)
	case kind == 2:
		return field{identHead, len(item), "idrl.extended", span.Fixed, readText, false}
	}
	return field{from: identHead, to: len(item), name: "idrl.unknown"}
}

// head returns the fields before the variable part. Bytes between them are
// reserved.
// among them is reserved.
func head(k Kind) []field {
	fixed := func(from, to int, name string) field {
		return field{from: from, to: to, name: name, kind: span.Fixed, read: readHex}
	}
	switch k {
	case KindHeader:
		return []field{fixed(48, 52, "goff.hdr.level"), fixed(52, 54, "goff.hdr.length")}
	case KindSymbol:
		return append(attributes(), fixed(3, 4, "goff.esd.type"), fixed(4, 8, "goff.esd.id"), fixed(8, 12, "goff.esd.owner"),
			fixed(16, 20, "goff.esd.offset"), fixed(24, 28, "goff.esd.length"), fixed(28, 32, "goff.esd.extended.id"),
			fixed(32, 36, "goff.esd.extended.offset"), fixed(40, 41, "goff.esd.space"), fixed(41, 42, "goff.esd.flags"),
			fixed(42, 43, "goff.esd.fill"), fixed(44, 48, "goff.esd.associated"), fixed(48, 52, "goff.esd.priority"),
			fixed(52, 60, "goff.esd.signature"), fixed(70, 72, "goff.esd.name.length"))
	case KindText:
		return []field{fixed(3, 4, "goff.place.style"), fixed(4, 8, "goff.place.element"), fixed(12, 16, "goff.place.offset"),
			fixed(16, 20, "goff.place.unpacked"), fixed(20, 22, "goff.place.encoding"), fixed(22, 24, "goff.place.length")}
	case KindEnd:
		plain := func(from, to int) field { return field{from: from, to: to, name: "goff.end"} }
		return []field{plain(3, 5), plain(8, 16), plain(20, 26)}
	case KindRelocations:
		return []field{fixed(4, 6, "goff.rld.length")}
	default:
		return []field{fixed(4, 6, "goff.len.length")}
	}
}

// attributes returns the fields of the behavioural attributes of a symbol.
func attributes() []field {
	var out []field
	add := func(at int, name string, of ...bits) {
		out = append(out, field{from: at, to: at + 1, name: "goff.esd." + name, kind: span.Fixed, read: readBits(of)})
	}
	add(60, "amode", bits{"amode", 0, 8})
	add(61, "rmode", bits{"rmode", 0, 8})
	add(62, "style", bits{"style", 0, 4}, bits{"binding", 4, 4})
	add(63, "executable", bits{"reusability", 0, 3}, bits{"bit 3", 3, 1}, bits{"read-only", 4, 1}, bits{"executable", 5, 3})
	add(64, "strength", bits{"bits 0-1", 0, 2}, bits{"duplicates", 2, 2}, bits{"strength", 4, 4})
	add(65, "loading", bits{"loading", 0, 2}, bits{"common", 2, 1}, bits{"indirect", 3, 1}, bits{"scope", 4, 4})
	add(66, "alignment", bits{"bits 0-1", 0, 2}, bits{"linkage", 2, 1}, bits{"alignment", 3, 5})
	return out
}
