// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package pax reads and writes tar archives as POSIX.1-2001 pax defines them, and
// accounts for every byte: it keeps the file tags, extended attributes and other
// vendor records of z/OS pax in order, and reports bytes that no reader uses
// (padding, what follows the end).
//
// The standard library's archive/tar hides those bytes and accepts archives without
// an end. This package does not unpack to disk.
package pax

import (
	"errors"
	"time"
)

// ErrFormat says that the archive is damaged, cut short, beyond a bound, or of a
// kind that is not read here. The text says which, and where.
var ErrFormat = errors.New("not a readable pax archive")

// Type is the type flag of a member.
type Type byte

// The types of members.
const (
	Regular     Type = '0'
	HardLink    Type = '1'
	Symlink     Type = '2'
	CharDevice  Type = '3'
	BlockDevice Type = '4'
	Directory   Type = '5'
	FIFO        Type = '6'
	Contiguous  Type = '7' // treated as Regular
)

// String returns the name of the type for people.
func (t Type) String() string {
	switch t {
	case Regular, Contiguous:
		return "file"
	case HardLink:
		return "hard link"
	case Symlink:
		return "symbolic link"
	case CharDevice:
		return "character device"
	case BlockDevice:
		return "block device"
	case Directory:
		return "directory"
	case FIFO:
		return "named pipe"
	}
	return "type " + string(rune(t))
}

// Keys of the records that z/OS pax writes.
const (
	ZOSTag      = "ZOS.taginfo"      // "1 819": text or binary, code page
	ZOSExtattr  = "ZOS.extattr"      // "--s-": APF, program control, shared address space, shared library
	ZOSAudit    = "ZOS.useraudit"    // audit flags of the owner
	ZOSAuditor  = "ZOS.auditoraudit" // audit flags of the auditor
	ZOSFileForm = "ZOS.filefmt"      // how records of a file end
)

// Record is one keyword and value of an extended header.
type Record struct {
	Key, Value string
}

// Member is one entry of an archive.
type Member struct {
	// Name and Link are unchecked, as stored in the archive; they may be hostile.
	Name string
	Link string
	Type Type
	// Mode holds the low twelve bits: permissions, setuid, setgid, sticky.
	Mode               uint32
	UID, GID           int64
	Uname, Gname       string
	ModTime            time.Time
	Size               int64
	DevMajor, DevMinor int64
	// Records are the records in force, from global headers and the member's own:
	// the last one of each key, in the order in which the keys first occurred. Keys
	// of the fields above (path, size ...) are not included.
	Records []Record
	// Offset is where the content begins in the archive, Header where the first
	// header of the member begins.
	Offset, Header int64
	// HeaderSum is the SHA-256 of all header blocks of the member.
	HeaderSum [32]byte
	// Hidden counts bytes that are not zero and that nothing reads: padding behind
	// headers and content, what follows the end of a text in its field, records
	// that a later one overrides. HiddenSum is their SHA-256. Both are complete
	// only after the following call of Next.
	Hidden    int64
	HiddenSum [32]byte
}

// Record returns the value of the record of that key.
func (m *Member) Record(key string) (string, bool) {
	for _, r := range m.Records {
		if r.Key == key {
			return r.Value, true
		}
	}
	return "", false
}

// Limits bound what a Reader accepts. Zero fields have their defaults.
type Limits struct {
	// Members bounds the number of members; default 10 million.
	Members int
	// Records bounds the bytes of one extended header; default 1 MiB.
	Records int64
	// Name bounds names and link targets in bytes; default 64 KiB.
	Name int64
}

func (l Limits) withDefaults() Limits {
	if l.Members <= 0 {
		l.Members = 10_000_000
	}
	if l.Records <= 0 {
		l.Records = 1 << 20
	}
	if l.Name <= 0 {
		l.Name = 64 << 10
	}
	return l
}

// Trailer is what follows the two zero blocks that end an archive.
type Trailer struct {
	// Offset is where it begins, Length its length in bytes.
	Offset, Length int64
	// NonZero counts the bytes that are not zero. First is the offset of the first
	// of them in the archive, -1 if there is none. Sum is the SHA-256 from there
	// on.
	NonZero int64
	First   int64
	Sum     [32]byte
}

const (
	blockSize = 512
	// recordSize follows POSIX's default blocking factor of 20.
	recordSize = 20 * blockSize
)
