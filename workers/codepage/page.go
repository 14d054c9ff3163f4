// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package codepage

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// EBCDIC has two line ends. The tables of Unicode call 0x15 NEL (U+0085) and
// 0x25 LF; z/OS UNIX ends its lines with 0x15 and so must we.
const (
	ebcdicNewline  = 0x15
	ebcdicLineFeed = 0x25
	nel            = 0x85
)

// page is an EBCDIC code page: a bijection between bytes and U+0000..U+00FF.
type page struct {
	name       string
	toLatin    [256]byte
	fromLatin1 [256]byte
}

func newPage(name string, m *charmap.Charmap) *page {
	p := &page{name: name}
	for b := range 256 {
		p.toLatin[b] = byte(m.DecodeByte(byte(b)))
	}
	p.toLatin[ebcdicNewline], p.toLatin[ebcdicLineFeed] = '\n', nel
	for b, l := range p.toLatin {
		p.fromLatin1[l] = byte(b)
	}
	return p
}

// String returns the name of the code page as z/OS writes it.
func (p *page) String() string { return p.name }

// NewDecoder returns a decoder to UTF-8. It accepts any input.
func (p *page) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: decoder{page: p}}
}

// NewEncoder returns an encoder from UTF-8, which fails for characters above U+00FF and
// for bytes that are not UTF-8.
func (p *page) NewEncoder() *encoding.Encoder {
	return &encoding.Encoder{Transformer: encoder{page: p}}
}

type decoder struct {
	transform.NopResetter
	page *page
}

func (d decoder) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for _, b := range src {
		c := d.page.toLatin[b]
		if c < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = c
			nDst++
		} else {
			if nDst+2 > len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst], dst[nDst+1] = 0xC0|c>>6, 0x80|c&0x3F
			nDst += 2
		}
		nSrc++
	}
	return nDst, nSrc, nil
}

type encoder struct {
	transform.NopResetter
	page *page
}

func (e encoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		r, size := rune(src[nSrc]), 1
		if r >= utf8.RuneSelf {
			if !atEOF && !utf8.FullRune(src[nSrc:]) {
				return nDst, nSrc, transform.ErrShortSrc
			}
			r, size = utf8.DecodeRune(src[nSrc:])
			if r == utf8.RuneError && size == 1 {
				return nDst, nSrc, encoding.ErrInvalidUTF8
			}
			if r > 0xFF {
				return nDst, nSrc, unsupported(r)
			}
		}
		if nDst == len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		dst[nDst] = e.page.fromLatin1[byte(r)]
		nDst++
		nSrc += size
	}
	return nDst, nSrc, nil
}

// unsupported is the error for a character that a code page lacks.
type unsupported rune

func (u unsupported) Error() string {
	return fmt.Sprintf("character %+q (%U) is not in the code page", rune(u), rune(u))
}

// Replacement returns the substitute that golang.org/x/text/encoding.ReplaceUnsupported
// writes for the character: EBCDIC's own, SUB.
func (u unsupported) Replacement() byte { return 0x3F }

// Latin1 reads each byte as IBM-1047 and writes it as ISO 8859-1, so that offsets
// stay what they are. It is for bytes that may be text, or hold some.
func Latin1(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		switch c {
		case ebcdicNewline:
			out[i] = '\n'
		case ebcdicLineFeed:
			out[i] = nel
		default:
			out[i] = byte(charmap.CodePage1047.DecodeByte(c)) // all 256 lie within Latin-1
		}
	}
	return out
}
