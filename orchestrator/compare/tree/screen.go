// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"golang.org/x/sync/errgroup"
)

// extent says how closely a pair of members must be compared.
type extent uint8

const (
	extentNone extent = iota // all bytes are the same, headers included
	extentHeader
	extentAll
	extentUnpaired // the names differ and only their sums are the same
)

const (
	maxScreens  = 4       // concurrent screeners
	screenBytes = 8 << 20 // of A in one batch, about
	screenMost  = 4096    // members in one batch
	screenPiece = 256 << 10
)

// screen finds the pairs that differ, several batches at once. equal is the length
// of the common beginning of both files.
func (c *comparison) screen(ctx context.Context, a, b *tree, p *pairing, equal int64) ([]extent, error) {
	extents := make([]extent, a.index.len())
	next := batches(&a.index)
	g, ctx := errgroup.WithContext(ctx)
	for range min(maxScreens, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			s := newScreener(a, b, c.limits.pax(), equal)
			for {
				from, to := next()
				if from == to {
					return nil
				}
				if err := s.batch(ctx, p, extents, from, to); err != nil {
					return err
				}
			}
		})
	}
	return extents, g.Wait()
}

// batches returns a function that returns the next batch of members at each call,
// and an empty one at the end. Callers may share it.
func batches(r *memberIndex) func() (from, to int) {
	var lock sync.Mutex
	at := 0
	return func() (int, int) {
		lock.Lock()
		defer lock.Unlock()
		first := at
		for at < r.len() && at-first < screenMost {
			begin, _ := r.span(first)
			_, end := r.span(at)
			at++
			if end-begin >= screenBytes {
				break
			}
		}
		return first, at
	}
}

// screener compares the bytes of paired members, and parses headers only if they
// differ.
type screener struct {
	a, b   *tree
	equal  int64
	inA    *headers
	inB    *headers
	pieces twoPieces
	// states is the last pair that sameGlobals compared, agree the result.
	states [2]int
	agree  bool
}

func newScreener(a, b *tree, l pax.Limits, equal int64) *screener {
	return &screener{a: a, b: b, equal: equal, inA: a.headers(l), inB: b.headers(l), agree: true,
		pieces: twoPieces{a: piece{r: a.data, size: a.size}, b: piece{r: b.data, size: b.size}}}
}

func (s *screener) batch(ctx context.Context, p *pairing, extents []extent, from, to int) error {
	for i := from; i < to; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		j, ok := p.partner(i)
		if !ok {
			continue
		}
		var err error
		if extents[i], err = s.pair(i, j); err != nil {
			return err
		}
	}
	return nil
}

// pair says how closely a pair must be compared.
func (s *screener) pair(i, j int) (extent, error) {
	fromA, toA := s.a.index.span(i)
	fromB, toB := s.b.index.span(j)
	whole := toA-fromA == toB-fromB
	same := int64(0) // length of the common beginning, from the first header on
	if whole && s.sameGlobals(s.a.index.state(i), s.b.index.state(j)) {
		if fromA == fromB && toA <= s.equal {
			return extentNone, nil
		}
		var err error
		if same, err = s.pieces.same(fromA, fromB, toA-fromA); err != nil {
			return 0, err
		}
		if same == toA-fromA {
			return extentNone, nil
		}
	}
	ma, err := s.inA.at(i)
	if err != nil {
		return 0, err
	}
	mb, err := s.inB.at(j)
	if err != nil {
		return 0, err
	}
	return s.members(ma, mb, same)
}

// sameGlobals reports whether two sets of global records are the same. It caches
// the last answer, since one set is in force for many members.
func (s *screener) sameGlobals(a, b int) bool {
	if asked := [2]int{a, b}; s.states != asked {
		s.states = asked
		s.agree = slices.Equal(s.a.index.globals(a), s.b.index.globals(b))
	}
	return s.agree
}

// members says the same for a pair whose headers were read. same is the length of
// the common beginning.
func (s *screener) members(a, b *pax.Member, same int64) (extent, error) {
	if keyOf(a) != keyOf(b) {
		return extentUnpaired, nil
	}
	if a.Size != b.Size {
		return extentAll, nil
	}
	if headerA := a.Offset - a.Header; headerA == b.Offset-b.Header {
		switch {
		case same >= headerA+a.Size:
			return extentHeader, nil // only the padding differs
		case same >= headerA:
			return extentAll, nil
		}
	}
	done, err := s.pieces.same(a.Offset, b.Offset, a.Size)
	if err != nil {
		return 0, err
	}
	if done < a.Size {
		return extentAll, nil
	}
	return extentHeader, nil
}

// piece is a part of a file that is in memory.
type piece struct {
	r    io.ReaderAt
	size int64
	at   int64
	buf  []byte
}

// bytes returns the bytes from offset at on that are in memory, at least one. They
// are valid until the next call.
func (p *piece) bytes(at int64) ([]byte, error) {
	if from := at - p.at; from >= 0 && from < int64(len(p.buf)) {
		return p.buf[from:], nil
	}
	if p.buf == nil {
		p.buf = make([]byte, 0, min(screenPiece, p.size))
	}
	want := int(min(int64(cap(p.buf)), p.size-at))
	p.at, p.buf = at, p.buf[:max(want, 0)]
	n, err := p.r.ReadAt(p.buf, at)
	if n < want || want <= 0 {
		p.buf = p.buf[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading at byte %d: %w", at, err)
	}
	return p.buf, nil
}

type twoPieces struct{ a, b piece }

// same returns how many bytes from offsets atA and atB on are the same, at most n.
func (t *twoPieces) same(atA, atB, n int64) (int64, error) {
	for done := int64(0); done < n; {
		inA, err := t.a.bytes(atA + done)
		if err != nil {
			return 0, err
		}
		inB, err := t.b.bytes(atB + done)
		if err != nil {
			return 0, err
		}
		m := int(min(int64(len(inA)), int64(len(inB)), n-done))
		if !bytes.Equal(inA[:m], inB[:m]) {
			return done + firstDifference(inA[:m], inB[:m]), nil
		}
		done += int64(m)
	}
	return n, nil
}

// firstDifference returns the index of the first byte that differs.
func firstDifference(a, b []byte) int64 {
	const step = 512
	at := 0
	for at+step <= len(a) && bytes.Equal(a[at:at+step], b[at:at+step]) {
		at += step
	}
	for at < len(a) && a[at] == b[at] {
		at++
	}
	return int64(at)
}
