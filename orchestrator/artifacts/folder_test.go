// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/artifacts/artifactstest"
)

// TestFolder runs the contract of every store.
func TestFolder(t *testing.T) {
	artifactstest.Test(t, artifactstest.Kind{
		Open: func(t testing.TB) artifactstest.Store {
			f, dir := open(t)
			t.Cleanup(func() { checkNothingIncoming(t, dir) })
			return f
		},
		Age: func(t testing.TB, s artifactstest.Store, d digest.Digest, by time.Duration) {
			t.Helper()
			then := time.Now().Add(-by)
			if err := os.Chtimes(s.(*Folder).path(d), then, then); err != nil {
				t.Fatal(err)
			}
		},
		Damage: func(t testing.TB, s artifactstest.Store, d digest.Digest, b []byte) {
			t.Helper()
			path := s.(*Folder).path(d)
			if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func open(t testing.TB) (*Folder, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f, dir
}

func checkNothingIncoming(t testing.TB, dir string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(dir, "incoming"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in incoming: %v, %v", left, err)
	}
}

func TestOpenAgain(t *testing.T) {
	f, dir := open(t)
	d, err := f.Put(t.Context(), strings.NewReader("stays"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Verify(t.Context(), d); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sha256", d.Hex()[:2], d.Hex())); err != nil {
		t.Errorf("the layout on disk, which farms of today have: %v", err)
	}
}

func TestSweepRemovesIncomplete(t *testing.T) {
	f, dir := open(t)
	half := filepath.Join(dir, "incoming", "put-half")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(digest.Digest) (bool, error) {
		return true, errors.New("nobody is asked about a file without a digest")
	}
	if freed, err := f.Sweep(t.Context(), time.Now().Add(-time.Hour), none); err != nil || freed != 0 {
		t.Errorf("freed %d bytes of what is being written, %v", freed, err)
	}
	if freed, err := f.Sweep(t.Context(), time.Now().Add(time.Hour), none); err != nil || freed != int64(len("half")) {
		t.Errorf("freed %d bytes, %v", freed, err)
	}
	checkNothingIncoming(t, dir)
}

// disk records what is synced to the disk, and fails at one of the syncs.
type disk struct {
	dir      string
	synced   []string
	failAt   int // 1 for the first
	artifact string
}

var errDisk = errors.New("input/output error")

func (d *disk) fsync(f *os.File) error {
	name, err := filepath.Rel(d.dir, f.Name())
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, "incoming/put-") {
		name = "file"
	}
	if d.artifact != "" { // whether it has its final name already
		if _, err := os.Stat(filepath.Join(d.dir, d.artifact)); err == nil {
			name += " after the rename"
		}
	}
	d.synced = append(d.synced, name)
	if len(d.synced) == d.failAt {
		return errDisk
	}
	return f.Sync()
}

// take returns what was synced since the last call.
func (d *disk) take() []string {
	was := d.synced
	d.synced = nil
	return was
}

// TestPowerCut: when Open and Put return, every file and every folder with a
// new entry was synced, in the order that leaves no name without its bytes.
func TestPowerCut(t *testing.T) {
	d := &disk{dir: t.TempDir()}
	dir := filepath.Join(d.dir, "var", "zfarm", "store")
	f, err := openFolder(dir, d.fsync)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".", "var", "var/zfarm", "var/zfarm/store"}, d.take()); diff != "" {
		t.Errorf("synced by opening a new store (-want +got):\n%s", diff)
	}
	if f, err = openFolder(dir, d.fsync); err != nil {
		t.Fatal(err)
	}
	// Its maker may have been killed before the folder was synced.
	if diff := cmp.Diff([]string{"var/zfarm/store"}, d.take()); diff != "" {
		t.Errorf("synced by opening a store that is there (-want +got):\n%s", diff)
	}

	d.dir = dir
	sum := digest.Of([]byte("bytes")).Hex()
	d.artifact = filepath.Join("sha256", sum[:2], sum)
	put := func(want ...string) {
		t.Helper()
		if _, err := f.Put(t.Context(), strings.NewReader("bytes")); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, d.take()); diff != "" {
			t.Errorf("synced by Put (-want +got):\n%s", diff)
		}
	}
	put("file", "sha256", "sha256/"+sum[:2]+" after the rename")
	put("file after the rename", "sha256/"+sum[:2]+" after the rename") // that of the first Put
	if f, err = openFolder(dir, d.fsync); err != nil {
		t.Fatal(err)
	}
	d.take()
	// The folder exists, and its maker may have been killed, too.
	put("file after the rename", "sha256 after the rename", "sha256/"+sum[:2]+" after the rename")
}

// TestSyncFails: bytes that may not be on the disk are not stored.
func TestSyncFails(t *testing.T) {
	for at := range 4 {
		d := &disk{dir: t.TempDir(), failAt: at + 1}
		if _, err := openFolder(filepath.Join(d.dir, "a", "b", "store"), d.fsync); !errors.Is(err, errDisk) {
			t.Errorf("Open whose sync %d failed = %v; want the error of the disk", at+1, err)
		}
	}
	for at := range 3 {
		d := &disk{dir: t.TempDir()}
		f, err := openFolder(d.dir, d.fsync)
		if err != nil {
			t.Fatal(err)
		}
		d.take()
		d.failAt = at + 1
		fills := func(w io.Writer) error { _, err := io.WriteString(w, "bytes"); return err }
		if sum, err := f.Fill(t.Context(), fills); !errors.Is(err, errDisk) || !sum.IsZero() {
			t.Errorf("Fill whose sync %d failed = %s, %v; want no digest and the error of the disk", at+1, sum, err)
		}
		checkNothingIncoming(t, d.dir)
		// A folder that could not be synced is synced by the next one.
		d.failAt = 0
		d.take()
		if _, err := f.Put(context.WithoutCancel(t.Context()), strings.NewReader("bytes")); err != nil {
			t.Fatal(err)
		}
		if at == 1 && len(d.take()) != 3 {
			t.Error("a folder whose sync failed was taken for durable")
		}
	}
}

// TestSweepWaitsForRename: while an artifact is stored again, the sweep that found it
// old neither looks at it nor removes it.
func TestSweepWaitsForRename(t *testing.T) {
	f, _ := open(t)
	d, err := f.Put(t.Context(), strings.NewReader("wanted again"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(f.path(d), old, old); err != nil {
		t.Fatal(err)
	}
	f.sweeping.RLock() // as rename does
	swept := make(chan error, 1)
	go func() {
		_, err := f.Sweep(t.Context(), time.Now().Add(-time.Hour), func(digest.Digest) (bool, error) { return false, nil })
		swept <- err
	}()
	for f.sweeping.TryRLock() { // fails as soon as the sweep waits
		f.sweeping.RUnlock()
		select {
		case err := <-swept:
			t.Fatalf("the sweep did not wait for a rename; it returned %v", err)
		default:
			runtime.Gosched()
		}
	}
	if err := os.Chtimes(f.path(d), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	f.sweeping.RUnlock()
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(t.Context(), d); err != nil {
		t.Errorf("swept although it was stored again: %v", err)
	}
}

// TestStoredFileIsReadOnly: no program of the farm's user changes it by mistake.
func TestStoredFileIsReadOnly(t *testing.T) {
	f, _ := open(t)
	d, err := f.Put(t.Context(), strings.NewReader("stays"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.path(d))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o400 {
		t.Errorf("mode %v; want -r--------", info.Mode())
	}
}

// TestCloseFails: some file systems say only then that bytes were not written.
func TestCloseFails(t *testing.T) {
	dir := t.TempDir()
	f, err := openFolder(dir, func(file *os.File) error {
		if strings.HasPrefix(filepath.Base(file.Name()), "put-") {
			return file.Close() // so that the next one fails
		}
		return file.Sync()
	})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := f.Put(t.Context(), strings.NewReader("bytes")); !errors.Is(err, os.ErrClosed) || !d.IsZero() {
		t.Errorf("Put whose file cannot be closed = %s, %v; want no digest and the error", d, err)
	}
	checkNothingIncoming(t, dir)
	if _, err := f.Open(t.Context(), digest.Of([]byte("bytes"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v; want fs.ErrNotExist", err)
	}
}

// TestVerifyClosesFile: a farm verifies thousands of artifacts.
func TestVerifyClosesFile(t *testing.T) {
	const files = "/proc/self/fd"
	if _, err := os.Stat(files); err != nil {
		t.Skipf("open files cannot be listed: %v", err)
	}
	f, _ := open(t)
	d, err := f.Put(t.Context(), strings.NewReader("bytes"))
	if err != nil {
		t.Fatal(err)
	}
	// A collection closes files that were forgotten.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	if err := f.Verify(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		// Those of other tests may be closed by now.
		if name, err := os.Readlink(filepath.Join(files, file.Name())); err == nil && filepath.Base(name) == d.Hex() {
			t.Errorf("%s is still open", name)
		}
	}
}
