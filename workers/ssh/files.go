// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/workers"
)

// Stat describes a path without following links.
func (h *Host) Stat(ctx context.Context, path string) (workers.Entry, error) {
	return withRetry(ctx, h, isLost, func(c *conn) (workers.Entry, error) {
		info, err := await(ctx, func() (fs.FileInfo, error) { return c.sftp.Lstat(path) })
		if err != nil {
			return workers.Entry{}, c.sftpErr(ctx, err, "looking at", path)
		}
		return entry(info), nil
	})
}

// List returns the entries of a folder, sorted by name, without following links. It
// drops the connection to a worker that returns more than [MaxEntries] of them.
func (h *Host) List(ctx context.Context, path string) ([]workers.Entry, error) {
	return withRetry(ctx, h, isLost, func(c *conn) ([]workers.Entry, error) {
		defer c.listing.begin()()
		infos, err := c.readDir(ctx, path)
		if err != nil {
			return nil, c.sftpErr(ctx, err, "listing", path)
		}
		var entries []workers.Entry
		for _, info := range infos {
			if name := info.Name(); name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
				return nil, fmt.Errorf("listing %s: the worker gave the name %q: %w", path, name, fs.ErrInvalid)
			}
			entries = append(entries, entry(info))
		}
		slices.SortFunc(entries, func(a, b workers.Entry) int { return strings.Compare(a.Name, b.Name) })
		return entries, nil
	})
}

// readDir checks the path first: a server lists the target of a link.
func (c *conn) readDir(ctx context.Context, path string) ([]fs.FileInfo, error) {
	info, err := await(ctx, func() (fs.FileInfo, error) { return c.sftp.Lstat(path) })
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("listing %s: not a folder (%v): %w", path, info.Mode(), fs.ErrInvalid)
	}
	return c.sftp.ReadDirContext(ctx, path)
}

func entry(info fs.FileInfo) workers.Entry {
	return workers.Entry{Name: info.Name(), Size: info.Size(), Mode: info.Mode(), ModTime: info.ModTime()}
}

// Open returns the bytes of a regular file from offset to its current end. Fewer bytes
// than that are io.ErrUnexpectedEOF, never a clean end. Reading ends with ctx.
func (h *Host) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, fmt.Errorf("opening %s at %d: %w", path, offset, fs.ErrInvalid)
	}
	return withRetry(ctx, h, isLost, func(c *conn) (io.ReadCloser, error) {
		r, err := await(ctx, func() (*reader, error) { return c.open(ctx, path, offset) })
		if err != nil {
			return nil, c.sftpErr(ctx, err, "opening", path)
		}
		return r, nil
	})
}

// open checks the path before it opens it: a named pipe in the place of a file would
// block the server's whole sftp session.
func (c *conn) open(ctx context.Context, path string, offset int64) (*reader, error) {
	info, err := c.sftp.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening %s: not a regular file (%v): %w", path, info.Mode(), fs.ErrInvalid)
	}
	f, err := c.sftp.Open(path)
	if err != nil {
		return nil, err
	}
	return newReader(ctx, c, f, path, offset, info.Size()), nil
}
