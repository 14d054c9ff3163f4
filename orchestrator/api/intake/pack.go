// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Folder is one recipe folder to be packed.
type Folder struct {
	// Name is the folder in the archive, slash-separated; "." is its root.
	Name string
	FS   fs.FS
}

// Pack writes recipe folders as an archive for [Read]. The same folders give the same
// bytes. It leaves out folders named .git.
func Pack(ctx context.Context, w io.Writer, folders ...Folder) error {
	z := gzip.NewWriter(w)
	tw := tar.NewWriter(z)
	for _, f := range folders {
		err := fs.WalkDir(f.FS, ".", func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case d.IsDir() && d.Name() == ".git":
				return fs.SkipDir
			case d.IsDir():
				return nil
			case !d.Type().IsRegular():
				return fmt.Errorf("%s is not a regular file; put the file itself there", name)
			}
			return pack(tw, path.Join(f.Name, name), f.FS, name)
		})
		if err != nil {
			return fmt.Errorf("packing %s: %w", f.Name, err)
		}
	}
	if err := errors.Join(tw.Close(), z.Close()); err != nil {
		return fmt.Errorf("packing recipes: %w", err)
	}
	return nil
}

func pack(tw *tar.Writer, as string, fsys fs.FS, name string) (err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if most := DefaultLimits().File; info.Size() > most {
		return fmt.Errorf("%s has %d bytes, the most is %d", name, info.Size(), most)
	}
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: as, Size: info.Size(), Mode: 0o644}); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}
