// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers/humanize"
)

func releaseCommand() *cobra.Command {
	c := &cobra.Command{Use: "release", Short: "List and collect releases"}
	c.AddCommand(releaseListCommand(), collectCommand())
	return c
}

func releaseListCommand() *cobra.Command {
	var a commandBase
	var port string
	c := a.command(&cobra.Command{
		Use: "list", Short: "List the releases that can be collected", Args: cobra.NoArgs,
		Example: "  zfarm release list --port gzip",
	},
		func(ctx context.Context, c *session, _ []string) error {
			all, err := c.Releases(ctx)
			if err != nil {
				return err
			}
			some := []wire.Release{}
			for _, r := range all {
				if port == "" || r.Port == port {
					some = append(some, r)
				}
			}
			if c.asJSON {
				return writeJSON(c.out, struct {
					Releases []wire.Release `json:"releases"`
				}{some})
			}
			return c.writeReleases(some)
		})
	a.json(c)
	c.Flags().StringVar(&port, "port", "", "only releases of this port")
	return c
}

func (c *session) writeReleases(all []wire.Release) error {
	if len(all) == 0 {
		c.notice("there is no release; zfarm list shows the state of the builds")
		return nil
	}
	return tableOf(all, releaseColumns(time.Now())).write(c.out)
}

// releaseColumns are the columns of zfarm release list.
func releaseColumns(now time.Time) []column[wire.Release] {
	return []column[wire.Release]{
		{style{head: "PORT", most: 20}, func(r wire.Release) string { return r.Port }},
		{style{head: "VERSION", most: 14}, func(r wire.Release) string { return r.Version }},
		{style{head: "TRUST", state: true}, trust},
		{style{head: "RELEASED"}, func(r wire.Release) string { return humanize.Ago(r.At, now) }},
		{style{head: "BUILD"}, func(r wire.Release) string { return r.Build }},
		{style{head: "VERDICT"}, func(r wire.Release) string { return cmp.Or(r.NotReproduced, r.Verdict) }},
	}
}

// trust says whether a release is signed, and still reproduces.
func trust(r wire.Release) string {
	switch {
	case r.NotReproduced != "":
		return "not reproduced"
	case !r.Signed:
		return "unsigned"
	}
	return "signed"
}

// collectFlags are the flags of "zfarm release collect".
type collectFlags struct {
	commandBase
	out        string
	key        string
	wait       bool
	timeout    time.Duration
	reproduced bool
}

func collectCommand() *cobra.Command {
	var f collectFlags
	c := f.command(&cobra.Command{
		Use:   "collect PORT@VERSION",
		Short: "Download a release with its bundles into a folder",
		Long: `Download a release with its bundles into a folder that anyone can verify offline with
zfarm verify, or with cosign as the folder's verify.txt describes.

The command checks the digest of every file. The folder appears complete or not at all;
a folder that already has exactly these files is left as it is. With --key the command
verifies the signatures before the folder appears. With --wait it waits until there is a
release, or until the newest build has ended without one.`,
		Example: "  zfarm release collect gzip@1.12 --out dist/gzip --key farm.pub --wait --timeout 6h",
		Args:    cobra.ExactArgs(1),
	}, f.collect)
	f.json(c)
	c.Flags().StringVar(&f.out, "out", "", "the folder to create (default PORT-VERSION in the current folder)")
	c.Flags().StringVar(&f.key, "key", "", "verify the signatures with this public key")
	c.Flags().BoolVar(&f.wait, "wait", false, "wait until there is a release")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "how long to wait, such as 6h (default: without end)")
	c.Flags().BoolVar(&f.reproduced, "reproduced", false, "refuse a release that a later rebuild did not reproduce")
	return c
}

// collected is the JSON that zfarm release collect prints.
type collected struct {
	wire.Release
	Out   string      `json:"out"`
	Files []wire.File `json:"files"`
	// Verified: the signatures verify under the given key.
	Verified bool `json:"verified"`
	// Unchanged: the folder existed already, with these files.
	Unchanged bool `json:"unchanged"`
}

