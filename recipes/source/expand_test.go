// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func xzed(t testing.TB, b []byte, c xz.WriterConfig) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := c.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// bzipped is "plain text\n" as bzip2 -9 writes it; the standard library cannot write it.
func bzipped(t testing.TB) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString("QlpoOTFBWSZTWfxQDSsAAAPRgAAQQAAiJURAIAAxADAgBtQJTgbx3i7kinChIfigGlY=")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExpand(t *testing.T) {
	tarball := archive(t, dir("p/"), reg("p/x", strings.Repeat("content\n", 1000)))
	// Several blocks and streams, random and plain, with every check.
	noise := make([]byte, 300000)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(noise)
	long := append(bytes.Clone(noise), bytes.Repeat(content, 2)...)
	tests := []struct {
		name      string
		in        []byte
		want      []byte
		isArchive bool
	}{
		{"plain tar", tarball, tarball, true},
		{"gzip", gzipped(t, tarball), tarball, true},
		{"gzip of text", gzipped(t, content), content, false},
		{"two gzips", append(gzipped(t, tarball), gzipped(t, content)...), append(bytes.Clone(tarball), content...), true},
		{"bzip2", bzipped(t), []byte("plain text\n"), false},
		{"zstd", zstded(t, tarball), tarball, true},
		{"xz", xzed(t, tarball, xz.WriterConfig{}), tarball, true},
		{"xz CRC32", xzed(t, long, xz.WriterConfig{CheckSum: xz.CRC32}), long, false},
		{"xz SHA-256", xzed(t, long, xz.WriterConfig{CheckSum: xz.SHA256}), long, false},
		{"xz blocks", xzed(t, long, xz.WriterConfig{BlockSize: 70001}), long, false},
		{"xz streams", append(append(xzed(t, tarball, xz.WriterConfig{}), 0, 0, 0, 0), xzed(t, long, xz.WriterConfig{})...), append(bytes.Clone(tarball), long...), true},
		{"xz of nothing", xzed(t, nil, xz.WriterConfig{}), nil, false},
		{"text", content, content, false},
		{"zeros", make([]byte, 2048), make([]byte, 2048), false},
		{"short", []byte("x"), []byte("x"), false},
		{"empty", nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rd, isArchive, err := Expand("misleading.zip", bytes.NewReader(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(rd)
			if err != nil || !bytes.Equal(got, tt.want) || isArchive != tt.isArchive {
				t.Errorf("%d bytes, want %d; archive %v; %v", len(got), len(tt.want), isArchive, err)
			}
			if err := rd.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestExpandDamaged flips every byte of small archives, and cuts them at every
// byte. The result must be right or refused. (Some bytes in the headers of
// gzip and xz have no meaning here.)
func TestExpandDamaged(t *testing.T) {
	want := bytes.Repeat([]byte("content\n"), 20)
	for name, good := range map[string][]byte{"gzip": gzipped(t, want), "xz": xzed(t, want, xz.WriterConfig{}), "zstd": zstded(t, want)} {
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 0x10
			for _, in := range [][]byte{bad, good[:i]} {
				rd, _, err := Expand(name, bytes.NewReader(in))
				if err == nil {
					var got []byte
					got, err = io.ReadAll(rd)
					rd.Close()
					if err == nil && !bytes.Equal(got, want) && bytes.HasPrefix(in, good[:6]) && i > 6 {
						t.Errorf("%s damaged at %d gives %q", name, i, got)
					}
				}
				if err != nil && !errors.Is(err, ErrArchive) {
					t.Errorf("%s damaged at %d: %v", name, i, err)
				}
			}
		}
	}
}

func TestExpandBounds(t *testing.T) {
	bomb := gzipped(t, make([]byte, 4<<20))
	for name, limit := range map[string]bounds{
		"more than 1000000 bytes": {1000000, 1 << 40, 0},
		"more than 250 times":     {1 << 40, 250, 100000},
	} {
		rd, _, err := expand("bomb", bytes.NewReader(bomb), limit)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, rd)
		if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), name) || n > 1100000 {
			t.Errorf("%d bytes, error %v, want %q", n, err, name)
		}
		rd.Close()
	}
	big := xzed(t, content, xz.WriterConfig{DictCap: 256 << 20})
	if _, _, err := Expand("greedy", bytes.NewReader(big)); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "dictionary") {
		t.Errorf("a dictionary of 256 MiB: %v", err)
	}
}

// TestExpandStock reads the output of the usual programs.
func TestExpandStock(t *testing.T) {
	in := append(bytes.Repeat(content, 2), archive(t, dir("p/"))...)
	for _, command := range []string{"gzip -9", "bzip2 -9", "xz -9e", "xz -T2 --block-size=300000", "xz --check=none", "zstd -19 --long=27"} {
		words := strings.Fields(command)
		t.Run(command, func(t *testing.T) {
			if _, err := exec.LookPath(words[0]); err != nil {
				t.Skipf("install %s", words[0])
			}
			cmd := exec.CommandContext(t.Context(), words[0], append(words[1:], "-c")...)
			cmd.Stdin = bytes.NewReader(in)
			b, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			rd, _, err := Expand(command, bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			defer rd.Close()
			if got, err := io.ReadAll(rd); err != nil || !bytes.Equal(got, in) {
				t.Errorf("%d bytes, want %d: %v", len(got), len(in), err)
			}
		})
	}
}

// FuzzExpand: any input is read to its end or refused, within bounds.
func FuzzExpand(f *testing.F) {
	small := bytes.Repeat([]byte("content\n"), 20)
	f.Add(gzipped(f, small))
	f.Add(bzipped(f))
	f.Add(zstded(f, small))
	f.Add(xzed(f, small, xz.WriterConfig{DictCap: 4096}))
	f.Add(xzed(f, small, xz.WriterConfig{DictCap: 4096, BlockSize: 50, CheckSum: xz.SHA256}))
	f.Fuzz(func(t *testing.T, in []byte) {
		limit := bounds{1 << 20, 250, 64 << 10}
		rd, _, err := expand("fuzz", bytes.NewReader(in), limit)
		if err != nil {
			return
		}
		defer rd.Close()
		if n, _ := io.Copy(io.Discard, rd); n > limit.bytes {
			t.Fatalf("%d bytes", n)
		}
	})
}
