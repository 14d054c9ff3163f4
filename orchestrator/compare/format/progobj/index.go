// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// The binder index is five tables with the same layout: an eyecatcher, the length
// of the header, a version, a name, and the number of entries. The first table
// holds the offsets of the others instead of a name.
// places of the others instead.
const (
	bxlf      = "IEWBXLF"
	tableHead = 24
	indexHead = 48

	nameEntry    = 4
	sectionEntry = 56
	classEntry   = 38
	mapEntry     = 32

	maxClasses = 4096
	maxEntries = 1 << 24
)

// table is one table of the binder index.
type table struct {
	name          string
	start, end    int64
	count, period int64
}

// entries returns the offset of the first entry.
func (t table) entries() int64 { return t.start + tableHead }

// index returns the regions of the binder index and of the classes in its map.
// mapped is set if the map could be read to its end.
func (f *File) index(records map[recordType]declaration) (regions []region, mapped bool, err error) {
	d, ok := records[recordIndex]
	if !ok {
		f.fault("there is no binder index")
		return nil, false, nil
	}
	whole := []region{{start: d.offset, end: d.offset + d.length, name: "bxlf.unknown"}}
	tables, err := f.tables(d)
	if err != nil || tables == nil {
		return whole, false, err
	}
	regions = []region{{start: d.offset, end: d.offset + indexHead, name: "bxlf.index"}}
	end := d.offset + indexHead
	for _, t := range tables {
		if t.start < end {
			f.fault("the tables of the binder index overlap")
			return whole, false, nil
		}
		regions = append(regions, region{start: end, end: t.start, name: "bxlf.unknown"})
		regions = append(regions, t.regions()...)
		end = t.end
	}
	regions = append(regions, region{start: end, end: d.offset + d.length, name: "bxlf.unknown"})
	classes, mapped, err := f.classes(tables, records[recordText])
	return append(regions, classes...), mapped, err
}

// tables finds the tables of names, sections, classes and parts, in this order,
// which is also their order in the file.
func (f *File) tables(d declaration) ([]table, error) {
	if d.length < indexHead {
		f.fault("the binder index has %d bytes", d.length)
		return nil, nil
	}
	b, err := f.read("binder index", d.offset, indexHead)
	if err != nil {
		return nil, err
	}
	if ebcdic(b[:8]).Text != bxlf || ebcdic(b[16:20]).Text != "INDX" {
		f.fault("the binder index does not begin with its eyecatcher")
		return nil, nil
	}
	end := u32(b[36:])
	if end < d.offset || end > d.offset+d.length {
		f.fault("the binder index ends at byte %d, outside of it", end)
		return nil, nil
	}
	tables := []table{
		{name: "NAME", start: u32(b[20:]), end: u32(b[28:]), period: nameEntry},
		{name: "PSEC", start: u32(b[28:]), end: u32(b[24:]), period: sectionEntry},
		{name: "PCLS", start: u32(b[24:]), end: u32(b[32:]), period: classEntry},
		{name: "PMAP", start: u32(b[32:]), end: end, period: mapEntry},
	}
	for i := range tables {
		if ok, err := f.readTable(&tables[i], d); err != nil || !ok {
			return nil, err
		}
	}
	return tables, nil
}

// readTable reads the header of a table, and reports whether it is valid.
func (f *File) readTable(t *table, d declaration) (bool, error) {
	if t.start < d.offset || t.end > d.offset+d.length || t.end-t.start < tableHead {
		f.fault("the table %s lies outside of the binder index", t.name)
		return false, nil
	}
	b, err := f.read("table "+t.name, t.start, tableHead)
	if err != nil {
		return false, err
	}
	t.count = u32(b[20:])
	if ebcdic(b[:8]).Text != bxlf || ebcdic(b[16:20]).Text != t.name || t.count > min(maxEntries, (t.end-t.entries())/t.period) {
		f.fault("the table %s of the binder index is not laid out as known", t.name)
		return false, nil
	}
	return true, nil
}

// regions returns the regions of a table.
func (t table) regions() []region {
	name := "bxlf." + map[string]string{"NAME": "names", "PSEC": "sections", "PCLS": "classes", "PMAP": "map"}[t.name]
	entries := region{start: t.entries(), end: t.entries() + t.count*t.period, name: name}
	rest := region{start: entries.end, end: t.end, name: "bxlf.unknown"}
	switch t.name {
	case "NAME":
		rest.name = name // the names, each behind a flag and its length
	case "PCLS":
		entries.period = classEntry
		entries.fields = []field{{name: name + ".address", offset: 12, length: 4}}
	}
	return []region{{start: t.start, end: t.entries(), name: name + ".header"}, entries, rest}
}

