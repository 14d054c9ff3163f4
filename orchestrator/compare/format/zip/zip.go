// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package zip reads zip archives, including jars and wheels. It assumes that an
// archive may be made to show different content to different readers.
//
// It reads the directory at the end and the header before each member, and requires
// that they agree. The standard library's archive/zip reads members by the
// directory alone and cannot detect a conflict. Every byte belongs to a member or
// the directory, or is hidden. Content is inflated once when the archive is opened,
// which verifies sums, sizes and the end of compressed data. docs/formats/zip.md
// describes the layout, with sources.
package zip

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

const (
	localMagic      = "PK\x03\x04"
	centralMagic    = "PK\x01\x02"
	endMagic        = "PK\x05\x06"
	end64Magic      = "PK\x06\x06"
	locatorMagic    = "PK\x06\x07"
	descriptorMagic = "PK\x07\x08"

	localSize   = 30
	centralSize = 46
	endSize     = 22
	end64Size   = 56
	locatorSize = 20

	max16 = 1<<16 - 1
	max32 = 1<<32 - 1

	// Memory of a member without its name and fields: its directory entry, its
	// place in the order, its container entry, and its opener.
	lineSize  = 320
	textSize  = 16       // memory of a text without its bytes
	maxEnd64  = 1 << 20  // bytes of the zip64 end record
	nearby    = 64 << 10 // bytes to read at once in the directory
	nearLocal = 4 << 10  // and around local headers
)

// Is reports whether head begins an archive: with a member, or with the end record
// of an empty archive. It does not recognise programs with an archive appended.
func Is(head []byte) bool {
	return bytes.HasPrefix(head, []byte(localMagic)) || bytes.HasPrefix(head, []byte(endMagic))
}

// Open reads an archive. Entries are in the order of the directory, including
// duplicate names. Fields of an entry, in this order: zip.time, zip.owner (tier 1),
// zip.mode, zip.attributes, zip.comment, zip.extra, zip.extra.local (never masked),
// zip.utf8, zip.flags (never masked where they have a meaning, else tier 0),
// zip.method, zip.version, zip.zip64, zip.descriptor, zip.compression (tier 0).
// Hidden bytes of an entry follow the end of its compressed data. Hidden bytes of
// the container belong to no member or record, in file order.
func Open(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error) {
	z := &archive{f: exact.File{R: r, Size: size}, budget: exact.NewBudget(l), c: &container.Container{Kind: "zip archive"}}
	if err := z.findEnd(); err != nil {
		return nil, err
	}
	members, err := z.directory()
	if err != nil {
		return nil, err
	}
	if err := z.locals(members); err != nil {
		return nil, err
	}
	z.c.Hidden = z.hidden.Value()
	return z.c, nil
}

// archive is the state of reading one archive.
type archive struct {
	f      exact.File
	budget *exact.Budget
	c      *container.Container
	hidden exact.Hidden
	end    end
	// inflate is reused for all members.
	inflate io.ReadCloser
}

// end holds the values of the records at the end.
type end struct {
	at             int64 // of the first of these records
	after          int64 // offset behind the comment
	members        uint64
	size, offset   uint64 // of the directory
	base           int64  // to add to all offsets
	directory      int64  // its offset
	gapFrom, gapTo int64  // range between the zip64 records
}

// findEnd finds the end record, which may be followed by a comment of up to 64 KiB.
// Two possible end records are an error, since readers would disagree.
func (z *archive) findEnd() error {
	length := min(z.f.Size, endSize+max16)
	from := z.f.Size - length
	tail := make([]byte, length)
	if err := z.f.Read(tail, from); err != nil {
		return err
	}
	at := bytes.LastIndex(tail, []byte(endMagic))
	if at < 0 || len(tail)-at < endSize {
		return exact.Errorf(z.f.Size, "a zip archive ends without the record of its end")
	}
	for other := at; other > 0; {
		other = bytes.LastIndex(tail[:other], []byte(endMagic))
		if other < 0 {
			break
		}
		comment := int(binary.LittleEndian.Uint16(tail[other+20:]))
		if e := other + endSize + comment; e > at {
			return exact.Errorf(from+int64(other), "there are two records of the end, one in the comment of the other")
		}
	}
	rec := tail[at:]
	comment := int(binary.LittleEndian.Uint16(rec[20:]))
	if endSize+comment > len(rec) {
		return exact.Errorf(from+int64(at), "the comment of a zip archive is cut off")
	}
	if err := z.readEnd(rec, from+int64(at)); err != nil {
		return err
	}
	z.end.after = from + int64(at+endSize+comment)
	return z.place(string(rec[endSize : endSize+comment]))
}

