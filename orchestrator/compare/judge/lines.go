// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// charset decodes the bytes of a text; the zero value is UTF-8.
type charset struct {
	number  string
	table   []string // nil for UTF-8
	newline byte
}

// charsetOf returns the charset that a file tag names.
func charsetOf(tag string) charset {
	if flag, number, _ := strings.Cut(tag, " "); flag == "1" {
		return charsetNumber(number)
	}
	return charsetNumber("")
}

// charsetNumber returns the charset of a code page by its number, UTF-8 for unknown
// numbers.
func charsetNumber(number string) charset {
	m := codePage(number)
	if m == nil {
		return charset{newline: '\n'}
	}
	p := charset{number: number, newline: '\n', table: make([]string, 256)}
	if m != charmap.ISO8859_1 {
		p.newline = nl
	}
	for c := range 256 {
		r := m.DecodeByte(byte(c))
		// In EBCDIC the newline is NL (15). It is swapped with LF, so that
		// different bytes stay different text.
		if m != charmap.ISO8859_1 {
			switch r {
			case nel:
				r = '\n'
			case '\n':
				r = nel
			}
		}
		p.table[c] = string(r)
	}
	return p
}

const (
	nl  = 0x15     // the newline in EBCDIC
	nel = '\u0085' // the Unicode character of nl
)

// codePage returns the code page of that number if text in it must be decoded, else
// nil.
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

// decode returns b as text, and whether it is valid text.
func (p charset) decode(b []byte) (string, bool) {
	if bytes.IndexByte(b, 0) >= 0 {
		return "", false
	}
	if p.table == nil {
		return string(b), utf8.Valid(b)
	}
	var out strings.Builder
	out.Grow(len(b))
	for _, c := range b {
		out.WriteString(p.table[c])
	}
	return out.String(), true
}

// newlines returns the names, in this charset, of the bytes that decode to LF and
// to NEL.
func (p charset) newlines() [2]string {
	if p.newline == nl {
		return [2]string{"NL", "LF"}
	}
	return [2]string{"LF", "NEL"}
}

// lineReader splits a text into lines and holds one at a time.
type lineReader struct {
	r        io.Reader
	newline  byte
	buf      []byte
	from, to int
	ended    bool
}

// maxPiece bounds the line held in memory; longer ones are returned in pieces.
const maxPiece = 1 << 20

func newLineReader(f File, p charset) *lineReader {
	return &lineReader{r: io.NewSectionReader(f.R, 0, f.Size), newline: p.newline, buf: make([]byte, min(maxPiece, f.Size+1))}
}

// next returns the next line with its newline; it is valid until the next call.
// Only the last line may lack a newline, and pieces of a line that is too long
// (whole is false then). After the last line it returns io.EOF.
func (l *lineReader) next() (line []byte, whole bool, err error) {
	for seen := 0; ; {
		have := l.buf[l.from:l.to]
		if i := bytes.IndexByte(have[seen:], l.newline); i >= 0 {
			l.from += seen + i + 1
			return have[:seen+i+1], true, nil
		}
		seen = len(have)
		switch {
		case l.ended && seen == 0:
			return nil, false, io.EOF
		case l.ended:
			l.from = l.to
			return have, true, nil
		case seen == len(l.buf):
			n := seen
			for n > seen-utf8.UTFMax && n > 1 && !utf8.RuneStart(have[n-1]) {
				n--
			}
			if n > 1 {
				n-- // the last character may be incomplete
			}
			l.from += n
			return have[:n], false, nil
		}
		copy(l.buf, have)
		l.from, l.to = 0, seen
		n, err := l.r.Read(l.buf[l.to:])
		l.to += n
		if err == io.EOF {
			l.ended = true
		} else if err != nil {
			return nil, false, err
		}
	}
}

// summary describes a whole text without holding it.
type summary struct {
	// text, normal and set are sums over the text, over the text with uniform line
	// ends, and over its lines in any order.
	text, normal, set uint64
	lines             int64
	// ends counts the lines by their ending: LF, CRLF, CR, NEL. open says that the
	// last line has none.
	ends [4]int64
	open bool
}

// summarise reads a file; it reports false if it is not text.
func summarise(ctx context.Context, f File, p charset, seed maphash.Seed) (summary, bool, error) {
	var s summary
	var text, normal maphash.Hash
	text.SetSeed(seed)
	normal.SetSeed(seed)
	for in := newLineReader(f, p); ; s.lines++ {
		if s.lines%1024 == 0 && ctx.Err() != nil {
			return s, false, ctx.Err()
		}
		raw, whole, err := in.next()
		if err == io.EOF { //nolint:errorlint // as readers return it
			s.text, s.normal = text.Sum64(), normal.Sum64()
			return s, true, nil
		}
		if err != nil {
			return s, false, fmt.Errorf("reading text: %w", err)
		}
		if p.table == nil && plainLine(raw) {
			s.ends[0]++
			s.open = false
			text.Write(raw)
			normal.Write(raw)
			s.set += maphash.Bytes(seed, raw)
			continue
		}
		line, ok := p.decode(raw)
		if !ok {
			return s, false, nil
		}
		text.WriteString(line)
		plain := s.count(line, whole)
		normal.WriteString(plain)
		s.set += maphash.String(seed, plain)
	}
}

// plainLine reports whether a line is ASCII and ends in LF alone, as most do. It
// needs no decoding.
func plainLine(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf || c == 0 || c == '\r' {
			return false
		}
	}
	return b[len(b)-1] == '\n'
}

// count counts the ending of a line, and returns the line with LF for any ending.
func (s *summary) count(line string, whole bool) string {
	body, ended := strings.CutSuffix(line, "\n")
	body, cr := strings.CutSuffix(body, "\r")
	s.open = !ended && !cr
	switch {
	case ended && cr:
		s.ends[1]++
	case ended:
		s.ends[0]++
	case cr:
		s.ends[2]++
	}
	if strings.ContainsAny(body, "\r\u0085") {
		s.ends[2] += int64(strings.Count(body, "\r"))
		s.ends[3] += int64(strings.Count(body, "\u0085"))
		body = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n").Replace(body)
		if s.open && strings.HasSuffix(body, "\n") {
			s.open, body = false, strings.TrimSuffix(body, "\n")
		}
	}
	if whole {
		body += "\n"
	}
	return body
}

// endings names the line endings of a text.
func (s summary) endings(p charset) string {
	names := p.newlines()
	var out []string
	for i, name := range []string{names[0], "CR " + names[0], "CR", names[1]} {
		if s.ends[i] > 0 {
			out = append(out, name)
		}
	}
	if s.open {
		out = append(out, "nothing (the last)")
	}
	return strings.Join(slices.Compact(out), " and ")
}
