// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"iter"
	"math/bits"
)

// set holds workers as bits, by their position in the decision's list.
type set []uint64

func newSet(size int) set { return make(set, (size+63)/64) }

func (s set) clone() set     { return append(set(nil), s...) }
func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) remove(i int)   { s[i/64] &^= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s set) copyFrom(t set) { copy(s, t) }
func (s set) empty() bool    { return !s.meets(s) }

func (s set) count() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// meets reports whether s and t have a worker in common.
func (s set) meets(t set) bool {
	for k := range s {
		if s[k]&t[k] != 0 {
			return true
		}
	}
	return false
}

// intersect removes the workers that are not in t.
func (s set) intersect(t set) {
	for k := range s {
		s[k] &= t[k]
	}
}

// all yields the positions in order.
func (s set) all() iter.Seq[int] { return s.in(s) }

// in yields the positions that are in t too, in order.
func (s set) in(t set) iter.Seq[int] {
	return func(yield func(int) bool) {
		for k := range s {
			for word := s[k] & t[k]; word != 0; word &= word - 1 {
				if !yield(64*k + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}
