// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
)

// Reader reads an archive member by member, without seeking.
type Reader struct {
	r   io.Reader
	w   *window // r, if content that is not read can be skipped; else nil
	lim Limits
	off int64
	err error

	members int
	left    int64 // content of the current member not yet read
	pad     int64 // padding behind it
	current *Member
	hidden  hash.Hash
	header  hash.Hash
	globals []Record
	changed int64 // total bytes of all sets of global records
	trailer Trailer
	block   [blockSize]byte
	scratch []byte
	body    []byte // of the last extended header
}

// NewReader returns a Reader over r with the default limits.
func NewReader(r io.Reader) *Reader { return NewReaderLimits(r, Limits{}) }

// NewReaderLimits returns a Reader over r with the limits given.
func NewReaderLimits(r io.Reader, l Limits) *Reader {
	return &Reader{r: r, lim: l.withDefaults(), hidden: sha256.New(), header: sha256.New()}
}

// NewReaderAt returns a Reader over the first size bytes of file. It skips content
// that is not read, so that reading all headers is cheap.
func NewReaderAt(file io.ReaderAt, size int64, l Limits) *Reader {
	w := &window{r: file, size: size, piece: leastPiece}
	r := NewReaderLimits(w, l)
	r.w = w
	return r
}

// GoTo makes Next read the member at offset header, a Member.Header; globals are
// the global records in force before it. It requires a Reader of NewReaderAt.
func (r *Reader) GoTo(header int64, globals []Record) {
	r.w.move(header)
	r.off, r.err, r.members, r.left, r.pad, r.changed = header, nil, 0, 0, 0, 0
	r.current, r.globals, r.trailer = nil, globals, Trailer{}
}

// Settle skips the rest of the current member, so that its Hidden and HiddenSum are
// complete.
func (r *Reader) Settle() error {
	if r.err == nil {
		r.err = r.finish()
	}
	return r.err
}

// Offset returns how many bytes of the archive were read.
func (r *Reader) Offset() int64 { return r.off }

// Globals returns the global records in force now.
func (r *Reader) Globals() []Record { return r.globals }

// Trailer returns what follows the end of the archive; call it after Next returned
// io.EOF.
func (r *Reader) Trailer() Trailer { return r.trailer }

// Is reports whether head, the first 512 bytes of a file, begins a tar archive: it
// has the magic of ustar or GNU tar and a correct checksum. It does not recognise
// an archive without members, which looks like a file of zeros.
func Is(head []byte) bool {
	if len(head) < blockSize {
		return false
	}
	head = head[:blockSize]
	return string(head[257:262]) == "ustar" && checksumHolds(head)
}

// Next skips the rest of the current member and reads the next header. At the end
// of the archive it reads r to its end and returns io.EOF. Errors about the bytes
// wrap ErrFormat; those of r are returned as they are.
func (r *Reader) Next() (*Member, error) {
	if r.err != nil {
		return nil, r.err
	}
	m, err := r.next()
	if err != nil {
		r.err = err
		return nil, err
	}
	return m, nil
}

// Read reads the content of the current member.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.r.Read(p)
	r.off += int64(n)
	r.left -= int64(n)
	switch {
	case err == io.EOF && r.left > 0:
		r.err = r.fault("the archive ends within the content of %q", Clip(r.current.Name))
	case err != nil && err != io.EOF:
		r.err = err
	}
	return n, r.err
}

// fault returns an error about the bytes just read.
func (r *Reader) fault(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrFormat, r.off, fmt.Sprintf(format, args...))
}

// full fills p.
func (r *Reader) full(p []byte, what string) error {
	n, err := io.ReadFull(r.r, p)
	r.off += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.fault("the archive ends within %s", what)
	}
	return err
}

// finish skips the rest of the current member.
func (r *Reader) finish() error {
	if r.current == nil {
		return nil
	}
	if r.w != nil && r.left > 0 {
		r.skip()
	}
	if r.left > 0 && r.scratch == nil {
		r.scratch = make([]byte, 128<<10)
	}
	for r.left > 0 {
		n := min(r.left, int64(len(r.scratch)))
		if err := r.full(r.scratch[:n], "the content of a member"); err != nil {
			return err
		}
		r.left -= n
	}
	if r.pad > 0 {
		if err := r.full(r.block[:r.pad], "the padding of a member"); err != nil {
			return err
		}
		r.hide(r.block[:r.pad])
		r.pad = 0
	}
	if r.current.Hidden > 0 {
		r.hidden.Sum(r.current.HiddenSum[:0])
	}
	r.current = nil
	return nil
}

