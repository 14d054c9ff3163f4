// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package progobj names the parts of a program object in a z/OS UNIX file: the
// module that the binder makes of object files and the loader runs.
//
// The layout was measured on files of format 3; docs/formats/progobj.md lists it as
// tables, each with its source. Numbers are big-endian, text is EBCDIC. In short: a
// header declares records (names, attributes, page relocation, loader index, text,
// binder index), and the binder index maps the classes, among them the
// identification records (IDR) that say what made the module, when, and who zapped
// it.
//
// Every byte has a span. Bytes without a known layout are "po.unknown". Bytes
// between parts are "po.padding", which should be zero but often holds leftovers of
// the binder's buffers. A position alone never makes bytes a stamp: bytes that
// overlap with another part, or whose map contradicts the attributes, are never
// masked.
//
// The package reads files; orchestrator/compare judges differences.
package progobj

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// ErrFormat says that the file is not a program object with a readable header.
var ErrFormat = errors.New("not a readable program object")

const (
	eyecatcher = "\xc9\xc5\xe6\xd7\xd3\xd4\xc8\x40" // IEWPLMH in EBCDIC

	headerSize = 24
	declSize   = 12
	maxRecords = 64
	maxFaults  = 32
)

// Names of bytes that belong to no part.
const (
	unknown  = "po.unknown"
	padding  = "po.padding"
	trailing = "po.trailing"
	text     = "po.text"
)

// Is reports whether head begins a program object.
func Is(head []byte) bool { return bytes.HasPrefix(head, []byte(eyecatcher)) }

// field is a range of fixed length in a region, or in each of its periods.
type field struct {
	name           string
	offset, length int64
	kind           span.Kind
	read           func([]byte) span.Value
}

// region is one part of the file. Its fields are sorted and do not overlap; bytes
// outside them have the region's name.
type region struct {
	start, end int64
	name       string
	period     int64 // 0: the fields occur once
	fields     []field
}

// File is a program object with an index of its parts. It is a span.Layout, and
// safe for concurrent use.
type File struct {
	r       io.ReaderAt
	size    int64
	regions []region // cover the file without gaps
	// stamps are the offsets of compile times in text, checksums those of page
	// checksums; both are sorted.
	stamps, checksums []int64
	faults            []string
	// plain is set if the parts contradict each other, so that the position of
	// bytes does not prove what they are.
	plain bool
}

// Open reads the parts of the program object in r, size bytes long. It reads text
// once or twice, in windows, and keeps less than 4 MiB in memory. An error wraps
// ErrFormat or comes from r. Damage behind the header is not an error but a fault,
// and its bytes are "po.unknown".
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	h, err := f.readHeader()
	if err != nil {
		return nil, err
	}
	if h.size != size {
		f.fault("the header declares %d bytes, the file has %d", h.size, size)
	}
	records, regions := f.records(h)
	regions = append(regions, h.region())
	attributes, err := f.attributes(records)
	if err != nil {
		return nil, err
	}
	index, mapped, err := f.index(records)
	if err != nil {
		return nil, err
	}
	regions = append(append(regions, attributes...), index...)
	for _, kind := range []recordType{recordNode, recordName, recordPRAT, recordPRDT, recordLoader, recordText} {
		more, err := f.simple(kind, records)
		if err != nil {
			return nil, err
		}
		regions = append(regions, more...)
	}
	f.cover(regions, h.size, mapped)
	if err := f.findStamps(); err != nil {
		return nil, err
	}
	if err := f.findChecksums(records); err != nil {
		return nil, err
	}
	return f, nil
}

// Faults returns the contradictions in the file as messages; at most 32.
func (f *File) Faults() []string { return slices.Clone(f.faults) }

func (f *File) fault(format string, args ...any) {
	if len(f.faults) < maxFaults {
		f.faults = append(f.faults, fmt.Sprintf(format, args...))
	}
}

