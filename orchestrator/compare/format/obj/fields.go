// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package obj

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/encoding/charmap"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// field is a range of columns of a card.
type field struct {
	from, to int
	name     string
	kind     span.Kind
	read     func([]byte) span.Value
}

// Columns of the identification on an END card.
const (
	identCount   = 32
	identAt      = 33
	identSize    = 19
	identProduct = 10
	identVersion = 4
)

// fieldAt returns the field that contains byte x of a card.
func fieldAt(c []byte, x int) field {
	if !readable(c) {
		return field{to: len(c), name: "obj.unknown"}
	}
	if x >= sequence {
		return field{from: sequence, to: cardSize, name: "obj.sequence"}
	}
	if c[0] >= blank {
		return field{to: sequence, name: "obj.control"}
	}
	rest := field{from: 4, to: sequence, name: "obj.reserved"}
	for _, fd := range fields(c) {
		switch {
		case fd.to <= x:
			rest.from = max(rest.from, fd.to)
		case fd.from > x:
			rest.to = min(rest.to, fd.from)
		default:
			return fd
		}
	}
	return rest
}

func fixed(from, to int, name string) field {
	return field{from, to, name, span.Fixed, readHex}
}

// fields returns the fields of a card of an object module.
func fields(c []byte) []field {
	used := dataAt + int(binary.BigEndian.Uint16(c[countAt:]))
	card := fixed(0, 4, "obj.card")
	switch string(c[1:4]) {
	case kindSymbols:
		out := []field{card, fixed(10, 12, "obj.esd.count"), fixed(14, 16, "obj.esd.id")}
		for at := dataAt; at < used; at += itemSize {
			out = append(out, field{from: at, to: at + 8, name: "obj.esd.name"}, fixed(at+8, at+9, "obj.esd.type"),
				fixed(at+9, at+12, "obj.esd.address"), fixed(at+12, at+13, "obj.esd.flag"), fixed(at+13, at+16, "obj.esd.length"))
		}
		return out
	case kindText:
		return []field{card, fixed(5, 8, "obj.txt.address"), fixed(10, 12, "obj.txt.count"), fixed(14, 16, "obj.txt.id"), {from: dataAt, to: used, name: "obj.txt"}}
	case kindRelocations:
		return []field{card, fixed(10, 12, "obj.rld.count"), {from: dataAt, to: used, name: "obj.rld"}}
	case kindTest:
		return []field{card, fixed(10, 12, "obj.sym.count"), {from: dataAt, to: used, name: "obj.sym"}}
	}
	out := []field{card, fixed(5, 8, "obj.end.entry"), fixed(14, 16, "obj.end.id"), {16, 24, "obj.end.name", span.Fixed, readText},
		fixed(28, 32, "obj.end.length"), {identCount, identAt, "obj.end.count", span.Fixed, readText}}
	// An END card has one or two identifications; unused columns have no meaning.
	count := int(c[identCount]) - 0xf0
	for i := 0; i < count && count <= 2; i++ {
		at := identAt + i*identSize
		version, date := at+identProduct, at+identProduct+identVersion
		out = append(out, field{at, version, "obj.end.product", span.Fixed, readText}, field{version, date, "obj.end.version", span.Fixed, readText},
			field{date, at + identSize, "obj.end.translated", span.Stamp, readDay})
	}
	return out
}

func readHex(b []byte) span.Value {
	return span.Value{Text: hex.EncodeToString(b[:min(len(b), cardSize)])}
}

// readText decodes text, with a dot for each character that cannot be printed.
func readText(b []byte) span.Value {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, decoded(b))
	return span.Value{Text: strings.TrimRight(text, " ")}
}

func decoded(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(charmap.CodePage1047.DecodeByte(c))
	}
	return s.String()
}

// pivot is the highest two-digit year of this century: the binder takes larger ones
// for the last century.
const pivot = 65

// readDay reads the day yyddd.
func readDay(b []byte) span.Value {
	digits := bytes.Clone(b)
	for i, c := range b {
		if c < 0xf0 || c > 0xf9 {
			return readText(b)
		}
		digits[i] = c - 0xf0 + '0'
	}
	if len(digits) != 5 {
		return readText(b)
	}
	century := "20"
	if n, _ := strconv.Atoi(string(digits[:2])); n > pivot { // two digits
		century = "19"
	}
	t, err := time.Parse("2006002", century+string(digits))
	if err != nil {
		return readText(b)
	}
	return span.Value{Text: t.Format(time.DateOnly), From: t, To: t.Add(24*time.Hour - 1)}
}
