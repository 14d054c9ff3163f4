// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// laid converts a package by Sysroot and returns the archive.
func laid(t testing.TB, packed []byte, prefix string) ([]byte, SysrootInfo) {
	t.Helper()
	var out bytes.Buffer
	info, err := Sysroot(t.Context(), bytes.NewReader(packed), &out, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), info
}

// members returns a line for each member of a plain archive.
func members(t testing.TB, b []byte) []string {
	t.Helper()
	var lines []string
	for r := pax.NewReader(bytes.NewReader(b)); ; {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%s %04o %s %d", m.Type, m.Mode, m.Name, m.ModTime.Unix())
		if m.Link != "" {
			line += " -> " + m.Link
		}
		for _, r := range m.Records {
			line += " " + r.Key + "=" + r.Value
		}
		lines = append(lines, line)
	}
}

func TestSysroot(t *testing.T) {
	packed, packedInfo := packed(t, spec(t), raw(t, sample()...))
	out, info := laid(t, packed, "/opt/zfarm/gzip/1.12")
	if info.Digest != digest.Of(out) || info.Bytes != int64(len(out)) || info.Members != packedInfo.Members || info.Content != packedInfo.Content {
		t.Errorf("info %+v of %d bytes; the package is %+v", info, len(out), packedInfo)
	}
	golden(t, "sysroot.txt", strings.Join(members(t, out), "\n")+"\n")
	again, _ := laid(t, packed, "/opt/zfarm/gzip/1.12")
	if !bytes.Equal(out, again) {
		t.Error("the same package gives other bytes")
	}
}

