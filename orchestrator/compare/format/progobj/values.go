// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/charmap"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// maxText bounds the bytes shown of a value.
const maxText = 1024

// number reads a big-endian number of up to 8 bytes.
func number(b []byte) span.Value {
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return span.Value{Text: strconv.FormatUint(n, 10)}
}

// raw shows bytes in hex.
func raw(b []byte) span.Value {
	return span.Value{Text: hex.EncodeToString(b[:min(len(b), maxText/2)])}
}

// ebcdic reads text in code page IBM-1047 without its padding of blanks and zero
// bytes. Control characters are shown as dots.
func ebcdic(b []byte) span.Value {
	var s strings.Builder
	for _, c := range b[:min(len(b), maxText)] {
		r := charmap.CodePage1047.DecodeByte(c)
		if r < ' ' || r >= 0x7f && r < 0xa1 || r == 0xad {
			if c != 0 {
				s.WriteByte('.')
				continue
			}
			r = ' '
		}
		s.WriteRune(r)
	}
	return span.Value{Text: strings.TrimRight(s.String(), " ")}
}

// userID reports whether b is a user id or the name of a batch job: up to 8
// letters, digits or national characters, filled up with blanks.
func userID(b []byte) bool {
	name := strings.TrimRight(ebcdic(b).Text, " ")
	for i, c := range name {
		letter := c >= 'A' && c <= 'Z' || c == '#' || c == '$' || c == '@'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// digits reads packed decimal digits. The last half byte is the sign, which must be
// positive or unsigned.
func digits(b []byte) (string, bool) {
	s := hex.EncodeToString(b)
	s, sign := s[:len(s)-1], s[len(s)-1]
	return s, (sign == 'f' || sign == 'c') && strings.Trim(s, "0123456789") == ""
}

// day reads a packed date, yyyydddF.
func day(b []byte) (time.Time, bool) {
	s, ok := digits(b)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse("2006002", s)
	return t, err == nil && t.Year() > 0
}

// translated reads a packed date.
func translated(b []byte) span.Value {
	t, ok := day(b)
	if !ok {
		return raw(b)
	}
	return span.Value{Text: t.Format(time.DateOnly), From: t, To: t.AddDate(0, 0, 1).Add(-time.Nanosecond)}
}

// bound reads a packed date followed by a packed time, 0hhmmssF, in the zone of the
// system.
func bound(b []byte) span.Value {
	if len(b) != 8 {
		return raw(b)
	}
	date, ok := day(b[:4])
	clock, fine := digits(b[4:])
	if !ok || !fine {
		return raw(b)
	}
	hours, padded := strings.CutPrefix(clock, "0")
	t, err := time.Parse("150405", hours)
	if err != nil || !padded {
		return raw(b)
	}
	t = date.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second)
	return span.Value{Text: t.Format(time.DateTime), From: t, To: t}
}

// compiled reads the time in a PPA2: 14 EBCDIC digits, YYYYMMDDHHMMSS.
func compiled(b []byte) span.Value {
	s := ebcdic(b).Text
	t, err := time.Parse("20060102150405", s)
	if err != nil || t.Year() == 0 {
		return raw(b)
	}
	return span.Value{Text: t.Format(time.DateTime), From: t, To: t}
}

// product reads 10 characters, then version and modification, packed without sign.
func product(b []byte) span.Value {
	const name = 10
	if len(b) <= name {
		return ebcdic(b)
	}
	return span.Value{Text: ebcdic(b[:name]).Text + " " + hex.EncodeToString(b[name:])}
}

// counted reads a length of 2 bytes and that many characters. It also shows what
// follows them in the field.
func counted(b []byte) span.Value {
	if len(b) < 2 {
		return raw(b)
	}
	n := int(u16(b))
	if n > len(b)-2 {
		return raw(b)
	}
	v := ebcdic(b[2 : 2+n])
	if rest := b[2+n:]; strings.Trim(string(rest), "\x00") != "" {
		v.Text += " | " + raw(rest).Text
	}
	return v
}
