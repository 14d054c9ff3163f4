// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zfarm/zfarm/attest/digest"
)

// reader fails with the error of ctx once ctx is cancelled.
type reader struct {
	ctx context.Context // lives for one copy only
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func writeFile(dir, name string, b []byte) error { return writeFrom(dir, name, bytes.NewReader(b)) }

// writeFrom writes a new file and syncs it to disk.
func writeFrom(dir, name string, r io.Reader) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// folder is a kit that somebody else may have written.
type folder struct {
	root *os.Root
}

// names returns the sorted names of the regular files in the folder. Anything
// else in it is a fault.
func (f folder) names() (names []string, faults []error, err error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close() //nolint:errcheck // read only
	entries, err := dir.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	if len(entries) > maxEntries {
		return nil, nil, fmt.Errorf("it has more than %d entries", maxEntries)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			faults = append(faults, fmt.Errorf("%q is %s, not a regular file", e.Name(), kind(e.Type())))
			continue
		}
		names = append(names, e.Name())
	}
	return names, faults, nil
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	default:
		return "a special file"
	}
}

// open opens a regular file of at most the given size. It follows no link, and
// refuses a file that was replaced meanwhile.
func (f folder) open(name string, most int64) (*os.File, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is %s, not a regular file", name, kind(before.Mode()))
	}
	if before.Size() > most {
		return nil, fmt.Errorf("%q has %d bytes, the most is %d", name, before.Size(), most)
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	if after, err := file.Stat(); err != nil || !os.SameFile(before, after) {
		return nil, errors.Join(fmt.Errorf("%q changed while it was read", name), err, file.Close())
	}
	return file, nil
}

// read returns the content of a small file.
func (f folder) read(name string, most int64) ([]byte, error) {
	file, err := f.open(name, most)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%q has more than %d bytes", name, most)
	}
	return b, err
}

// sum returns the digest and length of a large file.
func (f folder) sum(ctx context.Context, name string) (digest.Digest, int64, error) {
	file, err := f.open(name, maxArtifact)
	if err != nil {
		return digest.Digest{}, 0, err
	}
	defer file.Close() //nolint:errcheck // read only
	return digest.OfReader(&reader{ctx: ctx, r: io.LimitReader(file, maxArtifact)})
}
