// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"fmt"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// recordType is the type of a record.
type recordType int64

// The types of records declared in the header.
const (
	recordNode       recordType = 1 // offsets of the names
	recordName       recordType = 2 // the names
	recordAttributes recordType = 3 // PMAR and PMARL
	recordPRAT       recordType = 4 // page relocation address table
	recordPRDT       recordType = 5 // page relocation data table
	recordLoader     recordType = 6 // loader index, segments
	recordText       recordType = 7 // text that is loaded at once
	recordIndex      recordType = 8 // binder index
)

const (
	prdt   = "prdt"
	loader = "lidx"
)

// declaration is the range of a record.
type declaration struct {
	kind           recordType
	offset, length int64
}

// header is the first part of the file.
type header struct {
	length int64 // with its declarations
	size   int64 // declared size of the module
	decls  []declaration
}

func (f *File) readHeader() (header, error) {
	if f.size < headerSize {
		return header{}, fmt.Errorf("%w: %d bytes are less than its header has", ErrFormat, f.size)
	}
	b, err := f.read("header", 0, headerSize)
	if err != nil {
		return header{}, err
	}
	if !Is(b) {
		return header{}, fmt.Errorf("%w: it does not begin with IEWPLMH", ErrFormat)
	}
	h := header{length: u32(b[8:]), size: u32(b[16:])}
	count := u32(b[20:])
	if count > maxRecords {
		return header{}, fmt.Errorf("%w: %d records are declared; at most %d are read", ErrFormat, count, maxRecords)
	}
	if h.length < headerSize+count*declSize || h.length > f.size {
		return header{}, fmt.Errorf("%w: a header of %d bytes with %d records in a file of %d bytes", ErrFormat, h.length, count, f.size)
	}
	if b, err = f.read("record declarations", headerSize, int(count*declSize)); err != nil {
		return header{}, err
	}
	for ; len(b) > 0; b = b[declSize:] {
		h.decls = append(h.decls, declaration{recordType(u16(b)), u32(b[4:]), u32(b[8:])})
	}
	return h, nil
}

// region returns the region of the header.
func (h header) region() region {
	g := region{end: h.length, name: unknown, fields: []field{
		{name: "po.header.eyecatcher", length: 8},
		{name: "po.header.length", offset: 8, length: 4},
		{"po.header.version", 12, 1, span.Fixed, number},
		{name: "po.header.reserved", offset: 13, length: 3},
		{name: "po.header.size", offset: 16, length: 4},
		{name: "po.header.records", offset: 20, length: 4},
	}}
	for i := range h.decls {
		at, name := int64(headerSize+i*declSize), fmt.Sprintf("po.record.%d.", i+1)
		g.fields = append(g.fields,
			field{name: name + "type", offset: at, length: 2},
			field{name: name + "reserved", offset: at + 2, length: 2},
			field{name: name + "offset", offset: at + 4, length: 4},
			field{name: name + "length", offset: at + 8, length: 4})
	}
	return g
}

// records returns the readable records: of known type, declared once, within the
// file. The bytes of others are unknown.
func (f *File) records(h header) (records map[recordType]declaration, others []region) {
	records = map[recordType]declaration{}
	for i, d := range h.decls {
		_, twice := records[d.kind]
		switch {
		case !f.within(d.offset, d.length):
			f.fault("record %d lies outside of the file", i+1)
			continue
		case d.kind < recordNode || d.kind > recordIndex:
			f.fault("record %d is of the unknown type %d", i+1, d.kind)
		case twice:
			f.fault("record %d is the second of type %d", i+1, d.kind)
			f.plain = true
		default:
			records[d.kind] = d
			continue
		}
		others = append(others, region{start: d.offset, end: d.offset + d.length, name: unknown})
	}
	return records, others
}

