// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"
)

// Folder returns a folder as an artifact. Its files are packed in the order of
// their names, with the modes, times, owners and links of the file system. Sockets
// are left out, since no archive can hold them.
func Folder(name string, fsys fs.FS) Input {
	return Input{Name: name, Open: func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			out := tar.NewWriter(w)
			err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
				if err != nil || name == "." {
					return err
				}
				return pack(out, fsys, name, e)
			})
			if err == nil {
				err = out.Close()
			}
			w.CloseWithError(err)
		}()
		return r, nil
	}}
}

// pack adds one file of a folder to an archive.
func pack(out *tar.Writer, fsys fs.FS, name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil || info.Mode().Type() == fs.ModeSocket {
		return err
	}
	link := ""
	if info.Mode().Type() == fs.ModeSymlink {
		if link, err = fs.ReadLink(fsys, name); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	h.Name, h.Format = name, tar.FormatPAX
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{} // set by reading and copying
	if info.IsDir() {
		h.Name = path.Clean(name) + "/"
	}
	if err := out.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	if _, err := io.Copy(out, f); err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	return nil
}
