// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package pyc names the parts of a compiled module of CPython 3: the interpreter
// that made it, the source it was made of, and its code.
//
// The code (marshal data) is a single part. A difference in it is explained by its
// bytes, e.g. as a known build path, or not at all. docs/formats/pyc.md describes
// the layout, with sources.
package pyc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// ErrFormat says that the file is not a compiled module.
var ErrFormat = errors.New("not a compiled Python module")

const (
	newline = "\r\n" // behind the magic number

	// Magic numbers of interpreters. Those of 3.0 begin at 3000; the next major
	// version is not expected within a thousand.
	firstNumber = 3000
	lastNumber  = 4999
	withSize    = 3210 // 3.3: the size of the source follows its time
	withFlags   = 3392 // 3.7: PEP 552

	flagHash  = 1 << 0
	flagCheck = 1 << 1
	flagsKnow = flagHash | flagCheck

	// Marshal data begins with a code object; the high bit marks an object that can
	// be referred to.
	codeType = 'c'
	refFlag  = 0x80

	maxHead = 17 // header and type
)

// layout holds the offsets of the parts of a header; 0 for missing parts.
type layout struct {
	flags, time, size, hash int64
	code                    int64
}

// layoutOf parses a header, and reports false if it is invalid.
func layoutOf(head []byte) (layout, bool) {
	if len(head) < 4 || string(head[2:4]) != newline {
		return layout{}, false
	}
	number := binary.LittleEndian.Uint16(head)
	var l layout
	switch {
	case number < firstNumber || number > lastNumber:
		return layout{}, false
	case number < withSize:
		l = layout{time: 4, code: 8}
	case number < withFlags:
		l = layout{time: 4, size: 8, code: 12}
	default:
		if len(head) < 8 {
			return layout{}, false
		}
		l = layout{flags: 4, time: 8, size: 12, code: 16}
		flags := binary.LittleEndian.Uint32(head[4:])
		switch {
		case flags&^flagsKnow != 0, flags == flagCheck:
			return layout{}, false
		case flags&flagHash != 0:
			l = layout{flags: 4, hash: 8, code: 16}
		}
	}
	return l, int64(len(head)) > l.code && head[l.code]&^refFlag == codeType
}

// Is reports whether head begins a compiled module: a header and the type of a code
// object.
func Is(head []byte) bool {
	_, ok := layoutOf(head)
	return ok
}

// Spans returns the parts of the module in r: "pyc.magic" (the interpreter) and
// "pyc.flags", which must be the same; "pyc.source.time", the time of the source, a
// stamp in UTC; "pyc.source.size" or "pyc.source.hash"; "pyc.code".
func Spans(r io.ReaderAt, size int64) ([]span.Span, error) {
	head := make([]byte, max(0, min(size, maxHead)))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return nil, fmt.Errorf("%w: reading header: %w", ErrFormat, err)
	}
	l, ok := layoutOf(head)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with a known header and code", ErrFormat)
	}
	spans := []span.Span{{Name: "pyc.magic", Length: 4, Kind: span.Fixed, Read: interpreter}}
	for _, s := range []span.Span{
		{Name: "pyc.flags", Offset: l.flags, Length: 4, Kind: span.Fixed, Read: validation},
		{Name: "pyc.source.time", Offset: l.time, Length: 4, Kind: span.Stamp, Read: sourceTime},
		{Name: "pyc.source.size", Offset: l.size, Length: 4, Kind: span.Fixed, Read: sourceSize},
		{Name: "pyc.source.hash", Offset: l.hash, Length: 8, Kind: span.Fixed, Read: sourceHash},
		{Name: "pyc.code", Offset: l.code, Length: size - l.code, Kind: span.Code},
	} {
		if s.Offset > 0 {
			spans = append(spans, s)
		}
	}
	return spans, nil
}

// interpreter returns the Python version of a magic number. Since 3.11 each version
// has a range of fifty.
func interpreter(b []byte) span.Value {
	number := int(binary.LittleEndian.Uint16(b))
	minor := -1
	for i, first := range []int{3000, 3140, 3160, 3190, 3250, 3320, 3360, 3390, 3400, 3420, 3430, 3450} {
		if number >= first {
			minor = i
		}
	}
	if minor == 11 {
		minor += (number - 3450) / 50
	}
	return span.Value{Text: fmt.Sprintf("CPython 3.%d (%d)", minor, number)}
}

// validation describes how the interpreter checks that the module is up to date.
func validation(b []byte) span.Value {
	switch binary.LittleEndian.Uint32(b) {
	case 0:
		return span.Value{Text: "by time and size of the source"}
	case flagHash:
		return span.Value{Text: "by hash of the source, not checked"}
	case flagHash | flagCheck:
		return span.Value{Text: "by hash of the source, checked"}
	}
	return span.Value{Text: fmt.Sprintf("unknown flags %x", b)}
}

// sourceTime reads seconds since 1970, modulo 2^32.
func sourceTime(b []byte) span.Value {
	t := time.Unix(int64(binary.LittleEndian.Uint32(b)), 0).UTC()
	return span.Value{Text: t.Format(time.RFC3339), From: t, To: t, Zoned: true}
}

func sourceSize(b []byte) span.Value {
	return span.Value{Text: fmt.Sprint(binary.LittleEndian.Uint32(b), " bytes")}
}

func sourceHash(b []byte) span.Value { return span.Value{Text: fmt.Sprintf("%x", b)} }
