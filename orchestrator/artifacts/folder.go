// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package artifacts keeps bytes under their digest: outputs, logs, inputs. A stored
// artifact never changes and is never stored twice.
//
// It knows neither what the bytes are nor who needs them. [Folder], a folder of this
// machine, is the only store so far. There is no interface here: a package that uses a
// store declares the methods it calls. Another store (a bucket) must pass
// orchestrator/artifacts/artifactstest.
package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// Folder is a store in a folder of this machine, laid out as sha256/ab/<64 digits>,
// with incoming/ for incomplete files. Once Put or Fill has returned, the artifact
// survives a power cut.
type Folder struct {
	dir   string
	fsync func(*os.File) error // (*os.File).Sync, except in tests
	// sweeping keeps Sweep from removing a file while it is stored again.
	sweeping sync.RWMutex

	mu sync.Mutex
	// durable holds the folders below sha256 whose names were synced. A folder that
	// merely exists may have just been made by another process.
	durable map[string]bool
}

// Open returns the store in dir, which it makes if necessary.
func Open(dir string) (*Folder, error) { return openFolder(dir, (*os.File).Sync) }

func openFolder(dir string, fsync func(*os.File) error) (*Folder, error) {
	f := &Folder{dir: dir, fsync: fsync, durable: map[string]bool{}}
	toSync := append(missing(dir), dir)
	for _, sub := range []string{"incoming", "sha256"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("opening artifact store: %w", err)
		}
	}
	for _, name := range toSync {
		if err := f.syncFolder(name); err != nil {
			return nil, fmt.Errorf("opening artifact store: %w", err)
		}
	}
	return f, nil
}

// missing returns the folders that get a new entry when dir is made with all its
// parents, outermost first.
func missing(dir string) []string {
	if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
		return nil
	}
	return append(missing(filepath.Dir(dir)), filepath.Dir(dir))
}

// Put stores everything r yields and returns its digest. An incomplete artifact is
// never visible under any digest.
func (f *Folder) Put(ctx context.Context, r io.Reader) (digest.Digest, error) {
	return f.Fill(ctx, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// Fill stores what write writes and returns its digest.
func (f *Folder) Fill(ctx context.Context, write func(io.Writer) error) (digest.Digest, error) {
	d, err := f.fill(ctx, write)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("storing an artifact: %w", err)
	}
	return d, nil
}

func (f *Folder) fill(ctx context.Context, write func(io.Writer) error) (digest.Digest, error) {
	file, err := os.CreateTemp(filepath.Join(f.dir, "incoming"), "put-*")
	if err != nil {
		return digest.Digest{}, err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // renamed already when all went well
	defer file.Close()           //nolint:errcheck // closed below; here for the early returns
	sum := digest.NewWriter(&cancelled{ctx: ctx.Err, w: file})
	if err := errors.Join(write(sum), ctx.Err()); err != nil {
		return digest.Digest{}, err
	}
	if err := errors.Join(file.Chmod(0o400), f.fsync(file), file.Close()); err != nil {
		return digest.Digest{}, err
	}
	path := f.path(sum.Digest())
	if err := f.makeFolder(filepath.Dir(path)); err != nil {
		return digest.Digest{}, err
	}
	if err := f.rename(file.Name(), path); err != nil {
		return digest.Digest{}, err
	}
	// The new name is an entry of the folder, not of the file: a power cut loses it
	// until the folder is synced.
	return sum.Digest(), f.syncFolder(filepath.Dir(path))
}

// makeFolder makes a folder below sha256 that survives a power cut.
func (f *Folder) makeFolder(dir string) error {
	f.mu.Lock()
	durable := f.durable[dir]
	f.mu.Unlock()
	if durable {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := f.syncFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.durable[dir] = true
	return nil
}

func (f *Folder) rename(from, to string) error {
	f.sweeping.RLock()
	defer f.sweeping.RUnlock()
	return os.Rename(from, to)
}

// syncFolder writes the entries of a folder to the disk.
func (f *Folder) syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.fsync(folder), folder.Close())
}

// Sweep removes every artifact that was last stored before a time and that kept
// rejects, and returns the number of bytes freed. An error of kept keeps the artifact
// and ends the sweep.
func (f *Folder) Sweep(ctx context.Context, before time.Time, kept func(digest.Digest) (bool, error)) (int64, error) {
	var freed int64
	err := filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || entry.IsDir() {
			return err
		}
		n, err := f.sweepOne(path, before, kept)
		freed += n
		return err
	})
	if err != nil {
		return freed, fmt.Errorf("sweeping the artifact store: %w", err)
	}
	return freed, nil
}

func (f *Folder) sweepOne(path string, before time.Time, kept func(digest.Digest) (bool, error)) (int64, error) {
	if info, err := os.Stat(path); err != nil || !info.ModTime().Before(before) {
		return 0, ignoreMissing(err)
	}
	// The name of a file in incoming is no digest: nobody keeps it.
	if d, err := digest.Parse("sha256:" + filepath.Base(path)); err == nil {
		if keep, err := kept(d); err != nil || keep {
			return 0, err
		}
	}
	f.sweeping.Lock()
	defer f.sweeping.Unlock()
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().Before(before) {
		return 0, ignoreMissing(err)
	}
	return info.Size(), os.Remove(path)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Open returns the bytes under d; fs.ErrNotExist if there are none.
func (f *Folder) Open(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	file, err := os.Open(f.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist // without a path, which says nothing to users
	}
	if err != nil {
		return nil, fmt.Errorf("opening artifact %s: %w", d, err)
	}
	return file, nil
}

// Size returns the length of the bytes under d; fs.ErrNotExist if there are
// none.
func (f *Folder) Size(_ context.Context, d digest.Digest) (int64, error) {
	info, err := os.Stat(f.path(d))
	if err != nil {
		return 0, fmt.Errorf("reading the size of artifact %s: %w", d, err)
	}
	return info.Size(), nil
}

// Verify reads the bytes under d again and reports whether they still have
// that digest.
func (f *Folder) Verify(ctx context.Context, d digest.Digest) error {
	r, err := f.Open(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	have, _, err := digest.OfReader(r)
	if err != nil {
		return fmt.Errorf("reading artifact %s: %w", d, err)
	}
	if have != d {
		return fmt.Errorf("artifact %s now has digest %s: the store is damaged", d, have)
	}
	return nil
}

func (f *Folder) path(d digest.Digest) string {
	name := d.Hex()
	return filepath.Join(f.dir, "sha256", name[:2], name)
}

// cancelled ends a long copy when its context ends.
type cancelled struct {
	ctx func() error
	w   io.Writer
}

func (c *cancelled) Write(p []byte) (int, error) {
	if err := c.ctx(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
