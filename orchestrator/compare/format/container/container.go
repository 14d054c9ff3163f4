// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package container defines what all formats of files within files share: members
// with their metadata, and bytes that no reader of the format uses.
//
// The packages beside it that read a format (ar, zip, stream) make these values.
// orchestrator/compare pairs members and compares their metadata and content. This
// package neither judges nor unpacks to disk.
package container

import (
	"crypto/sha256"
	"errors"
	"io"
)

// ErrFormat says that the bytes do not follow the format that their beginning
// suggests. Errors of the packages beside this one wrap it and name the offset.
var ErrFormat = errors.New("not readable to its end")

// Weight is the tier of a difference in a field (docs/verdicts.md).
type Weight int8

// The weights.
const (
	Form    Weight = 0 // order, padding, compression
	Header  Weight = 1 // times and owners
	Stamp   Weight = 2 // a build stamp in a typed field
	Meaning Weight = 9 // never masked
)

// Field is one value in the metadata of a container or member.
type Field struct {
	// Name is the field of a finding, e.g. "zip.time" or "ar.uid".
	Name string
	// Value is readable. Different values never have the same text.
	Value  string
	Weight Weight
}

// Hidden sums up bytes that no reader uses: padding, gaps, what follows the end.
// Zero bytes where the format requires zeros do not count.
type Hidden struct {
	// Count is their number, First the offset of the first.
	Count, First int64
	Sum          [sha256.Size]byte
}

// Entry is one member.
type Entry struct {
	// Name is the name as stored in the container, raw bytes.
	Name string
	// Fields is the metadata of the member, in a fixed order for each format.
	Fields []Field
	Hidden Hidden
	// Content is stored in the container at Offset and Size bytes long if Open is
	// nil. Otherwise Open returns the decoded content from its beginning at each
	// call, and Size is what the container declares, -1 if it declares nothing.
	Offset, Size int64
	Open         func() (io.ReadCloser, error)
}

// Index is a member that only lists the places of the others; its order has no
// meaning.
type Index struct {
	// Entry is the index of the member in Container.Entries.
	Entry int
	// Items are its entries, sorted.
	Items  []string
	Hidden Hidden
}

// Container is a file that was read to its end.
type Container struct {
	// Kind is the format, for messages: "ar archive", "gzip stream".
	Kind string
	// Fields is the metadata of the whole container.
	Fields  []Field
	Entries []Entry
	Hidden  Hidden
}

// Limits bound the reading of one container; zero fields have the defaults in
// brackets.
type Limits struct {
	Members int   // [2,000,000]
	Names   int64 // bytes of memory for entries, names and fields [28 MiB]
	Content int64 // bytes of all members, decoded [64 GiB]
}

// WithDefaults returns l with defaults for its zero fields.
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
