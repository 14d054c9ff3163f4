// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// maxSteps is how many different steps one call of a plugin may name.
const maxSteps = 10_000

// recorder forwards a workspace and records what the farm saw, so that the loss
// of a worker and the end of a step are not taken from the plugin's answer.
type recorder struct {
	ws plugins.Workspace

	mu sync.Mutex
	// lost is the last loss of the worker; nil after a later call succeeded.
	lost  error
	ended map[string]workers.Status
}

var _ plugins.Workspace = (*recorder)(nil)

func (w *recorder) recordLoss(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.lost = nil
	case errors.Is(err, workers.ErrLost):
		w.lost = err
	}
}

// Put forwards the call.
func (w *recorder) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	d, err := w.ws.Put(ctx, name, mode, r)
	w.recordLoss(err)
	return d, err
}

// Get forwards the call.
func (w *recorder) Get(ctx context.Context, name string, to io.Writer) (digest.Digest, error) {
	d, err := w.ws.Get(ctx, name, to)
	w.recordLoss(err)
	return d, err
}

// List forwards the call.
func (w *recorder) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	entries, err := w.ws.List(ctx, dir)
	w.recordLoss(err)
	return entries, err
}

// Run forwards the call and records how the step ended.
func (w *recorder) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	if err := w.recordStep(s.Name); err != nil {
		return workers.Status{}, err
	}
	st, err := w.ws.Run(ctx, s, log)
	w.recordLoss(err)
	if err != nil {
		return st, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[s.Name] = st
	return st, nil
}

// recordStep records the name of a step, without a status yet.
func (w *recorder) recordStep(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = map[string]workers.Status{}
	}
	if _, ok := w.ended[name]; ok {
		return nil
	}
	if len(w.ended) >= maxSteps {
		return fmt.Errorf("running step %s: a plugin may name at most %d steps: %w", name, maxSteps, fs.ErrInvalid)
	}
	w.ended[name] = workers.Status{}
	return nil
}

// correctError compares the plugin's error with what the farm saw and returns the
// error to believe.
func (w *recorder) correctError(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.lost != nil && !errors.Is(err, workers.ErrLost):
		// Whatever the plugin answers, the worker was lost first.
		return fmt.Errorf("%w (the plugin says: %s)", w.lost, err) //nolint:errorlint // what the plugin says is only text
	case w.lost == nil && errors.Is(err, workers.ErrLost):
		return fmt.Errorf("plugin tells of a lost worker, but none was lost: %s", err) //nolint:errorlint // it must not pass for workers.ErrLost
	}
	claim, ok := plugins.AsStepError(err)
	if !ok {
		return err
	}
	st, ok := w.ended[claim.Step]
	if !ok || st.State == "" {
		return fmt.Errorf("plugin gave up at step %s, but no such step ended: %s", claim.Step, err) //nolint:errorlint // it must not pass for a StepError
	}
	return &plugins.StepError{Step: claim.Step, Status: st, Hint: claim.Hint}
}
