// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ar

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

// Symbol is one entry of a symbol table.
type Symbol struct {
	Name string
	// Member is the index of its member among the entries that Open returns, -1 if
	// no member begins at the offset in the table.
	Member int
	// Attributes are the attributes in a table of z/OS, else 0.
	Attributes uint32
}

// Table is a symbol table.
type Table struct {
	// Entry is the index of the table among the entries that Open returns.
	Entry   int
	Symbols []Symbol
	// Hidden sums up bytes of the table that belong to no symbol.
	Hidden container.Hidden
}

// Symbols returns the symbol table of an archive that Open reads; nil if it has
// none. Only the first member can be one. It reads at most Limits.Members symbols.
func Symbols(r io.ReaderAt, size int64, l container.Limits) (*Table, error) {
	a, err := begin(r, size, l)
	if err != nil {
		return nil, err
	}
	table, places := (*member)(nil), map[int64]int{}
	for i := 0; a.at < size; {
		m, err := a.next()
		if err != nil {
			return nil, err
		}
		if m.names {
			continue
		}
		if i == 0 {
			if table = m; !isTable(m.name) {
				return nil, nil
			}
		}
		// Entries are not kept here, but their places take memory from the budget.
		if err := a.budget.Names(m.at, placeSize); err != nil {
			return nil, err
		}
		places[m.at] = i
		i++
	}
	if table == nil {
		return nil, nil
	}
	return a.symbols(table, places, l)
}

func isTable(name string) bool {
	switch name {
	case "/", "/SYM64/", "__.SYMDEF", "__.SYMDEF SORTED", "__.SYMDEF_64", "__.SYMDEF_64 SORTED":
		return true
	}
	return false
}

const (
	placeSize  = 64 // upper bound on the memory of a place
	symbolSize = 48 // upper bound on the memory of a symbol without its name
)

func (a *archive) symbols(m *member, places map[int64]int, l container.Limits) (*Table, error) {
	l = l.WithDefaults()
	if err := a.budget.Names(m.at, m.size); err != nil {
		return nil, err
	}
	content := make([]byte, m.size)
	if err := a.f.Read(content, m.offset); err != nil {
		return nil, err
	}
	d := &decoder{a: a, b: content, at: m.offset, places: places, most: l.Members}
	var err error
	switch {
	case a.ebcdic:
		err = d.systemV(4, true)
	case m.name == "/":
		err = d.systemV(4, false)
	case m.name == "/SYM64/":
		err = d.systemV(8, false)
	default:
		width := 4
		if m.name == "__.SYMDEF_64" || m.name == "__.SYMDEF_64 SORTED" {
			width = 8
		}
		err = d.bsd(width, d.order(width))
	}
	if err != nil {
		return nil, err
	}
	return &d.table, nil
}

// decoder decodes the content of one symbol table.
type decoder struct {
	a      *archive
	b      []byte
	at     int64 // offset of b in the file
	places map[int64]int
	most   int
	table  Table
}

func word(order binary.ByteOrder, b []byte, width int) uint64 {
	if width == 8 {
		return order.Uint64(b)
	}
	return uint64(order.Uint32(b))
}

func (d *decoder) count(n, each uint64, rest int) error {
	if n > uint64(rest)/each {
		return exact.Errorf(d.at, "a symbol table of %d symbols does not fit in %d bytes", n, len(d.b))
	}
	if n > uint64(d.most) {
		return exact.Errorf(d.at, "it has more than %d symbols; raise the limit if this is expected", d.most)
	}
	if err := d.a.budget.Names(d.at, int64(n)*symbolSize); err != nil {
		return err
	}
	d.table.Symbols = make([]Symbol, 0, n)
	return nil
}

func (d *decoder) add(name []byte, member uint64, attributes uint32) {
	at, ok := d.places[int64(member)]
	if !ok {
		at = -1
	}
	d.table.Symbols = append(d.table.Symbols, Symbol{Name: d.a.text(name), Member: at, Attributes: attributes})
}

