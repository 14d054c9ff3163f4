// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/workers/codepage"
)

// Bounds on the members of an archive.
const (
	// MaxMembers is the most members an archive may have.
	MaxMembers   = 1 << 20
	maxNameBytes = 128 << 20 // of all names together
	maxName      = 4096      // bytes of one name or link target
	maxElement   = 255       // bytes between two slashes
	maxTime      = 1<<33 - 1 // seconds; what ustar can hold, the year 2242
)

// TarInfo describes a repacked archive.
type TarInfo struct {
	// Members is how many of upstream's members were kept.
	Members int
	// Bytes is the size of all files together, in bytes.
	Bytes int64
	// Newest is the latest time of a member: a good SOURCE_DATE_EPOCH.
	Newest time.Time
}

// RepackTar rewrites an upstream tar archive so that every worker can unpack
// it safely and in the same way, and returns what it holds. The same input
// gives the same bytes.
//
// It replaces the one leading folder by into, a relative folder or "". It
// keeps order, contents, permissions and times (in whole seconds: make
// compares them). It drops owners, names of owners, setuid and the like, and
// makes folders accessible to their owner. Headers are ustar, with pax records
// only for what ustar cannot hold.
//
// It refuses with an ErrArchive: names that are absolute or leave the archive,
// links that do, members below anything but a folder, names that occur twice
// (folders may), anything but files, folders and links, archives with several
// leading folders or none, and whatever exceeds a bound. In that case the
// output in w is incomplete and useless.
func RepackTar(r io.Reader, w io.Writer, into string) (TarInfo, error) {
	p := &repack{
		in: tar.NewReader(r), out: tar.NewWriter(w),
		kinds: map[string]byte{}, limit: MaxExpanded,
	}
	if into != "" {
		clean, err := cleanMember(into)
		if err != nil || clean == "." {
			return TarInfo{}, fmt.Errorf("repacking below %q: want a relative folder", into)
		}
		p.into = clean
	}
	if err := p.rewrite(); err != nil {
		return TarInfo{}, err
	}
	return p.info, nil
}

// repack is the state of one rewriting. kinds maps names, below into, to their
// typeflags, including folders that are only implied.
type repack struct {
	in    *tar.Reader
	out   *tar.Writer
	into  string
	root  string // upstream's leading folder
	kinds map[string]byte
	names int64 // bytes of all keys of kinds
	limit int64
	info  TarInfo
}

func refuse(name, format string, args ...any) error {
	return fmt.Errorf("repacking: %w: member %s: %s", ErrArchive, codepage.Line(name, maxText), fmt.Sprintf(format, args...))
}

func (p *repack) rewrite() error {
	for {
		h, err := p.in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return damagedTar(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			if err := p.checkGlobal(h); err != nil {
				return err
			}
			continue
		}
		if err := p.member(h); err != nil {
			return err
		}
	}
	if p.root == "" {
		return fmt.Errorf("repacking: %w: it has no members", ErrArchive)
	}
	return p.out.Close()
}

// damagedTar makes an error an ErrArchive, unless it is one already.
func damagedTar(err error) error {
	if errors.Is(err, ErrArchive) {
		return err
	}
	return fmt.Errorf("repacking: %w: %w", ErrArchive, err)
}

// checkGlobal accepts a pax header for all members if it has only a comment, as
// git archive writes it. Other records would change members.
func (p *repack) checkGlobal(h *tar.Header) error {
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if k != "comment" {
			return refuse(h.Name, "global pax record %s", codepage.Line(k, maxText))
		}
	}
	return nil
}

func (p *repack) member(h *tar.Header) error {
	name, err := p.place(h.Name)
	if err != nil {
		return err
	}
	if p.info.Members++; p.info.Members > MaxMembers {
		return refuse(h.Name, "it is beyond the first %d", MaxMembers)
	}
	out := &tar.Header{Name: path.Join(p.into, name), Typeflag: h.Typeflag, Mode: h.Mode & 0o777}
	if out.ModTime, err = p.time(h); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		out.Mode |= 0o700
	case tar.TypeReg:
		out.Size = h.Size
	case tar.TypeSymlink:
		out.Mode, out.Linkname = 0o777, h.Linkname
		err = checkTarget(name, h.Linkname)
	case tar.TypeLink:
		out.Linkname, err = p.original(h)
	default:
		err = refuse(h.Name, "it is of type %q; only files, folders and links are let in", h.Typeflag)
	}
	if err != nil {
		return err
	}
	if err := p.register(name, h.Typeflag); err != nil {
		return err
	}
	return p.write(name, out)
}

// place returns a member's name below the leading folder; "." is that folder
// itself. The first member determines the leading folder.
func (p *repack) place(full string) (string, error) {
	name, err := cleanMember(full)
	if err != nil {
		return "", err
	}
	if name == "." {
		return ".", nil // "./" before the leading folder
	}
	root, rest, deeper := strings.Cut(name, "/")
	if p.root == "" {
		p.root = root
	}
	switch {
	case root != p.root:
		return "", refuse(full, "it lies outside of the leading folder %s; the archive must have just one", codepage.Line(p.root, maxText))
	case !deeper:
		return ".", nil
	}
	return rest, nil
}

