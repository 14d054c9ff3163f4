// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const good = "port \"gzip\" {}\n"

type member struct {
	header tar.Header
	data   string
}

func regular(name, data string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, data}
}

func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := m.header
		h.Size = int64(len(m.data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, data []byte) (*Archive, error) {
	t.Helper()
	return Read(t.Context(), bytes.NewReader(data), DefaultLimits())
}

func TestRead(t *testing.T) {
	dir := member{header: tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755}}
	tests := []struct {
		name    string
		members []member
		want    []string
	}{
		{"at the root", []member{regular("recipe.hcl", good)}, []string{"."}},
		{"as tar -C folder . writes it", []member{dir, regular("./recipe.hcl", good), regular("./patches/a.patch", "x")}, []string{"."}},
		{"several folders", []member{regular("zlib/recipe.hcl", good), regular("gzip/recipe.hcl", good), regular("README", "x")}, []string{"gzip", "zlib"}},
		{"with a global header of git", []member{
			{header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "0123"}}}, regular("a/b/recipe.hcl", good)}, []string{"a/b"}},
		{"with a long name in a pax header", []member{regular("a/recipe.hcl", good), regular("a/"+strings.Repeat("n", 150), "x")}, []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, form := range [][]byte{archive(t, tt.members...), zipped(t, archive(t, tt.members...))} {
				a, err := read(t, form)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, a.Recipes()); diff != "" {
					t.Errorf("recipes (-want +have):\n%s", diff)
				}
			}
		})
	}
}

func TestFolderIsAFileSystem(t *testing.T) {
	a, err := read(t, archive(t, regular("gzip/recipe.hcl", good), regular("gzip/patches/zos.patch", "--- a"), regular("gzip/keys/up.asc", "key")))
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(a.tree, "gzip/recipe.hcl", "gzip/patches/zos.patch"); err != nil {
		t.Error(err)
	}
	dir, err := a.Folder("gzip")
	if err != nil {
		t.Fatal(err)
	}
	if have, err := fs.ReadFile(dir, "patches/zos.patch"); err != nil || string(have) != "--- a" {
		t.Errorf("have %q, %v", have, err)
	}
	if info, err := fs.Lstat(dir, "patches"); err != nil || !info.IsDir() {
		t.Errorf("have %v, %v", info, err)
	}
}

func TestRefused(t *testing.T) {
	recipe := regular("recipe.hcl", good)
	special := func(kind byte, name string) member {
		return member{header: tar.Header{Typeflag: kind, Name: name, Linkname: "/etc/passwd"}}
	}
	many := []member{recipe}
	for i := range 2000 {
		many = append(many, regular(fmt.Sprintf("f%d", i), ""))
	}
	tests := []struct {
		name  string
		data  []byte
		want  string
		large bool
	}{
		{"zip slip", archive(t, recipe, regular("../../etc/cron.d/x", "x")), "below the archive's root", false},
		{"slip in the middle", archive(t, recipe, regular("a/../../x", "x")), "below the archive's root", false},
		{"absolute", archive(t, recipe, regular("/etc/passwd", "x")), "below the archive's root", false},
		{"absolute in a pax header", archive(t, recipe, regular("/"+strings.Repeat("n", 150), "x")), "below the archive's root", false},
		{"double slash", archive(t, recipe, regular("a//b", "x")), "below the archive's root", false},
		{"backslash", archive(t, recipe, regular(`..\x`, "x")), "backslash", false},
		{"control character", archive(t, recipe, regular("a\x1b[31m", "x")), "cannot be shown", false},
		{"bidi override", archive(t, recipe, regular("a\u202egpj", "x")), "cannot be shown", false},
		{"not UTF-8", archive(t, recipe, member{tar.Header{Typeflag: tar.TypeReg, Name: "a\xff", Format: tar.FormatGNU}, "x"}), "UTF-8", false},
		{"too long", archive(t, recipe, regular(strings.Repeat("n", 201), "x")), "longer than", false},
		{"too deep", archive(t, recipe, regular(strings.Repeat("d/", 16)+"f", "x")), "deep", false},
		{"twice", archive(t, recipe, recipe), "twice", false},
		{"twice, the second with ./", archive(t, recipe, regular("./recipe.hcl", "x")), "twice", false},
		{"case", archive(t, recipe, regular("Recipe.hcl", "x")), "upper and lower case", false},
		{"case of a folder", archive(t, recipe, regular("Patches/a", "x"), regular("patches/b", "x")), "upper and lower case", false},
		{"composed and decomposed letters", archive(t, recipe, regular("\u00e9", "x"), regular("e\u0301", "x")), "form of letters", false},
		{"file and folder", archive(t, recipe, regular("a", "x"), regular("a/b", "x")), "which is a file", false},
		{"folder and file", archive(t, recipe, regular("a/b", "x"), regular("a", "x")), "a file and a folder", false},
		{"symbolic link", archive(t, recipe, special(tar.TypeSymlink, "l")), "symbolic link", false},
		{"hard link", archive(t, recipe, special(tar.TypeLink, "l")), "hard link", false},
		{"character device", archive(t, recipe, special(tar.TypeChar, "null")), "device", false},
		{"block device", archive(t, recipe, special(tar.TypeBlock, "sda")), "device", false},
		{"pipe", archive(t, recipe, special(tar.TypeFifo, "p")), "pipe", false},
		{"no recipe", archive(t, regular("a/readme", "x")), "holds no recipe.hcl", false},
		{"nothing", nil, "holds no recipe.hcl", false},
		{"recipe in a recipe", archive(t, regular("a/recipe.hcl", "x"), regular("a/b/recipe.hcl", "x")), "side by side", false},
		{"not a tar", []byte(strings.Repeat("recipe", 200)), "not a whole tar", false},
		{"cut", archive(t, recipe, regular("b", strings.Repeat("x", 4000)))[:2100], "not a whole tar", false},
		{"cut gzip", zipped(t, archive(t, recipe))[:60], "not a whole tar", false},
		{"damaged gzip", []byte("\x1f\x8bnonsense, not gzip"), "not a whole tar", false},
		{"two archives", append(archive(t, recipe), archive(t, recipe)...), "behind its end", false},
		{"many members", archive(t, many...), "more than 2000 members", true},
		{"large file", archive(t, recipe, regular("b", strings.Repeat("x", 16<<20+1))), "the most is", true},
		{"large together", archive(t, recipe, regular("a", strings.Repeat("x", 16<<20)), regular("b", strings.Repeat("x", 16<<20)),
			regular("c", strings.Repeat("x", 16<<20)), regular("d", strings.Repeat("x", 16<<20))), "expands to more", true},
		{"padding without end", zipped(t, append(archive(t, recipe), make([]byte, 96<<20)...)), "expands to more", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(t, tt.data)
			var refused *RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("want a refusal, have %v", err)
			}
			if !strings.Contains(err.Error(), tt.want) || refused.TooLarge != tt.large {
				t.Errorf("have %q (too large: %v), want %q (%v)", err, refused.TooLarge, tt.want, tt.large)
			}
		})
	}
}

