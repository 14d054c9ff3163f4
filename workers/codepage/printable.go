// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package codepage

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// Printable returns a transformer that makes foreign UTF-8 text safe to show on a
// terminal or page. Newlines and tabs stay. Whatever could move a cursor, colour, hide
// or reorder text (control characters, format characters such as bidirectional
// overrides, line and paragraph separators, private use) becomes \r, \x1b, \u202e; so
// do bytes that are not UTF-8. A backslash stays as it is: the output is for eyes, not
// for decoding.
func Printable() transform.Transformer { return printable{} }

type printable struct{ transform.NopResetter }

func (printable) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	var escaped [10]byte // \U and eight digits
	for nSrc < len(src) {
		if n := plain(dst[nDst:], src[nSrc:]); n > 0 {
			nDst, nSrc = nDst+n, nSrc+n
			continue
		}
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		out := src[nSrc : nSrc+size]
		if r == utf8.RuneError && size == 1 {
			out = fmt.Appendf(escaped[:0], `\x%02x`, src[nSrc])
		} else if !shown(r) {
			out = escape(escaped[:0], r)
		}
		if nDst+len(out) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += copy(dst[nDst:], out)
		nSrc += size
	}
	return nDst, nSrc, nil
}

// plain copies the ASCII text at the start of src, as far as it fits in dst.
func plain(dst, src []byte) int {
	n := 0
	for n < len(src) && n < len(dst) && (src[n] >= ' ' && src[n] < 0x7f || src[n] == '\n' || src[n] == '\t') {
		n++
	}
	return copy(dst, src[:n])
}

func shown(r rune) bool {
	return r == '\n' || r == '\t' || unicode.IsGraphic(r)
}

func escape(b []byte, r rune) []byte {
	switch {
	case r == '\r':
		return append(b, `\r`...)
	case r < utf8.RuneSelf:
		return fmt.Appendf(b, `\x%02x`, r)
	case r <= 0xFFFF:
		return fmt.Appendf(b, `\u%04x`, r)
	}
	return fmt.Appendf(b, `\U%08x`, r)
}

// PrintableString is [Printable] for a string.
func PrintableString(s string) string {
	out, _, err := transform.String(Printable(), s)
	if err != nil {
		return "" // it returns no errors of its own, and a string is complete
	}
	return out
}
