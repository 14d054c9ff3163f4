// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// stale is the age at which a file that a killed process left in aside/ is
// removed.
const stale = 48 * time.Hour

// cache is a folder of files named by digest: sha256/ab/HEX holds files,
// signatures/ab/HEX-URL holds signatures that were verified over them, and
// aside/ holds files that are still being written. Renaming makes it safe
// between processes.
type cache struct{ root string }

// cacheError marks an error of the cache itself, which no other place can
// avoid.
type cacheError struct{ err error }

func (e *cacheError) Error() string {
	return fmt.Sprintf("using the source cache: %v; check its folder and the room on its disk", e.err)
}
func (e *cacheError) Unwrap() error { return e.err }

func openCache(root string, now time.Time) (cache, error) {
	if root == "" {
		return cache{}, errors.New("source cache: no folder given")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return cache{}, err
	}
	c := cache{root}
	for _, dir := range []string{"sha256", "signatures", "aside"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return cache{}, &cacheError{err}
		}
	}
	return c, c.sweep(now)
}

// sweep removes old files that killed processes left in aside/.
func (c cache) sweep(now time.Time) error {
	entries, err := os.ReadDir(filepath.Join(c.root, "aside"))
	if err != nil {
		return &cacheError{err}
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < stale {
			continue // already gone, or in use
		}
		if err := os.Remove(filepath.Join(c.root, "aside", e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return &cacheError{err}
		}
	}
	return nil
}

func (c cache) fileName(d digest.Digest) string {
	return filepath.Join(c.root, "sha256", d.Hex()[:2], d.Hex())
}

// signatureName returns the cache's name for the signature from url over d. A
// signature is not pinned by digest, so its source is part of the name.
func (c cache) signatureName(d digest.Digest, url string) string {
	return filepath.Join(c.root, "signatures", d.Hex()[:2], d.Hex()+"-"+digest.Of([]byte(url)).Short())
}

// find returns the file with the digest. It hashes the file again, because the
// disk may have damaged it since; a damaged file counts as missing.
func (c cache) find(d digest.Digest) (name string, size int64, ok bool) {
	name = c.fileName(d)
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return "", 0, false
	}
	r, err := os.Open(name)
	if err != nil {
		return "", 0, false
	}
	defer r.Close() //nolint:errcheck // read only
	have, size, err := digest.OfReader(r)
	return name, size, err == nil && have == d
}

// begin opens a file in aside/. place is for errors. Writing more than limit
// bytes fails with a TooLargeError.
func (c cache) begin(place string, limit int64) (*partial, error) {
	file, err := os.CreateTemp(filepath.Join(c.root, "aside"), "part-*")
	if err != nil {
		return nil, &cacheError{err}
	}
	return &partial{file: file, sum: digest.NewWriter(file), place: place, limit: limit}, nil
}

// commit renames part to its final name.
func (c cache) commit(part *partial, d digest.Digest) (string, error) {
	name := c.fileName(d)
	if err := part.publish(name); err != nil {
		return "", &cacheError{err}
	}
	return name, nil
}

// storeSignature stores a signature that was verified.
func (c cache) storeSignature(name string, b []byte) error {
	part, err := c.begin(name, maxSignature)
	if err != nil {
		return err
	}
	defer part.discard()
	if _, err := part.Write(b); err != nil {
		return err
	}
	if err := part.publish(name); err != nil {
		return &cacheError{err}
	}
	return nil
}

// partial is a file that is written in aside/ and hashed on the way.
type partial struct {
	file  *os.File
	sum   *digest.Writer
	head  []byte // the first bytes, to recognise web pages
	place string
	limit int64

	progress func(Progress) // may be nil
}

// Write writes up to limit bytes in all.
func (p *partial) Write(b []byte) (int, error) {
	if p.sum.Len()+int64(len(b)) > p.limit {
		return 0, &TooLargeError{Place: p.place, Limit: p.limit}
	}
	if missing := sniffLen - len(p.head); missing > 0 {
		p.head = append(p.head, b[:min(missing, len(b))]...)
	}
	n, err := p.sum.Write(b)
	if err != nil {
		return n, &cacheError{err}
	}
	return n, nil
}

// restart discards everything written.
func (p *partial) restart() error {
	if p.sum.Len() == 0 {
		return nil
	}
	if _, err := p.file.Seek(0, 0); err != nil {
		return &cacheError{err}
	}
	if err := p.file.Truncate(0); err != nil {
		return &cacheError{err}
	}
	p.sum, p.head = digest.NewWriter(p.file), nil
	return nil
}

// publish syncs the file to disk and renames it to name, whole or not at all.
func (p *partial) publish(name string) error {
	if err := p.file.Chmod(0o444); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.Rename(p.file.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// discard closes the file, and removes it unless it was published.
func (p *partial) discard() {
	_ = p.file.Close()
	_ = os.Remove(p.file.Name()) // no longer there if it was published
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // read only
	return d.Sync()
}

const sniffLen = 512

// looksLikeHTML reports whether the bytes begin like a web page.
func looksLikeHTML(head []byte) bool {
	return bytes.HasPrefix([]byte(http.DetectContentType(head)), []byte("text/html"))
}