// TestSysrootUnpacks checks that an archive unpacked by an archiver works in place.
func TestSysrootUnpacks(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("unpacks with tar: install GNU tar")
	}
	packed, _ := packed(t, spec(t), raw(t, sample()...))
	out, _ := laid(t, packed, "/opt/zfarm/gzip/1.12")
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "tar", "-xpf", "-")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	bin := filepath.Join(dir, "opt/zfarm/gzip/1.12/bin")
	for _, name := range []string{"gzip", "gunzip", "uncompress", "absolute"} {
		b, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil || !strings.HasPrefix(string(b), "\x00ELF") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if info, err := os.Stat(filepath.Join(bin, "gzip")); err != nil || info.Mode()&os.ModeSetuid != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestSysrootMakesFullLinksRelative(t *testing.T) {
	l := layout{prefix: "/opt/p/1", top: "p-1"}
	for _, tt := range []struct{ name, target, want string }{
		{"p-1/a", "/opt/p/1/b", "b"},
		{"p-1/bin/a", "/opt/p/1/bin/b", "../bin/b"},
		{"p-1/share/x/a", "/opt/p/1//lib/../bin/b", "../../bin/b"},
		{"p-1/share/a", "/opt/p/1", ".."},
		{"p-1/a", "/opt/p/1/", "."},
		{"p-1/a", "/opt/p/10/b", "/opt/p/10/b"},
		{"p-1/bin/a", "../lib/b", "../lib/b"},
		{"p-1/bin/sh", "/bin/sh", "/bin/sh"},
	} {
		if have, err := l.symlink(tt.name, tt.target); err != nil || have != tt.want {
			t.Errorf("%s -> %s becomes %q, want %q; %v", tt.name, tt.target, have, tt.want, err)
		}
	}
}

// compressed compresses an archive as .Z.
func compressed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := compress.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSysrootRefuses(t *testing.T) {
	good := []item{dir("p-1/"), dir("p-1/bin/"), file("p-1/bin/p", "p")}
	fifo := item{Header: tar.Header{Name: "p-1/f", Typeflag: tar.TypeFifo, Format: tar.FormatPAX}}
	plus := func(more ...item) []byte { return compressed(t, raw(t, append(append([]item{}, good...), more...)...)) }
	whole := plus()
	for _, tt := range []struct {
		name, prefix string
		in           []byte
		says         string
	}{
		{"not a .Z", "", []byte("PK"), "not a whole .Z stream"},
		{"a cut one", "", whole[:len(whole)-20], "not a"},
		{"nothing in it", "", compressed(t, raw(t)), "the package is empty"},
		{"no folder at the top", "", compressed(t, raw(t, file("p", ""))), "not with a folder PORT-VERSION"},
		{"two folders at the top", "", plus(dir("q-1/")), "does not lie in a folder that came before it"},
		{"a file beside the top", "", plus(file("passwd", "root")), "does not lie in a folder"},
		{"a name that leaves", "", plus(file("p-1/../../etc/passwd", "root")), "is not clean"},
		{"an absolute name", "", plus(file("/etc/passwd", "root")), "is not clean"},
		{"a name with a newline", "", plus(file("p-1/a\nb", "")), "is not clean"},
		{"through a link", "", plus(link("p-1/etc", "/etc", tar.TypeSymlink), file("p-1/etc/passwd", "root")), "does not lie in a folder"},
		{"through a file", "", plus(file("p-1/bin/p/q", "")), "does not lie in a folder"},
		{"twice", "", plus(link("p-1/bin", "/etc", tar.TypeSymlink)), "twice"},
		{"a pipe", "", plus(fifo), "is a named pipe"},
		{"a hard link to nothing", "", plus(link("p-1/l", "p-1/none", tar.TypeLink)), "no file before it"},
		{"a hard link to a folder", "", plus(link("p-1/l", "p-1/bin", tar.TypeLink)), "no file before it"},
		{"a hard link out", "", plus(link("p-1/l", "../p-1/bin/p", tar.TypeLink)), "is not clean"},
		{"a link with an escape", "", plus(link("p-1/l", "\x1b[2J", tar.TypeSymlink)), "not plain text"},
		{"the root as prefix", "/", whole, "want a clean absolute folder"},
		{"a prefix with a space", "/opt/my p", whole, "want a clean absolute folder"},
		{"a prefix with dots", "/opt/../p", whole, "want a clean absolute folder"},
		{"a relative prefix", "opt/p", whole, "want a clean absolute folder"},
	} {
		prefix := tt.prefix
		if prefix == "" {
			prefix = "/opt/p/1"
		}
		_, err := Sysroot(t.Context(), bytes.NewReader(tt.in), io.Discard, prefix)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

func TestSysrootTellsWhatEndedIt(t *testing.T) {
	in := compressed(t, raw(t, dir("p-1/"), file("p-1/p", "p")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sysroot(ctx, bytes.NewReader(in), io.Discard, "/opt/p/1"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("disk full")
	if _, err := Sysroot(t.Context(), bytes.NewReader(in), broken{full}, "/opt/p/1"); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

// FuzzSysroot checks for any package that nothing panics, and that the output is a
// whole archive whose members are all at the prefix, in folders, each name once,
// without setuid.
func FuzzSysroot(f *testing.F) {
	packed, _ := packed(f, spec(f), raw(f, sample()...))
	f.Add(packed)
	f.Add(compressed(f, raw(f, dir("p-1/"), file("p-1/p", "p"), link("p-1/q", "p-1/p", tar.TypeLink), link("p-1/r", "/opt/p/1/p", tar.TypeSymlink))))
	f.Add(compressed(f, raw(f, dir("p-1/"), link("p-1/etc", "/etc", tar.TypeSymlink), file("p-1/etc/passwd", "root"))))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		info, err := Sysroot(t.Context(), bytes.NewReader(in), &out, "/opt/p/1")
		if err != nil {
			return
		}
		if info.Bytes != int64(out.Len()) || info.Digest != digest.Of(out.Bytes()) {
			t.Fatalf("%+v of %d bytes", info, out.Len())
		}
		seen := map[string]bool{}
		for r := pax.NewReader(&out); ; {
			m, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(m.Name, "/")
			if name != "opt/p/1" && !strings.HasPrefix(name, "opt/p/1/") || strings.Contains(name, "..") && filepath.Clean(name) != name || seen[name] || m.Mode&0o6000 != 0 {
				t.Fatalf("%q with mode %o", m.Name, m.Mode)
			}
			seen[name] = true
		}
		if len(seen) != info.Members {
			t.Fatalf("%d members, info says %d", len(seen), info.Members)
		}
	})
}

func BenchmarkSysroot(b *testing.B) {
	items := append(parents(), dir(below+"lib/"))
	for i := range 200 {
		items = append(items, file(fmt.Sprintf("%slib/%03d", below, i), strings.Repeat(fmt.Sprintf("line %d\n", i), 5000)))
	}
	packed, info := packed(b, spec(b), raw(b, items...))
	b.SetBytes(info.Content)
	for b.Loop() {
		if _, err := Sysroot(b.Context(), bytes.NewReader(packed), io.Discard, "/opt/zfarm/gzip/1.12"); err != nil {
			b.Fatal(err)
		}
	}
}
