// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package show writes for people what a comparison found: text from outside
// with everything escaped that could steer a terminal, cut to what there is
// room for, and numbers and sizes that can be read.
//
// It knows neither verdicts nor formats; orchestrator/compare/judge and
// orchestrator/compare/report share it.
package show

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// escaped returns what stands for the character at the beginning of s, which is
// n bytes long: itself, or an escape where it could steer a terminal or mislead
// a reader.
func escaped(s string) (text string, n int) {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
		quoted := strconv.Quote(s[:n])
		return quoted[1 : len(quoted)-1], n
	}
	return s[:n], n
}

// Printable returns s escaped, backslashes too, so that unlike texts never read
// the same, and cut to at most limit bytes, the mark of the cut included.
func Printable(s string, limit int) string {
	const cut = "..."
	var out strings.Builder
	fits := 0 // what can be kept if the rest does not fit
	for i := 0; i < len(s); {
		text, n := escaped(s[i:])
		if text == `\` {
			text = `\\`
		}
		if out.Len() <= limit-len(cut) {
			fits = out.Len()
		}
		if out.Len()+len(text) > limit {
			return out.String()[:fits] + cut
		}
		out.WriteString(text)
		i += n
	}
	return out.String()
}

// Safe returns s escaped but for backslashes, so that what was escaped before
// stays as it is: the texts of a verdict are, but a verdict may come from a file.
func Safe(s string) string {
	for i := 0; i < len(s); {
		text, n := escaped(s[i:])
		if text != s[i:i+n] {
			return s[:i] + escapeAll(s[i:])
		}
		i += n
	}
	return s
}

func escapeAll(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		text, n := escaped(s)
		out.WriteString(text)
		s = s[n:]
	}
	return out.String()
}

// Clipped cuts s to at most n characters.
func Clipped(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// Number writes large numbers so that they can be read.
func Number(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0 && len(s) > 4 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// Plural writes a number of things.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Number(n) + " " + what + "s"
}

// Size writes a number of bytes.
func Size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}

// FromEBCDIC reads each byte as IBM-1047 and writes it as Latin-1.
func FromEBCDIC(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = byte(charmap.CodePage1047.DecodeByte(c)) // all 256 lie within Latin-1
	}
	return out
}
