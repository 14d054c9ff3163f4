// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
)

var packed = time.Unix(1500000000, 0)

// reg, dir, sym and hard make members.
func reg(name, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), ModTime: packed,
		Uname: content} // the content, which archive takes from here
}

func dir(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: packed}
}

func sym(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777, ModTime: packed}
}

func hard(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target, Mode: 0o644, ModTime: packed}
}

func with(h tar.Header, change func(*tar.Header)) tar.Header {
	change(&h)
	return h
}

// archive packs members unchanged, harmful or not.
func archive(t testing.TB, members ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content = h.Uname
			if len(content) > 30 {
				h.Uname = ""
			}
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRepackTar(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	in := archive(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "0123"}},
		dir("./"), dir("./port-1.0/"),
		with(reg("port-1.0/configure", "#!/bin/sh\n"), func(h *tar.Header) { h.Mode = 0o6755; h.Uid, h.Gid, h.Gname = 1000, 1000, "users" }),
		reg("port-1.0//src/./a.c", "int a;"),
		with(dir("port-1.0/ro/"), func(h *tar.Header) { h.Mode = 0o555 }),
		hard("port-1.0/b.c", "./port-1.0/src/a.c"),
		sym("port-1.0/src/up", "../configure"),
		sym("port-1.0/src/dangling", "./x//y"),
		dir("port-1.0/src/"),
		with(reg("port-1.0/later", "new"), func(h *tar.Header) {
			h.ModTime, h.Format = packed.Add(time.Hour+500*time.Millisecond), tar.FormatPAX
			h.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "y"}
		}),
		reg("port-1.0/"+long, ""), reg("port-1.0/gr\u00fc\u00df", ""),
	)
	for _, into := range []string{"", "deps/libx"} {
		var out, again bytes.Buffer
		info, err := RepackTar(bytes.NewReader(in), &out, into)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := RepackTar(bytes.NewReader(in), &again, into); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Errorf("again: %v, the same %v", err, bytes.Equal(out.Bytes(), again.Bytes()))
		}
		if diff := cmp.Diff(TarInfo{Members: 12, Bytes: 19, Newest: packed.Add(time.Hour).UTC()}, info); diff != "" {
			t.Error(diff)
		}
		d := func(s string) digest.Digest { return digest.Of([]byte(s)) }
		at, below := packed.Unix(), ""
		var want []listed
		if into != "" {
			below = into + "/"
			want = []listed{{"deps/", "", tar.TypeDir, 0o755, at, d("")}, {"deps/libx/", "", tar.TypeDir, 0o755, at, d("")}}
		}
		want = append(want, []listed{
			{below + "configure", "", tar.TypeReg, 0o755, at, d("#!/bin/sh\n")},
			{below + "src/a.c", "", tar.TypeReg, 0o644, at, d("int a;")},
			{below + "ro/", "", tar.TypeDir, 0o755, at, d("")},
			{below + "b.c", below + "src/a.c", tar.TypeLink, 0o644, at, d("")},
			{below + "src/up", "../configure", tar.TypeSymlink, 0o777, at, d("")},
			{below + "src/dangling", "./x//y", tar.TypeSymlink, 0o777, at, d("")},
			{below + "src/", "", tar.TypeDir, 0o755, at, d("")},
			{below + "later", "", tar.TypeReg, 0o644, at + 3600, d("new")},
			{below + long, "", tar.TypeReg, 0o644, at, d("")},
			{below + "gr\u00fc\u00df", "", tar.TypeReg, 0o644, at, d("")},
		}...)
		if diff := cmp.Diff(want, list(t, bytes.NewReader(out.Bytes()), false)); diff != "" {
			t.Errorf("into %q (-want +got):\n%s", into, diff)
		}
		if n := bytes.Count(out.Bytes(), []byte(" path=")); n != 2 {
			t.Errorf("%d pax headers, want 2: for the long name and the one that is not ASCII", n)
		}
	}
}

