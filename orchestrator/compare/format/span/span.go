// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package span names ranges of bytes within a file, so that a difference can be
// reported by the part it lies in. The packages of formats (see
// orchestrator/compare/format/elf) make spans; orchestrator/compare uses them.
package span

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"sort"
	"time"
)

// Kind says how the bytes of a span may be explained.
type Kind int8

// The kinds.
const (
	// Plain bytes have a name and nothing more.
	Plain Kind = iota
	// Digest bytes are computed from the rest of the file: they differ if and only
	// if something else differs.
	Digest
	// Stamp bytes are a time of the build in a form that the format fixes; the
	// span's Read parses it. Bytes that do not parse are not a stamp.
	Stamp
	// Owner bytes name who built the file.
	Owner
	// Fixed bytes must be the same in both files: the product and version of a
	// tool, a zap, an attribute. They are never masked, whatever the values are.
	Fixed
	// Code bytes are instructions. No rule of a recipe applies to them.
	Code
	// Strings bytes are texts, each terminated by a NUL.
	Strings
)

// Value is the meaning of the bytes of a span.
type Value struct {
	// Text is the value for display.
	Text string
	// From and To bound the moments that a Stamp may denote, both included, as if
	// its zone were UTC. They are zero if the bytes are not a time. A date alone
	// denotes a whole day.
	From, To time.Time
	// Zoned is set if the time is known to be in UTC; otherwise it may be in any
	// zone.
	Zoned bool
}

// Span is one named range.
type Span struct {
	// Name is the field of a finding, e.g. "elf.text".
	Name           string
	Offset, Length int64
	Kind           Kind
	// Read returns the meaning of all bytes of the span; nil if it is unknown.
	Read func([]byte) Value
}

// Same reports whether two spans are the same part in two files.
func (s Span) Same(o Span) bool {
	return s.Name == o.Name && s.Offset == o.Offset && s.Length == o.Length && s.Kind == o.Kind
}

// Layout returns the span of any byte of a file. Formats with few parts use a Map;
// those with many compute spans when asked.
type Layout interface {
	At(offset int64) (Span, bool)
	End(offset, limit int64) int64
}

// Stretch is a range of bytes in a file.
type Stretch struct{ Offset, Length int64 }

// End returns the offset of the first byte behind the range.
func (s Stretch) End() int64 { return s.Offset + s.Length }

// Joiner is a Layout of a format that splits texts over records, so that a text
// that is contiguous in memory is not so in the file.
type Joiner interface {
	Layout
	// Joined returns, in order, the pieces of the text that contains the byte at
	// offset, reach bytes of it to either side. It returns nil if the byte is not
	// in such a text.
	Joined(offset, reach int64) []Stretch
}

// Map is a Layout over a list of spans.
type Map struct {
	spans  []Span
	pieces []piece
}

// piece is a range that belongs to one span, or to none (-1).
type piece struct {
	from int64
	span int
}

// NewMap returns a Map over spans. Where spans overlap, the shorter one wins,
// because it is more specific; of equally long ones, the first in the list.
func NewMap(spans []Span) Map {
	kept := make([]Span, 0, len(spans))
	edges := make([]int64, 0, 2*len(spans))
	for _, s := range spans {
		if s.Length > 0 && s.Offset >= 0 && s.Offset <= math.MaxInt64-s.Length {
			kept = append(kept, s)
			edges = append(edges, s.Offset, s.Offset+s.Length)
		}
	}
	slices.SortStableFunc(kept, func(a, b Span) int { return cmp.Compare(a.Offset, b.Offset) })
	slices.Sort(edges)
	m := Map{spans: kept}
	open := &shortest{spans: kept}
	next := 0
	for _, at := range slices.Compact(edges) {
		for next < len(kept) && kept[next].Offset == at {
			heap.Push(open, next)
			next++
		}
		for len(open.items) > 0 && kept[open.items[0]].Offset+kept[open.items[0]].Length <= at {
			heap.Pop(open)
		}
		p := piece{at, -1}
		if len(open.items) > 0 {
			p.span = open.items[0]
		}
		if n := len(m.pieces); n == 0 || m.pieces[n-1].span != p.span {
			m.pieces = append(m.pieces, p)
		}
	}
	return m
}

// shortest is a heap of spans, shortest first.
type shortest struct {
	spans []Span
	items []int
}

func (h *shortest) Len() int { return len(h.items) }

func (h *shortest) Less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	return cmp.Or(cmp.Compare(h.spans[a].Length, h.spans[b].Length), cmp.Compare(a, b)) < 0
}

func (h *shortest) Swap(i, j int) { h.items[i], h.items[j] = h.items[j], h.items[i] }

func (h *shortest) Push(x any) { h.items = append(h.items, x.(int)) }

func (h *shortest) Pop() any {
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	return last
}

// at returns the index of the piece that contains the byte, -1 before the first.
func (m Map) at(offset int64) int {
	return sort.Search(len(m.pieces), func(i int) bool { return m.pieces[i].from > offset }) - 1
}

// At returns the span that contains the byte.
func (m Map) At(offset int64) (Span, bool) {
	i := m.at(offset)
	if i < 0 || m.pieces[i].span < 0 {
		return Span{}, false
	}
	return m.spans[m.pieces[i].span], true
}

// End returns the first offset behind offset at which that byte's span ends or the
// next one begins, at most limit.
func (m Map) End(offset, limit int64) int64 {
	if i := m.at(offset) + 1; i < len(m.pieces) {
		return min(limit, m.pieces[i].from)
	}
	return limit
}
