// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
)

const (
	blockSize = 512
	// pieceSize is how many elements a piece of a list holds. Lists grow by pieces,
	// so that growing never holds two copies.
	pieceSize = 1 << 14
	// maxPlace is the largest offset of a member's header: 2 TiB.
	maxPlace = math.MaxUint32 * blockSize
)

// list is a long list in pieces.
type list[T any] struct {
	pieces [][]T
	count  int
}

func (l *list[T]) add(v T) {
	if l.count%pieceSize == 0 {
		l.pieces = append(l.pieces, make([]T, 0, pieceSize))
	}
	last := &l.pieces[len(l.pieces)-1]
	*last = append(*last, v)
	l.count++
}

func (l *list[T]) at(i int) T { return l.pieces[i/pieceSize][i%pieceSize] }

// memberIndex holds, for each member of an archive, a sum of its name and the offset of
// its first header, 12 bytes in all. Everything else is read again when needed.
type memberIndex struct {
	names  list[uint64]
	places list[uint32] // in blocks
	end    int64        // of the last member
	// sum hashes names. It is keyed anew for each comparison, so that nobody can
	// prepare names that collide.
	sum func(string) uint64
	// unsorted is set if names are not in strictly ascending order, so that a name
	// may occur more than once.
	unsorted bool
	last     string
	states   []globals
}

// globals are the global records in force in front of member from and the members
// behind it.
type globals struct {
	from    int
	records []pax.Record
}

// add adds the next member; records are the global records in force.
func (r *memberIndex) add(m *pax.Member, records []pax.Record) error {
	if m.Header > maxPlace {
		return fmt.Errorf("%w: more than %d bytes lie before %q", errTooLarge, int64(maxPlace), codepage.Value(m.Name, verdict.MaxPath))
	}
	key := keyOf(m)
	if r.names.count > 0 && key <= r.last {
		r.unsorted = true
	}
	r.last = key
	r.names.add(r.sum(key))
	r.places.add(uint32(m.Header / blockSize))
	// A Reader makes a new slice whenever they change.
	if n := len(r.states); len(records) > 0 && (n == 0 || &r.states[n-1].records[0] != &records[0]) {
		r.states = append(r.states, globals{r.names.count, records})
	}
	return nil
}

func (r *memberIndex) len() int { return r.places.count }

// span returns the byte range of a member, headers included.
func (r *memberIndex) span(i int) (from, to int64) {
	if i+1 == r.len() {
		to = r.end
	} else {
		to = int64(r.places.at(i+1)) * blockSize
	}
	return int64(r.places.at(i)) * blockSize, to
}

// state returns the number of the set of global records in force in front of a
// member; 0 means none.
func (r *memberIndex) state(i int) int {
	n, found := slices.BinarySearchFunc(r.states, i, func(g globals, i int) int { return cmp.Compare(g.from, i) })
	if found {
		n++
	}
	return n
}

// globals returns the set with that number.
func (r *memberIndex) globals(state int) []pax.Record {
	if state == 0 {
		return nil
	}
	return r.states[state-1].records
}

// sorted returns all members ordered by the sums of their names, then by position.
func (r *memberIndex) sorted() []uint32 {
	out := make([]uint32, r.len())
	for i := range out {
		out[i] = uint32(i)
	}
	slices.SortFunc(out, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(r.names.at(int(a)), r.names.at(int(b))), cmp.Compare(a, b))
	})
	return out
}

// run returns how many members at the beginning of order have the first one's name.
// order must not be empty.
func (r *memberIndex) run(order []uint32) int {
	n := 1
	for n < len(order) && r.names.at(int(order[n])) == r.names.at(int(order[0])) {
		n++
	}
	return n
}

// dropNames frees the names, which are not needed once members are paired.
func (r *memberIndex) dropNames() { r.names = list[uint64]{} }

// pairing says which member of A is paired with which of B.
type pairing struct {
	// samePlace is how many members from the start have the same place in both. partners
	// holds the partners of the members of A behind them, or noPartner.
	samePlace int
	partners  []uint32
	// added are the members that only B has, in their order.
	added    []uint32
	repeated []repeatedName
	names    int // number of names in A and B together, each counted once
}

const noPartner = math.MaxUint32

// repeatedName is a name that occurs more than once: how often in A and B, and its first
// member, in A if there is one.
type repeatedName struct {
	first uint32
	a, b  int
}

// partner returns the member of B that is paired with member i of A.
func (p *pairing) partner(i int) (int, bool) {
	if i < p.samePlace {
		return i, true
	}
	j := p.partners[i-p.samePlace]
	return int(j), j != noPartner
}

// pairUp pairs members by name. Where a name occurs more than once, the first is
// paired with the first.
func pairUp(a, b *memberIndex) *pairing {
	p := &pairing{}
	for p.samePlace < min(a.len(), b.len()) && a.names.at(p.samePlace) == b.names.at(p.samePlace) {
		p.samePlace++
	}
	if p.samePlace == a.len() && p.samePlace == b.len() && !a.unsorted && !b.unsorted {
		p.names = p.samePlace
		return p
	}
	p.partners = make([]uint32, a.len()-p.samePlace)
	for inA, inB := a.sorted(), b.sorted(); len(inA)+len(inB) > 0; p.names++ {
		na, nb := sameName(a, b, inA, inB)
		p.group(inA[:na], inB[:nb])
		inA, inB = inA[na:], inB[nb:]
	}
	slices.Sort(p.added)
	slices.SortFunc(p.repeated, func(x, y repeatedName) int {
		return cmp.Or(cmp.Compare(min(x.a, 1), min(y.a, 1)), cmp.Compare(x.first, y.first))
	})
	return p
}

// sameName returns how many members at the beginning of inA and inB have the
// smallest name sum of both.
func sameName(a, b *memberIndex, inA, inB []uint32) (na, nb int) {
	order := 0
	switch {
	case len(inA) == 0:
		order = 1
	case len(inB) == 0:
		order = -1
	default:
		order = cmp.Compare(a.names.at(int(inA[0])), b.names.at(int(inB[0])))
	}
	if order <= 0 {
		na = a.run(inA)
	}
	if order >= 0 {
		nb = b.run(inB)
	}
	return na, nb
}

// group pairs the members of one name.
func (p *pairing) group(inA, inB []uint32) {
	for n, i := range inA {
		j := uint32(noPartner)
		if n < len(inB) {
			j = inB[n]
		}
		if int(i) >= p.samePlace {
			p.partners[int(i)-p.samePlace] = j
		}
	}
	if len(inB) > len(inA) {
		p.added = append(p.added, inB[len(inA):]...)
	}
	if max(len(inA), len(inB)) > 1 {
		first := append(inA[:len(inA):len(inA)], inB...)[0]
		p.repeated = append(p.repeated, repeatedName{first, len(inA), len(inB)})
	}
}

// headers reads the headers of members in any order.
type headers struct {
	r *pax.Reader
	t *tree
}

func (t *tree) headers(l pax.Limits) *headers {
	return &headers{pax.NewReaderAt(t.data, t.size, l), t}
}

// at returns the headers of one member.
func (h *headers) at(i int) (*pax.Member, error) {
	from, _ := h.t.index.span(i)
	h.r.GoTo(from, h.t.index.globals(h.t.index.state(i)))
	m, err := h.r.Next()
	if err == nil {
		err = h.r.Settle()
	}
	if err == io.EOF { //nolint:errorlint // Next promises io.EOF itself
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("reading the header at %d again: %w", from, err)
	}
	return m, nil
}