func (f *collectFlags) collect(ctx context.Context, c *session, args []string) error {
	port, ver, ok := strings.Cut(args[0], "@")
	if !ok || port == "" || ver == "" {
		return exit{usageError, fmt.Errorf("%q: write PORT@VERSION, such as gzip@1.12", args[0])}
	}
	if f.timeout < 0 || f.timeout > 0 && !f.wait {
		return exit{usageError, errors.New("--timeout bounds --wait: give both, and a time above zero")}
	}
	v := verifying{}
	if f.key != "" {
		var err error
		if v, err = newVerifying(f.key); err != nil {
			return err
		}
	}
	found, err := f.find(ctx, c, port, ver)
	if err != nil {
		return err
	}
	if finding := found.Release.NotReproduced; finding != "" {
		c.notice("%s was not reproduced: %s", args[0], finding)
		if f.reproduced {
			return exit{refutedRelease, fmt.Errorf("not collected: build %s of %s was reproducible, and is not now; zfarm show %s", found.Release.Build, args[0], found.Release.Build)}
		}
	}
	dir := f.out
	if dir == "" {
		dir = port + "-" + ver
	}
	done := collected{Release: found.Release, Out: dir, Files: found.Files, Verified: f.key != ""}
	if done.Unchanged, err = f.writeFolder(ctx, dir, c.pieces(found), v); err != nil {
		return err
	}
	return c.writeCollected(done)
}

func (c *session) writeCollected(done collected) error {
	if c.asJSON {
		return writeJSON(c.out, done)
	}
	state := "collected into"
	if done.Unchanged {
		state = "is already in"
	}
	if err := c.writeText(fmt.Sprintf("%s %s %s %s: %d files of build %s\n", done.Port, done.Version, state, done.Out, len(done.Files), done.Build)); err != nil {
		return err
	}
	if done.Verified {
		return c.writeText("the signatures hold\n")
	}
	return c.writeText(fmt.Sprintf("not verified yet: zfarm verify %s --key FILE, with the farm's public key\n", done.Out))
}

// find returns the release, and waits for it if the flags say so.
func (f *collectFlags) find(ctx context.Context, c *session, port, ver string) (wire.ReleaseFiles, error) {
	waiting := ctx
	if f.timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	reported, last := "", errors.New("the farm has not answered")
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		var found wire.ReleaseFiles
		look := func() (err error) {
			found, err = c.unreleased(waiting, port, ver)
			return err
		}
		var err error
		if reported == "" { // do not wait for a farm that has never answered
			err = look()
		} else {
			err = c.retryWhileUnreachable(waiting, look)
		}
		var ended exit
		switch {
		case waiting.Err() != nil && ctx.Err() == nil:
			return found, exit{notYet, fmt.Errorf("gave up after %s: %w", f.timeout, last)}
		case err == nil:
			return found, nil
		case !f.wait || !errors.As(err, &ended) || ended.code != notYet:
			return found, err
		case err.Error() != reported:
			reported, last = err.Error(), err
			c.notice("waiting: %s", reported)
		}
		if err := sleep(waiting, pause); err != nil && ctx.Err() != nil {
			return found, err
		}
	}
}

// unreleased returns the release, or an error with the state of the newest build.
func (c *session) unreleased(ctx context.Context, port, ver string) (wire.ReleaseFiles, error) {
	found, err := c.Release(ctx, port, ver)
	if err == nil || !notFound(err) {
		return found, err
	}
	b, known, err := c.newestBuild(ctx, port, ver)
	switch {
	case err != nil:
		return found, err
	case !known:
		return found, exit{notYet, fmt.Errorf("nobody has submitted %s %s to this farm yet", port, ver)}
	case !b.State.Over():
		return found, exit{notYet, fmt.Errorf("%s %s is not released yet: build %s is %s", port, ver, b.ID, stateWord(b))}
	case buildCode(b) != 0:
		return found, exit{buildCode(b), errors.New(ended(b))}
	}
	// It may have been released since the last request.
	if found, err = c.Release(ctx, port, ver); err != nil && notFound(err) {
		err = exit{otherError, fmt.Errorf("%s, and yet there is no release; ask the farm's admin", ended(b))}
	}
	return found, err
}

