// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package stream reads compressed streams as containers of one member: gzip, bzip2,
// xz and zstd. The package compress beside it reads .Z files, and the packages ar
// and zip read archives with members.
//
// A stream is read to its end and its checksums are verified when it is opened, and
// again whenever its content is read. No decoder gets more than 64 MiB for its
// window, whatever a header requests. docs/formats/stream.md describes the layouts,
// with sources.
package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
	"github.com/zfarm/zfarm/recipes/source/xzfile"
)

const (
	gzipMagic  = "\x1f\x8b"
	bzip2Magic = "BZh"
	xzMagic    = xzfile.Magic
	zstdMagic  = "\x28\xb5\x2f\xfd"

	maxWindow  = 64 << 20  // of a decoder
	readBuffer = 64 << 10  // of a reader
	copyBuffer = 256 << 10 // for content that is only verified
)

// variant describes one kind of stream.
type variant struct {
	kind string
	is   func(head []byte) bool
	open func(*source) error
}

func variants() []variant {
	return []variant{
		{"gzip stream", isGzip, openGzip},
		{"bzip2 stream", isBzip2, openBzip2},
		{"xz stream", isXZ, openXZ},
		{"zstd stream", isZstd, openZstd},
	}
}

// Is reports whether head begins a stream of one of the formats.
func Is(head []byte) bool {
	for _, f := range variants() {
		if f.is(head) {
			return true
		}
	}
	return false
}

// Open reads a stream. Its only entry has no name. The fields of the entry, in the
// order of docs/formats/stream.md, are the values of the headers. If a file holds
// several streams or members of one format, a field holds the values of all. Bytes
// behind the last of them are hidden bytes of the container.
func Open(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error) {
	s := &source{f: exact.File{R: r, Size: size}, budget: exact.NewBudget(l), sum: sha256.New()}
	head := make([]byte, min(size, 18))
	if err := s.f.Read(head, 0); err != nil {
		return nil, err
	}
	for _, f := range variants() {
		if !f.is(head) {
			continue
		}
		if err := f.open(s); err != nil {
			return nil, err
		}
		return s.container(f.kind)
	}
	return nil, exact.Errorf(0, "it does not begin as a gzip, bzip2, xz or zstd stream")
}

// source is the state of reading one file.
type source struct {
	f      exact.File
	budget *exact.Budget
	fields []container.Field
	// sum is over the compressed data, packed is its length in bytes.
	sum    hash.Hash
	packed int64
	hidden exact.Hidden
	end    int64 // offset behind the last stream
	size   int64 // of the content
	open   func() (io.ReadCloser, error)
}

// compressed adds a range of compressed data to the sum.
func (s *source) compressed(at, length int64) error {
	s.packed += length
	return s.f.Sum(s.sum, at, length)
}

// field adds a field.
func (s *source) field(name string, w container.Weight, v fmt.Stringer) {
	s.fields = append(s.fields, container.Field{Name: name, Value: v.String(), Weight: w})
}

func (s *source) container(kind string) (*container.Container, error) {
	if err := s.hidden.Add(s.f, s.end, s.f.Size-s.end); err != nil {
		return nil, err
	}
	prefix, _, _ := strings.Cut(kind, " ")
	s.fields = append(s.fields, container.Field{Name: prefix + ".compression",
		Value: fmt.Sprintf("%d bytes, sha256 %x", s.packed, s.sum.Sum(nil))})
	return &container.Container{Kind: kind, Hidden: s.hidden.Value(),
		Entries: []container.Entry{{Fields: s.fields, Size: s.size, Open: s.open}}}, nil
}

// Bounds on the text of a series.
const (
	maxRuns  = 16
	maxValue = 1024
)

// series is the values of one field in all members of a stream.
type series struct {
	runs []run
	more int64 // values beyond those in runs
	sum  hash.Hash
}

type run struct {
	value string
	times int64
}

// add adds the value of the next member. Repeated values are stored as one run.
func (s *series) add(value string) {
	if len(value) > maxValue {
		value = fmt.Sprintf("%d bytes, sha256 %x", len(value), sha256.Sum256([]byte(value)))
	}
	switch n := len(s.runs); {
	case s.more == 0 && n > 0 && s.runs[n-1].value == value:
		s.runs[n-1].times++
	case n < maxRuns:
		s.runs = append(s.runs, run{value, 1})
	default:
		if s.sum == nil {
			s.sum = sha256.New()
		}
		s.more++
		fmt.Fprintf(s.sum, "%d:%s", len(value), value) //nolint:errcheck // a hash takes everything
	}
}

// String returns different texts for different values.
func (s *series) String() string {
	if len(s.runs) == 1 && s.more == 0 {
		return s.runs[0].String()
	}
	texts := make([]string, 0, len(s.runs)+1)
	for _, r := range s.runs {
		texts = append(texts, r.String())
	}
	if s.more > 0 {
		texts = append(texts, fmt.Sprintf("%d more, sha256 %x", s.more, s.sum.Sum(nil)))
	}
	return strings.Join(texts, "; ")
}

func (r run) String() string {
	if r.times == 1 {
		return r.value
	}
	return fmt.Sprintf("%s, %d times", r.value, r.times)
}

// count is a number as a field's value.
type count int64

func (c count) String() string { return fmt.Sprint(int64(c)) }

// hexOf formats bytes; "" if there are none.
func hexOf(b []byte) string { return hex.EncodeToString(b) }

// content is a decoder as an io.ReadCloser.
type content struct {
	io.Reader
	close func()
}

func (c content) Close() error {
	if c.close != nil {
		c.close()
	}
	return nil
}

// drain reads r to its end and takes its bytes from the budget.
func (s *source) drain(r io.Reader, at int64) (int64, error) {
	buf := make([]byte, copyBuffer)
	for n := int64(0); ; {
		k, err := r.Read(buf)
		n += int64(k)
		if over := s.budget.Content(at, uint64(k)); over != nil {
			return n, over
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// verify reads the content to its end once, and stores its size.
func (s *source) verify() error {
	r, err := s.open()
	if err != nil {
		return err
	}
	defer r.Close()
	s.size, err = s.drain(r, 0)
	return err
}

// zeros reports whether b is zeros only.
func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
