// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Work says how a process acts on wake-ups.
type Work struct {
	// Parallel is how many wake-ups are handled at once, without those of kind Match,
	// which are always handled one at a time.
	Parallel int
	// Handle acts on one wake-up. Its context ends with the work, or after a minute.
	// After an error the wake-up is tried again a few times.
	Handle func(ctx context.Context, w Wake) error
}

const (
	// slice bounds one call of Handle. A node that dies leaves its calls in the queue,
	// which offers them again after rescue, so rescue must be longer.
	slice  = time.Minute
	rescue = 3 * time.Minute
	// stopping bounds the wait for handlers when the work ends.
	stopping = 30 * time.Second
	// attempts bounds how often a wake-up is tried; the sweep finds what failed that
	// often, if it is still due.
	attempts   = 5
	firstRetry = time.Second
	lastRetry  = 15 * time.Second

	queueMatch, queueWake = "match", "wake"
)

// entry is the only kind of entry of the queue, so that no older program finds one that
// it does not know: the queue would discard it.
type entry struct {
	For    WakeKind `json:"for"`
	Build  string   `json:"build,omitempty"`
	Stage  string   `json:"stage,omitempty"`
	Worker string   `json:"worker,omitempty"`
}

// Kind returns the queue's name for the entry.
func (entry) Kind() string { return "wake" }

func entries(wakes []Wake) []river.InsertManyParams {
	return convert(wakes, func(w Wake) river.InsertManyParams {
		return river.InsertManyParams{
			Args:       entry{For: w.Kind, Build: w.Build, Stage: w.Stage, Worker: w.Worker},
			InsertOpts: optionsOf(w.Kind),
		}
	})
}

// optionsOf returns the queue options of an entry. A match must not be unique: a
// running one counts as a duplicate, and it may have read the tables too early.
//
// The others are unique. One that a node was handling when it died counts as a
// duplicate until it is rescued, and blocks equal ones for minutes. That does no harm:
// every node sweeps over [Store.Due], which bypasses the queue.
func optionsOf(kind WakeKind) *river.InsertOpts {
	o := &river.InsertOpts{MaxAttempts: attempts, Queue: queueWake}
	if kind == Match {
		o.Queue = queueMatch
		return o
	}
	o.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}
	return o
}

// inserting configures a queue client that only inserts.
func inserting() *river.Config { return &river.Config{Logger: silent()} }

// working configures a queue client that handles entries.
func working(o *Options, w Work, over <-chan struct{}) *river.Config {
	workers := river.NewWorkers()
	river.AddWorker(workers, &actor{work: w, over: over})
	return &river.Config{
		ID:                          o.Node,
		Logger:                      silent(),
		Workers:                     workers,
		Queues:                      map[string]river.QueueConfig{queueMatch: {MaxWorkers: 1}, queueWake: {MaxWorkers: w.Parallel}},
		FetchPollInterval:           o.Poll,
		FetchCooldown:               min(o.Poll, 20*time.Millisecond),
		JobTimeout:                  slice,
		RescueStuckJobsAfter:        rescue,
		RetryPolicy:                 backoff{now: o.Now},
		CompletedJobRetentionPeriod: 5 * time.Minute,
		CancelledJobRetentionPeriod: 5 * time.Minute,
		DiscardedJobRetentionPeriod: time.Hour,
	}
}

// backoff retries soon: while an entry waits for its retry, no equal one can be added.
type backoff struct{ now func() time.Time }

// NextRetry doubles the pause with each failure.
func (b backoff) NextRetry(job *rivertype.JobRow) time.Time {
	return b.now().Add(min(firstRetry<<min(len(job.Errors), 10), lastRetry))
}

// actor is the queue's worker: it passes each entry to Work.Handle.
type actor struct {
	river.WorkerDefaults[entry]
	work Work
	// over is closed when the work ends.
	over <-chan struct{}
}

// Work handles one entry.
func (a *actor) Work(ctx context.Context, job *river.Job[entry]) error {
	e := job.Args
	err := a.work.Handle(ctx, Wake{Kind: e.For, Build: e.Build, Stage: e.Stage, Worker: e.Worker})
	if err == nil {
		return nil
	}
	select {
	case <-a.over:
		// This process stops: another one can take the entry at once.
		return river.JobSnooze(0)
	default:
		return err
	}
}

// Work calls w.Handle for every wake-up in the queue until ctx ends; then it waits for
// the calls to return. A wake-up only says what to read again: it may be handled twice,
// and the sweep over [Store.Due] makes up for a lost one.
func (s *Store) Work(ctx context.Context, w Work) error {
	switch {
	case s.options.Node == "":
		return errNode
	case w.Handle == nil:
		return errors.New("working: Work.Handle is missing")
	}
	if w.Parallel <= 0 {
		w.Parallel = 1
	}
	return s.work(ctx, w)
}

// serve works until ctx ends.
func serve[TTx any](ctx context.Context, client *river.Client[TTx]) error {
	// Not with ctx itself: then the queue would not wait for its handlers. A database
	// that is unreachable now must not stop the process, as it would not a moment later.
	if err := persist(ctx, func() error { return client.Start(context.WithoutCancel(ctx)) }); err != nil {
		return fmt.Errorf("starting to work on the queue: %w", err)
	}
	select {
	case <-ctx.Done():
	case <-client.Stopped():
		return errors.New("the queue stopped by itself")
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer cancel()
	if err := client.StopAndCancel(end); err != nil {
		return fmt.Errorf("waiting for handlers to return: %w", err)
	}
	return nil
}