// read reads n bytes at offset. The caller checks the bounds, so every error is a
// read error.
func (f *File) read(what string, offset int64, n int) ([]byte, error) {
	buf := make([]byte, n)
	if got, err := f.r.ReadAt(buf, offset); got < n {
		return nil, fmt.Errorf("reading %s at byte %d: %w", what, offset, orEOF(err))
	}
	return buf, nil
}

func orEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// within reports whether a range lies in the file.
func (f *File) within(offset, length int64) bool {
	return offset >= 0 && length >= 0 && offset <= f.size && length <= f.size-offset
}

// cover sorts the regions, turns overlapping ones into unknown bytes, and adds
// regions for the gaps. Gaps are padding if the map of the module was read, and
// unknown otherwise.
func (f *File) cover(regions []region, declared int64, mapped bool) {
	sort.SliceStable(regions, func(i, j int) bool { return regions[i].start < regions[j].start })
	var kept []region
	for _, g := range regions {
		if g.start >= g.end {
			continue
		}
		if n := len(kept); n > 0 && g.start < kept[n-1].end {
			f.fault("%s at byte %d overlaps with %s", g.name, g.start, kept[n-1].name)
			f.plain = true
			kept[n-1] = region{start: kept[n-1].start, end: max(kept[n-1].end, g.end), name: unknown}
			continue
		}
		kept = append(kept, g)
	}
	between := unknown
	if mapped && !f.plain {
		between = padding
	}
	at := int64(0)
	gap := func(to int64) {
		if middle := min(max(declared, at), to); at < to {
			f.add(region{start: at, end: middle, name: between})
			f.add(region{start: middle, end: to, name: trailing})
		}
	}
	for _, g := range kept {
		gap(g.start)
		f.add(g)
		at = g.end
	}
	gap(f.size)
}

func (f *File) add(g region) {
	if g.start < g.end {
		f.regions = append(f.regions, g)
	}
}

// regionAt returns the region that contains the byte.
func (f *File) regionAt(offset int64) (region, bool) {
	i := sort.Search(len(f.regions), func(i int) bool { return f.regions[i].end > offset })
	if offset < 0 || i == len(f.regions) {
		return region{}, false
	}
	return f.regions[i], true
}

// At returns the span that contains the byte. Every byte of the file has one.
func (f *File) At(offset int64) (span.Span, bool) {
	g, ok := f.regionAt(offset)
	if !ok {
		return span.Span{}, false
	}
	s := g.at(offset)
	if g.name == text {
		s = f.stampAt(offset, s)
	}
	if g.name == prdt {
		s = f.checksumAt(offset, s)
	}
	if f.plain {
		s.Kind, s.Read = span.Plain, nil
	}
	return s, true
}

// at returns the field that contains the byte, or the range between two fields.
func (g region) at(offset int64) span.Span {
	base, limit := g.start, g.end
	if g.period > 0 {
		base += (offset - g.start) / g.period * g.period
		limit = min(limit, base+g.period)
	}
	next := limit
	for i := len(g.fields) - 1; i >= 0; i-- {
		d := g.fields[i]
		from, to := base+d.offset, base+d.offset+d.length
		switch {
		case to > limit: // the last period is incomplete
		case offset < from:
			next = from
		case offset < to:
			return span.Span{Name: d.name, Offset: from, Length: d.length, Kind: d.kind, Read: d.read}
		default:
			return span.Span{Name: g.name, Offset: to, Length: next - to}
		}
	}
	return span.Span{Name: g.name, Offset: base, Length: next - base}
}

// End returns the offset at which the byte's span ends or a smaller one within it
// begins, at most limit.
func (f *File) End(offset, limit int64) int64 {
	s, ok := f.At(offset)
	if !ok {
		return limit
	}
	limit = min(limit, s.Offset+s.Length)
	marks := f.checksums
	if s.Name == text {
		marks = f.stamps
	}
	if i := sort.Search(len(marks), func(i int) bool { return marks[i] > offset }); i < len(marks) {
		limit = min(limit, marks[i])
	}
	return limit
}

func u16(b []byte) int64 { return int64(binary.BigEndian.Uint16(b)) }
func u32(b []byte) int64 { return int64(binary.BigEndian.Uint32(b)) }
