// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

const (
	maxName    = 64 << 10 // also of link targets
	readBuffer = 64 << 10
)

// Reader reads the members of an archive sequentially, from a source that can only
// be read once.
type Reader struct {
	r       *bufio.Reader
	budget  *exact.Budget
	variant variant
	at      int64
	h       *Header // of the current member, nil before the first
	left    int64   // bytes of its content not yet read
	sum     uint32  // sum of its content read so far
	hidden  exact.Hidden
	before  container.Hidden // hidden bytes of the previous member
	end     ending
	// cases says whether hexadecimal digits are upper or lower case.
	cases  byte
	digits hash.Hash
	pad    [4]byte
}

// ending describes the end of an archive.
type ending struct {
	text string // of the trailer's header, "" if it is bare
	// unlinked is set if the trailer has link count 0, where other writers set 1.
	unlinked bool
	zeros    int64 // number of zeros behind the trailer
	hidden   exact.Hidden
}

// NewReader returns a Reader of the archive in r, within limits.
func NewReader(r io.Reader, l container.Limits) *Reader { return newReader(r, exact.NewBudget(l)) }

func newReader(r io.Reader, b *exact.Budget) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, readBuffer), budget: b, digits: sha256.New()}
}

// Next returns the header of the next member. It skips the rest of the previous one
// and checks its sum, if there is one. Behind the last member it reads the rest of
// the archive and returns io.EOF.
func (r *Reader) Next() (*Header, error) {
	if r.h != nil {
		if err := r.pass(); err != nil {
			return nil, err
		}
		r.before, r.hidden = r.hidden.Value(), exact.Hidden{}
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	at, b := r.at, make([]byte, r.variant.size)
	if err := r.full(b); err != nil {
		return nil, err
	}
	h, err := r.variant.parse(b, at)
	if err != nil {
		return nil, err
	}
	r.written(b)
	if err := r.name(h); err != nil {
		return nil, err
	}
	if h.Name == trailer {
		return nil, r.finish(h, b)
	}
	if err := r.budget.Members(at, 1); err != nil {
		return nil, err
	}
	if err := r.budget.Content(at, uint64(h.Size)); err != nil {
		return nil, err
	}
	h.offset = r.at
	r.h, r.left, r.sum = h, h.Size, 0
	return h, nil
}

// Read reads content of the current member.
func (r *Reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.at, r.left = r.at+int64(n), r.left-int64(n)
	if r.variant.summed {
		for _, c := range p[:n] {
			r.sum += uint32(c)
		}
	}
	return n, r.fault(err)
}

// begin detects the format from the first header.
func (r *Reader) begin() error {
	if r.variant.read != nil {
		return nil
	}
	head, err := r.r.Peek(newSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return r.fault(err)
	}
	for _, f := range variants() {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			r.variant = f
			return nil
		}
	}
	return exact.Errorf(0, "it does not begin as a cpio archive with headers in text (newc, crc or odc)")
}

// fault converts an error of the source.
func (r *Reader) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case err == io.EOF, err == io.ErrUnexpectedEOF: //nolint:errorlint // wrapped, it is what broke the source off
		return exact.Errorf(r.at, "the archive ends without its trailer")
	case errors.Is(err, container.ErrFormat):
		return err
	}
	return fmt.Errorf("reading at byte %d: %w", r.at, err)
}

func (r *Reader) full(p []byte) error {
	n, err := io.ReadFull(r.r, p)
	r.at += int64(n)
	return r.fault(err)
}

// written records the case of hexadecimal digits.
func (r *Reader) written(b []byte) {
	var lower [newSize]byte
	for i, c := range b {
		switch {
		case c >= 'a':
			r.cases |= 1
			lower[i] = 1
		case c >= 'A':
			r.cases |= 2
		}
	}
	r.digits.Write(lower[:len(b)])
}

// writing describes the case of hexadecimal digits.
func (r *Reader) writing() string {
	switch r.cases {
	case 0:
		return ""
	case 1:
		return "lower case"
	case 2:
		return "upper case"
	}
	return fmt.Sprintf("mixed, sha256 %x", r.digits.Sum(nil))
}

// name reads the name behind a header, up to its terminating zero.
func (r *Reader) name(h *Header) error {
	at, b := r.at, make([]byte, h.nameSize)
	if err := r.full(b); err != nil {
		return err
	}
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return exact.Errorf(at, "a name has no end")
	}
	h.Name = string(b[:end])
	if err := r.hide(b[end+1:], at+int64(end)+1); err != nil {
		return err
	}
	return r.padding()
}

// hide hides bytes unless all are zero.
func (r *Reader) hide(b []byte, at int64) error {
	if len(bytes.Trim(b, "\x00")) == 0 {
		return nil
	}
	return r.hidden.From(bytes.NewReader(b), at)
}

// padding reads up to a multiple of four.
func (r *Reader) padding() error {
	if !r.variant.padded {
		return nil
	}
	at, b := r.at, r.pad[:-r.at&3]
	if err := r.full(b); err != nil {
		return err
	}
	return r.hide(b, at)
}

// pass skips the rest of a member.
func (r *Reader) pass() error {
	if r.variant.summed {
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
			return err
		}
		// Only files have sums. A link to a file that is stored elsewhere has no
		// content to sum up.
		if h := r.h; h.Regular() && h.Size > 0 && r.sum != h.check {
			return exact.Errorf(h.placed+newSize-8, "the sum of a member is %08x, and should be %08x", r.sum, h.check)
		}
	}
	for r.left > 0 {
		n, err := r.r.Discard(int(min(r.left, 1<<30)))
		r.at, r.left = r.at+int64(n), r.left-int64(n)
		if err != nil {
			return r.fault(err)
		}
	}
	return r.padding()
}

// finish reads what follows the trailer, and returns io.EOF.
func (r *Reader) finish(h *Header, raw []byte) error {
	if h.Size != 0 {
		return exact.Errorf(h.placed, "the trailer has content")
	}
	r.end.unlinked = h.Links == 0
	if !h.bare() {
		r.end.text = fmt.Sprintf("%q", raw)
	}
	r.end.hidden, r.h = r.hidden, nil
	for {
		b, err := r.r.Peek(1)
		if len(b) == 0 {
			if err == io.EOF {
				return io.EOF
			}
			return r.fault(err)
		}
		b, _ = r.r.Peek(r.r.Buffered()) // buffered bytes cannot fail
		rest := bytes.TrimLeft(b, "\x00")
		zeros := len(b) - len(rest)
		r.end.zeros += int64(zeros)
		r.at += int64(zeros)
		if _, err := r.r.Discard(zeros); err != nil {
			return r.fault(err)
		}
		if len(rest) > 0 {
			if err := r.end.hidden.From(r.r, r.at); err != nil {
				return r.fault(err)
			}
			return io.EOF
		}
	}
}
