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

// surroundings holds both files around a byte that differs, to search for an
// explanation.
// Normally it holds the files as they are. Where the format cuts a text into pieces
// (over records or cards), it holds that text joined; bytes between the pieces are
// never explained by it.
type surroundings struct {
	a, b io.ReaderAt
	size int64
	at   int64 // offset of the byte
	// pieces are the ranges of the text in both files; nil if a and b are the files
	// themselves.
	pieces []span.Stretch
	piece  int // index in pieces of the one that holds the byte
}

// surroundings returns those of the byte at offset at. The pieces of a text must be
// the same in both files. With shifted set they only need to agree up to
// the byte and may differ behind it.
func (d *difference) surroundings(at int64, shifted bool) (surroundings, error) {
	raw := surroundings{a: d.a.R, b: d.b.R, size: min(d.a.Size, d.b.Size), at: at}
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
	textA, err := readPieces(d.a.R, piecesA)
	if err != nil {
		return raw, err
	}
	textB, err := readPieces(d.b.R, piecesB)
	if err != nil {
		return raw, err
	}
	w := surroundings{a: bytes.NewReader(textA), b: bytes.NewReader(textB), size: int64(min(len(textA), len(textB))), pieces: piecesA, piece: i}
	for _, p := range piecesA[:i] {
		w.at += p.Length
	}
	w.at += at - piecesA[i].Offset
	return w, nil
}

// reach is how many bytes of a text to read on either side of a byte.
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

// readPieces reads the pieces of a file into one slice.
func readPieces(r io.ReaderAt, pieces []span.Stretch) ([]byte, error) {
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

// fileOffset returns the file offset of byte at of the text.
func (w surroundings) fileOffset(at int64) int64 {
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

// inFile translates the offsets of an explanation to those of the file. It cuts the
// explanation at the end of the piece that holds the byte: other pieces are
// explained separately.
func (w surroundings) inFile(x explanation) explanation {
	if w.pieces == nil {
		return x
	}
	x.finding.Offset = w.fileOffset(x.finding.Offset)
	x.end = min(w.fileOffset(x.end-1)+1, w.pieces[w.piece].End())
	return x
}

// inSamePart reports whether both files assign the bytes [from, to) to the part given,
// as one stretch or cut into pieces.
func (d *difference) inSamePart(w surroundings, from, to int64, part span.Span) bool {
	for from < to {
		at := w.fileOffset(from)
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

// upTo returns how many bytes of the text lie between the file offsets at and next.
func (w surroundings) upTo(at, next int64) int64 {
	for _, p := range w.pieces {
		if at >= p.Offset && at < p.End() {
			return min(next, p.End()) - at
		}
	}
	return next - at
}
