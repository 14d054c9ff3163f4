// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package span names stretches of bytes within a file, so that a difference
// can be told by the part it lies in. The packages that know a format (see
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

// Kind says what is known of the bytes of a span.
type Kind int8

// The kinds.
const (
	// Plain bytes: only the name is known.
	Plain Kind = iota
	// Digest bytes follow from the rest of the file: they differ when and only
	// when something else differs.
	Digest
	// Stamp bytes are a time of the build in a form that the format fixes; the
	// span's Read says which. Bytes that are no such time are no stamp.
	Stamp
	// Owner bytes name who built it.
	Owner
	// Fixed bytes must be the same: the product and version of a tool, a zap,
	// an attribute. Whatever the values are, they are never masked.
	Fixed
	// Code bytes are instructions. No rule of a recipe speaks of them.
	Code
	// Strings bytes are texts, each ended by a NUL.
	Strings
)

// Value is what the bytes of a span say.
type Value struct {
	// Text is for people.
	Text string
	// From and To bound the moments that a Stamp may mean, both included, as
	// if its zone were UTC; zero if the bytes are no time. A date alone means
	// a whole day.
	From, To time.Time
	// Zoned says that the zone is known to be UTC; otherwise the time may be
	// that of any zone.
	Zoned bool
}

// Span is one named stretch.
type Span struct {
	// Name is the field a finding has, e.g. "elf.text".
	Name           string
	Offset, Length int64
	Kind           Kind
	// Read says what all bytes of the span mean; nil where that is not known.
	Read func([]byte) Value
}

// Same reports whether two spans are the same part of two files.
func (s Span) Same(o Span) bool {
	return s.Name == o.Name && s.Offset == o.Offset && s.Length == o.Length && s.Kind == o.Kind
}

// Layout knows the span of each byte of a file. Formats with few parts make a
// Map; those with many compute a span when asked.
type Layout interface {
	At(offset int64) (Span, bool)
	End(offset, limit int64) int64
}

// Stretch is where bytes stand in a file.
type Stretch struct{ Offset, Length int64 }

// End returns where the byte behind it stands.
func (s Stretch) End() int64 { return s.Offset + s.Length }

// Joiner is a Layout of a format that cuts texts into pieces and sets records
// around them, so that what is one text in memory is none in the file.
type Joiner interface {
	Layout
	// Joined returns the pieces of the text in which the byte at offset lies, in
	// their order, as far as they hold reach bytes of it to either side; nil
	// where the byte lies in no such text.
	Joined(offset, reach int64) []Stretch
}

// Map finds the span of a byte.
type Map struct {
	spans  []Span
	pieces []piece
}

// piece is a stretch that belongs to one span, or to none (-1).
type piece struct {
	from int64
	span int
}

// NewMap returns a Map over spans. Where spans overlap, the shorter wins, for
// it says more; of equally long ones, the one given first.
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

// shortest is a heap of spans, the shortest first.
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

// at returns the piece in which the byte lies, -1 before the first.
func (m Map) at(offset int64) int {
	return sort.Search(len(m.pieces), func(i int) bool { return m.pieces[i].from > offset }) - 1
}

// At returns the span in which the byte lies.
func (m Map) At(offset int64) (Span, bool) {
	i := m.at(offset)
	if i < 0 || m.pieces[i].span < 0 {
		return Span{}, false
	}
	return m.spans[m.pieces[i].span], true
}

// End returns where, at or behind offset, the span of that byte ends or the
// next one begins; limit if there is nothing before it.
func (m Map) End(offset, limit int64) int64 {
	if i := m.at(offset) + 1; i < len(m.pieces) {
		return min(limit, m.pieces[i].from)
	}
	return limit
}
