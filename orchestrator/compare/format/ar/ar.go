// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package ar reads library archives: those of System V and GNU, of BSD, and of
// z/OS, where headers and names are EBCDIC.
//
// An archive is a magic of 8 bytes followed by members: a header of 60 bytes in
// text, the content, and a byte of padding if the size is odd. docs/formats/ar.md
// describes the names and symbol tables of the variants, with sources. Thin
// archives hold no content and are refused.
//
// The permission bits of a header never reach a file system, since linkers read
// members in place. So they have the tier of the owner beside them.
package ar

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
	"golang.org/x/text/encoding/charmap"
)

const (
	magic       = "!<arch>\n"
	thinMagic   = "!<thin>\n"
	ebcdicMagic = "\x5a\x4c\x81\x99\x83\x88\x6e\x15" // "!<arch>\n" in IBM-1047
	headerSize  = 60
	maxName     = 64 << 10 // more than any path has
	nearby      = 4 << 10  // bytes to read at once around a header
)

// Offsets in a header. Each end is where the next field begins.
const (
	nameEnd = 16
	timeEnd = 28
	uidEnd  = 34
	gidEnd  = 40
	modeEnd = 48
	sizeEnd = 58
)

// Is reports whether head begins an archive. It includes thin archives, which Open
// refuses.
func Is(head []byte) bool {
	return bytes.HasPrefix(head, []byte(magic)) || bytes.HasPrefix(head, []byte(thinMagic)) ||
		bytes.HasPrefix(head, []byte(ebcdicMagic))
}

// Open reads an archive. The table of long names is not an entry; bytes of it that
// are not the name of a member are hidden. A symbol table is the first entry (see
// Symbols).
//
// Fields of an entry, in this order: ar.mtime, ar.uid, ar.gid, ar.mode (tier 1),
// ar.naming and ar.padding (tier 0). Numbers in another notation than archivers
// write are shown as they are, in quotes.
func Open(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error) {
	a, err := begin(r, size, l)
	if err != nil {
		return nil, err
	}
	c := &container.Container{Kind: a.kind()}
	for a.at < size {
		m, err := a.next()
		if err != nil {
			return nil, err
		}
		if m.names {
			continue
		}
		e, err := a.entry(m)
		if err != nil {
			return nil, err
		}
		c.Entries = append(c.Entries, e)
	}
	if err := a.unnamed(); err != nil {
		return nil, err
	}
	c.Fields, c.Hidden = a.fields, a.hidden.Value()
	return c, nil
}

// archive is the state of reading one archive.
type archive struct {
	f      exact.File
	near   *exact.Window
	budget *exact.Budget
	ebcdic bool
	at     int64
	// names is the table of long names, nil if none was read yet; namesAt is its
	// offset, and named are the parts that members use.
	names   []byte
	namesAt int64
	named   []stretch
	fields  []container.Field
	hidden  exact.Hidden
}

// stretch is a range in the table of names.
type stretch struct{ from, to int }

// member is one header and its meaning.
type member struct {
	at           int64
	header       string // as text
	name         string
	naming       string
	names        bool // the member is the table of long names
	offset, size int64
	end          int64 // offset of the next header
	hidden       exact.Hidden
	padding      string
}

func begin(r io.ReaderAt, size int64, l container.Limits) (*archive, error) {
	a := &archive{f: exact.File{R: r, Size: size}, budget: exact.NewBudget(l), at: int64(len(magic))}
	a.near = a.f.Window(nearby)
	head, err := a.near.Bytes(0, len(magic))
	if err != nil {
		return nil, err
	}
	switch string(head) {
	case magic:
	case ebcdicMagic:
		a.ebcdic = true
	case thinMagic:
		return nil, exact.Errorf(0, "it is a thin archive, which holds no content; build it without thin archives (ar T)")
	default:
		return nil, exact.Errorf(0, "it does not begin with the magic of an archive")
	}
	return a, nil
}

func (a *archive) kind() string {
	if a.ebcdic {
		return "z/OS ar archive"
	}
	return "ar archive"
}

// text decodes text of the archive. In EBCDIC, each byte becomes one character;
// otherwise the bytes stay as they are.
func (a *archive) text(b []byte) string {
	if !a.ebcdic {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		if c == 0x15 { // the newline of z/OS UNIX
			s.WriteByte('\n')
			continue
		}
		if c == 0x25 {
			s.WriteRune('\u0085')
			continue
		}
		s.WriteRune(charmap.CodePage1047.DecodeByte(c))
	}
	return s.String()
}