// classes follows the map of the module from class to class.
func (f *File) classes(tables []table, code declaration) (regions []region, mapped bool, err error) {
	names, parts := tables[0], tables[3]
	at, count := int64(mapEntry), 0
	for ; at != 0; count++ {
		if at > (parts.count-1)*mapEntry || count == maxClasses {
			f.fault("the map of classes leads out of itself")
			return regions, false, nil
		}
		b, err := f.read("map of classes", parts.entries()+at, mapEntry)
		if err != nil {
			return nil, false, err
		}
		if ebcdic(b[4:5]).Text != "C" {
			f.fault("the map of classes leads to something else")
			return regions, false, nil
		}
		name, err := f.className(names, u32(b[8:]))
		if err != nil {
			return nil, false, err
		}
		more, ok := f.class(name, b, code)
		if !ok {
			return regions, false, nil
		}
		regions = append(regions, more...)
		next := u32(b)
		if next != 0 && next <= at || next%mapEntry != 0 {
			f.fault("the map of classes leads back")
			return regions, false, nil
		}
		at = next
	}
	return regions, true, nil
}

// className reads the name with a given number from the table of names; the first
// is 1.
func (f *File) className(names table, index int64) (string, error) {
	const head, longest = 3, 16
	if index < 1 || index > names.count {
		return "", nil
	}
	b, err := f.read("place of a class name", names.entries()+(index-1)*nameEntry, nameEntry)
	if err != nil {
		return "", err
	}
	at := u32(b)
	if at < names.entries() || at > names.end-head {
		return "", nil
	}
	if b, err = f.read("length of a class name", at, head); err != nil {
		return "", err
	}
	length := u16(b[1:])
	if length > longest || length > names.end-at-head {
		return "", nil
	}
	if b, err = f.read("class name", at+head, int(length)); err != nil {
		return "", err
	}
	return ebcdic(b).Text, nil
}

// class returns the regions of a class: text that is loaded, or data of the binder.
// It reports false if the class lies outside the file. Text in the text record has
// a region already.
func (f *File) class(name string, b []byte, code declaration) ([]region, bool) {
	const notLoaded = 0x40
	start, period := u32(b[12:]), u16(b[20:])
	length := u32(b[16:]) * period
	g := region{start: start, end: start + length, name: "po.class." + clean(name)}
	if !f.within(start, length) {
		f.fault("class %s lies outside of the file", g.name)
		return nil, false
	}
	if b[5]&notLoaded == 0 {
		if start >= code.offset && g.end <= code.offset+code.length {
			return nil, true
		}
		g.name = text
		return []region{g}, true
	}
	if fields, ok := identification(name, period); ok {
		g.period, g.fields = period, fields
	}
	return []region{g}, true
}

// identification returns the fields of an entry of identification data (IDR). It
// reports false if name is no such class or the entry size is unknown.
func identification(name string, period int64) ([]field, bool) {
	switch {
	case name == "B_IDRB" && period == 106:
		return []field{
			{"idrb.binder", 0, 12, span.Fixed, product},
			{"idrb.bound", 12, savedLength, span.Stamp, bound},
			{name: "idrb.size", offset: 20, length: 4},
			{"idrb.caller", 24, 82, span.Fixed, counted},
		}, true
	case name == "B_IDRL" && period == 16:
		return []field{
			{"idrl.product", 0, 10, span.Fixed, product},
			{"idrl.version", 10, 2, span.Fixed, raw},
			{"idrl.translated", 12, 4, span.Stamp, translated},
		}, true
	case name == "B_IDRU" && period == 86:
		return []field{
			{"idru.created", 0, 4, span.Stamp, translated},
			{"idru", 4, 82, span.Fixed, counted},
		}, true
	case name == "B_IDRZ" && period > 0:
		return []field{{"idrz.zap", 0, period, span.Fixed, zap}}, true
	}
	return nil, false
}

// zap reads the record of a zap: a date and the name of the change.
func zap(b []byte) span.Value {
	if len(b) <= 4 {
		return raw(b)
	}
	return span.Value{Text: translated(b[:4]).Text + " " + ebcdic(b[4:]).Text}
}

// clean drops from a name the characters that a field's name may not have.
func clean(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("_@#$", c) {
			return c
		}
		return '?'
	}, name)
}
