// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
)

// mirror returns the folder of real upstream files, or skips.
func mirror(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ZFARM_MIRROR")
	if dir == "" {
		t.Skip("set ZFARM_MIRROR to a folder of upstream archives, their .sig files, and keys/NAME.asc")
	}
	return dir
}

// TestRealSignatures fetches every signed archive of the mirror.
func TestRealSignatures(t *testing.T) {
	dir := mirror(t)
	// The keys that signed, as GnuPG shows them, and the notes that must be
	// made.
	signers := map[string]struct{ fingerprint, expired, note string }{
		"grep":        {fingerprint: "155D3FC500C834486D1EEA677FD9FCCB000BEEEE"},
		"gzip":        {fingerprint: "155D3FC500C834486D1EEA677FD9FCCB000BEEEE"},
		"hello":       {fingerprint: "8ED396E37E38D471A00530D3A9553245FDE9B739"},
		"less":        {fingerprint: "AE27252BD6846E7D6EAE1DD6F153A7C833235259", note: "SHA-1"},
		"libpipeline": {fingerprint: "AC0A4FF12611B6FCCF01C111393587D97D86500B"},
		"m4":          {fingerprint: "71C2CC22B1C4602927D2F3AAA7A16B4A2527436A"},
		"ncurses":     {fingerprint: "19882D92DDA4C400C22C0D56CC2AF4472167BE03", expired: "2023-07-30", note: "expired on 2023-07-30"},
		"xz":          {fingerprint: "3690C240CE51B4670D30AD1C38EE757D69184620", expired: "2024-02-02", note: "expired on 2024-02-02"},
	}
	f, err := New(Options{Cache: t.TempDir(), Mirrors: []string{dir}, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.sig"))
	if err != nil || len(found) == 0 {
		t.Skipf("no *.sig in ZFARM_MIRROR (%v)", err)
	}
	for _, sig := range found {
		file := strings.TrimSuffix(sig, ".sig")
		name, _, _ := strings.Cut(filepath.Base(file), "-")
		want, known := signers[name]
		if !known {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := realSource(t, file, filepath.Join(dir, "keys", name+".asc"), want.fingerprint)
			got, err := f.Fetch(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if got.Signed.Fingerprint != want.fingerprint || !strings.Contains(got.Signed.Note, want.note) || (want.note == "") != (got.Signed.Note == "") {
				t.Errorf("signed by %+v, want %+v", got.Signed, want)
			}
			var expired string
			if got.Signed.KeyExpired != nil {
				expired = got.Signed.KeyExpired.Format(time.DateOnly)
			}
			if expired != want.expired {
				t.Errorf("expired %q, want %q", expired, want.expired)
			}
			if got.From != FromMirror || got.Signed.UID == "" || got.Signed.SignedAt.Year() < 2010 {
				t.Errorf("got %+v, %+v", got, got.Signed)
			}
			again, err := f.Fetch(t.Context(), s)
			if err != nil || again.From != FromCache || !cmp.Equal(again.Signed, got.Signed) {
				t.Errorf("the second time: %+v, %v", again, err)
			}
		})
	}
}

func realSource(t *testing.T, file, key, fingerprint string) recipes.Source {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	k, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	url := "https://upstream.invalid/" + filepath.Base(file)
	return recipes.Source{
		URL: url, SHA256: digest.Of(b),
		Signature: &recipes.Signature{URL: url + ".sig", Key: recipes.File{Name: "keys/" + filepath.Base(key), Data: k},
			Fingerprints: []string{fingerprint}},
	}
}

// TestRealArchives repacks every archive of the mirror and compares the result
// with what upstream packed.
func TestRealArchives(t *testing.T) {
	dir := mirror(t)
	found, err := filepath.Glob(filepath.Join(dir, "*.tar.*z"))
	if err != nil || len(found) == 0 {
		t.Skipf("no *.tar.gz or *.tar.xz in ZFARM_MIRROR (%v)", err)
	}
	for _, name := range found {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var one, two bytes.Buffer
			info := repackFile(t, name, &one, "")
			repackFile(t, name, &two, "")
			if !bytes.Equal(one.Bytes(), two.Bytes()) {
				t.Error("two repackings differ")
			}
			rd := openPlain(t, name)
			want := list(t, rd, true)
			if diff := cmp.Diff(want, list(t, &one, false)); diff != "" {
				t.Errorf("members (-upstream +repacked):\n%s", diff)
			}
			if info.Newest.Year() < 2000 || info.Bytes < 1e5 || info.Members < 10 {
				t.Errorf("info %+v", info)
			}
		})
	}
}

func openPlain(t *testing.T, name string) io.Reader {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	rd, isArchive, err := Expand(name, file)
	if err != nil || !isArchive {
		t.Fatalf("expanding: archive %v, %v", isArchive, err)
	}
	t.Cleanup(func() { rd.Close() })
	return rd
}

func repackFile(t *testing.T, name string, w io.Writer, into string) TarInfo {
	t.Helper()
	info, err := RepackTar(openPlain(t, name), w, into)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

type listed struct {
	Name, Link string
	Type       byte
	Mode       int64
	Time       int64
	Content    digest.Digest
}

// list reads a tar archive; with strip, names lose their first folder.
func list(t *testing.T, r io.Reader, strip bool) []listed {
	t.Helper()
	var all []listed
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		content, _, err := digest.OfReader(tr)
		if err != nil {
			t.Fatal(err)
		}
		m := listed{h.Name, h.Linkname, h.Typeflag, h.Mode & 0o777, h.ModTime.Unix(), content}
		if strip {
			if _, m.Name, _ = strings.Cut(strings.TrimPrefix(h.Name, "./"), "/"); m.Name == "" {
				continue
			}
			if h.Typeflag == tar.TypeLink {
				_, m.Link, _ = strings.Cut(h.Linkname, "/")
			}
			if h.Typeflag == tar.TypeDir {
				m.Mode |= 0o700
			}
		} else if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || len(h.PAXRecords) > 0 && len(h.Name) < 100 && isASCII(h.Name) {
			t.Errorf("%s: owner or needless pax records: %+v", h.Name, h)
		}
		all = append(all, m)
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}

// BenchmarkExpandRepack measures the processing of one archive before a build.
func BenchmarkExpandRepack(b *testing.B) {
	dir := os.Getenv("ZFARM_MIRROR")
	if dir == "" {
		b.Skip("set ZFARM_MIRROR to a folder of upstream archives")
	}
	for _, name := range []string{"gzip-1.12.tar.xz", "ncurses-6.4.tar.gz"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				file, err := os.Open(filepath.Join(dir, name))
				if err != nil {
					b.Fatal(err)
				}
				rd, _, err := Expand(name, file)
				if err != nil {
					b.Fatal(err)
				}
				info, err := RepackTar(rd, io.Discard, "")
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(info.Bytes)
				if err := errors.Join(rd.Close(), file.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
