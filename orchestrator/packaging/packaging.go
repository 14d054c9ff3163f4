// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package packaging makes the released .pax.Z of a staged folder, which a worker
// returns as one raw pax archive.
//
// The raw archive is hostile. The released bytes depend only on the staged files
// and the Spec: members are sorted, times are the Spec's, owners are 0; modes,
// links, file tags and extended attributes are kept. Info lists what was dropped.
// orchestrator/compare compares the packages of two repeats; this package uses its
// formats pax and compress.
package packaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// ErrRefused says that the staged folder cannot be packaged because of the recipe
// or the worker. The text says what to fix.
var ErrRefused = errors.New("staged folder refused")

// Spec describes the package to make.
type Spec struct {
	Port, Version, Summary, Licence, Homepage string
	Categories                                []string
	// Prefix is the absolute folder for which the port was configured. Only files
	// below it may be staged.
	Prefix string
	// Include and Exclude are globs over paths below the prefix; "**" stands for
	// any number of folders. Without Include everything is packaged.
	Include, Exclude []string
	// Epoch is the time of every member (SOURCE_DATE_EPOCH).
	Epoch                time.Time
	Recipe               digest.Digest
	Sources              []Source
	BuildNeeds, RunNeeds []Need
	// System is the output of "uname -s" on the worker.
	System string
	// Temp is a folder with room for the unpacked content; "" is the system's
	// folder for temporary files.
	Temp string
	// MaxMembers and MaxBytes bound the raw archive; 0 means 2 million members
	// and 64 GiB of content.
	MaxMembers int
	MaxBytes   int64
}

// Source is an upstream file the port was built from.
type Source struct {
	URL    string
	Digest digest.Digest
}

// Need is a resolved port that this one needs.
type Need struct {
	Name, Version string
	Digest        digest.Digest
}

// Info describes the package that was made.
type Info struct {
	// Members counts the members of the package. Bytes and Digest are of the .Z
	// file, PaxBytes and PaxDigest of the archive in it.
	Members           int
	Bytes, PaxBytes   int64
	Digest, PaxDigest digest.Digest
	// Content is the sum of the sizes of all files, in bytes.
	Content int64
	// Files are the staged regular files, by name below the prefix. Files that
	// packaging adds are not included.
	Files []File
	// Dropped lists what packages leave out of the raw archive, e.g. "ZOS.useraudit
	// of 12 members"; sorted.
	Dropped []string
	// Outside lists symbolic links that lead out of the prefix; sorted by name.
	Outside []Link
}

// File is a regular file of the package.
type File struct {
	Name   string
	Size   int64
	Digest digest.Digest
}

// Link is a symbolic link below the prefix.
type Link struct {
	Name, Target string
}

const (
	defaultMembers = 2_000_000
	defaultBytes   = 64 << 30
)

func (s *Spec) check() error {
	for _, text := range []string{s.Port, s.Version} {
		if !plainName(text) {
			return fmt.Errorf("packaging %q %q: want letters, digits and . _ + ~ - for port and version", s.Port, s.Version)
		}
	}
	if !path.IsAbs(s.Prefix) || path.Clean(s.Prefix) != s.Prefix || s.Prefix == "/" || hasControl(s.Prefix) {
		return fmt.Errorf("packaging %s: prefix %q: want a clean absolute folder other than /", s.Port, s.Prefix)
	}
	if s.Epoch.Unix() < 0 {
		return fmt.Errorf("packaging %s: the time of the members (SOURCE_DATE_EPOCH) is missing", s.Port)
	}
	s.Epoch = s.Epoch.Truncate(time.Second)
	for _, glob := range append(append([]string{}, s.Include...), s.Exclude...) {
		if err := checkGlob(glob); err != nil {
			return fmt.Errorf("packaging %s: %w", s.Port, err)
		}
	}
	return nil
}

// root returns the folder at the top of the package.
func (s *Spec) root() string { return s.Port + "-" + s.Version }

func plainName(s string) bool {
	if s == "" || strings.IndexByte(".-~", s[0]) >= 0 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("._+~-", c) < 0 {
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Write reads the raw pax archive of a staged folder and writes the released .pax.Z
// to w. An error caused by the archive or the staged files wraps ErrRefused.
func Write(ctx context.Context, raw io.Reader, w io.Writer, s Spec) (Info, error) {
	if err := s.check(); err != nil {
		return Info{}, err
	}
	spool, err := os.CreateTemp(s.Temp, "zfarm-package-*")
	if err != nil {
		return Info{}, fmt.Errorf("packaging %s: making a file for its content: %w", s.Port, err)
	}
	defer func() { // the spool is only temporary
		_ = spool.Close()
		_ = os.Remove(spool.Name())
	}()
	st := newStaging(&s, spool)
	if err := st.read(ctx, raw); err != nil {
		return Info{}, fmt.Errorf("packaging %s: %w", s.Port, err)
	}
	members, err := st.members()
	if err != nil {
		return Info{}, fmt.Errorf("packaging %s: %w", s.Port, err)
	}
	info := Info{Members: len(members), Dropped: st.droppedText(), Outside: st.outside(members)}
	if err := write(ctx, w, members, spool, &info); err != nil {
		return Info{}, fmt.Errorf("packaging %s: %w", s.Port, err)
	}
	return info, nil
}

// write writes the members and fills in info.
func write(ctx context.Context, w io.Writer, members []member, spool io.ReaderAt, info *Info) error {
	outer := digest.NewWriter(w)
	z := compress.NewWriter(outer)
	inner := digest.NewWriter(z)
	p := pax.NewWriter(inner)
	buf := make([]byte, 256<<10)
	for i := range members {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := &members[i]
		if err := p.WriteHeader(&m.Member); err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{m.content(spool)}, buf); err != nil {
			return fmt.Errorf("writing %s: %w", m.Name, err)
		}
		info.Content += m.Size
		if m.Type == pax.Regular && !m.sum.IsZero() {
			info.Files = append(info.Files, File{Name: m.below, Size: m.Size, Digest: m.sum})
		}
	}
	if err := errors.Join(p.Close(), z.Close()); err != nil {
		return err
	}
	info.Bytes, info.Digest = outer.Len(), outer.Digest()
	info.PaxBytes, info.PaxDigest = inner.Len(), inner.Digest()
	return nil
}

// FileName returns the name of the released file, e.g. "gzip-1.12.zos.pax.Z".
// system is the output of "uname -s"; on z/OS that is OS/390.
func FileName(port, version, system string) string {
	return port + "-" + version + "." + systemName(system) + ".pax.Z"
}

func systemName(system string) string {
	switch lower := strings.ToLower(system); lower {
	case "os/390", "z/os", "zos":
		return "zos"
	case "":
		return "unknown"
	default:
		return strings.Map(func(r rune) rune {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
				return '-'
			}
			return r
		}, lower)
	}
}
