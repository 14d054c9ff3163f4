// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// mostMemory bounds the memory of any comparison, in MiB.
const mostMemory = 128

// write writes a file piece by piece.
func write(t testing.TB, name string, make func(w io.Writer) error) string {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(make(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// packers compress in each way that is supported for whole artifacts.
func packers() map[string]func(w io.Writer) io.WriteCloser {
	return map[string]func(w io.Writer) io.WriteCloser{
		"compress": func(w io.Writer) io.WriteCloser { return compress.NewWriter(w) },
		"gzip":     func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	}
}

// bomb writes an archive with one file of n zeros, except for its last byte.
func bomb(w io.Writer, size int64, last byte) error {
	out := pax.NewWriter(w)
	if err := out.WriteHeader(&pax.Member{Name: "zeros", Type: pax.Regular, Mode: 0o644, ModTime: begun(), Size: size}); err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for ; size > int64(len(zeros)); size -= int64(len(zeros)) {
		if _, err := out.Write(zeros); err != nil {
			return err
		}
	}
	zeros[size-1] = last
	if _, err := out.Write(zeros[:size]); err != nil {
		return err
	}
	return out.Close()
}

// TestBombs compares archives that unpack to 1,000 times their size: within the
// memory bound if that is allowed, and with a clear reason if not.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("one of many members, which -short leaves out")
	}
	const size = 32 << 20
	for name, packer := range packers() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			pack := func(file string, last byte) string {
				return write(t, filepath.Join(dir, file), func(w io.Writer) error {
					z := packer(w)
					return errors.Join(bomb(z, size, last), z.Close())
				})
			}
			a, b := pack("a", 1), pack("b", 2)
			if info, err := os.Stat(a); err != nil || info.Size() > size/900 {
				t.Fatalf("it is no bomb: %v, %v", info, err)
			}
			r, _ := inChild(t, childOrder{A: a, B: b})
			if r.Outcome != Different || r.Differing != 1 || r.PeakMiB > mostMemory {
				t.Errorf("%+v", r)
			}
			r, _ = inChild(t, childOrder{A: a, B: b, MaxBytes: size / 2})
			if r.Outcome != Incomparable || !strings.Contains(r.Reason, fmt.Sprintf("more than %d bytes; raise the limit", size/2)) || r.PeakMiB > mostMemory {
				t.Errorf("%+v", r)
			}
		})
	}
}

// nest puts an archive into a number of others, each packed in its own way.
func nest(t *testing.T, inner []byte, times int) []byte {
	t.Helper()
	for i := range times {
		inner = archive(t, reg(fmt.Sprint("level", i), string(inner)))
		switch i % 3 {
		case 1:
			inner = dotZ(t, inner)
		case 2:
			inner = zipped(t, inner, gzip.Header{}, gzip.BestSpeed)
		}
	}
	return archive(t, reg("outermost", string(inner)))
}

// TestDeepNestsEnd has archives nested more deeply than are opened: the levels
// below are compared as bytes, and nothing in them is explained away.
func TestDeepNestsEnd(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, clock := range []string{"15:04:05", "16:04:05"} {
		inner := nest(t, archive(t, reg("stamp", "built at "+clock+"\n")), 30)
		files = append(files, write(t, filepath.Join(dir, clock[:2]), func(w io.Writer) error { _, err := w.Write(inner); return err }))
	}
	r, _ := inChild(t, childOrder{A: files[0], B: files[1]})
	if r.Outcome != Different || r.PeakMiB > mostMemory {
		t.Errorf("%+v", r)
	}
}

