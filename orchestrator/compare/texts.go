// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/zfarm/zfarm/orchestrator/compare/textdiff"
	"golang.org/x/text/encoding/charmap"
)

const (
	maxText  = 2 << 20 // a longer text is compared as bytes
	maxLines = 200_000 // as is one of more lines
	maxEdits = 1000
	maxLine  = 300
)

// texts are two members that are both text, decoded by their tags.
type texts struct {
	rawA, rawB []byte
	a, b       []string // lines
	codePages  bool     // the same text in two code pages
}

// readTexts reads both files if they are text; nil if one is not.
func readTexts(a, b file) (*texts, error) {
	if a.size > maxText || b.size > maxText || !likelyText(a) || !likelyText(b) {
		return nil, nil
	}
	rawA, err := io.ReadAll(io.NewSectionReader(a.r, 0, a.size))
	if err != nil {
		return nil, fmt.Errorf("reading text of A: %w", err)
	}
	rawB, err := io.ReadAll(io.NewSectionReader(b.r, 0, b.size))
	if err != nil {
		return nil, fmt.Errorf("reading text of B: %w", err)
	}
	textA, okA := decode(rawA, a.tag)
	textB, okB := decode(rawB, b.tag)
	if !okA || !okB || strings.Count(textA, "\n") > maxLines || strings.Count(textB, "\n") > maxLines {
		return nil, nil
	}
	return &texts{rawA: rawA, rawB: rawB, a: textdiff.Lines(textA), b: textdiff.Lines(textB), codePages: textA == textB}, nil
}

// likelyText rules out what has a NUL near its beginning.
func likelyText(f file) bool {
	buf := make([]byte, min(f.size, 4096))
	n, _ := f.r.ReadAt(buf, 0) // what cannot be read fails again where it is compared
	return bytes.IndexByte(buf[:n], 0) < 0
}

// decode returns the text of b as its file tag says, and whether it is one.
func decode(b []byte, tag string) (string, bool) {
	if bytes.IndexByte(b, 0) >= 0 {
		return "", false
	}
	flag, page, _ := strings.Cut(tag, " ")
	if flag == "1" {
		if m := codePage(page); m != nil {
			return decodeWith(b, m), true
		}
	}
	return string(b), utf8.Valid(b)
}

// decodeBest decodes a piece of a text that decode takes.
func decodeBest(b []byte, tag string) string {
	if s, ok := decode(b, tag); ok {
		return s
	}
	return string(b)
}

// codePage returns the code page of that number, if text in it must be decoded.
func codePage(number string) *charmap.Charmap {
	switch number {
	case "37":
		return charmap.CodePage037
	case "819":
		return charmap.ISO8859_1
	case "1047":
		return charmap.CodePage1047
	case "1140":
		return charmap.CodePage1140
	}
	return nil
}

// decodeWith decodes byte by byte. In EBCDIC the newline is NEL (0x15); it
// changes places with LF, so that different bytes stay different text.
func decodeWith(b []byte, m *charmap.Charmap) string {
	var out strings.Builder
	out.Grow(len(b))
	for _, c := range b {
		r := m.DecodeByte(c)
		if m != charmap.ISO8859_1 {
			switch r {
			case '\u0085':
				r = '\n'
			case '\n':
				r = '\u0085'
			}
		}
		out.WriteRune(r)
	}
	return out.String()
}

// cause says what kind of difference between texts it is, where that is clear.
func (t *texts) cause() string {
	switch {
	case t == nil:
		return ""
	case t.codePages:
		return "the same text in another code page"
	case textdiff.Permuted(t.a, t.b):
		return "the same lines in another order"
	}
	return ""
}

// hunk shows the lines that differ.
func (t *texts) hunk() string {
	if t.codePages {
		return ""
	}
	edits, _ := textdiff.Diff(t.a, t.b, maxEdits)
	return textdiff.Unified(t.a, t.b, edits, maxHunk, func(s string) string { return printable(s, maxLine) })
}

// firstDifference is the first byte at which they differ.
func (t *texts) firstDifference() int64 {
	n := min(len(t.rawA), len(t.rawB))
	for i := range n {
		if t.rawA[i] != t.rawB[i] {
			return int64(i)
		}
	}
	return int64(n)
}

// substituted returns the known value that, put in the place of the other,
// makes B of A.
func (t *texts) substituted(known []knownValue) (Finding, bool) {
	for _, k := range known {
		if !bytes.Contains(t.rawA, []byte(k.a)) {
			continue
		}
		if bytes.Equal(bytes.ReplaceAll(t.rawA, []byte(k.a), []byte(k.b)), t.rawB) {
			return k.finding(t.firstDifference()), true
		}
	}
	return Finding{}, false
}
