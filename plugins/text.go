// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns s as one line that is safe to show and to use as a name: at
// most limit bytes of valid UTF-8, with runs of white space as one space,
// without terminal controls and invisible formatting characters.
//
// workers/codepage escapes foreign text so that people see what was there. Line and
// Text leave out what is no part of a message, such as colours, and do not mark a cut:
// the result is also the name of a test, which must be the same in every run, with
// colours or without.
func Line(s string, limit int) string {
	return cut(strings.Join(strings.Fields(clean(window(s, limit))), " "), limit)
}

// Text is like [Line] but keeps newlines and tabs. It cuts long text at the
// beginning, because the end of a log says why it ended.
func Text(s string, limit int) string {
	s = clean(tail(s, limit))
	return tail(s, limit) // each invalid byte became three
}

// tail returns the last limit bytes of s, without a broken first character.
func tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[len(s)-limit:]
	for i := range min(len(s), utf8.UTFMax) {
		if utf8.RuneStart(s[i]) {
			return s[i:]
		}
	}
	if len(s) < utf8.UTFMax {
		return "" // less than one character
	}
	return s
}

// window bounds how much of s Line processes. It is larger than limit, because
// white space may shrink.
func window(s string, limit int) string {
	if most := 4*limit + 64; len(s) > most {
		return s[:most]
	}
	return s
}

// clean replaces characters that must not reach a terminal by U+FFFD, and
// drops carriage returns and colour sequences.
func clean(s string) string {
	s = stripEscapes(strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return -1
		case unprintable(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// stripEscapes drops ECMA-48 control sequences (ESC [ ... final byte), which
// test drivers use for colours.
func stripEscapes(s string) string {
	if !strings.Contains(s, "\x1b[") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i+2:]
		end := strings.IndexFunc(s, func(r rune) bool { return r >= '@' && r <= '~' || r < ' ' })
		if end < 0 {
			return b.String()
		}
		if s[end] >= '@' {
			end++
		}
		s = s[end:]
	}
}

// cut shortens s to limit bytes without breaking a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.TrimRight(s[:limit], " ")
}
