// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/judge/stamp"
)

// around is both files around a byte that differs, to look for what explains
// it: as they are, or, where their format cuts a text into pieces, only that
// text. What stands between the pieces is never explained by it.
type around struct {
	a, b io.ReaderAt
	size int64
	at   int64 // of the byte
	// pieces are where the text stands in both files; nil if the files are
	// there as they are.
	pieces []span.Stretch
	piece  int // in which the byte lies
}

// around returns the surroundings of a byte. The pieces of a text must be the
// same in both files, but in shifted ones, where they may come apart behind
// the byte.
func (d *difference) around(at int64, shifted bool) (around, error) {
	raw := around{a: d.a.R, b: d.b.R, size: min(d.a.Size, d.b.Size), at: at}
	inA, okA := d.inA.Layout.(span.Joiner)
	inB, okB := d.inB.Layout.(span.Joiner)
	if !okA || !okB {
		return raw, nil
	}
	piecesA, piecesB := inA.Joined(at, d.reach()), inB.Joined(at, d.reach())
	i := slices.IndexFunc(piecesA, func(s span.Stretch) bool { return at >= s.Offset && at < s.End() })
	switch {
	case i < 0 || len(piecesB) <= i:
		return raw, nil
	case !shifted && !slices.Equal(piecesA, piecesB):
		return raw, nil
	case shifted && (!slices.Equal(piecesA[:i], piecesB[:i]) || piecesA[i].Offset != piecesB[i].Offset || at >= piecesB[i].End()):
		return raw, nil
	}
	textA, err := joined(d.a.R, piecesA)
	if err != nil {
		return raw, err
	}
	textB, err := joined(d.b.R, piecesB)
	if err != nil {
		return raw, err
	}
	w := around{a: bytes.NewReader(textA), b: bytes.NewReader(textB), size: int64(min(len(textA), len(textB))), pieces: piecesA, piece: i}
	for _, p := range piecesA[:i] {
		w.at += p.Length
	}
	w.at += at - piecesA[i].Offset
	return w, nil
}

// reach is how far a text must be seen to either side.
func (d *difference) reach() int64 {
	n := stamp.Reach
	for _, k := range d.j.known {
		n = max(n, len(k.a)+1, len(k.b)+1)
	}
	if len(d.rules) > 0 {
		n = max(n, reach)
	}
	return int64(n)
}

// joined reads pieces of a File, one behind the other.
func joined(r io.ReaderAt, pieces []span.Stretch) ([]byte, error) {
	var out []byte
	for _, p := range pieces {
		from := len(out)
		out = append(out, make([]byte, p.Length)...)
		if n, err := r.ReadAt(out[from:], p.Offset); n < len(out)-from {
			return nil, fmt.Errorf("reading %d bytes at %d: %w", p.Length, p.Offset, err)
		}
	}
	return out, nil
}

// place returns where a byte stands in the file.
func (w around) place(at int64) int64 {
	for _, p := range w.pieces {
		if at < p.Length {
			return p.Offset + at
		}
		at -= p.Length
	}
	if n := len(w.pieces); n > 0 {
		return w.pieces[n-1].End() + at
	}
	return at
}

// inFile gives an explanation the places of the file. It explains no more than
// the piece of the byte: the others are looked at for themselves.
func (w around) inFile(x explanation) explanation {
	if w.pieces == nil {
		return x
	}
	x.finding.Offset = w.place(x.finding.Offset)
	x.end = min(w.place(x.end-1)+1, w.pieces[w.piece].End())
	return x
}

// alike reports whether the bytes from from to to are the same part of both
// files, or the same cut into pieces.
func (d *difference) alike(w around, from, to int64, part span.Span) bool {
	for from < to {
		at := w.place(from)
		sa, _ := d.inA.At(at)
		sb, _ := d.inB.At(at)
		if sa.Name != part.Name || sa.Kind != part.Kind || !sa.Same(sb) && (sa.Name != "" || sb.Name != "") {
			return false
		}
		next := min(d.inA.End(at, at+to-from), d.inB.End(at, at+to-from))
		if next <= at {
			return false
		}
		from += w.upTo(at, next)
	}
	return true
}

// upTo returns how many bytes of the text stand from at to next.
func (w around) upTo(at, next int64) int64 {
	for _, p := range w.pieces {
		if at >= p.Offset && at < p.End() {
			return min(next, p.End()) - at
		}
	}
	return next - at
}
