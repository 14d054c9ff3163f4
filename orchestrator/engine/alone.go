// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// tidying bounds how long a build that was cut off may take to be gone.
const tidying = 30 * time.Second

// Alone works for one submission only, in this process: it takes it, carries
// every build to its end and leaves nothing on the workers. When ctx ends the
// builds are cancelled. A build that ends without a release is a conclusion
// with a Failure; an error means that one never came to a conclusion.
func (e *Engine) Alone(ctx context.Context, s Submission) ([]Conclusion, error) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(working) }()
	all, err := e.alone(ctx, s, ended)
	stop()
	select {
	case failed := <-ended:
		return all, errors.Join(err, failed)
	case <-time.After(tidying):
		return all, errors.Join(err, errors.New("stopping this orchestrator: what it carried does not end"))
	}
}

func (e *Engine) alone(ctx context.Context, s Submission, ended chan error) ([]Conclusion, error) {
	taken, err := e.Submit(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, t := range taken {
		if err := e.Fitting(ctx, t.Build); err != nil && t.Fresh {
			return nil, errors.Join(err, e.abandon(ctx, taken))
		}
	}
	waited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-ended: // only if it could not work at all
			cancel(err)
			ended <- nil // it is told once
		case <-waited.Done():
		}
	}()
	for _, t := range taken {
		if _, err := e.Wait(waited, t.Build.ID); err != nil {
			what := fmt.Errorf("building %s %s: %w", t.Build.Port, t.Build.Version, err)
			what = errors.Join(what, e.abandon(ctx, taken))
			all, _ := e.concluded(context.WithoutCancel(ctx), taken) // as much as there is
			return all, what
		}
	}
	all, err := e.concluded(ctx, taken)
	if err != nil {
		return all, err
	}
	e.tidyAll(ctx, taken)
	return all, nil
}

func (e *Engine) concluded(ctx context.Context, taken []Taken) ([]Conclusion, error) {
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

// abandon cancels what has not ended and removes it from the workers. It works
// after ctx has ended, too: nothing may be left running because of Ctrl-C.
func (e *Engine) abandon(ctx context.Context, taken []Taken) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
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
	ctx, cancel := context.WithTimeout(ctx, tidying)
	defer cancel()
	for _, t := range taken {
		if err := e.Tidy(ctx, t.Build.ID); err != nil {
			e.note(t.Build.ID, "", "", err.Error())
		}
	}
}