// newestBuild finds the newest build of a port at a version, other than rebuilds.
func (c *session) newestBuild(ctx context.Context, port, ver string) (wire.Build, bool, error) {
	f := wire.BuildsInput{Port: port, Limit: 100}
	for {
		page, err := c.Builds(ctx, f)
		if err != nil {
			return wire.Build{}, false, err
		}
		for _, b := range page.Builds {
			if b.Version == ver && b.Checks == "" {
				return b, true, nil
			}
		}
		if page.Before == 0 || len(page.Builds) == 0 {
			return wire.Build{}, false, nil
		}
		f.Before = page.Before
	}
}

// writeFolder writes the folder under a temporary name, verifies it there, and renames it.
// It only compares a folder that exists already.
func (f *collectFlags) writeFolder(ctx context.Context, dir string, pieces []kit.Piece, v verifying) (unchanged bool, err error) {
	if kit.CheckEmpty(dir) != nil {
		if err := kit.Collect(ctx, dir, pieces); err != nil {
			return false, exit{usageError, err}
		}
		return true, v.check(ctx, dir)
	}
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return false, exit{usageError, fmt.Errorf("making room for %s: %w", dir, err)}
	}
	tempPrefix := ".zfarm-collect-" + filepath.Base(dir) + "-"
	if err := discard(parent, tempPrefix, time.Now().Add(-leftBehind)); err != nil {
		return false, exit{usageError, err}
	}
	temp, err := os.MkdirTemp(parent, tempPrefix+"*")
	if err != nil {
		return false, exit{usageError, fmt.Errorf("making room for %s: %w", dir, err)}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	whole := filepath.Join(temp, "kit")
	if err := kit.Collect(ctx, whole, pieces); err != nil {
		return false, err
	}
	if err := v.check(ctx, whole); err != nil {
		return false, fmt.Errorf("%s was not made: %w", dir, err)
	}
	// os.Rename replaces no folder, not even an empty one.
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("making room for %s: %w", dir, err)
	}
	if err := os.Rename(whole, dir); err != nil {
		return false, fmt.Errorf("naming %s: %w", dir, err)
	}
	return false, flushed(parent)
}

// leftBehind is the age at which no command is still filling a folder.
const leftBehind = 24 * time.Hour

// discard removes from parent what commands killed before a time left there.
func discard(parent, prefix string, before time.Time) error {
	all, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("looking into %s: %w", parent, err)
	}
	for _, e := range all {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || info.ModTime().After(before) {
			continue // gone meanwhile, another user's, or still in use
		}
		if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
			return fmt.Errorf("removing what an earlier command left: %w", err)
		}
	}
	return nil
}

// flushed makes a folder's entries survive a power cut.
func flushed(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// pieces are the files of a release, read from the farm. It requests them by build, so
// that a new release meanwhile cannot mix the files of two.
func (c *session) pieces(r wire.ReleaseFiles) []kit.Piece {
	all := make([]kit.Piece, len(r.Files))
	for i, file := range r.Files {
		all[i] = kit.Piece{Name: file.Name, Digest: file.Digest, Open: func(ctx context.Context) (io.ReadCloser, error) {
			return download(ctx, func(ctx context.Context, w io.Writer) error {
				return c.File(ctx, r.Release.Build, file.Name, &bounded{w: w, left: file.Size})
			}), nil
		}}
	}
	return all
}

// download returns a reader of what send writes.
func download(ctx context.Context, send func(context.Context, io.Writer) error) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	go func() { w.CloseWithError(send(ctx, w)) }()
	return &downloading{PipeReader: r, cancel: cancel}
}

type downloading struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close ends the download.
func (d *downloading) Close() error {
	d.cancel()
	return d.PipeReader.Close()
}

// bounded accepts as many bytes as the file is declared to have.
type bounded struct {
	w    io.Writer
	left int64
}

// Write writes, or fails beyond that size.
func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		return 0, errors.New("the farm sends more bytes than it said the file has")
	}
	n, err := b.w.Write(p)
	b.left -= int64(n)
	return n, err
}
