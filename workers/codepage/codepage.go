// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package codepage converts the text of z/OS UNIX to UTF-8 and back, and makes the text
// of a worker safe to show to a person.
//
// It knows code pages and newlines, not files: orchestrator/compare/format/pax reads
// tags, workers/ssh moves bytes. Everything here streams and can be wrapped around a
// reader or writer with golang.org/x/text/transform.
package codepage

import (
	"errors"
	"fmt"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// The coded character set identifiers (CCSID) that file tags on z/OS name and
// that the farm reads as text.
const (
	IBM037   = 37   // EBCDIC, Latin-1 characters, of the host side
	ISO88591 = 819  // "ASCII" on z/OS UNIX
	IBM1047  = 1047 // EBCDIC, Latin-1 characters, of z/OS UNIX
	UTF8     = 1208
)

// Binary is the CCSID in the tag of a file that is not text (chtag -b).
const Binary = 65535

// ErrUnknown: the code page is not one of the above.
var ErrUnknown = errors.New("unknown code page")

// ForTag returns the encoding of text whose file tag names that CCSID. The EBCDIC
// encodings read a newline as z/OS UNIX writes it (0x15). All but UTF-8 encode exactly
// the 256 characters of Latin-1, each as one byte, so that decoding and encoding lose
// nothing. The encoder fails for a character that the page lacks. For any other CCSID
// the error is ErrUnknown.
func ForTag(ccsid int) (encoding.Encoding, error) {
	switch ccsid {
	case IBM1047:
		return newPage("IBM-1047", charmap.CodePage1047), nil
	case IBM037:
		return newPage("IBM-037", charmap.CodePage037), nil
	case ISO88591:
		return charmap.ISO8859_1, nil
	case UTF8:
		return unicode.UTF8, nil
	}
	return nil, fmt.Errorf("CCSID %d: %w", ccsid, ErrUnknown)
}

// ForName is ForTag for the names that z/OS uses in workers.Facts.CodePage, "locale
// charmap" and iconv: "IBM-1047", "IBM-037", "ISO8859-1", "UTF-8".
func ForName(name string) (encoding.Encoding, error) {
	ccsid, ok := map[string]int{"IBM-1047": IBM1047, "IBM-037": IBM037, "ISO8859-1": ISO88591, "UTF-8": UTF8}[name]
	if !ok {
		return nil, fmt.Errorf("code page %q: %w", name, ErrUnknown)
	}
	return ForTag(ccsid)
}
