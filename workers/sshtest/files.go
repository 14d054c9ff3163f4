// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/pkg/sftp"
)

// files are the files of this machine, served by sftp with faults.
type files struct{ server *EmbeddedServer }

// Fileread opens a file to read.
func (h *files) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	f, err := os.Open(r.Filepath)
	if err != nil {
		return nil, err
	}
	return &reading{f, h.server.now().ShortReads}, nil
}

type reading struct {
	*os.File
	short bool
}

// ReadAt returns fewer bytes than requested if the fault is set, and no error.
func (f *reading) ReadAt(p []byte, off int64) (int, error) {
	if f.short {
		p = p[:len(p)/3+1]
	}
	return f.File.ReadAt(p, off)
}

// Filewrite opens a file to write.
func (h *files) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	flags := r.Pflags()
	open := os.O_WRONLY
	for flag, set := range map[int]bool{os.O_CREATE: flags.Creat, os.O_EXCL: flags.Excl, os.O_TRUNC: flags.Trunc} {
		if set {
			open |= flag
		}
	}
	f, err := os.OpenFile(r.Filepath, open, 0o666)
	if err != nil {
		return nil, failure(err)
	}
	now := h.server.now()
	return &writing{File: f, faults: now, untagged: now.ZOS && (now.DeafToTags || !h.server.tagged(r.Filepath))}, nil
}

type writing struct {
	*os.File
	faults   Faults
	untagged bool
}

// WriteAt writes what the faults let through.
func (f *writing) WriteAt(p []byte, off int64) (int, error) {
	switch {
	case f.faults.DiskFull:
		return 0, sftp.ErrSSHFxFailure
	case f.faults.LoseWrites:
		return len(p), nil
	case f.untagged:
		p = toEBCDIC(p)
	}
	return f.File.WriteAt(p, off)
}

// failure returns an error in OpenSSH's form: version 3 of the protocol has few codes,
// and most errors are "Failure".
func failure(err error) error {
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return err
	}
	return sftp.ErrSSHFxFailure
}

// Filecmd performs commands that change folders.
func (h *files) Filecmd(r *sftp.Request) error {
	switch r.Method {
	case "Setstat":
		return failure(setstat(r))
	case "Rename":
		if _, err := os.Lstat(r.Target); err == nil {
			return sftp.ErrSSHFxFailure
		}
		return failure(os.Rename(r.Filepath, r.Target))
	case "Rmdir":
		return failure(syscall.Rmdir(r.Filepath))
	case "Remove":
		return failure(syscall.Unlink(r.Filepath))
	case "Mkdir":
		return failure(os.Mkdir(r.Filepath, 0o777))
	case "Symlink":
		return failure(os.Symlink(r.Filepath, r.Target))
	}
	return sftp.ErrSSHFxOpUnsupported
}

func setstat(r *sftp.Request) error {
	flags, attributes := r.AttrFlags(), r.Attributes()
	if flags.Permissions {
		if err := os.Chmod(r.Filepath, attributes.FileMode().Perm()); err != nil {
			return err
		}
	}
	if flags.Size {
		return os.Truncate(r.Filepath, int64(attributes.Size))
	}
	return nil
}

// PosixRename renames and replaces an existing file.
func (h *files) PosixRename(r *sftp.Request) error {
	return failure(os.Rename(r.Filepath, r.Target))
}

// StatVFS reports the free space.
func (h *files) StatVFS(*sftp.Request) (*sftp.StatVFS, error) {
	room := &sftp.StatVFS{Bsize: 4096, Frsize: 4096, Blocks: 1 << 20, Bfree: 1 << 19, Bavail: 1 << 19, Files: 1000, Ffree: 500, Favail: 500}
	if h.server.now().DiskFull {
		room.Bfree, room.Bavail = 0, 0
	}
	return room, nil
}

// Filelist answers for folders, files and links.
func (h *files) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "List":
		return h.list(r.Filepath)
	case "Stat":
		info, err := os.Stat(r.Filepath)
		return infos{info}, failure(err)
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// Lstat does not follow links.
func (h *files) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := os.Lstat(r.Filepath)
	return infos{info}, failure(err)
}

func (h *files) list(name string) (sftp.ListerAt, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, failure(err)
	}
	var all infos
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // it may be gone by now
			all = append(all, info)
		}
	}
	if h.server.now().EndlessList {
		return endless{}, nil
	}
	return all, nil
}

type infos []os.FileInfo

// ListAt returns a range of the entries.
func (l infos) ListAt(out []os.FileInfo, off int64) (int, error) {
	if off >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(out, l[off:])
	if n < len(out) {
		return n, io.EOF
	}
	return n, nil
}

// endless is a folder with a file for every number.
type endless struct{}

type numbered struct {
	os.FileInfo
	name string
}

func (n numbered) Name() string { return n.name }

// Sys returns nil, or the server would look up the owner of each file.
func (n numbered) Sys() any { return nil }

// ListAt always returns more entries.
func (endless) ListAt(out []os.FileInfo, off int64) (int, error) {
	info, err := os.Lstat("/")
	if err != nil {
		return 0, err
	}
	for i := range out {
		out[i] = numbered{info, fmt.Sprint("file", off+int64(i))}
	}
	return len(out), nil
}