// systemV reads the number of symbols, the offset of each (on z/OS with
// attributes), and their names in the same order, each terminated by a zero.
func (d *decoder) systemV(width int, attributes bool) error {
	each := width
	if attributes {
		each += 4
	}
	if len(d.b) < width {
		return exact.Errorf(d.at, "a symbol table of %d bytes", len(d.b))
	}
	n := word(binary.BigEndian, d.b, width)
	if err := d.count(n, uint64(each), len(d.b)-width); err != nil {
		return err
	}
	names := d.b[width+int(n)*each:]
	length := int64(len(names))
	if d.a.ebcdic {
		length *= 2 // when decoded to UTF-8
	}
	if err := d.a.budget.Names(d.at, length); err != nil {
		return err
	}
	for i := range int(n) {
		name, rest, ok := bytes.Cut(names, []byte{0})
		if !ok {
			return exact.Errorf(d.at, "the names of a symbol table end before symbol %d of %d", i, n)
		}
		line, attr := d.b[width+i*each:], uint32(0)
		if attributes {
			attr = binary.BigEndian.Uint32(line[width:])
		}
		d.add(name, word(binary.BigEndian, line, width), attr)
		names = rest
	}
	return d.rest(names)
}

// rest hides what follows the symbols; zeros are padding.
func (d *decoder) rest(b []byte) error {
	var h exact.Hidden
	if len(bytes.Trim(b, "\x00")) > 0 {
		if err := h.Add(d.a.f, d.at+int64(len(d.b)-len(b)), int64(len(b))); err != nil {
			return err
		}
	}
	d.table.Hidden = h.Value()
	return nil
}

// order returns the byte order in which the length of the entries fits.
func (d *decoder) order(width int) binary.ByteOrder {
	if len(d.b) >= 2*width && word(binary.LittleEndian, d.b, width) > uint64(len(d.b)-2*width) {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// bsd reads the length of the entries, the entries (offset of the name, offset of
// the member), the length of the names, and the names.
func (d *decoder) bsd(width int, order binary.ByteOrder) error {
	if len(d.b) < 2*width {
		return exact.Errorf(d.at, "a symbol table of %d bytes", len(d.b))
	}
	length := word(order, d.b, width)
	if length > uint64(len(d.b)-2*width) || length%uint64(2*width) != 0 {
		return exact.Errorf(d.at, "the lines of a symbol table of %d bytes are said to have %d", len(d.b), length)
	}
	if err := d.count(length/uint64(2*width), uint64(2*width), int(length)); err != nil {
		return err
	}
	lines, names := d.b[width:width+int(length)], d.b[width+int(length):]
	size := word(order, names, width)
	names = names[width:]
	if size > uint64(len(names)) {
		return exact.Errorf(d.at, "the names of a symbol table of %d bytes are said to have %d", len(d.b), size)
	}
	names, behind := names[:size], names[size:]
	return d.bsdLines(lines, names, behind, width, order)
}

func (d *decoder) bsdLines(lines, names, behind []byte, width int, order binary.ByteOrder) error {
	if err := d.a.budget.Names(d.at, int64(len(names))); err != nil {
		return err
	}
	named := make([]bool, len(names))
	for ; len(lines) > 0; lines = lines[2*width:] {
		from := word(order, lines, width)
		if from >= uint64(len(names)) {
			return exact.Errorf(d.at, "the name of a symbol stands at %d of %d bytes", from, len(names))
		}
		end := bytes.IndexByte(names[from:min(from+maxName, uint64(len(names)))], 0)
		if end < 0 {
			return exact.Errorf(d.at, "the name of a symbol has no end")
		}
		for i := from; i <= from+uint64(end) && !named[i]; i++ {
			named[i] = true
		}
		// Entries may share names, so the names together can be longer than the
		// table.
		if err := d.a.budget.Names(d.at, int64(end)); err != nil {
			return err
		}
		d.add(names[from:from+uint64(end)], word(order, lines[width:], width), 0)
	}
	return d.bsdRest(named, names, behind)
}

// bsdRest hides names without a symbol, and what follows the names.
func (d *decoder) bsdRest(named []bool, names, behind []byte) error {
	var h exact.Hidden
	base := d.at + int64(len(d.b)-len(behind)-len(names))
	for i := 0; i < len(names); i++ {
		from := i
		for i < len(names) && !named[i] {
			i++
		}
		if len(bytes.Trim(names[from:i], "\x00")) > 0 {
			if err := h.Add(d.a.f, base+int64(from), int64(i-from)); err != nil {
				return err
			}
		}
	}
	if len(bytes.Trim(behind, "\x00")) > 0 {
		if err := h.Add(d.a.f, base+int64(len(names)), int64(len(behind))); err != nil {
			return err
		}
	}
	d.table.Hidden = h.Value()
	return nil
}
