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
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

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

func TestSweepRemovesWhatNobodyKeeps(t *testing.T) {
	f, dir := open(t)
	var all []digest.Digest
	for _, text := range []string{"kept", "old", "stored again"} {
		d, err := f.Put(t.Context(), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	half := filepath.Join(dir, "incoming", "put-half")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	for _, path := range append(stored(dir, all...), half) {
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Put(t.Context(), strings.NewReader("stored again")); err != nil {
		t.Fatal(err)
	}
	freed, err := f.Sweep(t.Context(), time.Now().Add(-time.Minute), func(d digest.Digest) (bool, error) { return d == all[0], nil })
	if err != nil || freed != int64(len("old")+len("half")) {
		t.Errorf("freed %d bytes, %v", freed, err)
	}
	for i, want := range []bool{true, false, true} {
		if _, err := f.Open(t.Context(), all[i]); (err == nil) != want {
			t.Errorf("artifact %d is there: %v, want %v", i, err == nil, want)
		}
	}
	broken := errors.New("no answer")
	if _, err := f.Sweep(t.Context(), time.Now().Add(time.Hour), func(digest.Digest) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v: what cannot be asked must be kept", err)
	}
	if _, err := f.Open(t.Context(), all[0]); err != nil {
		t.Errorf("the artifact went though nobody answered: %v", err)
	}
}

func stored(dir string, all ...digest.Digest) []string {
	var paths []string
	for _, d := range all {
		paths = append(paths, filepath.Join(dir, "sha256", d.Hex()[:2], d.Hex()))
	}
	return paths
}