// next reads the header at a.at and advances a.at behind its member.
func (a *archive) next() (*member, error) {
	raw, err := a.near.Bytes(a.at, headerSize)
	if err != nil {
		return nil, err
	}
	if end := a.text(raw[sizeEnd:]); end != "`\n" {
		return nil, exact.Errorf(a.at+sizeEnd, "a header ends with %q", end)
	}
	m := &member{at: a.at, offset: a.at + headerSize}
	size, canonical := number(a.text(raw[modeEnd:sizeEnd]), 10)
	if size < 0 || size > a.f.Size-m.offset {
		return nil, exact.Errorf(a.at+modeEnd, "a member of %q bytes does not fit in the %d that are left",
			a.text(raw[modeEnd:sizeEnd]), a.f.Size-m.offset)
	}
	m.size, m.end = size, m.offset+size
	if err := a.budget.Members(a.at, 1); err != nil {
		return nil, err
	}
	m.header = a.text(raw[nameEnd:modeEnd])
	written := a.text(raw[modeEnd:sizeEnd])
	if err := a.name(m, strings.TrimRight(a.text(raw[:nameEnd]), " ")); err != nil {
		return nil, err
	}
	if !canonical {
		m.naming += fmt.Sprintf(", its size written %q", written)
	}
	if err := a.pad(m); err != nil {
		return nil, err
	}
	a.at = m.end
	return m, nil
}

// name finds the name of a member in any of the notations.
func (a *archive) name(m *member, field string) error {
	switch {
	case field == "//":
		m.names, m.naming = true, "table"
		return a.table(m)
	case field == "/" || field == "/SYM64/":
		m.name, m.naming = field, "table"
		return a.budget.Names(m.at, int64(len(field)))
	case strings.HasPrefix(field, "#1/"):
		return a.inContent(m, field[3:])
	case strings.HasPrefix(field, "/"):
		return a.inTable(m, field[1:])
	case len(field) > 1 && strings.HasSuffix(field, "/"):
		m.name, m.naming = field[:len(field)-1], "closed by a slash"
	default:
		m.name, m.naming = field, "padded"
	}
	return a.budget.Names(m.at, int64(len(m.name)))
}

// table reads the table of long names.
func (a *archive) table(m *member) error {
	if a.names != nil {
		return exact.Errorf(m.at, "a second table of long names")
	}
	if err := a.budget.Names(m.at, m.size); err != nil {
		return err
	}
	a.names, a.namesAt = make([]byte, m.size), m.offset
	return a.f.Read(a.names, m.offset)
}

// inTable reads a name from the table of long names.
func (a *archive) inTable(m *member, field string) error {
	at, canonical := number(field, 10)
	if at < 0 || !canonical {
		return exact.Errorf(m.at, "a name is written %q", "/"+field)
	}
	if at >= int64(len(a.names)) {
		return exact.Errorf(m.at, "a name stands at %d of a table of long names of %d bytes", at, len(a.names))
	}
	end := bytes.IndexAny(a.names[at:min(at+maxName, int64(len(a.names)))], "\n\x00")
	if end < 0 {
		return exact.Errorf(a.namesAt+at, "a name in the table of long names has no end")
	}
	name := strings.TrimSuffix(string(a.names[at:at+int64(end)]), "/")
	a.named = append(a.named, stretch{int(at), int(at) + end + 1})
	m.name, m.naming = name, "in the table"
	return a.budget.Names(m.at, int64(len(name)))
}

// inContent reads a name that is stored before the content and counts as part of
// it. Zeros behind the name are padding.
func (a *archive) inContent(m *member, field string) error {
	length, canonical := number(field, 10)
	if length < 0 || !canonical || length > min(m.size, maxName) {
		return exact.Errorf(m.at, "a name is said to have %q bytes", field)
	}
	if err := a.budget.Names(m.at, length); err != nil {
		return err
	}
	raw := make([]byte, length)
	if err := a.f.Read(raw, m.offset); err != nil {
		return err
	}
	name, rest, _ := bytes.Cut(raw, []byte{0})
	if from := len(bytes.TrimRight(rest, "\x00")); from > 0 {
		if err := m.hidden.Add(a.f, m.offset+int64(len(name))+1, int64(from)); err != nil {
			return err
		}
	}
	m.name, m.naming = a.text(name), "before the content, "+field+" bytes"
	m.offset, m.size = m.offset+length, m.size-length
	return nil
}

