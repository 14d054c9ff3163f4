// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/workers"
)

// there is an error that came up on a worker. It is no word about the port, and
// nothing of this machine is at fault: whatever it is, another worker may do
// better, so every such error is workers.ErrLost.
type there struct{ error }

func (t *there) Unwrap() []error { return []error{t.error, workers.ErrLost} }

// ailing is a worker that was found unfit right after something had gone wrong
// there. What went wrong is put down to that.
type ailing struct {
	trouble string // what keeps it from getting anything
	cause   string // what went wrong
}

func (a *ailing) Error() string { return a.trouble + " What went wrong there: " + a.cause }
func (a *ailing) Unwrap() error { return workers.ErrLost }

// seen is the error of an attempt as far as it was seen on the worker. What
// is told to a plugin comes back as a text; the errors themselves are kept here.
type seen struct {
	told error
	was  error
}

func (s *seen) Error() string   { return s.told.Error() }
func (s *seen) Unwrap() []error { return []error{s.was, s.told} }

// site is a workspace that tells faults of the worker from those of this
// machine, whose store is read and written on the way, and from those of a
// plugin, which may ask for what is not there.
type site struct {
	workers.Workspace

	mu    sync.Mutex
	fault error // the last one after which no call went well
}

// note keeps what a call came to. ours is what went wrong here meanwhile.
func (s *site) note(ctx context.Context, err, ours error) error {
	answer := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
	switch {
	case err == nil:
	case ctx.Err() != nil, ours != nil, errors.Is(err, workers.ErrStepChanged), errors.Is(err, fs.ErrInvalid):
		return err
	case !errors.Is(err, workers.ErrLost):
		err = &there{err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || !answer {
		s.fault = err
	}
	return err
}

// explain returns the error of an attempt with what was seen of it here.
func (s *site) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || s.fault == nil || errors.Is(err, s.fault) {
		return err
	}
	return &seen{told: err, was: s.fault}
}

func (s *site) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	from := &watched{r: r}
	d, err := s.Workspace.Put(ctx, name, mode, from.reader())
	return d, s.note(ctx, err, from.fault())
}

func (s *site) Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error) {
	to := &watched{w: w}
	d, err := s.Workspace.Get(ctx, name, to)
	return d, s.note(ctx, err, to.fault())
}

func (s *site) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	entries, err := s.Workspace.List(ctx, dir)
	return entries, s.note(ctx, err, nil)
}

func (s *site) Run(ctx context.Context, step workers.Step, log io.Writer) (workers.Status, error) {
	to := &watched{w: log}
	st, err := s.Workspace.Run(ctx, step, to)
	return st, s.note(ctx, err, to.fault())
}

// watched remembers how reading or writing here went wrong. A call that was
// broken off may still be at it.
type watched struct {
	r io.Reader
	w io.Writer

	mu  sync.Mutex
	err error
}

// reader keeps the ability to seek, without which nothing is put twice.
func (w *watched) reader() io.Reader {
	if s, ok := w.r.(io.Seeker); ok {
		return struct {
			io.Reader
			io.Seeker
		}{w, s}
	}
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != io.EOF { // wrapped, it is what broke r off
		w.note(err)
	}
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.note(err)
	return n, err
}

func (w *watched) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
	}
}

func (w *watched) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// blame looks at the worker after something has gone wrong there. An attempt
// at an unfit worker is lost for the reason for which it is unfit.
func (c *course) blame(ctx context.Context, cause string) error {
	var was *workers.Facts
	if registered, err := c.Store.Worker(ctx, c.stage.Worker); err == nil {
		was = registered.Facts
	}
	facts, err := c.lookAt(ctx, c.stage.Worker)
	if trouble := c.Health(was, facts, err); trouble != "" {
		return &ailing{trouble: trouble, cause: cause}
	}
	return nil
}

// doubtful says why a failure of the port may be none: a step that nobody
// watched for too long, or that somebody stopped, says nothing about it, and
// neither does a worker that is unfit.
func (c *course) doubtful(ctx context.Context, r orchestrator.Record, f *orchestrator.Failure) error {
	for _, s := range r.Steps {
		if s.Status.State == workers.Lease || s.Status.State == workers.Stopped {
			return fmt.Errorf("step %s was ended (%s), and nobody here wanted that: %w", s.Name, s.Status.State, workers.ErrLost)
		}
	}
	switch f.Kind {
	case orchestrator.FailedStep, orchestrator.FailedTests, orchestrator.Infrastructure:
		return c.blame(ctx, f.Message)
	default:
		return nil
	}
}