// cleanMember returns a relative name without "." elements and without doubled
// or trailing slashes. It refuses ".." everywhere, even where that would be
// harmless.
func cleanMember(name string) (string, error) {
	switch {
	case name == "" || len(name) > maxName:
		return "", refuse(name, "its name has %d bytes", len(name))
	case name[0] == '/':
		return "", refuse(name, "its name is absolute")
	case !cleanText(name):
		return "", refuse(name, "its name has control characters")
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return "", refuse(name, `its name has ".." in it`)
		}
		if len(element) > maxElement {
			return "", refuse(name, "a part of its name has %d bytes", len(element))
		}
	}
	return path.Clean(name), nil
}

func (p *repack) time(h *tar.Header) (time.Time, error) {
	seconds := h.ModTime.Unix()
	if seconds < 0 || seconds > maxTime {
		return time.Time{}, refuse(h.Name, "its time is %d seconds from 1970", seconds)
	}
	t := time.Unix(seconds, 0).UTC()
	if t.After(p.info.Newest) {
		p.info.Newest = t
	}
	return t, nil
}

// checkTarget checks that a symbolic link stays inside, whatever other links
// there are. ".." may only come first, where the folders that it goes up
// through are known to be folders.
func checkTarget(name, target string) error {
	if target == "" || len(target) > maxName || target[0] == '/' || !cleanText(target) {
		return refuse(name, "it is a link to %s; want a relative name", codepage.Line(target, maxText))
	}
	depth, down := strings.Count(name, "/"), false
	for element := range strings.SplitSeq(target, "/") {
		switch {
		case element == "" || element == ".":
		case element != "..":
			down = true
		case down:
			return refuse(name, `it is a link to %s; ".." may only come first`, codepage.Line(target, maxText))
		case depth == 0:
			return refuse(name, "it is a link to %s, which leaves the archive", codepage.Line(target, maxText))
		default:
			depth--
		}
	}
	return nil
}

// original returns the output name of the file that a hard link refers to.
// That file must have come before the link.
func (p *repack) original(h *tar.Header) (string, error) {
	target, err := p.place(h.Linkname)
	if err != nil {
		return "", err
	}
	if k := p.kinds[target]; k != tar.TypeReg && k != tar.TypeLink {
		return "", refuse(h.Name, "it is a hard link to %s, which is no file before it", codepage.Line(h.Linkname, maxText))
	}
	return path.Join(p.into, target), nil
}

// register registers a member's name and type, and the folders above it.
func (p *repack) register(name string, kind byte) error {
	if name == "." {
		if kind != tar.TypeDir {
			return refuse(p.root, "the leading folder is no folder; the archive must have one")
		}
		return nil
	}
	for i := range len(name) {
		if name[i] == '/' {
			if err := p.registerName(name[:i], tar.TypeDir); err != nil {
				return err
			}
		}
	}
	return p.registerName(name, kind)
}

func (p *repack) registerName(name string, kind byte) error {
	before, taken := p.kinds[name]
	switch {
	case taken && before != kind:
		return refuse(name, "it is of two types, or below what is no folder")
	case taken && kind != tar.TypeDir:
		return refuse(name, "it comes twice")
	case taken:
		return nil
	}
	if p.names += int64(len(name)); p.names > maxNameBytes {
		return refuse(name, "all names together have more than %d bytes", maxNameBytes)
	}
	p.kinds[name] = kind
	return nil
}

// write writes one member. Before the first member it writes the folders of
// into.
func (p *repack) write(name string, h *tar.Header) error {
	if p.info.Members == 1 && p.into != "" {
		if err := p.writeInto(h.ModTime); err != nil {
			return err
		}
	}
	if name == "." {
		return nil // already written: the source folder, or into
	}
	if p.info.Bytes += h.Size; p.info.Bytes > p.limit || h.Size > p.limit {
		return refuse(name, "the files together have more than %d bytes", p.limit)
	}
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	if err := p.out.WriteHeader(h); err != nil {
		return fmt.Errorf("repacking %s: %w", codepage.Line(name, maxText), err)
	}
	if h.Size == 0 {
		return nil
	}
	if _, err := io.Copy(p.out, &damagedReader{p.in}); err != nil {
		return err
	}
	return nil
}

func (p *repack) writeInto(t time.Time) error {
	for i := range len(p.into) + 1 {
		if i < len(p.into) && p.into[i] != '/' {
			continue
		}
		h := &tar.Header{Name: p.into[:i] + "/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: t}
		if err := p.out.WriteHeader(h); err != nil {
			return fmt.Errorf("repacking: %w", err)
		}
	}
	return nil
}

// damagedReader makes errors of the archive an ErrArchive.
type damagedReader struct{ r io.Reader }

func (d *damagedReader) Read(b []byte) (int, error) {
	n, err := d.r.Read(b)
	if err != nil && err != io.EOF {
		return n, damagedTar(err)
	}
	return n, err
}