// readEnd reads the end record, and the zip64 records before it.
func (z *archive) readEnd(rec []byte, at int64) error {
	u16, u32 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32
	disk, start, here, all := u16(rec[4:]), u16(rec[6:]), u16(rec[8:]), u16(rec[10:])
	z.end = end{at: at, members: uint64(all), size: uint64(u32(rec[12:])), offset: uint64(u32(rec[16:]))}
	found, err := z.readEnd64(at)
	if err != nil {
		return err
	}
	if !found && (all == max16 || u32(rec[12:]) == max32 || u32(rec[16:]) == max32) {
		// 65,535 members need no zip64; the number is then literal.
		if u32(rec[12:]) == max32 || u32(rec[16:]) == max32 {
			return exact.Errorf(at, "the records of zip64 are missing")
		}
	}
	if disk != 0 && disk != max16 || start != 0 && start != max16 || here != all {
		return exact.Errorf(at+4, "it is one part of an archive of several, which are not read")
	}
	if found && (all != max16 && uint64(all) != z.end.members || u32(rec[12:]) != max32 && uint64(u32(rec[12:])) != z.end.size ||
		u32(rec[16:]) != max32 && uint64(u32(rec[16:])) != z.end.offset) {
		return exact.Errorf(at, "the record of the end and that of zip64 say unlike things of the directory")
	}
	z.addField("zip.zip64", container.Form, strconv.FormatBool(found))
	return nil
}

func (z *archive) addField(name string, w container.Weight, value string) {
	z.c.Fields = append(z.c.Fields, container.Field{Name: name, Value: value, Weight: w})
}

