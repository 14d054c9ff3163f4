// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/workers"
)

// cleaning bounds how long a workspace may take to go away.
const cleaning = 30 * time.Second

// rooted is a workspace that knows where it lies on its worker. The path is
// one of the values that the comparison looks for.
type rooted interface{ Root() string }

// repeat makes one attempt at a repeat in a workspace of its own.
func (c *course) repeat(ctx context.Context, s orchestrator.Stage) end {
	w := c.worker(s.Worker)
	conditions := c.conditions[s.Repeat]
	// Ids of one length whose letter is the only thing that says which
	// repeat it is: paths of two repeats differ, and differ in nothing else.
	id := fmt.Sprintf("%s-%s%d", c.id, conditions.Path, s.Attempts)
	ws, err := w.Workspace(ctx, id)
	if err != nil {
		return end{stage: s, err: fmt.Errorf("making workspace %s on %s: %w", id, w.Name(), err)}
	}
	if err := fresh(ctx, ws); err != nil {
		return end{stage: s, err: fmt.Errorf("making workspace %s on %s: %w", id, w.Name(), err)}
	}
	root := ""
	if r, ok := ws.(rooted); ok {
		root = r.Root()
	}
	crew := attempt.Crew{Plugins: c.Plugins, Store: c.Store, Watch: c.Watch, Now: c.now}
	record, failure, err := crew.Do(ctx, ws, attempt.Order{Recipe: c.Recipe, Conditions: conditions, Stage: s.ID,
		Repeat: s.Repeat, Attempt: s.Attempts, Worker: w.Name(), Facts: c.facts[w.Name()], Sources: c.sources, Epoch: c.Inputs.Epoch})
	c.leave(ctx, s, ws, id, err)
	return end{stage: s, failure: failure, err: err, keep: func() {
		c.Records[s.Repeat] = record
		c.roots[s.Repeat] = root
	}}
}

// fresh makes sure that nothing of another attempt lies in the workspace:
// steps found there would be recalled instead of run, and two repeats would
// agree because they are one.
func fresh(ctx context.Context, ws workers.Workspace) error {
	entries, err := ws.List(ctx, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name == "src" || e.Name == "in" {
			return errors.New("another attempt has left it behind; remove the folder on the worker")
		}
	}
	return nil
}

// leave removes the workspace, or stops it where it is to be kept. It works
// after ctx has ended, too: nothing may be left running because of Ctrl-C.
func (c *course) leave(ctx context.Context, s orchestrator.Stage, ws workers.Workspace, id string, cause error) {
	limit := cleaning
	if errors.Is(cause, workers.ErrLost) {
		limit /= 6 // most likely in vain; the lease ends what runs there
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if c.Keep {
		if err := ws.Stop(ctx); err != nil {
			c.note(s.ID, s.Worker, fmt.Sprintf("stopping workspace %s: %v; its steps end when their lease runs out", id, err))
			return
		}
		where := id
		if r, ok := ws.(rooted); ok {
			where = r.Root()
		}
		c.note(s.ID, s.Worker, fmt.Sprintf("kept the workspace %s on %s", where, s.Worker))
		return
	}
	if err := ws.Remove(ctx); err != nil {
		c.note(s.ID, s.Worker, fmt.Sprintf("removing workspace %s: %v; its steps end when their lease runs out, the folder stays until somebody removes it", id, err))
	}
}
