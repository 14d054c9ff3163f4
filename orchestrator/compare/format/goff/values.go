// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/encoding/charmap"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// ebcdic decodes text, with a dot for each character that cannot be printed.
func ebcdic(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		r := charmap.CodePage1047.DecodeByte(c)
		if !unicode.IsPrint(r) {
			r = '.'
		}
		s.WriteRune(r)
	}
	return s.String()
}

// maxHex bounds the bytes shown of a field in hex.
const maxHex = 64

func hexOf(b []byte) string { return hex.EncodeToString(b[:min(len(b), maxHex)]) }

func readHex(b []byte) span.Value { return span.Value{Text: hexOf(b)} }

func readText(b []byte) span.Value {
	return span.Value{Text: strings.TrimRight(ebcdic(b), " ")}
}

// readService reads the length and the text of a service level.
func readService(b []byte) span.Value {
	n := min(2, len(b))
	return span.Value{Text: strings.TrimRight(hexOf(b[:n])+" "+ebcdic(b[n:]), " ")}
}

// bits is a range of the bits of an attribute byte, counted from the highest.
type bits struct {
	name       string
	from, size uint
}

// readBits returns a Read function that names bits.
func readBits(of []bits) func([]byte) span.Value {
	return func(b []byte) span.Value {
		if len(b) != 1 {
			return readHex(b)
		}
		words := make([]string, 0, len(of))
		for _, p := range of {
			words = append(words, fmt.Sprintf("%s %d", p.name, b[0]<<p.from>>(8-p.size)))
		}
		return span.Value{Text: strings.Join(words, ", ")}
	}
}

// moment returns a time with the precision of unit.
func moment(t time.Time, unit time.Duration, layout string) span.Value {
	return span.Value{Text: t.Format(layout), From: t, To: t.Add(unit - 1)}
}

// decimal returns the digits of b if it consists of EBCDIC digits only.
func decimal(b []byte) (string, bool) {
	out := make([]byte, len(b))
	for i, c := range b {
		if !digit(c) {
			return "", false
		}
		out[i] = c - 0xf0 + '0'
	}
	return string(out), true
}

// readCalendar reads YYYYMMDDHHMMSS.
func readCalendar(b []byte) span.Value {
	s, ok := decimal(b)
	if t, err := time.Parse("20060102150405", s); ok && err == nil && t.Year() >= 1900 {
		return moment(t, time.Second, time.DateTime)
	}
	return readText(b)
}

// readTranslated reads YYYYMMDDHHMMSS and hundredths, as LLVM writes it, or else
// the form of readJulian. A few texts are valid in both forms and are read as the
// former: only the assembler is known to write the latter, and it is recognised by
// its product.
func readTranslated(b []byte) span.Value {
	if s, ok := decimal(b); ok && len(s) == 16 {
		if v := readCalendar(b[:14]); !v.From.IsZero() {
			n, _ := strconv.Atoi(s[14:]) // two digits
			return moment(v.From.Add(time.Duration(n)*10*time.Millisecond), 10*time.Millisecond, time.DateTime+".00")
		}
	}
	return readJulian(b)
}

// readJulian reads yyyyddd, hhmmss and thousandths, as the assembler writes it.
func readJulian(b []byte) span.Value {
	s, ok := decimal(b)
	if t, err := time.Parse("2006002150405.000", dotted(s)); ok && err == nil && t.Year() >= 1900 {
		return moment(t, time.Millisecond, time.DateTime+".000")
	}
	return readText(b)
}

// dotted inserts the dot that package time requires before thousandths.
func dotted(s string) string { return s[:max(len(s)-3, 0)] + "." + s[max(len(s)-3, 0):] }

// pivot is the highest two-digit year of this century: the binder takes larger ones
// for the last century.
const pivot = 65

// readShortJulian reads the day yyddd.
func readShortJulian(b []byte) span.Value {
	s, ok := decimal(b)
	if !ok || len(s) != 5 {
		return readText(b)
	}
	century := "20"
	if n, _ := strconv.Atoi(s[:2]); n > pivot { // two digits
		century = "19"
	}
	t, err := time.Parse("2006002", century+s)
	if err != nil {
		return readText(b)
	}
	return moment(t, 24*time.Hour, time.DateOnly)
}

// assembled reports whether a product is the High Level Assembler (5696-234) of any
// release.
func assembled(product []byte) bool {
	return strings.HasPrefix(ebcdic(product), "5696234")
}
