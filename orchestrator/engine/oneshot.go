// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// tidyTimeout bounds the removal of builds that were interrupted.
const tidyTimeout = 30 * time.Second

// RunSubmission works for one submission only, in this process: it accepts it, runs
// every build to its end and leaves nothing on the workers. When ctx ends it cancels
// the builds. A build that ends without a release is a conclusion with a Failure; an
// error means that a build reached no conclusion.
func (e *Engine) RunSubmission(ctx context.Context, s Submission) ([]Conclusion, error) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(working) }()
	all, err := e.runSubmission(ctx, s, ended)
	stop()
	select {
	case failed := <-ended:
		return all, errors.Join(err, failed)
	case <-time.After(tidyTimeout):
		return all, errors.Join(err, errors.New("stopping this orchestrator: its stages do not stop"))
	}
}

func (e *Engine) runSubmission(ctx context.Context, s Submission, ended chan error) ([]Conclusion, error) {
	taken, err := e.Submit(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, t := range taken {
		if err := e.Fitting(ctx, t.Build); err != nil && t.Fresh {
			return nil, errors.Join(err, e.cancelAll(ctx, taken))
		}
	}
	waited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-ended: // only if it could not run at all
			cancel(err)
			ended <- nil // it is reported once
		case <-waited.Done():
		}
	}()
	for _, t := range taken {
		if _, err := e.Wait(waited, t.Build.ID); err != nil {
			what := fmt.Errorf("building %s %s: %w", t.Build.Port, t.Build.Version, err)
			what = errors.Join(what, e.cancelAll(ctx, taken))
			all, _ := e.conclusions(context.WithoutCancel(ctx), taken) // as far as known
			return all, what
		}
	}
	all, err := e.conclusions(ctx, taken)
	if err != nil {
		return all, err
	}
	e.tidyAll(ctx, taken)
	return all, nil
}

func (e *Engine) conclusions(ctx context.Context, taken []Taken) ([]Conclusion, error) {
	var all []Conclusion
	for _, t := range taken {
		c, err := e.Conclusion(ctx, t.Build.ID)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

// cancelAll cancels what has not ended and removes it from the workers. It works after
// ctx has ended, too: Ctrl-C must leave nothing running.
func (e *Engine) cancelAll(ctx context.Context, taken []Taken) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	for _, t := range taken {
		if err := e.Cancel(ctx, t.Build.ID); err != nil {
			return err
		}
	}
	e.tidyAll(ctx, taken)
	return nil
}

func (e *Engine) tidyAll(ctx context.Context, taken []Taken) {
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	for _, t := range taken {
		if err := e.Tidy(ctx, t.Build.ID); err != nil {
			e.note(t.Build.ID, "", "", err.Error())
		}
	}
}
