// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package container says what files that hold other files have in common,
// whatever their format: members with what is said about each, and bytes that
// no reader looks at.
//
// The packages beside it that know a format (ar, zip, stream) make these
// values; orchestrator/compare pairs members, compares what is said of them and
// looks into their content. Nothing here judges or unpacks to disk.
package container

import (
	"crypto/sha256"
	"errors"
	"io"
)

// ErrFormat: the bytes are not what their beginning promised. Errors of the
// packages beside this one wrap it, and say at which byte.
var ErrFormat = errors.New("not readable to its end")

// Weight is how grave it is when a field differs: the tiers of docs/verdicts.md.
type Weight int8

// The weights.
const (
	Form    Weight = 0 // order, padding, compression
	Header  Weight = 1 // times and owners
	Stamp   Weight = 2 // a build stamp in a typed field
	Meaning Weight = 9 // never masked
)

// Field is one thing that a container says.
type Field struct {
	// Name is that of a finding, e.g. "zip.time" or "ar.uid".
	Name string
	// Value is readable, and the same text only for the same value.
	Value  string
	Weight Weight
}

// Hidden sums up bytes that belong to nobody: padding, gaps, what follows the
// end. Zero bytes where the format wants zeros are not hidden.
type Hidden struct {
	// Count is how many there are, First where the first of them is.
	Count, First int64
	Sum          [sha256.Size]byte
}

// Entry is one member.
type Entry struct {
	// Name is as it stands in the container, raw bytes.
	Name string
	// Fields is what the container says of it, in one order for each format.
	Fields []Field
	Hidden Hidden
	// Content lies in the container as it is from Offset on, Size bytes long;
	// or Open is set, gives it decoded from its beginning each time, and Size
	// is what the container says of it, -1 if it says nothing.
	Offset, Size int64
	Open         func() (io.ReadCloser, error)
}

// Index is a member that only says where things are, in whatever order.
type Index struct {
	// Entry is its number among the entries.
	Entry int
	// Items are what it says, sorted.
	Items  []string
	Hidden Hidden
}

// Container is a file that was read to its end.
type Container struct {
	// Kind is for people: "ar archive", "gzip stream".
	Kind string
	// Fields are what is said of the whole.
	Fields  []Field
	Entries []Entry
	Hidden  Hidden
}

// Limits bound what is read of one container; zero fields are the defaults in
// brackets.
type Limits struct {
	Members int   // [2,000,000]
	Names   int64 // bytes of memory for entries, names and fields [28 MiB]
	Content int64 // bytes of all members, decoded [64 GiB]
}

// WithDefaults fills the zero fields.
func (l Limits) WithDefaults() Limits {
	if l.Members <= 0 {
		l.Members = 2_000_000
	}
	if l.Names <= 0 {
		l.Names = 28 << 20
	}
	if l.Content <= 0 {
		l.Content = 64 << 30
	}
	return l
}