func TestRepackTarRefuses(t *testing.T) {
	root := dir("p/")
	tests := []struct {
		name    string
		members []tar.Header
		text    string
	}{
		{"nothing", nil, "no members"},
		{"absolute", []tar.Header{root, reg("/etc/passwd", "x")}, "absolute"},
		{"absolute in pax", []tar.Header{root, with(reg("/etc/"+strings.Repeat("x", 150), "x"), func(h *tar.Header) { h.Format = tar.FormatPAX })}, "absolute"},
		{"dots", []tar.Header{root, reg("p/../../x", "x")}, `".."`},
		{"dots that do no harm", []tar.Header{root, reg("p/a/../x", "x")}, `".."`},
		{"dots first", []tar.Header{reg("../x", "x")}, `".."`},
		{"two folders", []tar.Header{root, reg("q/x", "x")}, "outside of the leading folder p"},
		{"no folder", []tar.Header{reg("x", "x")}, "must have one"},
		{"folder is a link", []tar.Header{sym("p", "/tmp"), reg("p/x", "x")}, "relative"},
		{"folder is a link inside", []tar.Header{sym("p", "x"), reg("p/x", "x")}, "must have one"},
		{"link to absolute", []tar.Header{root, sym("p/l", "/etc")}, "relative"},
		{"link to nothing", []tar.Header{root, sym("p/l", ".."), reg("p/l/x", "x")}, "leaves"},
		{"link leaves", []tar.Header{root, sym("p/a/l", "../../x")}, "leaves"},
		{"link goes down and up", []tar.Header{root, sym("p/a/b/c", "../.."), sym("p/y", "a/b/c/../..")}, "may only come first"},
		{"file through a link", []tar.Header{root, sym("p/l", "d"), reg("p/l/x", "x")}, "no folder"},
		{"file through a file", []tar.Header{root, reg("p/l", ""), reg("p/l/x", "x")}, "no folder"},
		{"link for a folder", []tar.Header{root, dir("p/d/"), sym("p/d", "e")}, "two types"},
		{"link for an implied folder", []tar.Header{root, reg("p/d/x", ""), sym("p/d", "e")}, "two types"},
		{"file for a link", []tar.Header{root, sym("p/l", "x"), reg("p/l", "x")}, "two types"},
		{"file twice", []tar.Header{root, reg("p/x", "1"), reg("p/x", "2")}, "twice"},
		{"link twice", []tar.Header{root, sym("p/x", "1"), sym("p/x", "2")}, "twice"},
		{"hard link outside", []tar.Header{root, hard("p/x", "/etc/passwd")}, "absolute"},
		{"hard link up", []tar.Header{root, hard("p/x", "p/../../x")}, `".."`},
		{"hard link to another folder", []tar.Header{root, hard("p/x", "q/x")}, "outside"},
		{"hard link to nothing", []tar.Header{root, hard("p/x", "p/y")}, "no file before it"},
		{"hard link to a link", []tar.Header{root, sym("p/l", "x"), hard("p/y", "p/l")}, "no file before it"},
		{"hard link to the folder", []tar.Header{root, hard("p/y", "p")}, "no file before it"},
		{"device", []tar.Header{root, {Name: "p/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, ModTime: packed}}, "of type '3'"},
		{"pipe", []tar.Header{root, {Name: "p/pipe", Typeflag: tar.TypeFifo, ModTime: packed}}, "of type '6'"},
		{"control characters", []tar.Header{root, reg("p/a\x1b[2J", "x")}, "control"},
		{"newline", []tar.Header{root, reg("p/a\nb", "x")}, "control"},
		{"newline in a link", []tar.Header{root, sym("p/a", "x\ny")}, "relative"},
		{"long name", []tar.Header{root, reg("p/"+strings.Repeat("x/", maxName)+"x", "x")}, "bytes"},
		{"long element", []tar.Header{root, reg("p/"+strings.Repeat("x", 256), "x")}, "256 bytes"},
		{"long link", []tar.Header{root, sym("p/l", strings.Repeat("x/", maxName))}, "relative"},
		{"global record", []tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}, root}, "global pax record path"},
		{"before 1970", []tar.Header{root, with(reg("p/x", "x"), func(h *tar.Header) { h.ModTime, h.Format = time.Unix(-5, 0), tar.FormatPAX })}, "from 1970"},
		{"far future", []tar.Header{root, with(reg("p/x", "x"), func(h *tar.Header) { h.ModTime, h.Format = time.Unix(1<<40, 0), tar.FormatPAX })}, "from 1970"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := RepackTar(bytes.NewReader(archive(t, tt.members...)), io.Discard, "")
			if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), tt.text) || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("error %v, want %q", err, tt.text)
			}
		})
	}
	for _, into := range []string{".", "/abs", "../x", "a/../b"} {
		if _, err := RepackTar(bytes.NewReader(archive(t, root, reg("p/x", "x"))), io.Discard, into); err == nil {
			t.Errorf("into %q was taken", into)
		}
	}
}

