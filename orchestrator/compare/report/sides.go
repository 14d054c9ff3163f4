// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/hex"
	"strings"

	"github.com/zfarm/zfarm/workers/codepage"
)

// row is one line of a hunk, with both sides beside each other.
type row struct {
	// Head is text across both sides, such as the position; "" for lines.
	Head string
	// Left and Right are the two sides, nil if a side has no line.
	Left, Right []stretch
	// Same is set if both sides have the same line, Hex if it shows bytes.
	Same, Hex bool
}

// stretch is a part of a line; Mark is set if it differs from the other side.
type stretch struct {
	Text string
	Mark bool
}

// rows splits a hunk into rows: removed lines beside the lines that replace them.
func rows(hunk string) []row {
	var out []row
	var gone, come []string
	flush := func() {
		for i := range max(len(gone), len(come)) {
			out = append(out, memberPair(gone, come, i))
		}
		gone, come = nil, nil
	}
	for line := range strings.Lines(hunk) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "-"):
			if len(come) > 0 {
				flush()
			}
			gone = append(gone, line[1:])
		case strings.HasPrefix(line, "+"):
			come = append(come, line[1:])
		default:
			flush()
			if text, ok := strings.CutPrefix(line, " "); ok || line == "" {
				whole := []stretch{{Text: text}}
				out = append(out, row{Left: whole, Right: whole, Same: true})
			} else {
				out = append(out, row{Head: line})
			}
		}
	}
	flush()
	return out
}

// memberPair returns the row of line i of both sides; a side without that line is
// nil.
func memberPair(gone, come []string, i int) row {
	var a, b string
	inA, inB := i < len(gone), i < len(come)
	if inA {
		a = gone[i]
	}
	if inB {
		b = come[i]
	}
	hexA, okA := hexOf(a)
	hexB, okB := hexOf(b)
	if okA == inA && okB == inB {
		return row{Left: hexA.beside(hexB), Right: hexB.beside(hexA), Hex: true}
	}
	switch {
	case !inA:
		return row{Right: []stretch{{b, true}}}
	case !inB:
		return row{Left: []stretch{{a, true}}}
	}
	l, r := marked(a, b)
	return row{Left: l, Right: r}
}

// marked marks the parts between the common beginning and end of two lines.
func marked(a, b string) (left, right []stretch) {
	ra, rb := []rune(a), []rune(b)
	from := 0
	for from < len(ra) && from < len(rb) && ra[from] == rb[from] {
		from++
	}
	end := 0
	for end < len(ra)-from && end < len(rb)-from && ra[len(ra)-1-end] == rb[len(rb)-1-end] {
		end++
	}
	cut := func(r []rune) []stretch {
		out := []stretch{}
		for i, s := range []string{string(r[:from]), string(r[from : len(r)-end]), string(r[len(r)-end:])} {
			if s != "" {
				out = append(out, stretch{s, i == 1})
			}
		}
		return out
	}
	return cut(ra), cut(rb)
}

// hexLine is a row of bytes as bytediff.Hex writes it.
type hexLine struct {
	offset string
	bytes  []byte
}

// perLine is how many bytes one row shows.
const perLine = 16

// hexOf parses a row of bytes, without its sign.
func hexOf(line string) (hexLine, bool) {
	offset, rest, ok := strings.Cut(strings.TrimPrefix(line, " "), "  ")
	if !ok || len(offset) < 8 || strings.Trim(offset, "0123456789abcdef") != "" {
		return hexLine{}, false
	}
	digits, _, _ := strings.Cut(rest, " ")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) == 0 || len(b) > perLine {
		return hexLine{}, false
	}
	return hexLine{offset, b}, true
}

// beside returns the bytes as hexadecimal, as ASCII and as IBM-1047, with those
// marked that differ from other; nil if there are no bytes.
func (h hexLine) beside(other hexLine) []stretch {
	if len(h.bytes) == 0 {
		return nil
	}
	var out stretches
	out.add(h.offset+" ", false)
	for i := range perLine {
		if i%4 == 0 {
			out.add(" ", i > 0 && h.marks(other, i) && h.marks(other, i-1))
		}
		if i < len(h.bytes) {
			out.add(hex.EncodeToString(h.bytes[i:i+1]), h.marks(other, i))
		} else {
			out.add("  ", false)
		}
	}
	for n, text := range [][]byte{h.bytes, codepage.Latin1(h.bytes)} {
		out.add("  ", false)
		for i, c := range text {
			if c < ' ' || c > '~' {
				c = '.'
			}
			out.add(string(rune(c)), h.marks(other, i))
		}
		if n == 0 {
			out.add(strings.Repeat(" ", perLine-len(text)), false)
		}
	}
	return out
}

func (h hexLine) marks(other hexLine, i int) bool {
	return i < len(h.bytes) && (i >= len(other.bytes) || h.bytes[i] != other.bytes[i])
}

// stretches builds a line.
type stretches []stretch

func (p *stretches) add(text string, mark bool) {
	if text == "" {
		return
	}
	if n := len(*p); n > 0 && (*p)[n-1].Mark == mark {
		(*p)[n-1].Text += text
		return
	}
	*p = append(*p, stretch{text, mark})
}
