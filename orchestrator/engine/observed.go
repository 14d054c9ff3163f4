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

// workerError is an error that happened on a worker. It says nothing about the port,
// and this machine is not at fault. Another worker may succeed, so every such error is
// workers.ErrLost.
type workerError struct{ error }

func (t *workerError) Unwrap() []error { return []error{t.error, workers.ErrLost} }

// quarantined is the error of a worker that had to be quarantined right after something
// went wrong there. The quarantine is taken to be the reason.
type quarantined struct {
	reason workers.Quarantine
	cause  string // what went wrong
}

func (a *quarantined) Error() string { return a.reason.Detail + " What went wrong there: " + a.cause }
func (a *quarantined) Unwrap() error { return workers.ErrLost }

// observedError is the error of an attempt together with the error seen on the
// worker: an error that passes through a plugin comes back as a text.
type observedError struct {
	reported error
	seen     error
}

func (s *observedError) Error() string   { return s.reported.Error() }
func (s *observedError) Unwrap() []error { return []error{s.seen, s.reported} }

// observedWorkspace is a workspace that distinguishes faults of the worker from faults
// of this machine, whose store is read and written meanwhile, and from those of a
// plugin, which may ask for what does not exist.
type observedWorkspace struct {
	workers.Workspace

	mu    sync.Mutex
	fault error // the last one not followed by a successful call
}

// note keeps the error of a call. ours is what failed on this machine meanwhile.
func (s *observedWorkspace) note(ctx context.Context, err, ours error) error {
	answer := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
	switch {
	case err == nil:
	case ctx.Err() != nil, ours != nil, errors.Is(err, workers.ErrStepChanged), errors.Is(err, fs.ErrInvalid):
		return err
	case !errors.Is(err, workers.ErrLost):
		err = &workerError{err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || !answer {
		s.fault = err
	}
	return err
}

// explain returns the error of an attempt together with the fault observed here.
func (s *observedWorkspace) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || s.fault == nil || errors.Is(err, s.fault) {
		return err
	}
	return &observedError{reported: err, seen: s.fault}
}

func (s *observedWorkspace) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	from := &observedIO{r: r}
	d, err := s.Workspace.Put(ctx, name, mode, from.reader())
	return d, s.note(ctx, err, from.fault())
}

func (s *observedWorkspace) Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error) {
	to := &observedIO{w: w}
	d, err := s.Workspace.Get(ctx, name, to)
	return d, s.note(ctx, err, to.fault())
}

func (s *observedWorkspace) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	entries, err := s.Workspace.List(ctx, dir)
	return entries, s.note(ctx, err, nil)
}

func (s *observedWorkspace) Run(ctx context.Context, step workers.Step, log io.Writer) (workers.Status, error) {
	to := &observedIO{w: log}
	st, err := s.Workspace.Run(ctx, step, to)
	return st, s.note(ctx, err, to.fault())
}

// observedIO remembers the error of a read or write on this machine. A call that was
// broken off may still be using it.
type observedIO struct {
	r io.Reader
	w io.Writer

	mu  sync.Mutex
	err error
}

// reader keeps the ability to seek, without which no put can be repeated.
func (w *observedIO) reader() io.Reader {
	if s, ok := w.r.(io.Seeker); ok {
		return struct {
			io.Reader
			io.Seeker
		}{w, s}
	}
	return w
}

func (w *observedIO) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != io.EOF { // wrapped, it is what broke r off
		w.note(err)
	}
	return n, err
}

func (w *observedIO) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.note(err)
	return n, err
}

func (w *observedIO) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
	}
}

func (w *observedIO) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// checkWorker probes the worker after something went wrong there. If the worker has to
// be quarantined, its attempt is lost for that reason.
func (c *stageContext) checkWorker(ctx context.Context, cause string) error {
	var was *workers.Facts
	if registered, err := c.Store.Worker(ctx, c.stage.Worker); err == nil {
		was = registered.Facts
	}
	facts, err := c.probeFacts(ctx, c.stage.Worker, toolsToAsk(was, nil))
	if reason := c.Health(was, facts, err); reason != nil {
		return &quarantined{reason: *reason, cause: cause}
	}
	return nil
}

// faultOutsidePort returns why a failure may not be the port's: a step that was unwatched
// for too long, or that was stopped from outside, says nothing about the port, and
// neither does a worker that has to be quarantined.
func (c *stageContext) faultOutsidePort(ctx context.Context, r orchestrator.Record, f *orchestrator.Failure) error {
	for _, s := range r.Steps {
		if s.Status.State == workers.Lease || s.Status.State == workers.Stopped {
			return fmt.Errorf("step %s was ended (%s), and nobody here wanted that: %w", s.Name, s.Status.State, workers.ErrLost)
		}
	}
	switch f.Kind {
	case orchestrator.FailedStep, orchestrator.FailedTests, orchestrator.Infrastructure:
		return c.checkWorker(ctx, f.Message)
	default:
		return nil
	}
}
