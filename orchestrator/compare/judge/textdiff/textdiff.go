// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package textdiff compares texts line by line with the algorithm of Myers ("An
// O(ND) Difference Algorithm and Its Variations", 1986). The effort is bounded:
// texts that differ in too many places are reported as a single replacement.
//
// It works on decoded text and holds all of it in memory.
package textdiff

import (
	"fmt"
	"slices"
	"strings"
)

// Edit replaces the lines [A0, A1) of one text by the lines [B0, B1) of the other.
type Edit struct {
	A0, A1, B0, B1 int
}

// Lines splits a text into lines, each with its newline.
func Lines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// Diff returns the edits that turn a into b, in order. It searches for up to limit
// single insertions and deletions. If there are more, it returns one edit from the
// first to the last line that differs, and false.
func Diff(a, b []string, limit int) ([]Edit, bool) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	whole := Edit{head, len(a) - tail, head, len(b) - tail}
	if whole.A0 == whole.A1 && whole.B0 == whole.B1 {
		return nil, true
	}
	ia, ib := number(a[whole.A0:whole.A1], b[whole.B0:whole.B1])
	edits, ok := myers(ia, ib, limit)
	if !ok {
		return []Edit{whole}, false
	}
	for i := range edits {
		edits[i].A0 += head
		edits[i].A1 += head
		edits[i].B0 += head
		edits[i].B1 += head
	}
	return edits, true
}

// number gives equal lines equal numbers, which are faster to compare.
func number(a, b []string) (ia, ib []int32) {
	seen := make(map[string]int32, len(a))
	all := func(lines []string) []int32 {
		out := make([]int32, len(lines))
		for i, s := range lines {
			n, ok := seen[s]
			if !ok {
				n = int32(len(seen))
				seen[s] = n
			}
			out[i] = n
		}
		return out
	}
	return all(a), all(b)
}

// myers finds the shortest edit script of at most limit steps. For each number of
// steps it stores how far each diagonal reached, and then walks back.
func myers(a, b []int32, limit int) ([]Edit, bool) {
	limit = min(limit, len(a)+len(b))
	v := make([]int, 2*limit+3)
	mid := limit + 1
	var trace [][]int
	for d := 0; d <= limit; d++ {
		for k := -d; k <= d; k += 2 {
			x := v[mid+k-1] + 1
			if k == -d || k != d && v[mid+k-1] < v[mid+k+1] {
				x = v[mid+k+1]
			}
			y := x - k
			for x < len(a) && y < len(b) && a[x] == b[y] {
				x, y = x+1, y+1
			}
			v[mid+k] = x
			if x >= len(a) && y >= len(b) {
				return walkBack(trace, len(a), len(b)), true
			}
		}
		trace = append(trace, slices.Clone(v[mid-d-1:mid+d+2]))
	}
	return nil, false
}

// walkBack converts the trace into edits. trace[d] holds diagonals -d-1 to d+1.
func walkBack(trace [][]int, x, y int) []Edit {
	var edits []Edit
	for d := len(trace); d > 0; d-- {
		v, mid := trace[d-1], d
		k := x - y
		down := k == -d || k != d && v[mid+k-1] < v[mid+k+1]
		prev := k - 1
		if down {
			prev = k + 1
		}
		px := v[mid+prev]
		py := px - prev
		e := Edit{px, px + 1, py, py}
		if down {
			e = Edit{px, px, py, py + 1}
		}
		// Edits are found from last to first; adjacent ones are joined.
		if n := len(edits); n > 0 && edits[n-1].A0 == e.A1 && edits[n-1].B0 == e.B1 {
			edits[n-1].A0, edits[n-1].B0 = e.A0, e.B0
		} else {
			edits = append(edits, e)
		}
		x, y = px, py
	}
	slices.Reverse(edits)
	return edits
}

// Permuted reports whether b has the lines of a in another order.
func Permuted(a, b []string) bool {
	if len(a) != len(b) || slices.Equal(a, b) {
		return false
	}
	count := make(map[string]int, len(a))
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		if count[s]--; count[s] < 0 {
			return false
		}
	}
	return true
}

// context is how many equal lines are shown around an edit.
const context = 3

// Unified formats edits as a unified diff of at most limit bytes. clean makes a
// line, without its newline, safe to show.
func Unified(a, b []string, edits []Edit, limit int, clean func(string) string) string {
	var out strings.Builder
	for i := 0; i < len(edits); {
		j := i + 1
		for j < len(edits) && edits[j].A0-edits[j-1].A1 <= 2*context {
			j++
		}
		if !hunk(&out, a, b, edits[i:j], limit, clean) {
			break
		}
		i = j
	}
	return out.String()
}

const more = "...\n"

// hunk writes one hunk and reports whether there was room for all of it.
func hunk(out *strings.Builder, a, b []string, edits []Edit, limit int, clean func(string) string) bool {
	first, last := edits[0], edits[len(edits)-1]
	a0, b0 := max(first.A0-context, 0), max(first.B0-context, 0)
	lead := min(first.A0-a0, first.B0-b0)
	a0, b0 = first.A0-lead, first.B0-lead
	rest := min(len(a)-last.A1, len(b)-last.B1, context)
	put := func(s string) bool {
		if out.Len()+len(s)+len(more) > limit {
			if out.Len()+len(more) <= limit {
				out.WriteString(more)
			}
			return false
		}
		out.WriteString(s)
		return true
	}
	lines := func(mark string, lines []string) bool {
		for _, s := range lines {
			if !put(mark + clean(strings.TrimSuffix(s, "\n")) + "\n") {
				return false
			}
		}
		return true
	}
	if !put(fmt.Sprintf("@@ -%s +%s @@\n", place(a0, last.A1+rest-a0), place(b0, last.B1+rest-b0))) {
		return false
	}
	at := a0
	for _, e := range edits {
		if !lines(" ", a[at:e.A0]) || !lines("-", a[e.A0:e.A1]) || !lines("+", b[e.B0:e.B1]) {
			return false
		}
		at = e.A1
	}
	return lines(" ", a[at:at+rest])
}

// place formats the range of a hunk; an empty range is numbered after the line
// before it.
func place(from, count int) string {
	if count > 0 {
		from++
	}
	return fmt.Sprintf("%d,%d", from, count)
}
