// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package format describes a file format to the comparator: how its files are
// detected and read, what their fields mean, and how grave a difference in a field
// is.
//
// Each format is a package below this one with a function that returns its Format,
// and a row in orchestrator/compare/format/registry. A format says what bytes are;
// orchestrator/compare/judge decides what a difference means.
package format

import (
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// Gravity orders the fields of tier X for a reader: how early to show that a field
// differs.
type Gravity int8

// The gravities, in ascending order.
const (
	// Unset is the gravity of fields that are not known. Every field of a format
	// names one of the others, so that none is mild because it was forgotten.
	Unset Gravity = iota
	// Ordinary fields are as grave as their tier.
	Ordinary
	// Presence is for files that are added, removed or lead elsewhere, tags, and
	// hidden bytes.
	Presence
	// Tools is for what made the file, or changed it later.
	Tools
	// Authority is for what a file may do on the system.
	Authority
)

// Field describes one field of a format.
type Field struct {
	// Name is the field's name in findings. A name that ends with "." or ":" stands
	// for all fields that begin with it and have no entry of their own.
	Name string
	// Text describes the field in plain words, "" if the name says enough.
	Text string
	// Cause is the cause to report if a field differs that must be the same in both
	// files; "" gives a general one.
	Cause   string
	Gravity Gravity
}

// Format describes one format. Exactly one of Open, Spans, Layout, Set, Archive and
// Document says how it is read.
type Format struct {
	// Name is what people call such a file, e.g. "ELF binary".
	Name string
	// Is reports whether a file may be of the format. head is at most the first 512
	// bytes.
	Is func(head []byte) bool

	// Open reads a container to its end. Index returns its member that only lists
	// the places of the others; Index is nil if the format has none.
	Open  func(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error)
	Index func(r io.ReaderAt, size int64, c *container.Container, l container.Limits) (*container.Index, error)

	// Spans lists the named parts of a file. Layout computes a part when asked, for
	// formats with many parts.
	Spans  func(r io.ReaderAt, size int64) ([]span.Span, error)
	Layout func(r io.ReaderAt, size int64) (span.Layout, error)
	// Symbols calls each for the symbols of a file in order, with the prefix of the
	// fields that hold them; nil if the format has no symbols.
	Symbols func(r io.ReaderAt, size int64, each func(field string, name []byte)) error
	// Frames are fields that only hold records together, so that their values
	// follow from the content of the records. A name that ends with a dot stands
	// for all fields that begin with it.
	Frames []string
	Symbol Symbol

	// Set describes a file whose content is a set: order has no meaning.
	Set *Set

	// Archive marks a pax or tar archive, which orchestrator/compare/tree reads as
	// it reads whole artifacts.
	Archive bool
	// Document marks text that is compared value by value, once
	// orchestrator/compare/judge has decoded its characters.
	Document bool

	Fields []Field
}

// Symbol says how spans represent a symbol: the prefix of its fields, the first
// field, and the field with the name.
type Symbol struct{ Prefix, First, Name string }

// Set says how to read the items of a set and how to name them.
type Set struct {
	// Field is the field of a finding about one item, Items the plural for people,
	// and OnlyIn the beginning of the cause about an item in one file only.
	Field, Items, OnlyIn string
	// Most is the largest file, in bytes, that is read as a set.
	Most int64
	Read func(r io.ReaderAt, size int64) ([]Item, error)
}

// Item is one item of a set, with its offset.
type Item struct {
	Text   string
	Offset int64
}

// Opened adapts a package's Open to return a span.Layout, which is nil on errors.
func Opened[L span.Layout](open func(io.ReaderAt, int64) (L, error)) func(io.ReaderAt, int64) (span.Layout, error) {
	return func(r io.ReaderAt, size int64) (span.Layout, error) {
		l, err := open(r, size)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
}

// MadeBy returns the cause for a field that names the tool that made the file.
func MadeBy(tool string) string {
	return "what made it is recorded, and it was not the same: " + tool
}
