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

// Work is how a process acts on wake-ups.
type Work struct {
	// Parallel is how many wake-ups are handled at once, those of kind Match
	// (always one at a time) not counted.
	Parallel int
	// Handle acts on one wake-up. Its context ends with the work, and after a
	// minute. An error is tried again some times.
	Handle func(ctx context.Context, w Wake) error
}

const (
	// slice bounds one call of Handle. A node that dies leaves its calls in
	// the queue, where they are found again after rescue, so that must be
	// longer.
	slice  = time.Minute
	rescue = 3 * time.Minute
	// stopping bounds how long handlers are waited for.
	stopping = 30 * time.Second
	// attempts bounds how often a wake-up is tried; the sweep finds what was
	// given up, if it is still due.
	attempts   = 5
	firstRetry = time.Second
	lastRetry  = 15 * time.Second

	queueMatch, queueWake = "match", "wake"
)

// entry is the one kind of entry of the queue, so that no older program meets
// one that it does not know, which the queue would discard.
type entry struct {
	For    WakeKind `json:"for"`
	Build  string   `json:"build,omitempty"`
	Stage  string   `json:"stage,omitempty"`
	Worker string   `json:"worker,omitempty"`
}

// Kind names the entry in the queue.
func (entry) Kind() string { return "wake" }

func entries(wakes []Wake) []river.InsertManyParams {
	return convert(wakes, func(w Wake) river.InsertManyParams {
		return river.InsertManyParams{
			Args:       entry{For: w.Kind, Build: w.Build, Stage: w.Stage, Worker: w.Worker},
			InsertOpts: optionsOf(w.Kind),
		}
	})
}

// optionsOf chooses the queue of an entry. A match must not be unique: the queue
// counts one that runs among those that there are, and it may have read the
// tables too early.
//
// The others are. One that a node was acting on when it died counts among them
// until it is rescued, and keeps equal ones out for minutes. That does no harm:
// every node sweeps over [Store.Due] and acts on what is there past the queue.
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

// inserting is for a client of the queue that does not work.
func inserting() *river.Config { return &river.Config{Logger: silent()} }

// working is for a client that does.
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

// backoff tries again soon: while an entry waits for its next try, no equal
// one can be added.
type backoff struct{ now func() time.Time }

// NextRetry doubles the pause with each failure.
func (b backoff) NextRetry(job *rivertype.JobRow) time.Time {
	return b.now().Add(min(firstRetry<<min(len(job.Errors), 10), lastRetry))
}

// actor is the queue's worker: it hands each entry to whoever acts on it.
type actor struct {
	river.WorkerDefaults[entry]
	work Work
	// over is closed when the work ends.
	over <-chan struct{}
}

// Work acts on one entry.
func (a *actor) Work(ctx context.Context, job *river.Job[entry]) error {
	e := job.Args
	err := a.work.Handle(ctx, Wake{Kind: e.For, Build: e.Build, Stage: e.Stage, Worker: e.Worker})
	if err == nil {
		return nil
	}
	select {
	case <-a.over:
		// This process stops: another one goes on at once.
		return river.JobSnooze(0)
	default:
		return err
	}
}

// Work calls w.Handle for every wake-up in the queue until ctx ends; then it
// waits for them to return. The queue only says where to look: an entry may be
// handled twice, and what a lost entry was about is found by the sweep over
// [Store.Due].
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
	// Not ctx itself: with it the queue would not wait. A database that goes
	// away in this very moment is no reason to give up.
	if err := retry(ctx, func() error { return client.Start(context.WithoutCancel(ctx)) }); err != nil {
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
