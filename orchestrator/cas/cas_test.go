// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/cas"
)

func open(t *testing.T) (*cas.Folder, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := cas.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f, dir
}

func TestPutAndOpen(t *testing.T) {
	f, dir := open(t)
	content := bytes.Repeat([]byte("zfarm"), 100_000)
	var wg sync.WaitGroup
	for range 8 { // the same bytes from many writers at once
		wg.Go(func() {
			d, err := f.Put(t.Context(), bytes.NewReader(content))
			if err != nil || d != digest.Of(content) {
				t.Errorf("put: %s, %v", d, err)
			}
		})
	}
	wg.Wait()
	r, err := f.Open(t.Context(), digest.Of(content))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	have, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(have, content) {
		t.Errorf("read %d bytes, %v", len(have), err)
	}
	if n, err := f.Size(t.Context(), digest.Of(content)); err != nil || n != int64(len(content)) {
		t.Errorf("size %d, %v", n, err)
	}
	checkNothingIncoming(t, dir)
}

func checkNothingIncoming(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(dir, "incoming"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in incoming: %v, %v", left, err)
	}
}

func TestHalfIsNeverStored(t *testing.T) {
	f, dir := open(t)
	broken := io.MultiReader(bytes.NewReader([]byte("half")), iotest.ErrReader(errors.New("cut")))
	if _, err := f.Put(t.Context(), broken); err == nil {
		t.Fatal("half was stored")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Put(ctx, bytes.NewReader([]byte("half"))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled put: %v", err)
	}
	if _, err := f.Open(t.Context(), digest.Of([]byte("half"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening what was not stored: %v", err)
	}
	checkNothingIncoming(t, dir)
}

func TestDamageIsFound(t *testing.T) {
	f, dir := open(t)
	d, err := f.Put(t.Context(), bytes.NewReader([]byte("good")))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(t.Context(), d); err != nil {
		t.Errorf("whole: %v", err)
	}
	path := filepath.Join(dir, "sha256", d.Hex()[:2], d.Hex())
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(t.Context(), d); err == nil {
		t.Error("other bytes under a digest were called whole")
	}
}
