// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxTime bounds times, in seconds before or after 1970, so that they can be
// printed: the year 9999.
const maxTime = 253402300799

// member fills m from the header block just read and the records before it.
func (r *Reader) member(m *Member, own []Record, longName, longLink []byte) error {
	if r.members++; r.members > r.lim.Members {
		return r.fault("more than %d members; raise the limit if this is expected", r.lim.Members)
	}
	b := r.block[:]
	if err := r.fields(m, b); err != nil {
		return err
	}
	if longName != nil {
		m.Name = string(longName)
	}
	if longLink != nil {
		m.Link = string(longLink)
	}
	records := own
	if len(r.globals) > 0 {
		records = r.globals
		if len(own) > 0 {
			records = merge(r.globals, own)
		}
	}
	if err := r.apply(m, records); err != nil {
		return err
	}
	if err := r.check(m); err != nil {
		return err
	}
	m.Offset = r.off
	r.header.Sum(m.HeaderSum[:0])
	r.left = 0
	if m.Type == Regular {
		r.left, r.pad = m.Size, padding(m.Size)
	}
	return nil
}

// merge returns globals overridden by own: an own record replaces the global one of
// its key, and one without a value removes it.
func merge(globals, own []Record) []Record {
	out := make([]Record, 0, len(globals)+len(own))
	at := make(map[string]int, len(globals))
	for _, g := range globals {
		at[g.Key] = len(out)
		out = append(out, g)
	}
	for _, o := range own {
		if i, ok := at[o.Key]; ok {
			out[i] = o
		} else {
			out = append(out, o)
		}
	}
	return out
}

// fields reads the fields of a header block.
func (r *Reader) fields(m *Member, b []byte) error {
	m.Name, m.Link = r.text(b[0:100]), r.text(b[157:257])
	m.Type = Type(b[156])
	if m.Type == 0 {
		m.Type = Regular
	}
	for _, f := range []struct {
		name  string
		field []byte
		into  *int64
	}{
		{"uid", b[108:116], &m.UID}, {"gid", b[116:124], &m.GID}, {"size", b[124:136], &m.Size},
	} {
		n, err := r.number(f.field)
		if err != nil {
			return r.fault("%s of %q: %v", f.name, m.Name, err)
		}
		*f.into = n
	}
	mode, err := r.number(b[100:108])
	if err != nil {
		return r.fault("mode of %q: %v", m.Name, err)
	}
	m.Mode = uint32(mode) & 0o7777
	r.hideBehind(b[136:148])
	seconds, err := signedNumber(b[136:148])
	if err != nil || seconds > maxTime || seconds < -maxTime {
		return r.fault("time of %q cannot be read", m.Name)
	}
	m.ModTime = time.Unix(seconds, 0).UTC()
	return r.ustar(m, b)
}

// ustar reads the fields that only ustar and GNU headers have.
func (r *Reader) ustar(m *Member, b []byte) error {
	magic := string(b[257:265])
	if magic != "ustar\x0000" && magic != "ustar  \x00" {
		if !allZero(b[257:]) {
			return r.fault("a header that is neither ustar nor GNU nor of Version 7")
		}
		return nil
	}
	m.Uname, m.Gname = r.text(b[265:297]), r.text(b[297:329])
	var err error
	if m.DevMajor, err = r.number(b[329:337]); err != nil {
		return r.fault("device of %q: %v", m.Name, err)
	}
	if m.DevMinor, err = r.number(b[337:345]); err != nil {
		return r.fault("device of %q: %v", m.Name, err)
	}
	if magic == "ustar  \x00" {
		// GNU: atime, ctime and the parts of sparse and multi-volume archives.
		if !allZero(b[369:495]) {
			return r.fault("%q is sparse or of several volumes; pack it with \"tar --format=pax\" and without --sparse", m.Name)
		}
		r.hide(b[495:])
		return nil
	}
	if prefix := r.text(b[345:500]); prefix != "" {
		m.Name = prefix + "/" + m.Name
	}
	r.hide(b[500:])
	return nil
}

