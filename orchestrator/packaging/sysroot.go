// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// Bounds on the names in a package, in bytes: of one name, and of all names
// together, which are in memory until the end.
const (
	maxSysrootName  = 4 << 10
	maxSysrootNames = 256 << 20
)

// SysrootInfo describes the archive that Sysroot wrote.
type SysrootInfo struct {
	// Digest and Bytes are of the archive.
	Digest digest.Digest
	Bytes  int64
	// Members counts its members, Content is the sum of the sizes of its files in
	// bytes.
	Members int
	Content int64
}

// Sysroot reads a released .pax.Z and writes a plain pax archive with the same
// members at the prefix for which the port was configured, relative to the folder
// where it is unpacked: "opt/zfarm/ncurses/6.4/bin/tic". Several such archives
// unpacked in one folder form a root in which each port is where it expects to be.
//
// Modes, times, file tags and extended attributes are those of the package, without
// setuid and setgid, which builds do not need. Links are kept, but symbolic links
// with the prefix as an absolute path become relative, since they would lead out of
// the folder.
//
// The archive must be as Write makes it: one folder at the top, each folder before
// its content, no name twice, only files, folders and links. Nothing in it can make
// an archiver write outside prefix.
func Sysroot(ctx context.Context, r io.Reader, w io.Writer, prefix string) (SysrootInfo, error) {
	info, err := sysroot(ctx, r, w, prefix)
	if err != nil {
		return SysrootInfo{}, fmt.Errorf("laying a package out below %s: %w", pax.Clip(prefix), err)
	}
	return info, nil
}

func sysroot(ctx context.Context, r io.Reader, w io.Writer, prefix string) (SysrootInfo, error) {
	if !searchable(prefix) {
		return SysrootInfo{}, errors.New("want a clean absolute folder of letters, digits, /, +, ., _, ~ and -, because it is used in search paths")
	}
	z, err := compress.NewReader(r)
	if err != nil {
		return SysrootInfo{}, err
	}
	out := digest.NewWriter(w)
	l := layout{prefix: prefix, in: pax.NewReaderLimits(z, pax.Limits{Members: defaultMembers, Name: maxSysrootName}),
		out: pax.NewWriter(out), seen: map[string]pax.Type{}, buf: make([]byte, 256<<10)}
	for {
		if err := ctx.Err(); err != nil {
			return SysrootInfo{}, err
		}
		err := l.next()
		if err == io.EOF { //nolint:errorlint // wrapped, it is what broke r off
			break
		}
		if err != nil {
			return SysrootInfo{}, err
		}
	}
	if l.top == "" {
		return SysrootInfo{}, errors.New("the package is empty")
	}
	if err := l.out.Close(); err != nil {
		return SysrootInfo{}, err
	}
	l.info.Digest, l.info.Bytes = out.Digest(), out.Len()
	return l.info, nil
}

// searchable reports whether prefix can be used unquoted in search paths, compiler
// flags and scripts.
func searchable(prefix string) bool {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/+._~-", c)
	}
	return path.IsAbs(prefix) && path.Clean(prefix) == prefix && prefix != "/" && len(prefix) <= 200 &&
		!strings.ContainsFunc(prefix, func(c rune) bool { return !plain(c) })
}

// layout converts the members of a package.
type layout struct {
	prefix string
	top    string // the folder at the top of the package
	in     *pax.Reader
	out    *pax.Writer
	seen   map[string]pax.Type // by name in the package
	names  int
	buf    []byte
	info   SysrootInfo
}

// next copies one member; it returns io.EOF at the end.
func (l *layout) next() error {
	m, err := l.in.Next()
	if err != nil {
		return err
	}
	name, err := l.checkMember(m)
	if err != nil {
		return err
	}
	out := pax.Member{Name: l.newPath(name), Type: m.Type, Mode: m.Mode &^ 0o6000, ModTime: m.ModTime}
	switch m.Type {
	case pax.Regular:
		out.Size = m.Size
	case pax.HardLink:
		out.Link, err = l.hardLink(name, m.Link)
	case pax.Symlink:
		out.Link, err = l.symlink(name, m.Link)
	}
	if err != nil {
		return err
	}
	for _, r := range m.Records {
		if r.Key == pax.ZOSTag || r.Key == pax.ZOSExtattr {
			out.Records = append(out.Records, r)
		}
	}
	return l.write(&out)
}

func (l *layout) write(m *pax.Member) error {
	if l.info.Content += m.Size; l.info.Content > defaultBytes {
		return fmt.Errorf("it has more than %d GiB of content", defaultBytes>>30)
	}
	l.info.Members++
	if err := l.out.WriteHeader(m); err != nil {
		return err
	}
	if m.Type != pax.Regular {
		return nil
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{l.out}, struct{ io.Reader }{l.in}, l.buf); err != nil {
		return fmt.Errorf("copying %s: %w", m.Name, err)
	}
	return nil
}

// checkMember checks the name of a member against those before it and returns it.
func (l *layout) checkMember(m *pax.Member) (string, error) {
	name, err := packaged(m.Name)
	if err != nil {
		return "", err
	}
	switch m.Type {
	case pax.Regular, pax.HardLink, pax.Symlink, pax.Directory:
	default:
		return "", fmt.Errorf("%q is a %s; a package has files, folders and links", pax.Clip(name), m.Type)
	}
	if l.names += len(name); l.names > maxSysrootNames {
		return "", fmt.Errorf("its names are longer than %d MiB together", maxSysrootNames>>20)
	}
	if _, ok := l.seen[name]; ok {
		return "", fmt.Errorf("%q is in it twice", pax.Clip(name))
	}
	if l.top == "" {
		if m.Type != pax.Directory || !plainName(name) {
			return "", fmt.Errorf("it begins with %q and not with a folder PORT-VERSION", pax.Clip(name))
		}
		l.top = name
	} else if kind, ok := l.seen[path.Dir(name)]; !ok || kind != pax.Directory {
		return "", fmt.Errorf("%q does not lie in a folder that came before it", pax.Clip(name))
	}
	l.seen[name] = m.Type
	return name, nil
}

// packaged returns the name of a member without a slash at its end.
func packaged(name string) (string, error) {
	clean, err := cleanName(name)
	if err != nil || clean == "." {
		return "", fmt.Errorf("the name %q is not clean", pax.Clip(name))
	}
	return clean, nil
}

// newPath returns the new path of a member.
func (l *layout) newPath(name string) string {
	return path.Join(l.prefix[1:], strings.TrimPrefix(name, l.top))
}

func (l *layout) hardLink(name, target string) (string, error) {
	to, err := packaged(target)
	if err != nil {
		return "", err
	}
	if kind := l.seen[to]; to == name || kind != pax.Regular && kind != pax.HardLink {
		return "", fmt.Errorf("the hard link %q leads to %q, which is no file before it", pax.Clip(name), pax.Clip(target))
	}
	return l.newPath(to), nil
}

// symlink returns the target of a symbolic link at its new path.
func (l *layout) symlink(name, target string) (string, error) {
	if target == "" || hasControl(target) {
		return "", fmt.Errorf("the link %q leads to a name that is not plain text", pax.Clip(name))
	}
	clean := path.Clean(target)
	if clean != l.prefix && !strings.HasPrefix(clean, l.prefix+"/") {
		return target, nil
	}
	up := strings.Repeat("../", strings.Count(name, "/")-1)
	if below := strings.TrimPrefix(clean, l.prefix); below != "" {
		return up + below[1:], nil
	}
	return path.Clean(up), nil // "." for an empty one
}
