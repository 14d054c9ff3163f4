// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package cas keeps bytes under their digest: outputs, logs, inputs. What is
// stored once is never changed and never stored twice.
//
// It knows nothing of what the bytes are. The folder here is the first kind of
// store; whoever uses one asks for the methods it needs and no more.
package cas

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

// Folder is a store in a folder of this machine, laid out as
// sha256/ab/<64 digits>, with incoming/ for what is not whole yet.
type Folder struct {
	dir string
	// sweeping keeps a file from being removed while it is stored again.
	sweeping sync.RWMutex
}

// Open returns the store in dir, which is made if it is not there.
func Open(dir string) (*Folder, error) {
	for _, sub := range []string{"incoming", "sha256"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("opening artifact store: %w", err)
		}
	}
	return &Folder{dir: dir}, nil
}

// Put stores everything r has and returns its digest. Half of it is never
// seen under any name.
func (f *Folder) Put(ctx context.Context, r io.Reader) (digest.Digest, error) {
	return f.Fill(ctx, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// Fill stores what write writes and returns its digest.
func (f *Folder) Fill(ctx context.Context, write func(io.Writer) error) (digest.Digest, error) {
	file, err := os.CreateTemp(filepath.Join(f.dir, "incoming"), "put-*")
	if err != nil {
		return digest.Digest{}, fmt.Errorf("storing an artifact: %w", err)
	}
	defer os.Remove(file.Name()) //nolint:errcheck // gone already when all went well
	defer file.Close()           //nolint:errcheck // closed below; here for the early returns
	sum := digest.NewWriter(&cancelled{ctx: ctx.Err, w: file})
	if err := write(sum); err != nil {
		return digest.Digest{}, fmt.Errorf("storing an artifact: %w", err)
	}
	if err := errors.Join(file.Chmod(0o400), file.Sync(), file.Close()); err != nil {
		return digest.Digest{}, fmt.Errorf("storing an artifact: %w", err)
	}
	path := f.path(sum.Digest())
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return digest.Digest{}, fmt.Errorf("storing an artifact: %w", err)
	}
	f.sweeping.RLock()
	defer f.sweeping.RUnlock()
	if err := os.Rename(file.Name(), path); err != nil {
		return digest.Digest{}, fmt.Errorf("storing an artifact: %w", err)
	}
	return sum.Digest(), nil
}

// Sweep removes what was stored before a time and is not kept, and returns how
// many bytes that freed. What is stored again meanwhile has a new time.
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
	// What lies in incoming has no digest for a name: nobody keeps it.
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
		return nil, fmt.Errorf("opening artifact %s: %w", d, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("opening artifact %s: %w", d, err)
	}
	return file, nil
}

// Size returns the length of the bytes under d.
func (f *Folder) Size(_ context.Context, d digest.Digest) (int64, error) {
	info, err := os.Stat(f.path(d))
	if err != nil {
		return 0, fmt.Errorf("looking at artifact %s: %w", d, err)
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
		return fmt.Errorf("artifact %s has become %s: the store is damaged", d, have)
	}
	return nil
}

func (f *Folder) path(d digest.Digest) string {
	name := d.Hex()
	return filepath.Join(f.dir, "sha256", name[:2], name)
}

// cancelled lets a long copy end with its context.
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