// pad reads the byte of padding before the next header, if there is one.
func (a *archive) pad(m *member) error {
	if m.end%2 == 0 {
		return nil
	}
	if m.end == a.f.Size {
		m.padding = "left out at the end"
		return nil
	}
	b, err := a.near.Bytes(m.end, 1)
	if err != nil {
		return err
	}
	m.end++
	switch {
	case a.text(b) == "\n":
		m.padding = "newline"
	case b[0] == 0:
		m.padding = "zero"
	default:
		m.padding = "other"
		return m.hidden.Add(a.f, m.end-1, 1)
	}
	return nil
}

// number reads a number that is padded by spaces; -1 if it is not one. canonical is
// set if it is left-aligned without a sign or leading zeros.
func number(s string, base int) (n int64, canonical bool) {
	n, err := strconv.ParseInt(strings.Trim(s, " "), base, 64)
	if err != nil || n < 0 {
		return -1, false
	}
	return n, strconv.FormatInt(n, base) == strings.TrimRight(s, " ")
}

func (a *archive) entry(m *member) (container.Entry, error) {
	cut := func(from, to int) string {
		// Decoded, a character of EBCDIC may take two bytes. The offsets are then
		// wrong, so each field shows the whole header.
		if len(m.header) != modeEnd-nameEnd {
			return m.header
		}
		return m.header[from-nameEnd : to-nameEnd]
	}
	fields := []container.Field{
		{Name: "ar.mtime", Value: timeText(cut(nameEnd, timeEnd)), Weight: container.Header},
		{Name: "ar.uid", Value: numberText(cut(timeEnd, uidEnd), 10), Weight: container.Header},
		{Name: "ar.gid", Value: numberText(cut(uidEnd, gidEnd), 10), Weight: container.Header},
		{Name: "ar.mode", Value: numberText(cut(gidEnd, modeEnd), 8), Weight: container.Header},
		{Name: "ar.naming", Value: m.naming},
		{Name: "ar.padding", Value: m.padding},
	}
	if err := a.budget.Entry(m.at, ""); err != nil { // names were counted when they were read
		return container.Entry{}, err
	}
	if err := a.budget.Fields(m.at, fields); err != nil {
		return container.Entry{}, err
	}
	if err := a.budget.Content(m.at, uint64(m.size)); err != nil {
		return container.Entry{}, err
	}
	return container.Entry{Name: m.name, Fields: fields, Hidden: m.hidden.Value(), Offset: m.offset, Size: m.size}, nil
}

func timeText(s string) string {
	if n, ok := number(s, 10); ok {
		return time.Unix(n, 0).UTC().Format(time.RFC3339)
	}
	return numberText(s, 10)
}

// numberText returns the number, "" if the field is blank, or else the field in
// quotes.
func numberText(s string, base int) string {
	if _, ok := number(s, base); ok {
		return strings.TrimRight(s, " ")
	}
	if strings.Trim(s, " ") == "" {
		return ""
	}
	return strconv.Quote(s)
}

// unnamed adds the fields about the table of long names: that there is one, and
// which bytes of it no member uses.
func (a *archive) unnamed() error {
	if a.names == nil {
		return nil
	}
	header := make([]byte, headerSize)
	if err := a.f.Read(header, a.namesAt-headerSize); err != nil {
		return err
	}
	f := container.Field{Name: "ar.names", Value: fmt.Sprint(len(a.names), " bytes")}
	if text := a.text(header[nameEnd:modeEnd]); strings.Trim(text, " ") != "" {
		f.Value, f.Weight = f.Value+", its header says "+strconv.Quote(text), container.Meaning
	}
	a.fields = append(a.fields, f)
	slices.SortFunc(a.named, func(x, y stretch) int { return x.from - y.from })
	at := 0
	for _, s := range append(a.named, stretch{len(a.names), len(a.names)}) {
		if rest := a.names[min(at, s.from):s.from]; len(bytes.Trim(rest, "\n\x00")) > 0 {
			if err := a.hidden.Add(a.f, a.namesAt+int64(at), int64(len(rest))); err != nil {
				return err
			}
		}
		at = max(at, s.to)
	}
	return nil
}
