// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package span names stretches of bytes within a file, so that a difference
// can be told by the part it lies in. The packages that know a format (see
// orchestrator/compare/elf) make spans; orchestrator/compare uses them.
package span

import (
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

// Map finds the span of a byte.
type Map struct {
	spans []Span
}

// NewMap returns a Map over spans. Where spans overlap, the shorter wins, for
// it says more.
func NewMap(spans []Span) Map {
	kept := make([]Span, 0, len(spans))
	for _, s := range spans {
		if s.Length > 0 && s.Offset >= 0 && s.Offset <= math.MaxInt64-s.Length {
			kept = append(kept, s)
		}
	}
	slices.SortStableFunc(kept, func(a, b Span) int {
		switch {
		case a.Offset != b.Offset && a.Offset < b.Offset, a.Offset == b.Offset && a.Length > b.Length:
			return -1
		case a.Offset == b.Offset && a.Length == b.Length:
			return 0
		}
		return 1
	})
	return Map{kept}
}

// lookBack bounds how many spans that begin before a byte are looked at.
const lookBack = 64

// At returns the span in which the byte lies.
func (m Map) At(offset int64) (Span, bool) {
	i := sort.Search(len(m.spans), func(i int) bool { return m.spans[i].Offset > offset })
	var best Span
	for n := 0; n < lookBack && i > 0; n++ {
		i--
		s := m.spans[i]
		if offset < s.Offset+s.Length && (best.Length == 0 || s.Length < best.Length) {
			best = s
		}
	}
	return best, best.Length > 0
}

// End returns where, at or behind offset, the span of that byte ends or the
// next one begins; limit if there is nothing before it.
func (m Map) End(offset, limit int64) int64 {
	if s, ok := m.At(offset); ok {
		limit = min(limit, s.Offset+s.Length)
	}
	i := sort.Search(len(m.spans), func(i int) bool { return m.spans[i].Offset > offset })
	if i < len(m.spans) {
		limit = min(limit, m.spans[i].Offset)
	}
	return limit
}