// text returns a text up to its NUL and hides the bytes behind it.
func (r *Reader) text(field []byte) string {
	text, rest, _ := bytes.Cut(field, []byte{0})
	r.hide(rest)
	return string(text)
}

// apply overrides the fields of m with records and stores the other records.
func (r *Reader) apply(m *Member, records []Record) error {
	for _, rec := range records {
		known, err := m.set(rec)
		if err != nil {
			return r.fault("record %q of %q: %v", Clip(rec.Key), Clip(m.Name), err)
		}
		if strings.HasPrefix(rec.Key, "GNU.sparse.") {
			return r.fault("%q is sparse; pack it without --sparse", Clip(m.Name))
		}
		if !known && rec.Value != "" {
			m.Records = append(m.Records, rec)
		}
	}
	return nil
}

// set sets the field that a record overrides, and reports whether there is one. A
// record without a value removes the one before it, which merge has done.
func (m *Member) set(rec Record) (bool, error) {
	var err error
	switch rec.Key {
	case "path":
		assign(&m.Name, rec.Value)
	case "linkpath":
		assign(&m.Link, rec.Value)
	case "uname":
		assign(&m.Uname, rec.Value)
	case "gname":
		assign(&m.Gname, rec.Value)
	case "size":
		m.Size, err = decimal(rec.Value, m.Size)
	case "uid":
		m.UID, err = decimal(rec.Value, m.UID)
	case "gid":
		m.GID, err = decimal(rec.Value, m.GID)
	case "mtime":
		if rec.Value != "" {
			m.ModTime, err = parseTime(rec.Value)
		}
	default:
		return false, nil
	}
	return true, err
}

func assign(to *string, value string) {
	if value != "" {
		*to = value
	}
}

func decimal(s string, without int64) (int64, error) {
	if s == "" {
		return without, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, errors.New("not a decimal number that can be held")
	}
	return int64(n), nil
}

// check refuses members that readers interpret in different ways.
func (r *Reader) check(m *Member) error {
	if int64(len(m.Name)) > r.lim.Name || int64(len(m.Link)) > r.lim.Name {
		return r.fault("a name of more than %d bytes; raise the limit if this is expected", r.lim.Name)
	}
	if m.Name == "" {
		return r.fault("a member without a name")
	}
	if strings.IndexByte(m.Name, 0) >= 0 || strings.IndexByte(m.Link, 0) >= 0 {
		return r.fault("a NUL in the name of %q", Clip(m.Name))
	}
	switch m.Type {
	case Regular, Contiguous:
		m.Type = Regular
		if strings.HasSuffix(m.Name, "/") { // as in Version 7
			m.Type = Directory
		}
	case HardLink, Symlink, CharDevice, BlockDevice, Directory, FIFO:
	case 'S':
		return r.fault("%q is sparse; pack it without --sparse", Clip(m.Name))
	default:
		return r.fault("%q has the unknown type %q", Clip(m.Name), byte(m.Type))
	}
	if m.Type != Regular && m.Size != 0 {
		return r.fault("%q is a %s with %d bytes of content, which readers take in different ways", Clip(m.Name), m.Type, m.Size)
	}
	if (m.Type == HardLink || m.Type == Symlink) && m.Link == "" {
		return r.fault("%q is a link to nothing", Clip(m.Name))
	}
	return nil
}

// minRecord is the length of the shortest record: "5 k=\n".
const minRecord = 5