// TestRepackTarDamaged: cut or changed archives are refused, never accepted in
// part.
func TestRepackTarDamaged(t *testing.T) {
	good := archive(t, dir("p/"), reg("p/x", strings.Repeat("x", 3000)))
	for _, n := range []int{0, 1, 511, 700, 1024, 1500, 3000} {
		if _, err := RepackTar(bytes.NewReader(good[:n]), io.Discard, ""); n != 1024 && !errors.Is(err, ErrArchive) {
			t.Errorf("cut after %d: %v", n, err)
		}
	}
	huge := archive(t, dir("p/"), reg("p/x", strings.Repeat("x", 2<<20)))
	rewrite(huge[512:1024], func(h []byte) { h[156] = tar.TypeXHeader })
	if _, err := RepackTar(bytes.NewReader(huge), io.Discard, ""); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a pax header of 2 MiB: %v", err)
	}
	broken := bytes.Clone(good)
	broken[512+10] ^= 1
	if _, err := RepackTar(bytes.NewReader(broken), io.Discard, ""); !errors.Is(err, ErrArchive) {
		t.Errorf("a wrong checksum: %v", err)
	}
}

// rewrite changes a header block and corrects its checksum.
func rewrite(h []byte, change func(h []byte)) {
	change(h)
	copy(h[148:156], "        ")
	var sum int64
	for _, b := range h {
		sum += int64(b)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// TestRepackTarBounds: a sparse member of 1 TiB needs no more than a header.
func TestRepackTarBounds(t *testing.T) {
	// GNU's sparse format 1.0, whose names the writer refuses to write: one
	// segment at 0 of length 0.
	in := archive(t, dir("p/"), with(reg("p/x", "1\n0\n0\n"+strings.Repeat("\x00", 506)), func(h *tar.Header) {
		h.Format = tar.FormatPAX
		h.PAXRecords = map[string]string{"GNU_sparse_major": "1", "GNU_sparse_minor": "0", "GNU_sparse_realsize": "1099511627776", "GNU_sparse_name": "p/x"}
	}))
	in = bytes.ReplaceAll(in, []byte("GNU_sparse_"), []byte("GNU.sparse."))
	_, err := RepackTar(bytes.NewReader(in), io.Discard, "")
	if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "more than 8589934592 bytes") {
		t.Errorf("a sparse member: %v", err)
	}
	rewrite(in[512:1024], func(h []byte) { h[156] = tar.TypeGNUSparse })
	if _, err := RepackTar(bytes.NewReader(in), io.Discard, ""); !errors.Is(err, ErrArchive) {
		t.Errorf("an old sparse member: %v", err)
	}

	many := &repack{in: tar.NewReader(bytes.NewReader(archive(t, dir("p/"), reg("p/x", "x")))), out: tar.NewWriter(io.Discard), kinds: map[string]byte{}, limit: MaxExpanded}
	many.info.Members = MaxMembers - 1
	if err := many.rewrite(); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "beyond the first") {
		t.Errorf("too many members: %v", err)
	}
	names := &repack{in: tar.NewReader(bytes.NewReader(archive(t, dir("p/"), reg("p/x", "x")))), out: tar.NewWriter(io.Discard), kinds: map[string]byte{}, limit: MaxExpanded, names: maxNameBytes}
	if err := names.rewrite(); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "all names together") {
		t.Errorf("too many names: %v", err)
	}
}

