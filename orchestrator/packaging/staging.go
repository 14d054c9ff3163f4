// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"golang.org/x/text/encoding/charmap"
)

// staged is one member of the raw archive. Its path is clean and relative to the
// root of the staged folder.
type staged struct {
	pax.Member
	path string
	// data holds the content: the member itself, or the final target of a hard
	// link.
	data   *staged
	offset int64 // of the content in the spool
	sum    digest.Digest
	// named is set if the file is text that contains the prefix.
	named bool
}

// staging is the content of the raw archive.
type staging struct {
	s        *Spec
	spool    *os.File
	at       int64 // end of the spool
	prefix   string
	all      map[string]*staged
	outer    []string // paths staged outside of the prefix
	dropped  map[string]int
	spoolErr error // error in writing the spool
}

func newStaging(s *Spec, spool *os.File) *staging {
	return &staging{s: s, spool: spool, prefix: s.Prefix[1:], all: map[string]*staged{}, dropped: map[string]int{}}
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// read reads the raw archive to its end.
func (st *staging) read(ctx context.Context, raw io.Reader) error {
	most, left := st.s.MaxMembers, st.s.MaxBytes
	if most <= 0 {
		most = defaultMembers
	}
	if left <= 0 {
		left = defaultBytes
	}
	r := pax.NewReaderLimits(raw, pax.Limits{Members: most})
	buf := make([]byte, 256<<10)
	var last *pax.Member
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := r.Next()
		if last != nil && last.Hidden > 0 {
			st.dropped["bytes in headers or padding"]++
		}
		if err == io.EOF { //nolint:errorlint // wrapped, it is what broke raw off
			if r.Trailer().NonZero > 0 {
				st.dropped["bytes behind the end of the archive"]++
			}
			return st.check()
		}
		if err != nil {
			return asRefused(err)
		}
		last = m
		if left -= m.Size; left < 0 {
			return refused("more content is staged than is accepted; raise the limit if this is expected")
		}
		if err := st.add(m, r, buf); err != nil {
			return err
		}
	}
}

// asRefused wraps an error in the archive in ErrRefused.
func asRefused(err error) error {
	if errors.Is(err, pax.ErrFormat) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("reading staged folder: %w", err)
}

// add adds one member.
func (st *staging) add(m *pax.Member, content io.Reader, buf []byte) error {
	name, err := cleanName(m.Name)
	if err != nil || name == "." {
		return err
	}
	if st.all[name] != nil {
		return refused("%q is staged twice", name)
	}
	e := &staged{Member: *m, path: name}
	e.data = e
	st.all[name] = e
	switch m.Type {
	case pax.Regular:
		return st.storeContent(e, content, buf)
	case pax.HardLink:
		return st.link(e)
	case pax.Symlink:
		if !utf8.ValidString(m.Link) || hasControl(m.Link) {
			return refused("the link %q leads to a name that is not plain text", name)
		}
	case pax.Directory:
	default:
		return refused("%q is a %s; only files, folders and links can be packaged", name, m.Type)
	}
	return nil
}

// cleanName returns the clean relative path of a member's name, "." for the root.
func cleanName(name string) (string, error) {
	s := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if name == "." || s == "" && name == "./" {
		return ".", nil
	}
	if s == "" || path.IsAbs(s) || path.Clean(s) != s || s == ".." || strings.HasPrefix(s, "../") {
		return "", refused("the name %q leaves the staged folder or is not clean", pax.Clip(name))
	}
	if !utf8.ValidString(s) || hasControl(s) {
		return "", refused("the name %q is not plain UTF-8 text", pax.Clip(name))
	}
	return s, nil
}

// storeContent copies the content of a file into the spool.
func (st *staging) storeContent(e *staged, content io.Reader, buf []byte) error {
	e.offset = st.at
	tag, _ := e.Record(pax.ZOSTag)
	prefixProbe := newProbe(st.s.Prefix, tag)
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(spoolWriter{st}, sum, prefixProbe), struct{ io.Reader }{content}, buf)
	if st.spoolErr != nil {
		return fmt.Errorf("keeping content of %q: %w; free some room or name another folder", e.path, st.spoolErr)
	}
	if err != nil {
		return asRefused(err)
	}
	e.Size, e.named = n, prefixProbe.named()
	e.sum = sumOf(sum)
	return nil
}

func sumOf(h hash.Hash) digest.Digest { return digest.Digest(h.Sum(nil)) }

// spoolWriter appends to the spool and keeps its errors apart from those of the
// archive.
type spoolWriter struct{ st *staging }

func (w spoolWriter) Write(p []byte) (int, error) {
	n, err := w.st.spool.Write(p)
	w.st.at += int64(n)
	w.st.spoolErr = err
	return n, err
}

// link resolves a hard link. Its target must come before it.
func (st *staging) link(e *staged) error {
	target, err := cleanName(e.Link)
	if err != nil {
		return err
	}
	to := st.all[target]
	if to == nil || to == e || to.data.Type != pax.Regular {
		return refused("the hard link %q leads to %q, which is not a file staged before it", e.path, pax.Clip(e.Link))
	}
	e.data = to.data
	return nil
}

// check checks the members against each other, in any order.
func (st *staging) check() error {
	for _, name := range st.names() {
		e := st.all[name]
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if d := st.all[dir]; d != nil && d.Type != pax.Directory {
				return refused("%q lies below %q, which is a %s", name, dir, d.Type)
			}
		}
		inside := name == st.prefix || strings.HasPrefix(name, st.prefix+"/")
		leads := inside && name != st.prefix || e.Type == pax.Directory && (inside || strings.HasPrefix(st.prefix, name+"/"))
		if !leads {
			st.outer = append(st.outer, name)
		}
	}
	if n := len(st.outer); n > 0 {
		shown := make([]string, 0, 10)
		for _, name := range st.outer[:min(n, 10)] {
			shown = append(shown, strconv.Quote("/"+pax.Clip(name)))
		}
		return refused("%d staged outside of the prefix %s: %s; install below the prefix, or remove them in the recipe",
			n, st.s.Prefix, strings.Join(shown, ", "))
	}
	return nil
}

func (st *staging) names() []string {
	names := make([]string, 0, len(st.all))
	for name := range st.all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// droppedText lists what packages leave out.
func (st *staging) droppedText() []string {
	var out []string
	for what, n := range st.dropped {
		members := "members"
		if n == 1 {
			members = "member"
		}
		out = append(out, fmt.Sprintf("%s of %d %s", what, n, members))
	}
	slices.Sort(out)
	return out
}

// probe searches for the prefix in text that is written to it.
type probe struct {
	want   []byte
	carry  []byte
	binary bool
	found  bool
}

func newProbe(prefix, tag string) *probe {
	p := &probe{want: []byte(prefix)}
	if tag == "1 1047" {
		if b, err := charmap.CodePage1047.NewEncoder().Bytes(p.want); err == nil {
			p.want = b
		}
	}
	return p
}

func (p *probe) Write(b []byte) (int, error) {
	if p.binary {
		return len(b), nil
	}
	p.binary = bytes.IndexByte(b, 0) >= 0
	if p.found {
		return len(b), nil
	}
	overlap := slices.Concat(p.carry, b[:min(len(b), len(p.want)-1)])
	p.found = bytes.Contains(overlap, p.want) || bytes.Contains(b, p.want)
	tail := b
	if len(b) < len(p.want) {
		tail = overlap
	}
	p.carry = slices.Clone(tail[max(len(tail)-len(p.want)+1, 0):])
	return len(b), nil
}

func (p *probe) named() bool { return p.found && !p.binary }