func (z *archive) readEnd64(at int64) (bool, error) {
	if at < locatorSize {
		return false, nil
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	loc := make([]byte, locatorSize)
	if err := z.f.Read(loc, at-locatorSize); err != nil {
		return false, err
	}
	if string(loc[:4]) != locatorMagic {
		return false, nil
	}
	at -= locatorSize
	where := u64(loc[8:])
	if u32(loc[4:]) != 0 || u32(loc[16:]) > 1 {
		return false, exact.Errorf(at, "it is one part of an archive of several, which are not read")
	}
	if where > uint64(at) || uint64(at)-where < end64Size {
		return false, exact.Errorf(at+8, "the record of zip64 is said to be at %d", where)
	}
	rec := make([]byte, end64Size)
	if err := z.f.Read(rec, int64(where)); err != nil {
		return false, err
	}
	length := u64(rec[4:])
	if string(rec[:4]) != end64Magic || length < end64Size-12 || length > uint64(at)-where-12 {
		return false, exact.Errorf(int64(where), "the record of zip64 is not readable")
	}
	if u32(rec[16:]) != 0 || u32(rec[20:]) != 0 || u64(rec[24:]) != u64(rec[32:]) {
		return false, exact.Errorf(int64(where), "it is one part of an archive of several, which are not read")
	}
	rest := length + 12 - end64Size
	if rest > maxEnd64 {
		return false, exact.Errorf(int64(where), "the record of zip64 has %d bytes of its own", rest)
	}
	extra := make([]byte, rest)
	if err := z.f.Read(extra, int64(where)+end64Size); err != nil {
		return false, err
	}
	z.addField("zip.zip64.version", container.Form, fmt.Sprintf("%x", rec[12:16]))
	z.addField("zip.zip64.extra", container.Meaning, hexText(extra))
	z.end = end{at: int64(where), members: u64(rec[32:]), size: u64(rec[40:]), offset: u64(rec[48:]),
		gapFrom: int64(where + 12 + length), gapTo: at}
	return true, nil
}

// place finds the directory: at the offset in the end record or, if data was put
// before the archive, so that it ends where the end record begins.
func (z *archive) place(comment string) error {
	e := &z.end
	if err := z.budget.Members(e.at, e.members); err != nil {
		return err
	}
	if err := z.budget.Names(e.at, int64(e.members)*lineSize); err != nil {
		return err
	}
	if err := z.budget.Names(e.at, int64(len(comment))); err != nil {
		return err
	}
	z.addField("zip.comment", container.Meaning, quoted(comment))
	if e.size > uint64(e.at) || e.offset > uint64(e.at)-e.size {
		return exact.Errorf(e.at, "a directory of %d bytes at %d does not fit before its end", e.size, e.offset)
	}
	if e.members > e.size/centralSize {
		return exact.Errorf(e.at, "a directory of %d members does not fit in %d bytes", e.members, e.size)
	}
	e.directory = int64(e.offset)
	shift := e.at - int64(e.size) - int64(e.offset)
	if shift == 0 || e.members == 0 {
		return nil
	}
	said, err := z.begins(int64(e.offset), centralMagic)
	if err != nil {
		return err
	}
	shifted, err := z.begins(int64(e.offset)+shift, centralMagic)
	if err != nil {
		return err
	}
	switch {
	case said && shifted:
		return exact.Errorf(e.at, "there are two directories, at %d and at %d", e.offset, int64(e.offset)+shift)
	case shifted:
		e.base, e.directory = shift, int64(e.offset)+shift
	}
	return nil
}

func (z *archive) begins(at int64, magic string) (bool, error) {
	b := make([]byte, min(int64(len(magic)), z.f.Size-at))
	err := z.f.Read(b, at)
	return string(b) == magic, err
}

// member is one directory entry.
type member struct {
	header      // the local header must repeat it
	made, needs uint16
	internal    uint16
	external    uint32
	zip64       bool
	asked       [3]bool // sizes and offset that are stored in zip64
	local       int64   // offset of the local header
	line        int64   // offset of this directory entry
	// text is the name, extra fields and comment, joined; nameEnd and moreEnd are
	// the ends of the first two.
	text             string
	nameEnd, moreEnd uint32
}

func (m *member) name() string    { return m.text[:m.nameEnd] }
func (m *member) more() string    { return m.text[m.nameEnd:m.moreEnd] }
func (m *member) comment() string { return m.text[m.moreEnd:] }

// header is the part that directory entry and local header share.
type header struct {
	flags, method, clock, date uint16
	crc                        uint32
	packed, size               uint64
}

// directory reads all directory entries.
func (z *archive) directory() ([]member, error) {
	at, to := z.end.directory, z.end.directory+int64(z.end.size)
	near := exact.File{R: z.f.R, Size: to}.Window(nearby)
	members := make([]member, 0, z.end.members)
	for range z.end.members {
		m, next, err := z.line(near, at)
		if err != nil {
			return nil, err
		}
		members, at = append(members, m), next
	}
	if at != to {
		return nil, exact.Errorf(at, "%d bytes are left of the directory behind its %d members", to-at, z.end.members)
	}
	// Some readers ignore the count and read all entries that follow.
	if more, err := z.begins(to, centralMagic); err != nil || more {
		if more {
			err = exact.Errorf(to, "there is another line of the directory behind its %d members", z.end.members)
		}
		return nil, err
	}
	return members, nil
}

func (z *archive) line(near *exact.Window, at int64) (member, int64, error) {
	u16, u32 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32
	b, err := near.Bytes(at, centralSize)
	if err != nil {
		return member{}, 0, err
	}
	if string(b[:4]) != centralMagic {
		return member{}, 0, exact.Errorf(at, "a line of the directory does not begin with its magic")
	}
	m := member{line: at, made: u16(b[4:]), needs: u16(b[6:]), internal: u16(b[36:]), external: u32(b[38:]),
		header: header{u16(b[8:]), u16(b[10:]), u16(b[12:]), u16(b[14:]), u32(b[16:]), uint64(u32(b[20:])), uint64(u32(b[24:]))}}
	nameLen, extraLen, commentLen := int(u16(b[28:])), int(u16(b[30:])), int(u16(b[32:]))
	disk, local := u16(b[34:]), uint64(u32(b[42:]))
	rest, err := near.Bytes(at+centralSize, nameLen+extraLen+commentLen)
	if err != nil {
		return m, 0, err
	}
	if err := z.budget.Names(at, int64(len(rest))+textSize); err != nil {
		return m, 0, err
	}
	m.text, m.nameEnd, m.moreEnd = string(rest), uint32(nameLen), uint32(nameLen+extraLen)
	more := readZip64(m.more())
	wide := []*uint64{&m.size, &m.packed, &local}
	for i, n := range wide {
		m.asked[i] = *n == max32
	}
	if m.zip64, err = more.widen(at, wide...); err != nil {
		return m, 0, err
	}
	if disk != 0 && disk != max16 {
		return m, 0, exact.Errorf(at+34, "a member lies in another part of an archive of several, which are not read")
	}
	if local > uint64(z.end.directory) {
		return m, 0, exact.Errorf(at+42, "a member is said to be at %d, in or behind the directory", local)
	}
	m.local = int64(local) + z.end.base
	return m, at + centralSize + int64(len(rest)), m.readable(at)
}

// Flags that matter here.
const (
	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3
	flagPatch      = 1 << 5
	flagStrong     = 1 << 6
	flagUTF8       = 1 << 11
	flagMasked     = 1 << 13
	flagsKnown     = 1<<1 | 1<<2 | flagDescriptor
)

// readable refuses members that cannot be decoded.
func (m *member) readable(at int64) error {
	switch {
	case m.flags&(flagEncrypted|flagStrong|flagMasked) != 0:
		return exact.Errorf(at+8, "%s is encrypted, and cannot be compared", quoted(m.name()))
	case m.flags&flagPatch != 0:
		return exact.Errorf(at+8, "%s is a patch, and cannot be compared", quoted(m.name()))
	case m.method != stored && m.method != deflated:
		return exact.Errorf(at+10, "%s is compressed by method %d; stored (0) and deflated (8) are read", quoted(m.name()), m.method)
	case m.method == stored && m.size != m.packed:
		return exact.Errorf(at+20, "%s is stored, and of %d bytes in %d", quoted(m.name()), m.size, m.packed)
	case m.method == deflated && m.size/maxRatio > m.packed:
		return exact.Errorf(at+24, "%s is said to hold %d bytes in %d, which deflate cannot", quoted(m.name()), m.size, m.packed)
	}
	return nil
}

// locals reads the members in file order, so that bytes between them are found.
func (z *archive) locals(members []member) error {
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := members[a].local, members[b].local; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	z.addOrder(order)
	z.c.Entries = make([]container.Entry, len(members))
	near := z.f.Window(nearLocal)
	at := int64(0)
	for i, place := range order {
		next := z.end.directory
		if i+1 < len(order) {
			next = members[order[i+1]].local
		}
		m := &members[place]
		if m.local < at {
			return exact.Errorf(m.local, "members overlap: %s and %s", quoted(members[order[i-1]].name()), quoted(m.name()))
		}
		if err := z.hidden.Add(z.f, at, m.local-at); err != nil {
			return err
		}
		var err error
		if z.c.Entries[place], at, err = z.local(near, m, next); err != nil {
			return err
		}
		*m = member{text: m.text, nameEnd: m.nameEnd, local: m.local}
	}
	return z.hideGaps(at)
}

// hideGaps hides the bytes between members and directory, and those behind it.
func (z *archive) hideGaps(at int64) error {
	e := z.end
	for _, gap := range [][2]int64{{at, e.directory}, {e.directory + int64(e.size), e.at}, {e.gapFrom, e.gapTo}, {e.after, z.f.Size}} {
		if err := z.hidden.Add(z.f, gap[0], gap[1]-gap[0]); err != nil {
			return err
		}
	}
	return nil
}

// addOrder adds a field that says whether members are in the order of the
// directory.
func (z *archive) addOrder(order []int) {
	if slices.IsSorted(order) {
		z.addField("zip.order", container.Form, "as in the directory")
		return
	}
	h := sha256.New()
	for _, i := range order {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	z.addField("zip.order", container.Form, fmt.Sprintf("another than in the directory, sha256 %x", h.Sum(nil)))
}
