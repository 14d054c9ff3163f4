// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// tree is a read-only file system in memory.
type tree struct {
	entries map[string]*entry
}

// entry is a file or folder.
type entry struct {
	base  string
	dir   bool
	data  []byte
	below []fs.DirEntry // of a folder, sorted by close
}

func newTree() *tree {
	return &tree{entries: map[string]*entry{".": {base: ".", dir: true}}}
}

// conflict says why name cannot be added to the tree, "" if it can.
func (t *tree) conflict(name string, folder bool) string {
	if e, ok := t.entries[name]; ok && e.dir != folder {
		return "is a file and a folder"
	}
	for at := path.Dir(name); at != "."; at = path.Dir(at) {
		if e, ok := t.entries[at]; ok && !e.dir {
			return fmt.Sprintf("lies in %q, which is a file", at)
		}
	}
	return ""
}

func (t *tree) folder(name string) {
	for ; t.entries[name] == nil; name = path.Dir(name) {
		t.entries[name] = &entry{base: path.Base(name), dir: true}
	}
}

func (t *tree) file(name string, data []byte) {
	t.folder(path.Dir(name))
	t.entries[name] = &entry{base: path.Base(name), data: data}
}

// close lists the folders once all files are in the tree.
func (t *tree) close() {
	for name, e := range t.entries {
		if name != "." {
			parent := t.entries[path.Dir(name)]
			parent.below = append(parent.below, fs.FileInfoToDirEntry(e))
		}
	}
	for _, e := range t.entries {
		slices.SortFunc(e.below, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
}

// Open opens a file or folder; it implements fs.FS.
func (t *tree) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	e, ok := t.entries[name]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case e.dir:
		return &folder{entry: e}, nil
	}
	return &file{entry: e, Reader: bytes.NewReader(e.data)}, nil
}

// An entry is its own fs.FileInfo. It ignores modes and times of the archive.

// Name returns the last element.
func (e *entry) Name() string { return e.base }

// Size returns the length of a file.
func (e *entry) Size() int64 { return int64(len(e.data)) }

// Mode says whether it is a folder.
func (e *entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// ModTime returns the zero time.
func (e *entry) ModTime() time.Time { return time.Time{} }

// IsDir reports whether it is a folder.
func (e *entry) IsDir() bool { return e.dir }

// Sys returns nil.
func (e *entry) Sys() any { return nil }

type file struct {
	entry *entry
	*bytes.Reader
}

func (f *file) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *file) Close() error               { return nil }

type folder struct {
	entry *entry
	given int
}

func (f *folder) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *folder) Close() error               { return nil }

func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.entry.base, Err: errors.New("it is a folder")}
}

func (f *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	left := f.entry.below[f.given:]
	if n > 0 {
		if len(left) == 0 {
			return nil, io.EOF
		}
		left = left[:min(n, len(left))]
	}
	f.given += len(left)
	return slices.Clone(left), nil
}

// isFlate reports whether err means that compressed bytes are damaged.
func isFlate(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.As(err, &corrupt)
}
