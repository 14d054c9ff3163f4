// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Bounds on the index of a file, together below 64 MiB. Parts beyond them have no
// name of their own: their bytes are "goff.txt" or "goff.unknown".
const (
	maxModules = 1 << 16
	maxItems   = 1 << 17
	maxName    = 64 // bytes kept of a name
)

// Types of symbols that hold text.
const (
	elementType = 1
	partType    = 3
)

// File is an object file with an index of its parts. It is a span.Layout, and safe
// for concurrent use.
type File struct {
	r       io.ReaderAt
	size    int64
	modules []module
	items   []item
	stamps  []compiled
	fault   error

	mu   sync.Mutex
	last lastRecord
	lost int64 // card known to belong to no record, counted from 1
}

// module is the range of one object module and of its items.
type module struct {
	begin, end int64
	items      [2]int
}

// item is a symbol that text is placed in.
type item struct {
	id, owner uint32
	kind      byte
	twice     bool // two symbols have this id
	name      string
}

// lastRecord is the record read last, or the offset of a card without one.
type lastRecord struct {
	at, end int64
	raw     record
	// idents are the offsets of identification items, if the record has any.
	idents []int
}

// Open reads the object file in r once, size bytes long. Errors are those of r, or
// wrap ErrFormat if the file does not begin as a module. Fault returns errors
// behind that beginning; the bytes concerned are "goff.unknown".
func Open(r io.ReaderAt, size int64) (*File, error) {
	o := opener{f: &File{r: r, size: size}, cards: newFeed(io.NewSectionReader(r, 0, size), size)}
	o.text.found = &o.f.stamps
	o.text.reserve(size)
	for {
		at := o.cards.at
		raw, ok, err := o.cards.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading GOFF at byte %d: %w", at, err)
		}
		if at == 0 && (!ok || raw.kind() != KindHeader) {
			return nil, fmt.Errorf("%w: it does not begin with a header record", ErrFormat)
		}
		o.record(at, raw, ok)
	}
	switch {
	case size <= 0:
		return nil, fmt.Errorf("%w: it is empty", ErrFormat)
	case o.cards.at != size:
		return nil, fmt.Errorf("reading GOFF at byte %d of %d: %w", o.cards.at, size, io.ErrUnexpectedEOF)
	}
	if o.open {
		o.complain(size, "the last module has no end record")
		o.close(size)
	}
	slices.SortFunc(o.f.stamps, func(a, b compiled) int { return cmp.Compare(a.from, b.from) })
	return o.f, nil
}

// Fault returns the first deviation from the format as an error that wraps
// ErrFormat, or nil.
func (f *File) Fault() error { return f.fault }

// opener reads a file.
type opener struct {
	f       *File
	cards   *feed
	text    scanner
	open    bool // within a module
	records uint32
	// entry is the result of entrySize for the text of one id.
	entry struct {
		id    uint32
		size  int
		known bool
	}
}

func (o *opener) complain(at int64, format string, args ...any) {
	if o.f.fault == nil {
		o.f.fault = fmt.Errorf("%w: at byte %d: %s", ErrFormat, at, fmt.Sprintf(format, args...))
	}
}

// record handles one record, or bytes that are not a record.
func (o *opener) record(at int64, raw record, ok bool) {
	switch {
	case !ok:
		o.complain(at, "no record that can be read")
		return
	case raw.kind() == KindHeader:
		o.begin(at)
		return
	case !o.open:
		o.complain(at, "a record outside of a module")
		return
	}
	o.records++
	switch raw.kind() {
	case KindSymbol:
		o.symbol(raw)
	case KindText:
		o.place(at, raw)
	case KindEnd:
		if count := binary.BigEndian.Uint32(raw[8:]); count != 0 && count != o.records {
			o.complain(at, "a module of %d records says that it has %d", o.records, count)
		}
		o.close(at + int64(len(raw)))
	}
}

func (o *opener) begin(at int64) {
	if o.open {
		o.complain(at, "a module begins before the last one ended")
		o.close(at)
	}
	if len(o.f.modules) == maxModules {
		o.complain(at, "more than %d modules", maxModules)
		return
	}
	n := len(o.f.items)
	o.f.modules = append(o.f.modules, module{at, 0, [2]int{n, n}})
	o.open, o.records, o.entry.known = true, 1, false
}

// close ends the open module.
func (o *opener) close(end int64) {
	m := &o.f.modules[len(o.f.modules)-1]
	m.end, m.items[1] = end, len(o.f.items)
	o.text.end()
	items := o.f.items[m.items[0]:]
	byID := func(a, b item) int { return cmp.Compare(a.id, b.id) }
	if !slices.IsSortedFunc(items, byID) {
		slices.SortStableFunc(items, byID)
	}
	for i := 1; i < len(items); i++ {
		if items[i].id == items[i-1].id {
			items[i].twice, items[i-1].twice = true, true
		}
	}
	o.open = false
}

