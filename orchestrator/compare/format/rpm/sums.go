// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // old packages have no other
	"crypto/sha1" //nolint:gosec // old packages have no other
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"

	"github.com/zfarm/zfarm/orchestrator/compare/format/cpio"
)

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "md5":
		return md5.New() //nolint:gosec // compared, not trusted
	case "sha1":
		return sha1.New() //nolint:gosec // compared, not trusted
	case "sha224":
		return sha256.New224()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return sha256.New()
}

// sums holds the computed digests and sizes of a package.
type sums struct {
	header1, header256 []byte // of the main header
	all                []byte // md5 of header and payload
	packed, unpacked   []byte // of the payload
	packedSize         int64  // header and payload
	unpackedSize       int64
}

// verify computes the digests and sizes that the headers declare, and marks the
// correct ones so that they are left out.
func (p *pack) verify(signed, main *header, x *files) error {
	var s sums
	h1, h256, all := newHash("sha1"), newHash("sha256"), newHash("md5")
	if err := p.f.Sum(io.MultiWriter(h1, h256, all), main.at, main.end-main.at); err != nil {
		return err
	}
	kind := algorithm(main, tagPayloadDigestOf)
	packed := newHash(kind)
	if err := p.f.Sum(io.MultiWriter(all, packed), main.end, p.f.Size-main.end); err != nil {
		return err
	}
	unpacked := newHash(kind)
	var err error
	if s.unpackedSize, err = p.content(main, x, unpacked); err != nil {
		return fmt.Errorf("reading payload at byte %d: %w", p.payloadAt, err)
	}
	s.header1, s.header256, s.all = h1.Sum(nil), h256.Sum(nil), all.Sum(nil)
	s.packed, s.unpacked, s.packedSize = packed.Sum(nil), unpacked.Sum(nil), p.f.Size-main.at
	s.markCorrect(signed, main)
	return nil
}

// markCorrect marks the correct values. The digests of a header cover only its signed
// region, so they can be checked only if that is all of the header.
func (s *sums) markCorrect(signed, main *header) {
	text := func(h *header, id uint32, k kind, want []byte) {
		if t := h.find(id, k); t != nil && t.count == 1 && string(h.store[t.from:t.to-1]) == hex.EncodeToString(want) {
			t.reported = true
		}
	}
	number := func(h *header, id uint32, k kind, want int64) {
		if t := h.find(id, k); t != nil && t.count == 1 && big(h.store[t.from:t.to]) == uint64(want) {
			t.reported = true
		}
	}
	if main.whole {
		text(signed, signedSHA1, kindString, s.header1)
		text(signed, signedSHA256, kindString, s.header256)
	}
	if t := signed.find(signedMD5, kindBinary); t != nil && bytes.Equal(signed.store[t.from:t.to], s.all) {
		t.reported = true
	}
	text(main, tagPayloadDigest, kindStrings, s.packed)
	text(main, tagPayloadDigestAlt, kindStrings, s.unpacked)
	number(signed, signedSize, kindInt32, s.packedSize)
	number(signed, signedLongSize, kindInt64, s.packedSize)
	number(signed, signedArchive, kindInt32, s.unpackedSize)
	number(signed, signedLongArchive, kindInt64, s.unpackedSize)
	number(main, tagArchiveSize, kindInt32, s.unpackedSize)
}

// linkSize is an upper bound on the memory of a name whose content follows later.
const linkSize = 128

// content reads and sums up the payload, and checks the digests of files.
func (p *pack) content(main *header, x *files, sum hash.Hash) (int64, error) {
	r, err := p.payloadOpen()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	counted := &counter{r: io.TeeReader(r, sum)}
	kind := algorithm(main, tagFileDigestKind)
	places := make(map[string]int, len(x.names))
	for i, name := range x.names {
		places[clean(name)] = i
	}
	archive, linked := cpio.NewReader(counted, p.limits), map[uint64][]int{}
	for {
		h, err := archive.Next()
		if err == io.EOF { //nolint:errorlint // wrapped, it is a fault
			break
		}
		if err != nil {
			return 0, err
		}
		at, ok := places[clean(h.Name)]
		if !ok || x.digests == nil || !h.Regular() {
			continue
		}
		same := []int{at}
		if h.Links > 1 { // its content is stored with one of its names
			if err := p.budget.Names(main.at, linkSize); err != nil {
				return 0, err
			}
			linked[h.Inode] = append(linked[h.Inode], at)
			if h.Size == 0 {
				continue
			}
			same = linked[h.Inode]
			delete(linked, h.Inode)
		}
		file := newHash(kind)
		if _, err := io.Copy(file, struct{ io.Reader }{archive}); err != nil {
			return 0, err
		}
		digest := hex.EncodeToString(file.Sum(nil))
		for _, at := range same {
			x.correct[at] = x.digests[at] == digest
		}
	}
	return counted.n, nil
}

// clean returns the path of a file once installed.
func clean(name string) string { return path.Clean("/" + name) }

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