// skip skips to the end of the content, or to that of the archive if it comes
// first.
func (r *Reader) skip() {
	n := min(r.left, r.w.size-r.off)
	r.w.move(r.off + n)
	r.off += n
	r.left -= n
}

// hide counts the bytes in b that are not zero.
func (r *Reader) hide(b []byte) {
	if n := len(b) - bytes.Count(b, []byte{0}); n > 0 {
		r.current.Hidden += int64(n)
		r.hidden.Write(b)
	}
}

func (r *Reader) next() (*Member, error) {
	if err := r.finish(); err != nil {
		return nil, err
	}
	m := &Member{Header: r.off}
	r.current = m
	r.hidden.Reset()
	r.header.Reset()
	var p pending
	for headers := 0; ; headers++ {
		if headers > 16 {
			return nil, r.fault("more than 16 extended headers before one member")
		}
		if err := r.readBlock(p.any()); err != nil {
			return nil, err
		}
		if r.trailer.Offset > 0 {
			return nil, io.EOF
		}
		body, flag, err := r.extended()
		if err != nil {
			return nil, err
		}
		if !extends(flag) {
			if err := r.member(m, p.own, p.longName, p.longLink); err != nil {
				return nil, err
			}
			return m, nil
		}
		if err := r.take(&p, flag, body); err != nil {
			return nil, err
		}
	}
}

// pending is what extended headers say of the member that follows them.
type pending struct {
	own                []Record
	longName, longLink []byte
}

func (p *pending) any() bool { return p.own != nil || p.longName != nil || p.longLink != nil }

// extends reports whether a header of that type is an extended one.
func extends(flag byte) bool { return flag == 'x' || flag == 'g' || flag == 'L' || flag == 'K' }

// take handles the body of an extended header.
func (r *Reader) take(p *pending, flag byte, body []byte) (err error) {
	switch flag {
	case 'x':
		if p.own != nil {
			return r.fault("two extended headers for one member")
		}
		records, err := r.parseRecords(body)
		if err != nil {
			return err
		}
		p.own = r.last(records)
	case 'g':
		records, err := r.parseRecords(body)
		if err != nil {
			return err
		}
		return r.setGlobals(records)
	case 'L':
		p.longName, err = r.longText(body, p.longName)
	case 'K':
		p.longLink, err = r.longText(body, p.longLink)
	}
	return err
}

const (
	// maxGlobals bounds the global records, since every member gets them.
	maxGlobals = 256
	// maxChanges bounds the bytes of all sets of global records, as a multiple of
	// the bound on one extended header: each change makes a new set.
	maxChanges = 16
)

// setGlobals overrides the global records.
func (r *Reader) setGlobals(records []Record) error {
	all := r.last(append(append(make([]Record, 0, len(r.globals)+len(records)), r.globals...), records...))
	if len(all) > maxGlobals {
		return r.fault("more than %d global records; pack it again without global headers", maxGlobals)
	}
	var size int64
	for _, rec := range all {
		size += int64(len(rec.Key) + len(rec.Value) + minRecord)
	}
	if r.changed += size; size > r.lim.Records || r.changed > maxChanges*r.lim.Records {
		return r.fault("global headers of more than %d bytes, or changed too often; pack it again without global headers", r.lim.Records)
	}
	r.globals = all
	return nil
}

// readBlock reads the next header block; at the end of the archive it reads
// the rest and sets the trailer.
func (r *Reader) readBlock(pending bool) error {
	n, err := io.ReadFull(r.r, r.block[:])
	r.off += int64(n)
	switch {
	case err == io.EOF:
		return r.fault("the archive ends without its two zero blocks; it was cut short")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return r.fault("the archive ends within a header")
	case err != nil:
		return err
	}
	if !allZero(r.block[:]) {
		r.header.Write(r.block[:])
		return nil
	}
	if pending {
		return r.fault("the archive ends behind an extended header, without its member")
	}
	if err := r.full(r.block[:], "its two zero blocks"); err != nil {
		return err
	}
	if !allZero(r.block[:]) {
		return r.fault("a single zero block between members")
	}
	return r.readTrailer()
}

