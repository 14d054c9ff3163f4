// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package local makes this machine a worker: for trying out recipes, for tests, and for
// ports whose cross compiler runs here.
//
// It is a runner.Host over the operating system; workers/runner runs the steps, exactly
// as on a machine reached by workers/ssh. It is no sandbox: a step has the rights of
// this process.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/runner"
)

const (
	mostOutput = 1 << 20
	// grace is how long the output of a command may stay open after its end.
	grace = 2 * time.Second
)

// New returns this machine as the worker of that name.
func New(name string, o runner.Options) (*runner.Worker, error) {
	if !filepath.IsAbs(o.Root) {
		return nil, fmt.Errorf("root %q of worker %s: give an absolute folder: %w", o.Root, name, fs.ErrInvalid)
	}
	return runner.New(name, Host{}, o), nil
}

// Host is this machine. The zero value is ready.
type Host struct{}

// Exec runs command by /bin/sh in its own session, without a terminal and with nothing
// of our environment but PATH and HOME. The session is killed when ctx ends.
func (Host) Exec(ctx context.Context, command string) (runner.Output, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir = "/"
	for _, name := range []string{"PATH", "HOME"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = grace
	stdout, stderr := &head{}, &head{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return runner.Output{}, ctx.Err()
	}
	out := runner.Output{Stdout: stdout.kept, Stderr: stderr.kept}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return out, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return out, fmt.Errorf("running a command: %w", err)
	}
	out.Code = exit.ExitCode()
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		out.Code = 128 + int(s.Signal())
	}
	return out, nil
}

// head keeps the first bytes written to it.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), mostOutput-len(h.kept))]...)
	return len(p), nil
}

// Put writes a file beside path and renames it over path.
func (Host) Put(ctx context.Context, path string, mode fs.FileMode, r io.Reader) (d digest.Digest, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return d, err
	}
	sum := digest.NewWriter(f)
	err = errors.Join(fill(ctx, f, sum, mode, r), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return d, errors.Join(err, os.Remove(f.Name()))
	}
	return sum.Digest(), nil
}

func fill(ctx context.Context, f *os.File, sum *digest.Writer, mode fs.FileMode, r io.Reader) error {
	if err := copyAll(ctx, sum, r); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != sum.Len() {
		return fmt.Errorf("%d bytes were sent, the file has %d", sum.Len(), info.Size())
	}
	return f.Chmod(mode.Perm())
}

func copyAll(ctx context.Context, w io.Writer, r io.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(w, r, 4<<20); err == io.EOF { //nolint:errorlint // wrapped, it is what broke r off
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Open opens a regular file. It neither follows a link nor waits for a pipe in its
// place.
func (Host) Open(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a regular file: %w", fs.ErrInvalid)}
	}
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, max(0, info.Size()-offset)), f}, nil
}

// Stat describes path itself, even if it is a link.
func (Host) Stat(_ context.Context, path string) (workers.Entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return workers.Entry{}, err
	}
	return entry(info), nil
}

// List returns the entries of a folder, sorted by name. It leaves out what vanishes
// meanwhile.
func (Host) List(_ context.Context, path string) ([]workers.Entry, error) {
	if info, err := os.Lstat(path); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, &fs.PathError{Op: "list", Path: path, Err: fmt.Errorf("not a folder: %w", fs.ErrInvalid)}
	}
	found, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	entries := make([]workers.Entry, 0, len(found))
	for _, e := range found {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry(info))
	}
	slices.SortFunc(entries, func(a, b workers.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func entry(i fs.FileInfo) workers.Entry {
	return workers.Entry{Name: i.Name(), Size: i.Size(), Mode: i.Mode(), ModTime: i.ModTime()}
}

// Banner returns "": there is no server.
func (Host) Banner() string { return "" }

// Close does nothing.
func (Host) Close() error { return nil }