// simple returns the regions of records without stamps.
func (f *File) simple(kind recordType, records map[recordType]declaration) ([]region, error) {
	d, ok := records[kind]
	if !ok {
		return nil, nil
	}
	g := region{start: d.offset, end: d.offset + d.length, name: text}
	switch kind {
	case recordNode:
		g.name, g.fields = "po.names", []field{{name: "po.names.count", length: 4}}
	case recordName:
		return f.names(d, records[recordNode])
	case recordPRAT:
		g.name = "prat"
	case recordPRDT:
		g.name = prdt
	case recordLoader:
		return f.loaderIndex(d)
	}
	return []region{g}, nil
}

// maxNames bounds the names, of the module and its aliases, that have fields of
// their own.
const maxNames = 1024

// names returns the region of the names. Each name to which the node points is a
// field.
func (f *File) names(d, node declaration) ([]region, error) {
	const head, entry = 4, 16
	g := region{start: d.offset, end: d.offset + d.length, name: "po.names.text"}
	if node.length < head {
		return []region{g}, nil
	}
	b, err := f.read("names", node.offset, int(min(node.length, head+maxNames*entry)))
	if err != nil {
		return nil, err
	}
	at, count := int64(0), u32(b)
	for b = b[head:]; count > 0 && len(b) >= entry; count, b = count-1, b[entry:] {
		from, length := u32(b[4:])-d.offset, u16(b[8:])
		if from < at || length == 0 || length > d.length-from {
			f.fault("a name lies outside of the names")
			break
		}
		g.fields = append(g.fields, field{"po.name", from, length, span.Fixed, ebcdic})
		at = from + length
	}
	return []region{g}, nil
}

// loaderIndex returns the regions of the loader index and of the tables behind it
// to which it points.
func (f *File) loaderIndex(d declaration) ([]region, error) {
	const head, entry = 20, 12
	whole := []region{{start: d.offset, end: d.offset + d.length, name: loader}}
	if d.length < head {
		return whole, nil
	}
	b, err := f.read("loader index", d.offset, head)
	if err != nil {
		return nil, err
	}
	count := u32(b[16:])
	at, end := d.offset+head+count*entry, d.offset+d.length
	if count > maxRecords || at > end {
		f.fault("the loader index declares %d tables", count)
		return whole, nil
	}
	if b, err = f.read("loader index", d.offset+head, int(count*entry)); err != nil {
		return nil, err
	}
	regions := []region{{start: d.offset, end: at, name: loader}}
	for ; len(b) > 0; b = b[entry:] {
		from, length := u32(b[4:]), u32(b[8:])
		if from < at || length > end-from {
			f.fault("a table of the loader index lies outside of it")
			return whole, nil
		}
		g, err := f.table(from, length)
		if err != nil {
			return nil, err
		}
		regions = append(regions, region{start: at, end: from, name: loader}, g)
		at = from + length
	}
	regions = append(regions, region{start: at, end: end, name: loader})
	gaps, err := f.gaps(end)
	return append(regions, gaps...), err
}

// table returns the region of a table of the loader index, named after its
// eyecatcher.
func (f *File) table(from, length int64) (region, error) {
	g := region{start: from, end: from + length, name: loader + ".table"}
	if length < 8 {
		return g, nil
	}
	b, err := f.read("loader table", from, 8)
	if err != nil {
		return g, err
	}
	switch ebcdic(b).Text {
	case "IEWPSEGM":
		g.name = "psegm"
	case "IEWPDSIT":
		g.name = "pdsit"
	}
	return g, nil
}

// gaps returns the region of the table of gaps in text, which follows the loader
// index and is not declared.
func (f *File) gaps(from int64) ([]region, error) {
	const head, entry = 20, 8
	if !f.within(from, head) {
		return nil, nil
	}
	b, err := f.read("table of gaps", from, head)
	if err != nil || ebcdic(b[:8]).Text != "IEWPGSTB" {
		return nil, err
	}
	length := head + u32(b[16:])*entry
	if !f.within(from, length) {
		f.fault("the table of gaps lies outside of the file")
		return nil, nil
	}
	return []region{{start: from, end: from + length, name: "pgstb"}}, nil
}