// TestSparse writes the header by hand, because no writer of the library does.
func TestSparse(t *testing.T) {
	record := "22 GNU.sparse.major=1\n" + "22 GNU.sparse.minor=0\n" + "29 GNU.sparse.realsize=512\n"
	pax := member{tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders/s"}, record}
	data := archive(t, pax, regular("s", "1\n0\n512\n"+strings.Repeat("\x00", 503)+strings.Repeat("x", 512)))
	data[156] = tar.TypeXHeader
	sum := 0
	copy(data[148:156], "        ")
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:], fmt.Sprintf("%06o\x00 ", sum))
	_, err := read(t, data)
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("want a refusal, have %v", err)
	}
}

func TestReadKeepsTheErrorsOfTheSender(t *testing.T) {
	cut := errors.New("connection reset")
	whole := archive(t, regular("recipe.hcl", good), regular("b", strings.Repeat("x", 4000)))
	_, err := Read(t.Context(), io.MultiReader(bytes.NewReader(whole[:2100]), &failing{cut}), DefaultLimits())
	if !errors.Is(err, cut) {
		t.Errorf("have %v, want %v", err, cut)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, bytes.NewReader(whole), DefaultLimits()); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v", err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestPack(t *testing.T) {
	dir := fstest.MapFS{"recipe.hcl": {Data: []byte(good)}, "patches/a.patch": {Data: []byte("x")}, ".git/HEAD": {Data: []byte("ref")}}
	var one, two bytes.Buffer
	for _, b := range []*bytes.Buffer{&one, &two} {
		if err := Pack(t.Context(), b, Folder{Name: "gzip", FS: dir}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the same folder gave different bytes")
	}
	a, err := read(t, one.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"gzip"}, a.Recipes()); diff != "" {
		t.Error(diff)
	}
	if _, err := fs.Stat(a.tree, "gzip/.git"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("have %v", err)
	}
	link := fstest.MapFS{"recipe.hcl": {Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink}}
	if err := Pack(t.Context(), io.Discard, Folder{Name: ".", FS: link}); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("have %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(archive(f, regular("recipe.hcl", good), regular("patches/a", "x")))
	f.Add(zipped(f, archive(f, regular("a/recipe.hcl", good), regular("../b", "x"))))
	f.Add(archive(f, regular("recipe.hcl", good), member{header: tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/"}}))
	f.Add(archive(f, regular(strings.Repeat("n", 180), good)))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	limits := Limits{File: 4 << 10, Expanded: 16 << 10, Members: 50, Depth: 4}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Read(t.Context(), bytes.NewReader(data), limits)
		if err != nil {
			var refused *RefusedError
			if !errors.As(err, &refused) && !strings.HasPrefix(err.Error(), "reading the archive:") {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		var size, members int64
		err = fs.WalkDir(a.tree, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !fs.ValidPath(name) {
				t.Fatalf("%q: %v", name, err)
			}
			if !d.IsDir() {
				members++
				info, err := d.Info()
				if err != nil {
					t.Fatal(err)
				}
				size += info.Size()
			}
			return nil
		})
		if err != nil || size > limits.Expanded || members > int64(limits.Members) || len(a.Recipes()) == 0 {
			t.Fatalf("%d bytes in %d members, %v", size, members, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var members []member
	for i := range 100 {
		members = append(members, regular(fmt.Sprintf("p%d/recipe.hcl", i), strings.Repeat(good, 100)), regular(fmt.Sprintf("p%d/patches/a", i), strings.Repeat("+x\n", 10_000)))
	}
	data := zipped(b, archive(b, members...))
	b.SetBytes(int64(len(archive(b, members...))))
	for b.Loop() {
		if _, err := read(b, data); err != nil {
			b.Fatal(err)
		}
	}
}