// readTrailer reads what follows the end of the archive.
func (r *Reader) readTrailer() error {
	t := Trailer{Offset: r.off, First: -1}
	sum := sha256.New()
	buf := make([]byte, 64<<10)
	for {
		n, err := r.r.Read(buf)
		b := buf[:n]
		if zeros := bytes.Count(b, []byte{0}); zeros < n {
			if t.First < 0 {
				at := bytes.IndexFunc(b, func(c rune) bool { return c != 0 })
				t.First = r.off + int64(at)
				sum.Write(b[at:])
			} else {
				sum.Write(b)
			}
			t.NonZero += int64(n - zeros)
		} else if t.First >= 0 {
			sum.Write(b)
		}
		r.off += int64(n)
		t.Length += int64(n)
		if err == io.EOF {
			sum.Sum(t.Sum[:0])
			r.trailer, r.current = t, nil
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// extended checks the header block just read. It returns the body of an extended
// header, or nil and the type of any other.
func (r *Reader) extended() ([]byte, byte, error) {
	if !checksumHolds(r.block[:]) {
		return nil, 0, r.fault("the checksum of a header does not hold")
	}
	flag := r.block[156]
	limit := r.lim.Records
	switch flag {
	case 'x', 'g':
	case 'L', 'K':
		limit = r.lim.Name + 1
	default:
		return nil, flag, nil
	}
	size, err := number(r.block[124:136])
	if err != nil {
		return nil, 0, r.fault("size of an extended header: %v", err)
	}
	if size > limit {
		return nil, 0, r.fault("an extended header of %d bytes; at most %d are read; raise the limit if this is expected", size, limit)
	}
	body, err := r.readBody(size)
	if err != nil {
		return nil, 0, err
	}
	r.header.Write(body)
	if pad := padding(size); pad > 0 {
		if err := r.full(r.block[:pad], "the padding of an extended header"); err != nil {
			return nil, 0, err
		}
		r.header.Write(r.block[:pad])
		r.hide(r.block[:pad])
	}
	return body, flag, nil
}

// readBody reads the body of an extended header in steps, so that a false size
// allocates nothing. The body is valid until the next call.
func (r *Reader) readBody(size int64) ([]byte, error) {
	const step = 64 << 10
	r.body = r.body[:0]
	for left := size; left > 0; {
		n := int(min(left, step))
		r.body = slices.Grow(r.body, n)
		piece := r.body[len(r.body) : len(r.body)+n]
		if err := r.full(piece, "an extended header"); err != nil {
			return nil, err
		}
		r.body = r.body[:len(r.body)+n]
		left -= int64(n)
	}
	return r.body, nil
}

// longText returns the text of a GNU long name or link.
func (r *Reader) longText(body, before []byte) ([]byte, error) {
	if before != nil {
		return nil, r.fault("two long names for one member")
	}
	text, rest, _ := bytes.Cut(body, []byte{0})
	r.hide(rest)
	if len(text) == 0 {
		return nil, r.fault("an empty long name")
	}
	return bytes.Clone(text), nil
}

// few is the number of records up to which a linear search is used.
const few = 12

// last returns the last record of each key, in the order in which the keys first
// occurred, and hides the overridden ones. It modifies records.
func (r *Reader) last(records []Record) []Record {
	if len(records) <= few && distinct(records) {
		return records
	}
	at := make(map[string]int, len(records))
	out := records[:0]
	for _, rec := range records {
		i, seen := at[rec.Key]
		if !seen {
			at[rec.Key] = len(out)
			out = append(out, rec)
			continue
		}
		r.hide([]byte(out[i].Key + "=" + out[i].Value))
		out[i] = rec
	}
	return out
}

// distinct reports whether all records, of which there are few, have different
// keys.
func distinct(records []Record) bool {
	for i := range records {
		for j := range i {
			if records[i].Key == records[j].Key {
				return false
			}
		}
	}
	return true
}

func padding(size int64) int64 { return -size & (blockSize - 1) }

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
