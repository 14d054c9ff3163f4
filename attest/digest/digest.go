// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package digest names bytes by their SHA-256 and computes it while they are
// read or written.
//
// It imports only the standard library, so every other package may import it.
// It stores nothing; orchestrator/artifacts does.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Size is the length of a digest in bytes.
const Size = sha256.Size

const prefix = "sha256:"

// Digest is the SHA-256 of some bytes. The zero value means "not known" and
// is never the digest of anything in practice.
type Digest [Size]byte

// Of returns the digest of b.
func Of(b []byte) Digest { return sha256.Sum256(b) }

// OfReader reads r to its end and returns its digest and length.
func OfReader(r io.Reader) (Digest, int64, error) {
	w := NewWriter(io.Discard)
	n, err := io.Copy(w, r)
	return w.Digest(), n, err
}

// Parse reads either form in which digests are written: "sha256:" and 64
// hexadecimal digits, or the digits alone.
func Parse(s string) (Digest, error) {
	var d Digest
	digits := strings.TrimPrefix(s, prefix)
	if len(digits) != 2*Size {
		return d, fmt.Errorf("digest %q: want %d hexadecimal digits, have %d", s, 2*Size, len(digits))
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// IsZero reports whether d is the zero value.
func (d Digest) IsZero() bool { return d == Digest{} }

// Hex returns the 64 lower-case digits of d.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// String returns d as "sha256:" and its digits.
func (d Digest) String() string { return prefix + d.Hex() }

// Short returns the first 12 digits, for people.
func (d Digest) Short() string { return d.Hex()[:12] }

// MarshalText writes the form of [Digest.String]; the zero value is empty.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads what [Digest.MarshalText] wrote.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// Writer computes the digest of what is written through it.
type Writer struct {
	w io.Writer
	h hash.Hash
	n int64
}

// NewWriter returns a Writer that passes everything on to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, h: sha256.New()} }

// Write passes p on, and hashes the part of it that the underlying writer
// accepted.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.h.Write(p[:n])
	w.n += int64(n)
	return n, err
}

// Digest returns the digest of everything written so far.
func (w *Writer) Digest() Digest { return Digest(w.h.Sum(nil)) }

// Len returns the number of bytes written so far.
func (w *Writer) Len() int64 { return w.n }

// Reader computes the digest of what is read through it.
type Reader struct {
	r io.Reader
	h hash.Hash
	n int64
}

// NewReader returns a Reader over r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r, h: sha256.New()} }

// Read reads from the underlying reader and hashes what it returned.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.h.Write(p[:n])
	r.n += int64(n)
	return n, err
}

// Digest returns the digest of everything read so far.
func (r *Reader) Digest() Digest { return Digest(r.h.Sum(nil)) }

// Len returns the number of bytes read so far.
func (r *Reader) Len() int64 { return r.n }
