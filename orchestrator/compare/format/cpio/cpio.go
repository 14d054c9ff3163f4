// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package cpio reads cpio archives with headers in text: the new format, with and
// without sums, and the portable one of POSIX.1 (odc). RPM packages and initial RAM
// disks contain them.
//
// The older binary formats are not read. Every byte is part of a header, a name or
// content, or is hidden. docs/formats/cpio.md describes the layout, with sources.
package cpio

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

// Open reads an archive. Fields of an entry, in this order: cpio.mode, cpio.target,
// cpio.check (never masked), cpio.uid, cpio.gid, cpio.mtime (tier 1), cpio.nlink,
// cpio.inode (tier 0), cpio.device (never masked for devices), and for files with
// several names cpio.links (never masked) and cpio.data (tier 0). Fields without a
// value are left out. The target of a symbolic link is a field, not content.
// Content stored once for several names is the content of each.
func Open(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error) {
	budget := exact.NewBudget(l)
	a := &archive{c: &container.Container{}, budget: budget, links: map[file]*group{},
		r: newReader(io.NewSectionReader(r, 0, size), budget)}
	for {
		h, err := a.r.Next()
		if n := len(a.c.Entries); n > 0 {
			a.c.Entries[n-1].Hidden = a.r.before
		}
		if err == io.EOF { //nolint:errorlint // wrapped, it is what broke the source off
			break
		}
		if err != nil {
			return nil, err
		}
		if err := a.member(h); err != nil {
			return nil, err
		}
	}
	if err := a.share(); err != nil {
		return nil, err
	}
	a.c.Kind = a.r.variant.kind
	a.c.Fields = []container.Field{
		{Name: "cpio.format", Value: a.r.variant.magic},
		{Name: "cpio.digits", Value: a.r.writing()},
		{Name: "cpio.padding", Value: strconv.FormatInt(a.r.end.zeros, 10) + " zeros"},
		{Name: "cpio.trailer", Value: a.r.end.text, Weight: container.Meaning},
	}
	if a.r.end.unlinked {
		a.c.Fields = append(a.c.Fields, container.Field{Name: "cpio.trailer.nlink", Value: "0"})
	}
	a.c.Hidden = a.r.end.hidden.Value()
	return a.c, nil
}

// archive is the state of reading one archive.
type archive struct {
	r      *Reader
	c      *container.Container
	budget *exact.Budget
	links  map[file]*group
}

// file identifies a file that may have several names.
type file struct{ device, inode uint64 }

// group is the members that are the same file.
type group struct {
	name    string // of the group: the first name in byte order
	members []int
	data    int // index of the last member that has content
	filled  int // number of members that have content
}

// groupSize is an upper bound on the memory of a group for each member.
const groupSize = 256

// member makes an entry from a header.
func (a *archive) member(h *Header) error {
	e := container.Entry{Name: h.Name, Offset: h.offset, Size: h.Size}
	target := ""
	if h.symlink() {
		var err error
		if target, err = a.target(h); err != nil {
			return err
		}
		e.Size = 0
	}
	e.Fields = a.fields(h, target)
	if err := a.budget.Entry(h.placed, h.Name); err != nil {
		return err
	}
	if err := a.budget.Fields(h.placed, e.Fields); err != nil {
		return err
	}
	if h.Regular() && h.Links > 1 {
		if err := a.budget.Names(h.placed, groupSize); err != nil {
			return err
		}
		a.link(h)
	}
	a.c.Entries = append(a.c.Entries, e)
	return nil
}

// target reads the target of a symbolic link.
func (a *archive) target(h *Header) (string, error) {
	if h.Size > maxName {
		return "", exact.Errorf(h.offset, "a link leads to a name of %d bytes; up to %d are read", h.Size, maxName)
	}
	b := make([]byte, h.Size)
	_, err := io.ReadFull(a.r, b)
	return quoted(string(b)), err
}

func (a *archive) fields(h *Header, target string) []container.Field {
	f := a.r.variant
	special := container.Field{Name: "cpio.device", Weight: container.Form}
	if kind := h.Mode & typeMask; kind == typeBlock || kind == typeChar {
		special.Weight = container.Meaning
	}
	if h.Special != 0 || special.Weight == container.Meaning {
		special.Value = f.device(h.Special)
	}
	check := ""
	if h.check != 0 && (!f.summed || !h.Regular() || h.Size == 0) {
		check = fmt.Sprintf("%08x, which nothing reads", h.check)
	}
	all := []container.Field{
		{Name: "cpio.mode", Value: h.modeText(), Weight: container.Meaning},
		{Name: "cpio.target", Value: target, Weight: container.Meaning},
		{Name: "cpio.check", Value: check, Weight: container.Meaning},
		{Name: "cpio.uid", Value: fmt.Sprint(h.UID), Weight: container.Header},
		{Name: "cpio.gid", Value: fmt.Sprint(h.GID), Weight: container.Header},
		{Name: "cpio.mtime", Value: h.timeText(), Weight: container.Header},
		{Name: "cpio.nlink", Value: fmt.Sprint(h.Links)},
		{Name: "cpio.inode", Value: fmt.Sprintf("%d on %s", h.Inode, f.device(h.Device))},
		special,
	}
	kept := make([]container.Field, 0, len(all))
	for _, f := range all {
		if f.Value != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// link adds a member to its group if it has other names.
func (a *archive) link(h *Header) {
	key := file{h.Device, h.Inode}
	g := a.links[key]
	if g == nil {
		g = &group{name: h.Name}
		a.links[key] = g
	}
	at := len(a.c.Entries)
	g.members, g.name = append(g.members, at), min(g.name, h.Name)
	if h.Size > 0 {
		g.data = at
		g.filled++
	}
}

// share gives the members of a group the same content, which the new variants store
// once.
func (a *archive) share() error {
	byPlace := func(x, y *group) int { return cmp.Compare(x.members[0], y.members[0]) }
	for _, g := range slices.SortedFunc(maps.Values(a.links), byPlace) {
		if len(g.members) < 2 {
			continue
		}
		name := quoted(g.name)
		for _, i := range g.members {
			e := &a.c.Entries[i]
			added := []container.Field{{Name: "cpio.links", Value: "the same file as " + name, Weight: container.Meaning}}
			if g.filled == 1 && i != g.data {
				from := a.c.Entries[g.data]
				if err := a.budget.Content(e.Offset, uint64(from.Size)); err != nil {
					return err
				}
				added = append(added, container.Field{Name: "cpio.data", Value: "stands with another name"})
				e.Offset, e.Size = from.Offset, from.Size
			}
			if err := a.budget.Fields(e.Offset, added); err != nil {
				return err
			}
			e.Fields = slices.Concat(e.Fields, added)
		}
	}
	return nil
}

// quoted returns raw text in quotes, "" if it is empty, and the length and digest of
// long text: it is not cut, because long texts that differ must not read the same.
func quoted(s string) string {
	switch {
	case s == "":
		return ""
	case len(s) > 1024:
		return fmt.Sprintf("%d bytes, sha256 %x", len(s), sha256.Sum256([]byte(s)))
	}
	return strconv.Quote(s)
}