// TestManyBombsInMembers has a bomb in each of many members. They are unpacked one
// after another, and the content of one is removed before the next.
func TestManyBombsInMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("one of many members, which -short leaves out")
	}
	dir := t.TempDir()
	var files []string
	for last := range byte(2) {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if err := errors.Join(bomb(w, 8<<20, last+1), w.Close()); err != nil {
			t.Fatal(err)
		}
		var all []member
		for i := range 12 {
			all = append(all, reg(fmt.Sprint("bomb", i), z.String()))
		}
		body := archive(t, all...)
		files = append(files, write(t, filepath.Join(dir, fmt.Sprint(last)), func(w io.Writer) error { _, err := w.Write(body); return err }))
	}
	r, _ := inChild(t, childOrder{A: files[0], B: files[1]})
	if r.Outcome != Different || r.Differing != 12 || r.PeakMiB > mostMemory {
		t.Errorf("%+v", r)
	}
	// Beyond the bound, members are compared as bytes and nothing is explained
	// away.
	r, _ = inChild(t, childOrder{A: files[0], B: files[1], MaxBytes: 20 << 20})
	if r.Outcome != Different || r.Differing != 12 || !slices.Contains(r.Fields, "content") {
		t.Errorf("%+v", r)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// lie is an archive with a member of 10 bytes whose header has false values.
func lie(t *testing.T, change func(b []byte)) []byte {
	b := archive(t, reg("liar", "0123456789"))
	_, behind, _ := bytes.Cut(b, []byte("liar"))
	header := b[len(b)-len(behind)-len("liar"):][:512]
	change(header)
	copy(header[148:156], "        ")
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// TestLiesAreTold checks that impossible sizes give an error that names them.
func TestLiesAreTold(t *testing.T) {
	size := func(n uint64) func(b []byte) {
		return func(b []byte) {
			copy(b[124:136], "\x80\x00\x00\x00")
			binary.BigEndian.PutUint64(b[128:], n)
		}
	}
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"content of exabytes": {lie(t, size(8<<60-1)), "ends within the content"},
		"sparse of exabytes":  {lie(t, func(b []byte) { size(7 << 60)(b); b[156] = 'S' }), "sparse; pack it without --sparse"},
		"records of 4 GiB":    {lie(t, func(b []byte) { size(4 << 30)(b); b[156] = 'x' }), "an extended header of 4294967296 bytes; at most 1048576 are read; raise the limit"},
		"name of 4 GiB":       {lie(t, func(b []byte) { size(4 << 30)(b); b[156] = 'L' }), "an extended header of 4294967296 bytes; at most 65537 are read; raise the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			plain := archive(t, reg("liar", "0123456789"))
			for _, in := range []Input{inPlace("lie", c.in), input("lie", c.in), inPlace("lie", dotZ(t, c.in))} {
				v, err := Archives(t.Context(), in, inPlace("plain", plain), Options{Workdir: t.TempDir()})
				if err != nil || v.Outcome != Incomparable || !strings.Contains(v.Reason, c.want) {
					t.Errorf("%s: %s, %v", v, v.Reason, err)
				}
			}
		})
	}
}

// TestManyMembers compares archives with more members than allowed, and with
// exactly as many.
func TestManyMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("one of many members, which -short leaves out")
	}
	n := scaled(160_000)
	x, y := writePair(t, t.TempDir(), n, 0, func(n int, m *pax.Member, _ []byte) {
		if n%1000 == 7 {
			m.Mode = 0o755
		}
	})
	r, _ := inChild(t, childOrder{A: x, B: y})
	if r.Outcome != Different || r.Members != n || r.Differing != n/1000 || r.PeakMiB > mostMemory {
		t.Errorf("%+v", r)
	}
	r, _ = inChild(t, childOrder{A: x, B: y, MaxMembers: n - 1})
	if r.Outcome != Incomparable || !strings.Contains(r.Reason, fmt.Sprintf("more than %d members; raise the limit", n-1)) {
		t.Errorf("%+v", r)
	}
}

// TestLargeFolders compares folders with many entries.
func TestLargeFolders(t *testing.T) {
	if testing.Short() {
		t.Skip("one of many members, which -short leaves out")
	}
	n := scaled(16_000)
	dir := t.TempDir()
	for _, side := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, side), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			body := ""
			if i == n-1 {
				body = side
			}
			if err := os.WriteFile(filepath.Join(dir, side, fmt.Sprintf("file%07d", i)), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, _ := inChild(t, childOrder{A: filepath.Join(dir, "a"), B: filepath.Join(dir, "b"), AsFolders: true})
	if r.Outcome != Different || r.Members != n || r.PeakMiB > mostMemory {
		t.Errorf("%+v", r)
	}
}