// parseRecords parses a sequence of "LENGTH KEY=VALUE\n". All keys and values share
// one copy of the text.
func (r *Reader) parseRecords(body []byte) ([]Record, error) {
	b := string(body)
	records := make([]Record, 0, min(strings.Count(b, "\n"), len(b)/minRecord))
	for len(b) > 0 {
		digits, _, ok := strings.Cut(b[:min(len(b), 12)], " ")
		n, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil || int(n) > len(b) || int(n) < len(digits)+3 || b[n-1] != '\n' {
			return nil, r.fault("a record of an extended header has a wrong length")
		}
		key, value, ok := strings.Cut(b[len(digits)+1:n-1], "=")
		if !ok || key == "" || strings.IndexByte(key, 0) >= 0 {
			return nil, r.fault("a record of an extended header has no key")
		}
		records = append(records, Record{key, value})
		b = b[n:]
	}
	return records, nil
}

// checksumHolds accepts sums over unsigned bytes, as POSIX defines them, and over
// signed bytes, as some old writers made them.
func checksumHolds(b []byte) bool {
	want, err := number(b[148:156])
	if err != nil {
		return false
	}
	unsigned := int64(8 * ' ') // the field of the checksum counts as spaces
	high := int64(0)           // bytes that are negative as signed ones
	for i, c := range b[:blockSize] {
		if i < 148 || i >= 156 {
			unsigned += int64(c)
			high += int64(c >> 7)
		}
	}
	return want == unsigned || want == unsigned-256*high
}

// number reads a numeric field of a member's header.
func (r *Reader) number(field []byte) (int64, error) {
	r.hideBehind(field)
	return number(field)
}

// hideBehind hides the bytes behind the end of an octal number.
func (r *Reader) hideBehind(field []byte) {
	if field[0]&0x80 == 0 {
		_, rest, _ := bytes.Cut(field, []byte{0})
		r.hide(bytes.Trim(rest, " "))
	}
}

var errNumber = errors.New("not a number that can be held")

// number reads an octal or base-256 field that must not be negative.
func number(field []byte) (int64, error) {
	n, err := signedNumber(field)
	if err == nil && n < 0 {
		err = errors.New("negative")
	}
	return n, err
}

// signedNumber reads an octal field, or a base-256 one as GNU tar writes it.
func signedNumber(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		return base256(field)
	}
	text, _, _ := bytes.Cut(field, []byte{0})
	s := strings.Trim(string(text), " ")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 8, 63)
	if err != nil {
		return 0, errNumber
	}
	return int64(n), nil
}

// base256 reads a big-endian two's complement number whose first bit marks it.
func base256(field []byte) (int64, error) {
	var sign byte
	if field[0]&0x40 != 0 {
		sign = 0xff
	}
	var n uint64
	for i, c := range field {
		if i == 0 {
			c = c&0x7f | sign&0x80
		}
		if i < len(field)-8 {
			if c != sign {
				return 0, errNumber
			}
			continue
		}
		n = n<<8 | uint64(c)
	}
	if len(field) >= 8 && (int64(n) < 0) != (sign != 0) {
		return 0, errNumber
	}
	return int64(n), nil
}

// parseTime reads decimal seconds with a fraction.
func parseTime(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds > maxTime || seconds < -maxTime || len(fraction) > 30 {
		return time.Time{}, errors.New("not a time")
	}
	for _, c := range []byte(fraction) {
		if c < '0' || c > '9' {
			return time.Time{}, errors.New("not a time")
		}
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64) // nine digits, checked above
	if strings.HasPrefix(whole, "-") {
		nanos = -nanos
	}
	return time.Unix(seconds, nanos).UTC(), nil
}

// Clip cuts a name of an archive for a message that escapes it by %q, never within a
// character. Formats import nothing that cuts text, and packaging reads names by this
// package.
func Clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	for end := most; end > most-utf8.UTFMax; end-- {
		if utf8.RuneStart(s[end]) {
			return s[:end] + "..."
		}
	}
	return s[:most] + "..."
}

// fitsOctal reports whether n can be written in that many octal digits.
func fitsOctal(n int64, digits int) bool {
	return n >= 0 && (3*digits >= 63 || n < 1<<(3*digits))
}