// TestUnpacked unpacks a repacked archive with the system's tar.
func TestUnpacked(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("install tar")
	}
	in := archive(t, dir("p/"), reg("p/d/a", "content"), hard("p/b", "p/d/a"), sym("p/d/l", "../b"))
	var out bytes.Buffer
	if _, err := RepackTar(bytes.NewReader(in), &out, "src"); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "tar", "-xpf", "-", "-C", root)
	cmd.Stdin = &out
	if msg, err := cmd.CombinedOutput(); err != nil || len(msg) != 0 {
		t.Fatalf("%v: %s", err, msg)
	}
	b, err := os.ReadFile(filepath.Join(root, "src", "d", "l"))
	info, err2 := os.Stat(filepath.Join(root, "src", "b"))
	if err := errors.Join(err, err2); err != nil || string(b) != "content" || !info.ModTime().Equal(packed) {
		t.Errorf("%q, %v, %v", b, info, err)
	}
}

// mended corrects the checksum of each block that looks like a header, so that
// mutations get past it.
func mended(in []byte) []byte {
	in = bytes.Clone(in)
	for i := 0; i+tarBlock <= len(in); i += tarBlock {
		if string(in[i+257:i+262]) == "ustar" {
			rewrite(in[i:i+tarBlock], func([]byte) {})
		}
	}
	return in
}

// FuzzRepackTar checks the output against the rules.
func FuzzRepackTar(f *testing.F) {
	f.Add(archive(f, dir("p/"), reg("p/d/a", "content"), hard("p/b", "p/d/a"), sym("p/d/l", "../b")))
	f.Add(archive(f, dir("p/"), sym("p/a/b/c", "../.."), sym("p/y", "a/b/c")))
	f.Add(archive(f, with(reg("p/"+strings.Repeat("x/", 100)+"x", "x"), func(h *tar.Header) { h.Format = tar.FormatGNU })))
	f.Add(archive(f, with(reg("p/x", "x"), func(h *tar.Header) { h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"a.b": "c"} })))
	f.Fuzz(func(t *testing.T, in []byte) {
		in = mended(in)
		var out, again bytes.Buffer
		p := &repack{in: tar.NewReader(bytes.NewReader(in)), out: tar.NewWriter(&out), kinds: map[string]byte{}, limit: 1 << 20, into: "i"}
		if p.rewrite() != nil {
			return
		}
		p2 := &repack{in: tar.NewReader(bytes.NewReader(in)), out: tar.NewWriter(&again), kinds: map[string]byte{}, limit: 1 << 20, into: "i"}
		if err := p2.rewrite(); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Fatalf("again: %v", err)
		}
		seen := map[string]byte{}
		r := tar.NewReader(&out)
		for {
			h, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeSymlink && !filepath.IsLocal(filepath.Join(filepath.Dir(h.Name), h.Linkname)) {
				t.Fatalf("link %q leaves to %q", h.Name, h.Linkname)
			}
			name := strings.TrimSuffix(h.Name, "/")
			if !filepath.IsLocal(name) || name != "i" && !strings.HasPrefix(name, "i/") || h.Mode&^0o777 != 0 || h.Uid != 0 || h.Uname != "" {
				t.Fatalf("member %+v", h)
			}
			for i := range len(name) {
				if name[i] == '/' && seen[name[:i]] != 0 && seen[name[:i]] != tar.TypeDir {
					t.Fatalf("member %q goes through %q", name, name[:i])
				}
			}
			if k := seen[name]; k != 0 && k != tar.TypeDir {
				t.Fatalf("member %q comes twice", name)
			}
			seen[name] = h.Typeflag
		}
	})
}
