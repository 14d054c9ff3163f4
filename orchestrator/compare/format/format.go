// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package format says what a format is to the comparator: how its files are
// detected, how they are read, what their fields mean, and how grave it is when
// one differs.
//
// Each format is a package below this one that makes one Format of itself, and
// one row in orchestrator/compare/format/registry. A format says what bytes are
// and judges nothing: what a difference means is decided in
// orchestrator/compare/judge.
package format

import (
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// Gravity is how early a reader must be shown that a field differs, among
// differences that nothing can allow.
type Gravity int8

// The gravities, the least first.
const (
	// Ordinary fields are as grave as their tier says.
	Ordinary Gravity = iota
	// Presence: files that come, go or lead elsewhere, tags, hidden bytes.
	Presence
	// Tools: what made it, or what changed it after that.
	Tools
	// Authority: what a file may do on the system.
	Authority
)

// Field is what one field of a format means.
type Field struct {
	// Name is that of a finding; one that ends with "." or ":" stands for all
	// that begin with it and are not named themselves.
	Name string
	// Text says in plain words what the field is, "" where the name does.
	Text string
	// Cause says what it means that the field differs although it must be the
	// same in both; "" says that it must be.
	Cause   string
	Gravity Gravity
}

// Format is one format: what is read of it is one of Open, Spans, Layout, Set,
// Archive and Document.
type Format struct {
	// Name is what people call a file of it, e.g. "ELF binary".
	Name string
	// Is reports whether a file may be of the format, by its first 512 bytes at
	// most.
	Is func(head []byte) bool

	// Open reads a container to its end; Index is its member that only says
	// where things are, nil if the format has none.
	Open  func(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error)
	Index func(r io.ReaderAt, size int64, c *container.Container, l container.Limits) (*container.Index, error)

	// Spans lists the named parts of a file; Layout computes them when asked,
	// for formats with many.
	Spans  func(r io.ReaderAt, size int64) ([]span.Span, error)
	Layout func(r io.ReaderAt, size int64) (span.Layout, error)
	// Symbols calls each with the symbols of a file in their order, and the
	// beginning of the fields that they stand in; nil if there are none.
	Symbols func(r io.ReaderAt, size int64, each func(field string, name []byte)) error
	// Frames are fields that only hold records together, so that they follow
	// from what stands in these. One that ends with a dot stands for all that
	// begin with it.
	Frames []string
	Symbol Symbol

	// Set reads a file whose content is a set, so that its order means nothing.
	Set *Set

	// Archive: the file is a pax or tar archive, which orchestrator/compare/tree
	// reads as it reads whole artifacts.
	Archive bool
	// Document: the file is text, compared value by value once
	// orchestrator/compare/judge has decoded its characters.
	Document bool

	Fields []Field
}

// Symbol says how a symbol is laid out in spans: the beginning of the names of
// its fields, the first of them, and the one that has its name.
type Symbol struct{ Prefix, First, Name string }

// Set is how the items of a set are read and named.
type Set struct {
	// Field is that of a finding about one item, Items what people call them,
	// and OnlyIn how a cause begins of one that stands in one file only.
	Field, Items, OnlyIn string
	// Most is the size of a file that is read as a set.
	Most int64
	Read func(r io.ReaderAt, size int64) ([]Item, error)
}

// Item is one item of a set, and where it stands.
type Item struct {
	Text   string
	Offset int64
}

// Opened makes what a package's own Open returns a span.Layout, and keeps what
// could not be read from becoming one.
func Opened[L span.Layout](open func(io.ReaderAt, int64) (L, error)) func(io.ReaderAt, int64) (span.Layout, error) {
	return func(r io.ReaderAt, size int64) (span.Layout, error) {
		l, err := open(r, size)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
}

// MadeBy is the cause where a field says which tool made the file.
func MadeBy(tool string) string {
	return "what made it is recorded, and it was not the same: " + tool
}
