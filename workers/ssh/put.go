// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/pkg/sftp"

	"github.com/zfarm/zfarm/attest/digest"
)

// Put writes a file beside path under a temporary name and renames it over path. Only
// the permission bits of mode count. After a lost connection Put retries once if its
// reader is an io.Seeker. A full disk is workers.ErrUnfit and syscall.ENOSPC. When ctx
// ends Put returns as soon as r does; it does not read r after that.
func (h *Host) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	rewind := rewinder(r)
	may := func(err error) bool { return isLost(err) && rewind() }
	return withRetry(ctx, h, may, func(c *conn) (digest.Digest, error) {
		src := newGate(r, h.zos)
		defer src.stop()
		d, err := await(ctx, func() (digest.Digest, error) { return c.put(ctx, name, mode, src) })
		if err != nil && ctx.Err() != nil {
			return d, fmt.Errorf("putting %s: %w", name, context.Cause(ctx))
		}
		return d, err
	})
}

// rewinder returns a function that seeks r back to its current position and reports
// whether it could.
func rewinder(r io.Reader) func() bool {
	s, ok := r.(io.Seeker)
	if !ok {
		return func() bool { return false }
	}
	start, err := s.Seek(0, io.SeekCurrent)
	return func() bool {
		if err != nil {
			return false
		}
		_, err := s.Seek(start, io.SeekStart)
		return err == nil
	}
}

func (c *conn) put(ctx context.Context, name string, mode fs.FileMode, src *gate) (digest.Digest, error) {
	part := path.Join(path.Dir(name), "."+rand.Text()+".part")
	err := c.write(ctx, part, mode, src)
	if err == nil {
		err = c.rename(part, name)
	}
	if err == nil {
		return src.digest(), nil
	}
	err = c.putErr(ctx, src, name, err)
	// Concurrent writes leave holes, so a partial file is never continued.
	if c.alive() {
		_ = c.sftp.Remove(part) // it may not exist; it harms nobody
	}
	return digest.Digest{}, err
}

func (c *conn) putErr(ctx context.Context, src *gate, name string, err error) error {
	if bad := src.failed(); bad != nil {
		return fmt.Errorf("reading what to put into %s: %w", name, bad)
	}
	return c.sftpErr(ctx, err, "putting", name)
}

// write fills a new file and checks that it is complete.
func (c *conn) write(ctx context.Context, part string, mode fs.FileMode, src *gate) error {
	f, err := c.create(ctx, part, src.zos())
	if err != nil {
		return err
	}
	// Not ReadFrom: unless it knows the size of its source, it sends one packet per
	// round trip.
	n, err := f.ReadFromWithConcurrency(src, packets)
	if err == nil {
		err = src.failed() // sftp mistakes what wraps io.EOF for the end
	}
	if err == nil {
		err = f.Chmod(mode.Perm())
	}
	if bad := f.Close(); err == nil {
		err = bad
	}
	if err != nil {
		return err
	}
	info, err := c.sftp.Lstat(part)
	if err != nil {
		return err
	}
	if info.Size() != n {
		return unfit(io.ErrShortWrite, "putting %s: the worker holds %d of the %d bytes sent and said nothing; look at its disk and quotas", part, info.Size(), n)
	}
	if src.zos() {
		return c.verify(ctx, part, src.sum, n)
	}
	return nil
}

func (c *conn) create(ctx context.Context, part string, zos bool) (*sftp.File, error) {
	f, err := c.sftp.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil || !zos {
		return f, err
	}
	// z/OS may convert a new file without a tag while it is written.
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err := c.tagBinary(ctx, part); err != nil {
		return nil, err
	}
	return c.sftp.OpenFile(part, os.O_WRONLY)
}

// rename replaces name by part, whether name exists or not.
func (c *conn) rename(part, name string) error {
	if _, ok := c.sftp.HasExtension("posix-rename@openssh.com"); ok {
		return c.sftp.PosixRename(part, name)
	}
	// Without the extension a rename does not replace, and for a moment there is no
	// file. Two renames at a time would collide.
	c.renaming.Lock()
	defer c.renaming.Unlock()
	err := c.sftp.Rename(part, name)
	var status *sftp.StatusError
	if !errors.As(err, &status) {
		return err
	}
	if err := c.sftp.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.sftp.Rename(part, name)
}

// gate stands between a reader and a transfer that may have to be abandoned: once it has
// stopped, nothing reads through it. It digests what passes.
type gate struct {
	mu  sync.Mutex
	r   *digest.Reader
	sum hash.Hash32 // POSIX cksum, for z/OS only
	err error
}

func newGate(r io.Reader, zos bool) *gate {
	g := &gate{r: digest.NewReader(r)}
	if zos {
		g.sum = newCksum()
	}
	return g
}

func (g *gate) zos() bool { return g.sum != nil }

func (g *gate) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(p)
	if g.sum != nil {
		g.sum.Write(p[:n])
	}
	if err != nil && err != io.EOF { //nolint:errorlint // wrapped, it is what broke r off
		g.err = err
	}
	return n, err
}

// stop waits for a Read in progress.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = fs.ErrClosed
	}
}

func (g *gate) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *gate) digest() digest.Digest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.r.Digest()
}
