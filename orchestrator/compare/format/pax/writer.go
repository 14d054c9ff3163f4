// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Writer writes archives in one canonical form, so that equal members in equal
// order make equal bytes: ustar headers where their fields can hold the values,
// otherwise one extended header with only the records needed, sorted by key; owner
// and group 0 without names; numbers as zero-padded octal; two zero blocks at the
// end, then zeros up to a multiple of 10240 bytes.
//
// The owner fields of a Member are not written. The caller sorts the members.
type Writer struct {
	w    io.Writer
	err  error
	left int64
	pad  int64
	off  int64
}

// NewWriter returns a Writer to w. Close must be called; it does not close w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Offset returns how many bytes were written.
func (w *Writer) Offset() int64 { return w.off }

// WriteHeader begins the next member. It uses these fields of m: Name (relative, in
// UTF-8; a folder may end in a slash), Link, Type, Mode, ModTime, Size, the device
// and Records.
func (w *Writer) WriteHeader(m *Member) error {
	if w.err != nil {
		return w.err
	}
	if w.left > 0 {
		return fmt.Errorf("writing header of %q: %d bytes of the member before are missing", m.Name, w.left)
	}
	w.flushPadding()
	records, err := canonicalRecords(m)
	if err != nil {
		return fmt.Errorf("writing header of %q: %w", m.Name, err)
	}
	if len(records) > 0 {
		body := encode(records)
		x := Member{Name: "././@PaxHeader", Type: 'x', Mode: 0o644, Size: int64(len(body))}
		w.write(x.block())
		w.write(body)
		w.zeros(padding(x.Size))
	}
	w.write(m.block())
	if m.Type == Regular {
		w.left, w.pad = m.Size, padding(m.Size)
	}
	return w.err
}

// Write writes content of the current member.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if int64(len(p)) > w.left {
		return 0, errors.New("writing more content than the member's header says")
	}
	w.write(p)
	if w.err != nil {
		return 0, w.err
	}
	w.left -= int64(len(p))
	return len(p), nil
}

// Close writes the end of the archive.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.left > 0 {
		return fmt.Errorf("ending archive: %d bytes of the last member are missing", w.left)
	}
	w.flushPadding()
	w.zeros(2 * blockSize)
	if odd := w.off % recordSize; odd > 0 {
		w.zeros(recordSize - odd)
	}
	err := w.err
	w.err = errors.New("writing to an ended archive")
	return err
}

func (w *Writer) flushPadding() {
	w.zeros(w.pad)
	w.pad = 0
}

func (w *Writer) zeros(n int64) {
	if n > 0 {
		w.write(make([]byte, n))
	}
}

func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(p)
	w.off += int64(n)
	if err != nil {
		w.err = fmt.Errorf("writing archive: %w", err)
	}
}

// canonicalRecords returns the records that m needs, sorted by key.
func canonicalRecords(m *Member) ([]Record, error) {
	for _, s := range []string{m.Name, m.Link} {
		if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			return nil, errors.New("the name is not UTF-8 text")
		}
	}
	if m.Name == "" || m.Size < 0 || m.DevMajor < 0 || m.DevMinor < 0 {
		return nil, errors.New("a name and numbers that are not negative are needed")
	}
	if !fitsOctal(m.DevMajor, 7) || !fitsOctal(m.DevMinor, 7) {
		return nil, errors.New("device numbers too large")
	}
	var records []Record
	if _, _, ok := split(m.ustarName()); !ok {
		records = append(records, Record{"path", m.ustarName()})
	}
	if len(m.Link) > 100 || !ascii(m.Link) {
		records = append(records, Record{"linkpath", m.Link})
	}
	if !fitsOctal(m.Size, 11) {
		records = append(records, Record{"size", strconv.FormatInt(m.Size, 10)})
	}
	if m.ModTime.Nanosecond() != 0 || !fitsOctal(m.ModTime.Unix(), 11) {
		records = append(records, Record{"mtime", formatTime(m)})
	}
	for _, r := range m.Records {
		if r.Key == "" || strings.ContainsAny(r.Key, "=\x00") {
			return nil, fmt.Errorf("record key %q cannot be written", r.Key)
		}
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
	for i := range records[:max(len(records)-1, 0)] {
		if records[i].Key == records[i+1].Key {
			return nil, fmt.Errorf("record %q occurs twice", records[i].Key)
		}
	}
	return records, nil
}

func formatTime(m *Member) string {
	seconds, nanos, sign := m.ModTime.Unix(), int64(m.ModTime.Nanosecond()), ""
	if seconds < 0 {
		sign, seconds = "-", -seconds
		if nanos > 0 {
			seconds, nanos = seconds-1, 1e9-nanos
		}
	}
	s := sign + strconv.FormatInt(seconds, 10)
	if nanos > 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%09d", nanos), "0")
	}
	return s
}

// encode writes records as "LENGTH KEY=VALUE\n".
func encode(records []Record) []byte {
	var b []byte
	for _, r := range records {
		rest := len(r.Key) + len(r.Value) + 3
		n := rest + len(strconv.Itoa(rest))
		n = rest + len(strconv.Itoa(n))
		b = append(b, strconv.Itoa(n)+" "+r.Key+"="+r.Value+"\n"...)
	}
	return b
}

// ustarName returns the name as written: that of a folder ends in a slash.
func (m *Member) ustarName() string {
	if m.Type == Directory && !strings.HasSuffix(m.Name, "/") {
		return m.Name + "/"
	}
	return m.Name
}

// block returns the ustar header block of m. Values that do not fit are cut here
// and complete in the records.
func (m *Member) block() []byte {
	b := make([]byte, blockSize)
	prefix, name, ok := split(m.ustarName())
	if !ok {
		prefix, name = "", cutASCII(m.ustarName())
	}
	copy(b[0:100], name)
	octal(b[100:108], int64(m.Mode&0o7777))
	octal(b[108:116], 0)
	octal(b[116:124], 0)
	octal(b[124:136], m.Size)
	octal(b[136:148], m.ModTime.Unix())
	b[156] = byte(m.Type)
	copy(b[157:257], cutASCII(m.Link))
	copy(b[257:265], "ustar\x0000")
	octal(b[329:337], m.DevMajor)
	octal(b[337:345], m.DevMinor)
	copy(b[345:500], prefix)
	var sum int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	octal(b[148:155], sum)
	b[155] = ' '
	return b
}

// octal writes n as zero-padded octal and a NUL. It writes 0 if n does not fit, and
// a record holds the value.
func octal(field []byte, n int64) {
	digits := len(field) - 1
	if !fitsOctal(n, digits) {
		n = 0
	}
	copy(field, fmt.Sprintf("%0*o", digits, n))
}

// split splits a name into the prefix and name of a ustar header, at the first
// slash that leaves at most 100 bytes of name.
func split(name string) (prefix, rest string, ok bool) {
	if !ascii(name) {
		return "", "", false
	}
	if len(name) <= 100 {
		return "", name, true
	}
	from := len(name) - 101
	i := strings.IndexByte(name[from:len(name)-1], '/')
	if i < 0 || from+i > 155 || from+i == 0 {
		return "", "", false
	}
	return name[:from+i], name[from+i+1:], true
}

func ascii(s string) bool {
	for _, c := range []byte(s) {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// cutASCII cuts s to fit a field whose full text is in a record.
func cutASCII(s string) string {
	b := []byte(s[:min(len(s), 100)])
	for i, c := range b {
		if c >= 0x80 {
			b[i] = '_'
		}
	}
	return string(b)
}