// symbol stores a symbol that may contain text.
func (o *opener) symbol(raw record) {
	kind := raw[3]
	if kind != elementType && kind != partType || len(o.f.items) == maxItems {
		return
	}
	o.entry.known = false
	from, to := raw.data()
	name := raw.joined(from, min(to, from+maxName))
	o.f.items = append(o.f.items, item{id: binary.BigEndian.Uint32(raw[4:]), owner: binary.BigEndian.Uint32(raw[8:]), kind: kind, name: string(name)})
}

// place passes text on to the scanner.
func (o *opener) place(at int64, raw record) {
	id := binary.BigEndian.Uint32(raw[4:])
	if !o.entry.known || o.entry.id != id {
		m := o.f.modules[len(o.f.modules)-1]
		class, _ := o.f.class(m.items[0], len(o.f.items), id)
		o.entry.id, o.entry.size, o.entry.known = id, entrySize(class), true
	}
	if o.entry.size != noText {
		o.text.take(at, raw, o.entry.size)
	}
}

// noText marks a class that holds no text of the program.
const noText = -1

// entrySize returns the size of the entries of a class that registers PPA2s with
// the run-time, noText for a class of identification records, and 0 for any other.
func entrySize(class string) int {
	switch class {
	case "C_@@QPPA2":
		return 8
	case "C_@@PPA2":
		return 4
	case "B_IDRL", "B_IDRU", "B_IDRZ":
		return noText
	}
	return 0
}

// class returns the names of the class and part of an id among the items [from,
// to). Both are "" if two symbols have the id.
func (f *File) class(from, to int, id uint32) (class, part string) {
	find := func(id uint32) (item, bool) {
		items := f.items[from:to]
		i := sort.Search(len(items), func(i int) bool { return items[i].id >= id })
		if i == len(items) || items[i].id != id || items[i].twice {
			return item{}, false
		}
		return items[i], true
	}
	it, ok := find(id)
	if ok && it.kind == partType {
		part = ebcdic([]byte(it.name))
		it, ok = find(it.owner)
	}
	if !ok || it.kind != elementType {
		return "", ""
	}
	return ebcdic([]byte(it.name)), part
}

// moduleAt returns the module that contains a byte.
func (f *File) moduleAt(offset int64) (module, bool) {
	i := sort.Search(len(f.modules), func(i int) bool { return f.modules[i].begin > offset }) - 1
	if i < 0 || offset >= f.modules[i].end {
		return module{}, false
	}
	return f.modules[i], true
}

// textField returns the field of text by its class and part.
func textField(class, part string) string {
	return strings.TrimSuffix("goff.txt."+class+"."+part, ".")
}

// recordAt returns the record of the card at offset at. Its raw is nil if it cannot
// be read.
func (f *File) recordAt(at int64) lastRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at >= f.last.at && at < f.last.end {
		return f.last
	}
	begin, ok := f.beginOf(at / cardSize)
	if !ok {
		return lastRecord{}
	}
	f.last = f.readChain(begin * cardSize)
	if at >= f.last.end {
		f.lost = at/cardSize + 1
		return lastRecord{}
	}
	return f.last
}

// beginOf searches backwards for the first card of the record that contains card.
// It remembers a card for which the search failed, so that later cards do not
// search past it.
func (f *File) beginOf(card int64) (int64, bool) {
	var prefixes []byte
	low := card + 1
	for i := card; i >= 0 && card-i < maxCards && i != f.lost-1; i-- {
		if i < low {
			next := max(i-63, 0)
			prefixes = make([]byte, (i+1-next)*cardSize)
			if n, _ := f.r.ReadAt(prefixes, next*cardSize); n < len(prefixes) {
				break
			}
			low = next
		}
		c := prefixes[(i-low)*cardSize:]
		if !known(c) {
			break
		}
		if c[1]&continuation == 0 {
			return i, true
		}
	}
	f.lost = card + 1
	return 0, false
}

// readChain reads the record that begins at offset begin.
func (f *File) readChain(begin int64) lastRecord {
	for _, cards := range []int64{8, maxCards + 1} {
		buf := make([]byte, min(cards*cardSize, f.size-begin))
		read, _ := f.r.ReadAt(buf, begin) // unreadable bytes are not a record
		n, whole, short := chain(buf[:read])
		if short && int64(read) == cards*cardSize {
			continue
		}
		k := lastRecord{at: begin, end: begin + int64(max(n, 1))*cardSize}
		if raw := record(buf[:min(n*cardSize, read)]); whole && raw.fits() {
			k.raw = raw
			if raw.kind() == KindText && raw[3]&0x0f == structured {
				k.idents = idents(raw)
			}
		}
		return k
	}
	return lastRecord{}
}
