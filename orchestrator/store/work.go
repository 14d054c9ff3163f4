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

// Work says who acts on wake-ups.
type Work struct {
	// Parallel is how many wake-ups are handled at once, those of kind Match
	// (always one at a time) not counted.
	Parallel int
	// Handle acts on one wake-up. Its context ends with the work, and after a
	// minute: what takes longer returns an [Again] in time. Another error is
	// tried again some times.
	Handle func(ctx context.Context, w Wake) error
	// Every is how often Tick is called, by one process of all that work; 0
	// means 15 s.
	Every time.Duration
	Tick  func(ctx context.Context) error
}

// Again is what Handle returns to be called again with the same wake-up, After
// that long. It is no failure.
type Again struct{ After time.Duration }

// Error says that nothing went wrong.
func (a Again) Error() string { return fmt.Sprintf("to be called again after %s", a.After) }

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

	queueMatch, queueWake, queueTick = "match", "wake", "tick"
	// tick is the wake-up that calls Work.Tick.
	tick WakeKind = "tick"
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

// optionsOf says where an entry goes. A match must not be unique: the queue
// counts one that runs among those that there are, and it may have read the
// tables too early.
func optionsOf(kind WakeKind) *river.InsertOpts {
	o := &river.InsertOpts{MaxAttempts: attempts, Queue: queueWake}
	switch kind {
	case Match:
		o.Queue = queueMatch
		return o
	case tick:
		o.Queue = queueTick
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
		Queues:                      map[string]river.QueueConfig{queueMatch: {MaxWorkers: 1}, queueTick: {MaxWorkers: 1}, queueWake: {MaxWorkers: w.Parallel}},
		FetchPollInterval:           o.Poll,
		FetchCooldown:               min(o.Poll, 20*time.Millisecond),
		JobTimeout:                  slice,
		RescueStuckJobsAfter:        rescue,
		RetryPolicy:                 backoff{now: o.Now},
		CompletedJobRetentionPeriod: 5 * time.Minute,
		CancelledJobRetentionPeriod: 5 * time.Minute,
		DiscardedJobRetentionPeriod: time.Hour,
		PeriodicJobs: []*river.PeriodicJob{river.NewPeriodicJob(
			river.PeriodicInterval(w.Every),
			func() (river.JobArgs, *river.InsertOpts) { return entry{For: tick}, optionsOf(tick) },
			&river.PeriodicJobOpts{RunOnStart: true},
		)},
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
	err := a.act(ctx, job.Args)
	var again Again
	switch {
	case err == nil:
		return nil
	case errors.As(err, &again):
		return river.JobSnooze(max(again.After, 0))
	}
	select {
	case <-a.over:
		// This process stops: another one goes on at once.
		return river.JobSnooze(0)
	default:
		return err
	}
}

func (a *actor) act(ctx context.Context, e entry) error {
	if e.For == tick {
		return a.work.Tick(ctx)
	}
	return a.work.Handle(ctx, Wake{Kind: e.For, Build: e.Build, Stage: e.Stage, Worker: e.Worker})
}

// Work calls w.Handle for every wake-up in the queue, and w.Tick from time to
// time, until ctx ends; then it waits for them to return. The queue only says
// where to look: an entry may be handled twice, and one that was given up or
// lost is put back by whoever sweeps over [Store.Due].
func (s *Store) Work(ctx context.Context, w Work) error {
	switch {
	case s.options.Node == "":
		return errNode
	case w.Handle == nil || w.Tick == nil:
		return errors.New("working: nobody is there to handle wake-ups")
	}
	if w.Parallel <= 0 {
		w.Parallel = 1
	}
	if w.Every <= 0 {
		w.Every = 15 * time.Second
	}
	return s.work(ctx, w)
}

// serve works until ctx ends.
func serve[TTx any](ctx context.Context, client *river.Client[TTx]) error {
	// Not ctx itself: with it the queue would not wait.
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("starting to work on the queue: %w", wrap(err))
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
