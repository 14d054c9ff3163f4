// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

// The magics, in ASCII.
const (
	newMagic = "070701"
	sumMagic = "070702"
	odcMagic = "070707"

	newSize = 110
	odcSize = 76

	trailer = "TRAILER!!!"
)

// File types, as in modes.
const (
	typeMask    = 0o170000
	typeRegular = 0o100000
	typeLink    = 0o120000
	typeBlock   = 0o060000
	typeChar    = 0o020000
)

// Header is the header of a member.
type Header struct {
	Name string
	// Mode is the file type and permissions, as in UNIX.
	Mode           uint32
	UID, GID       uint32
	Links          uint32
	Inode, Device  uint64
	Special        uint64 // device number of a device file
	Time           int64  // seconds since 1970
	Size           int64
	check          uint32
	nameSize       int64
	offset, placed int64 // offset of the content, of the header
}

// Regular reports whether the member is a regular file.
func (h *Header) Regular() bool { return h.Mode&typeMask == typeRegular }

// symlink reports whether the member is a symbolic link, whose content is the
// target.
func (h *Header) symlink() bool { return h.Mode&typeMask == typeLink }

// variant is one layout of headers.
type variant struct {
	kind, magic string
	size        int
	padded      bool // to multiples of four
	summed      bool
	read        func(f *fields) Header
}

func variants() []variant {
	return []variant{
		{"cpio archive (new, 070701)", newMagic, newSize, true, false, newHeader},
		{"cpio archive (new with sums, 070702)", sumMagic, newSize, true, true, newHeader},
		{"cpio archive (odc, 070707)", odcMagic, odcSize, false, false, odcHeader},
	}
}

// Is reports whether head begins an archive in a format that is read. It checks the
// magic, and that the header consists of digits.
func Is(head []byte) bool {
	for _, f := range variants() {
		if len(head) < f.size || !bytes.HasPrefix(head, []byte(f.magic)) {
			continue
		}
		n := &fields{b: head[len(f.magic):f.size], wrong: -1}
		f.read(n)
		return n.wrong < 0
	}
	return false
}

// fields consumes numbers from a header.
type fields struct {
	b     []byte
	at    int
	wrong int // offset of the first invalid number, -1 if all are valid
}

func (f *fields) number(digits, base int) uint64 {
	n, err := strconv.ParseUint(string(f.b[f.at:f.at+digits]), base, 64)
	if err != nil && f.wrong < 0 {
		f.wrong = f.at
	}
	f.at += digits
	return n
}

// newHeader reads thirteen numbers of eight hexadecimal digits.
func newHeader(f *fields) Header {
	next := func() uint64 { return f.number(8, 16) }
	h := Header{Inode: next(), Mode: uint32(next()), UID: uint32(next()), GID: uint32(next()), Links: uint32(next()),
		Time: int64(next()), Size: int64(next())}
	h.Device = next()<<32 | next()
	h.Special = next()<<32 | next()
	h.nameSize, h.check = int64(next()), uint32(next())
	return h
}

// odcHeader reads octal numbers.
func odcHeader(f *fields) Header {
	next := func() uint64 { return f.number(6, 8) }
	h := Header{Device: next(), Inode: next(), Mode: uint32(next()), UID: uint32(next()), GID: uint32(next()),
		Links: uint32(next()), Special: next()}
	h.Time = int64(f.number(11, 8))
	h.nameSize = int64(next())
	h.Size = int64(f.number(11, 8))
	return h
}

// parse parses the header b at offset at.
func (f variant) parse(b []byte, at int64) (*Header, error) {
	if !bytes.HasPrefix(b, []byte(f.magic)) {
		return nil, exact.Errorf(at, "a header begins with %q; all of an archive begin with the same", b[:len(f.magic)])
	}
	n := &fields{b: b[len(f.magic):], wrong: -1}
	h := f.read(n)
	if n.wrong >= 0 {
		return nil, exact.Errorf(at+int64(len(f.magic)+n.wrong), "a header holds no number")
	}
	if h.nameSize < 1 || h.nameSize > maxName {
		return nil, exact.Errorf(at, "a name of %d bytes; 1 to %d are read", h.nameSize, maxName)
	}
	h.placed = at
	return &h, nil
}

// bare reports whether a trailer's header has no values of its own.
func (h *Header) bare() bool {
	rest := *h
	rest.Name, rest.nameSize, rest.offset, rest.placed = "", 0, 0, 0
	if rest.Links == 1 {
		rest.Links = 0
	}
	return rest == Header{}
}

func (h *Header) modeText() string {
	mode := fs.FileMode(h.Mode & 0o777)
	kind := map[uint32]string{typeRegular: "file", typeLink: "symbolic link", typeBlock: "block device", typeChar: "character device",
		0o040000: "directory", 0o010000: "named pipe", 0o140000: "socket"}[h.Mode&typeMask]
	if kind == "" {
		kind = "unknown type"
	}
	return fmt.Sprintf("%06o %s %s", h.Mode, mode, kind)
}

func (h *Header) timeText() string { return time.Unix(h.Time, 0).UTC().Format(time.RFC3339) }

// device formats a device number as stored: in two halves where there are two.
func (f variant) device(n uint64) string {
	if f.magic == odcMagic {
		return fmt.Sprintf("%o", n)
	}
	return fmt.Sprintf("%d,%d", n>>32, uint32(n))
}
