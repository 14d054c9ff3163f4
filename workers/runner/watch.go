// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

const (
	firstPoll = 20 * time.Millisecond
	lastPoll  = 500 * time.Millisecond
	// pulseEvery is how often the runner's pulse is checked. If it has not moved for
	// quiet, the runner's script is asked whether the step lives.
	pulseEvery = time.Second
	quiet      = 5 * time.Second
	smallFile  = 4 << 10
)

func (w *workspace) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	b, err := w.encodeStep(s)
	if err != nil {
		return workers.Status{}, fmt.Errorf("beginning step %q: %w", s.Name, err)
	}
	joined, err := w.begin(ctx, b)
	if err != nil {
		return workers.Status{}, fmt.Errorf("beginning step %s: %w", s.Name, orContext(ctx, err))
	}
	status, err := w.watch(ctx, b.name, joined, log)
	if err != nil {
		return workers.Status{}, fmt.Errorf("watching step %s: %w", s.Name, orContext(ctx, err))
	}
	return status, nil
}

// orContext prefers the reason of the context's end to err.
func orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// begin starts the step unless it was begun before.
func (w *workspace) begin(ctx context.Context, b encodedStep) (joined bool, err error) {
	text, err := w.readSmall(ctx, path.Join(stepFolder(w.root, b.name), "contents"))
	if err == nil {
		return true, b.checkContents(text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	// Named by digest: if two calls begin at once with different contents, one wins
	// with all of its files.
	next := path.Join(w.root, runnerFolder, "next", b.name+"."+b.contents.Hex())
	for suffix, content := range map[string][]byte{".step": b.script, ".env": b.env} {
		if _, err := w.host.Put(ctx, next+suffix, 0o600, bytes.NewReader(content)); err != nil {
			return false, err
		}
	}
	out, err := w.host.Exec(ctx, w.command("start", b.name, b.contents.Hex()))
	if err != nil {
		return false, err
	}
	switch out.Code {
	case 0:
		return false, b.checkContents(string(out.Stdout))
	case codeBegun:
		return false, fmt.Errorf("its runner died as it began: %w", workers.ErrVanished)
	}
	return false, fmt.Errorf("%w: the runner does not start, %w", workers.ErrUnfit, commandError(out))
}

// checkContents compares our digest with the one that the step was begun under, which
// is a line of text.
func (b encodedStep) checkContents(text string) error {
	for line := range strings.Lines(text) {
		if d, err := digest.Parse(strings.TrimSpace(line)); err == nil {
			if d != b.contents {
				return fmt.Errorf("with %s, now %s: %w", d.Short(), b.contents.Short(), workers.ErrStepChanged)
			}
			return nil
		}
	}
	return fmt.Errorf("contents %q are none of ours: %w", codepage.Cut(text, 80), workers.ErrVanished)
}

// readSmall reads a small file written by the runner.
func (w *workspace) readSmall(ctx context.Context, file string) (string, error) {
	r, err := w.host.Open(ctx, file, 0)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(r, smallFile))
	if err := errors.Join(err, r.Close()); err != nil {
		return "", err
	}
	return w.shell.decode(b)
}

// watch copies the log until there is a status, and renews the lease.
func (w *workspace) watch(ctx context.Context, name string, joined bool, log io.Writer) (workers.Status, error) {
	l := stepWatch{workspace: w, folder: stepFolder(w.root, name), log: log, moved: time.Now(), alive: time.Now()}
	status, ended, err := l.poll(ctx)
	if ended || err != nil {
		return status, err
	}
	leaseCtx, stop := context.WithCancel(ctx)
	leaseDone := make(chan struct{})
	go func() {
		defer close(leaseDone)
		w.keepLease(leaseCtx, l.folder, joined)
	}()
	defer func() { stop(); <-leaseDone }()

	pause := firstPoll
	for {
		if w.options.Poll > 0 {
			pause = w.options.Poll
		}
		if err := sleep(ctx, pause); err != nil {
			return workers.Status{}, err
		}
		pause = min(pause*3/2, lastPoll)
		status, ended, err := l.poll(ctx)
		if ended || err != nil {
			return status, err
		}
		if err := l.checkPulse(ctx); err != nil {
			return workers.Status{}, err
		}
	}
}

// keepLease renews the lease until ctx ends. It reports no errors: the watcher notices a
// lost connection sooner, and on a full disk the step should get all the time that its
// lease has left.
func (w *workspace) keepLease(ctx context.Context, folder string, now bool) {
	every := w.options.Lease / 3
	if now {
		w.renew(ctx, folder)
	}
	for sleep(ctx, every) == nil {
		every = w.options.Lease / 3
		if !w.renew(ctx, folder) {
			every = w.options.Lease / 6
		}
	}
}

func (w *workspace) renew(ctx context.Context, folder string) bool {
	text, err := w.shell.encode(rand.Text() + "\n")
	if err == nil {
		_, err = w.host.Put(ctx, path.Join(folder, "lease"), 0o600, bytes.NewReader(text))
	}
	return err == nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stepWatch is the state of watching one step.
type stepWatch struct {
	workspace *workspace
	folder    string
	log       io.Writer
	offset    int64 // of the log copied so far

	pulsed time.Time // when the pulse was last read
	beat   workers.Entry
	moved  time.Time // when the pulse last moved, or the runner was reported alive
	alive  time.Time // when the pulse last moved
}

// poll reads the status and then copies the rest of the log, in this order, so that the
// log is complete when there is a status.
func (l *stepWatch) poll(ctx context.Context) (status workers.Status, ended bool, err error) {
	text, err := l.workspace.readSmall(ctx, path.Join(l.folder, "status"))
	if err == nil {
		ended = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return status, false, err
	}
	rest := l.workspace.options.LogMax - l.offset
	n, err := l.workspace.copyFrom(ctx, path.Join(l.folder, "log"), l.offset, &limited{l.log, rest})
	l.offset += n
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err != nil && (ended || !errors.Is(err, fs.ErrNotExist)) {
		return status, false, fmt.Errorf("reading its log: %w", err)
	}
	if !ended {
		return status, false, nil
	}
	status, err = readStatus(text)
	return status, true, err
}

// checkPulse returns an ErrLost if the step has gone without a status: its beat stands
// still, and the runner's own script does not find it. Neither suffices alone: a busy
// machine can stand still, and a process id can belong to another process.
func (l *stepWatch) checkPulse(ctx context.Context) error {
	now := time.Now()
	if now.Sub(l.pulsed) < pulseEvery {
		return nil
	}
	l.pulsed = now
	beat, err := l.workspace.host.Stat(ctx, path.Join(l.folder, "beat"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && beat != l.beat {
		l.beat, l.moved, l.alive = beat, now, now
		return nil
	}
	// A missing beat was deleted: it exists before the step does.
	if err == nil && now.Sub(l.moved) < quiet {
		return nil
	}
	l.moved = now
	return l.askScript(ctx, now)
}

func (l *stepWatch) askScript(ctx context.Context, now time.Time) error {
	w := l.workspace
	out, err := w.host.Exec(ctx, w.command("state", path.Base(l.folder)))
	if err != nil {
		return err
	}
	// A runner that exists but stood still for so long renews no lease.
	asleep := now.Sub(l.alive) > 2*w.options.Lease+time.Minute
	switch words := strings.Fields(string(out.Stdout)); {
	case out.Code == 0 && len(words) > 0 && words[len(words)-1] == "ended":
		return nil
	case out.Code == 0 && len(words) > 0 && words[len(words)-1] == "running" && !asleep:
		return nil
	}
	if _, ended, err := l.poll(ctx); ended || err != nil {
		return err // the next check returns the status
	}
	return fmt.Errorf("it disappeared from the worker without a status: %w", workers.ErrVanished)
}

// errEnough ends the copying of a log at its limit.
var errEnough = errors.New("enough")

// limited forwards the first left bytes.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errEnough
	}
	part := p[:min(int64(len(p)), l.left)]
	n, err := l.w.Write(part)
	l.left -= int64(n)
	if err == nil && len(part) < len(p) {
		err = errEnough
	}
	return n, err
}
