// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"
)

// TestTroubleIsNoDifference has no room for unpacked content, and a disk that fails
// below a container: both are errors, not differences.
func TestTroubleIsNoDifference(t *testing.T) {
	zipOf := func(content string) []byte {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		w, err := z.Create("member")
		if err == nil {
			_, err = io.WriteString(w, content)
		}
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	a, b := zipOf("one"), zipOf("two")
	if v, err := Archives(t.Context(), inPlace("a", a), inPlace("b", b), Options{Workdir: t.TempDir()}); err != nil || v.Outcome != Different {
		t.Fatalf("%v, %v", v, err)
	}
	if v, err := Archives(t.Context(), inPlace("a", a), inPlace("b", b), Options{Workdir: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Errorf("without a work folder: %v", v)
	}
	for at := range int64(len(b)) {
		bad := badDisk{bytes.NewReader(b), at}
		in := Input{Name: "b", Open: func() (io.ReadCloser, error) { return bad, nil }}
		if v, err := Archives(t.Context(), inPlace("a", a), in, Options{Workdir: t.TempDir()}); !errors.Is(err, errBadDisk) {
			t.Fatalf("a disk that is bad at byte %d: %v, %v", at, v, err)
		}
	}
}

var errBadDisk = errors.New("input/output error")

// badDisk fails when the byte at offset at is read.
type badDisk struct {
	*bytes.Reader
	at int64
}

func (badDisk) Close() error { return nil }

func (d badDisk) ReadAt(p []byte, off int64) (int, error) {
	if off <= d.at && d.at < off+int64(len(p)) {
		return 0, errBadDisk
	}
	return d.Reader.ReadAt(p, off)
}
