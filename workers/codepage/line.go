// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package codepage

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// cutMark ends a text that was cut.
const cutMark = "..."

// Line returns text from outside as one line that is safe to show in a message,
// a list or a report: everything that [Printable] escapes is escaped, and so are
// line ends, tabs and every space but the ordinary one. At most limit bytes are
// returned, and a text that was cut ends with "..."; 0 is no limit.
//
// What is safe stays as it is, so a line may be passed through again.
func Line(s string, limit int) string { return line(s, limit, false) }

// ASCII is Line without a limit for a text that is read on systems of any code
// page: every character outside of ASCII is escaped, too.
func ASCII(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(quoted[1 : len(quoted)-1])
}

// Value is Line for a text that is compared with another by eye: backslashes are
// doubled, so that two texts that differ never read the same, unless both were cut.
func Value(s string, limit int) string { return line(s, limit, true) }

func line(s string, limit int, backslashes bool) string {
	var out strings.Builder
	fits := 0 // how much may stay if the rest does not fit
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		text := s[i : i+n]
		if r == '\\' && backslashes {
			text = `\\`
		} else if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
			quoted := strconv.Quote(text)
			text = quoted[1 : len(quoted)-1]
		}
		if limit > 0 {
			if out.Len() <= limit-len(cutMark) {
				fits = out.Len()
			}
			if out.Len()+len(text) > limit {
				return out.String()[:fits] + cutMark
			}
		}
		out.WriteString(text)
		i += n
	}
	return out.String()
}

// Cut cuts text to at most limit bytes, for a message that escapes it by %q; one that
// was cut ends with "..." and never within a character. Line cuts by itself.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := max(limit-len(cutMark), 0)
	for i := end; i >= 0 && i > end-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			end = i
			break
		}
	}
	return s[:end] + cutMark
}

// Clip cuts text to at most n characters, for where there is room for no more;
// one that was cut ends with an ellipsis.
func Clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
