// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package codepage

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON makes a text of JSON as encoding/json writes it safe to show: whatever
// [Printable] escapes becomes \u009b, or two of these for a character beyond U+FFFF.
// Such characters stand only within strings, so the text still has the same value.
func JSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1: // readers take it for this character
			out = fmt.Appendf(out, `\u%04x`, r)
		case shown(r):
			out = append(out, text[:n]...)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		text = text[n:]
	}
	return out
}
