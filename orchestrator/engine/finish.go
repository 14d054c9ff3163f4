// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// outcome is how a stage ended and what it made.
type outcome struct {
	failure *orchestrator.Failure
	err     error
	// output names what the stage made or observed; keep is what must be kept with it.
	output digest.Digest
	keep   []digest.Digest
	// reuse is another build whose outcome this one takes over.
	reuse string
	// change updates the stored build; may be nil.
	change func(*store.Build)
	// publish lists the files that the build publishes.
	publish []store.File
	// duration is how long a repeat took, for the schedule; 0 if unknown.
	duration time.Duration
}

// finish records the outcome of a stage and retries until the store answers: a database
// that is away for a while must not cost work already done.
func (e *Engine) finish(ctx context.Context, b store.Build, s orchestrator.Stage, result outcome) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		var events []orchestrator.Event
		err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
			var err error
			events, err = e.conclude(ctx, tx, s, b.ID, result)
			return err
		})
		switch {
		case err == nil:
			e.report(events)
			if s.Kind == orchestrator.Repeat && result.err == nil { // its logs are in the artifact store now
				if err := e.Store.DeleteLog(ctx, b.ID, s.ID, s.Fence); err != nil {
					e.Log.Warn("deleting the log of an attempt from the database failed", "build", b.ID, "stage", s.ID, "error", err)
				}
			}
			return
		case errors.Is(err, store.ErrRefused), errors.Is(err, store.ErrUnknown), ctx.Err() != nil:
			e.Log.Info("the outcome of a stage was refused: it was cancelled, or another engine went on with it", "build", b.ID, "stage", s.ID, "fence", s.Fence, "error", err)
			return
		}
		e.Log.Error("recording the outcome of a stage failed; trying again", "build", b.ID, "stage", s.ID, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// conclude is the part of finish that runs inside its transaction.
func (e *Engine) conclude(ctx context.Context, tx *store.Tx, s orchestrator.Stage, build string, result outcome) ([]orchestrator.Event, error) {
	was, err := tx.Build(ctx, build)
	if err != nil {
		return nil, err
	}
	next := was
	if result.change != nil {
		result.change(&next)
	}
	var events []orchestrator.Event
	var outcome string
	next.Build, events, outcome, err = transition(was.Build, s, result, tx.Now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrRefused, err)
	}
	if f := next.Failure(); next.Over() && f != nil && !repeatable(f.Kind) {
		next.Identity = digest.Digest{} // the next submission is a new try
	}
	if err := tx.Save(ctx, was, next, events...); err != nil {
		return nil, err
	}
	if err := e.recordOutcome(ctx, tx, s, was, next, result, outcome); err != nil {
		return nil, err
	}
	return events, wakeAfter(ctx, tx, was, next)
}

// transition applies the outcome of a stage to the build through the pure functions.
func transition(b orchestrator.Build, s orchestrator.Stage, result outcome, now time.Time) (next orchestrator.Build, events []orchestrator.Event, outcome string, err error) {
	switch {
	case result.err != nil && s.Kind == orchestrator.Repeat && errors.Is(result.err, workers.ErrLost):
		next, events, err = b.Lose(s.ID, s.Fence, result.err.Error(), now)
		outcome = "lost"
	case result.err != nil && temporary(result.err):
		next, events, err = b.Postpone(s.ID, s.Fence, result.err.Error(), now)
		outcome = "postponed"
	case result.err != nil:
		next, events, err = b.Fail(s.ID, s.Fence, orchestrator.Failure{Kind: orchestrator.Infrastructure, Message: result.err.Error()}, result.output, now)
		outcome = "failed"
	case result.failure != nil:
		next, events, err = b.Fail(s.ID, s.Fence, *result.failure, result.output, now)
		outcome = "failed"
	case result.reuse != "":
		next, events, err = b.Reuse(s.ID, s.Fence, result.output, result.reuse, now)
		outcome = "succeeded"
	default:
		next, events, err = b.Succeed(s.ID, s.Fence, result.output, now)
		outcome = "succeeded"
	}
	return next, events, outcome, err
}

// recordOutcome writes everything else that the outcome of a stage changes.
func (e *Engine) recordOutcome(ctx context.Context, tx *store.Tx, s orchestrator.Stage, was, next store.Build, result outcome, outcome string) error {
	detail := ""
	switch {
	case result.err != nil:
		detail = result.err.Error()
	case result.failure != nil:
		detail = result.failure.Message
	}
	err := tx.EndAttempt(ctx, store.Attempt{Build: was.ID, Stage: s.ID, Fence: s.Fence, Ended: tx.Now(), Outcome: outcome, Detail: detail})
	if err != nil {
		return err
	}
	if keep := result.keep; len(keep) > 0 || !result.output.IsZero() {
		if !result.output.IsZero() {
			keep = append(keep, result.output)
		}
		if err := tx.Keep(ctx, was.ID, keep...); err != nil {
			return err
		}
	}
	if result.duration > 0 {
		if err := tx.Learn(ctx, was.Port, string(s.Kind), result.duration); err != nil {
			return err
		}
	}
	if s.Kind == orchestrator.Repeat {
		if err := requestCleanup(ctx, tx, s.Worker, outcome, result.err); err != nil {
			return err
		}
	}
	if next.Checks != "" && next.Over() {
		return e.recordRebuild(ctx, tx, next, result)
	}
	if s.Kind == orchestrator.Publish && result.err == nil {
		return e.recordRelease(ctx, tx, next, result)
	}
	return nil
}

// recordRelease records the published files, as a release if the build may be one.
func (e *Engine) recordRelease(ctx context.Context, tx *store.Tx, b store.Build, result outcome) error {
	r := store.Release{Build: b.ID, At: tx.Now(), Verdict: b.Verdict, Signed: e.Signer != nil}
	if result.failure == nil {
		r.Port, r.Version = b.Port, b.Version
	}
	return tx.Publish(ctx, r, result.publish)
}

// requestCleanup requests the removal of an ended attempt's workspace from its worker.
// A lost attempt quarantines the worker until a probe succeeds.
func requestCleanup(ctx context.Context, tx *store.Tx, worker, outcome string, cause error) error {
	found := (*quarantined)(nil)
	switch {
	case errors.As(cause, &found):
		return quarantine(ctx, tx, worker, found.reason)
	case outcome == "lost":
		return quarantine(ctx, tx, worker, workers.Quarantine{Code: workers.QuarantineLostAttempt,
			Detail: "An attempt was lost there; the worker is probed before it gets another: " + cause.Error()})
	}
	return tx.Wake(ctx, store.Wake{Kind: store.Probe, Worker: worker})
}

// recordRebuild records what a rebuild showed about the release it checks.
func (e *Engine) recordRebuild(ctx context.Context, tx *store.Tx, b store.Build, result outcome) error {
	if len(result.publish) > 0 {
		if err := tx.Publish(ctx, store.Release{Build: b.ID, At: tx.Now(), Verdict: b.Verdict, Signed: e.Signer != nil}, result.publish); err != nil {
			return err
		}
	}
	finding := ""
	switch f := b.Failure(); {
	case f != nil && !repeatable(f.Kind), b.Cancelled:
		return nil // this says nothing about the release
	case f != nil:
		finding = fmt.Sprintf("rebuild %s: %s", b.ID, f.Message)
	default:
		released, err := tx.Files(ctx, b.Checks)
		if err != nil {
			return err
		}
		if name := changed(released, result.publish); name != "" {
			finding = fmt.Sprintf("rebuild %s agreed with itself and made another %s than build %s", b.ID, name, b.Checks)
		}
	}
	return tx.SetNotReproduced(ctx, b.Port, b.Version, finding)
}

// changed names an artifact that differs from the released one.
func changed(released, rebuilt []store.File) string {
	for _, f := range rebuilt {
		i := slices.IndexFunc(released, func(r store.File) bool { return r.Name == f.Name })
		if f.MediaType == mediaPackage && (i < 0 || released[i].Digest != f.Digest) {
			return f.Name
		}
	}
	return ""
}

// repeatable reports whether building the same again would fail in the same way.
func repeatable(kind orchestrator.FailureKind) bool {
	switch kind {
	case orchestrator.FaultyRecipe, orchestrator.FailedStep, orchestrator.FailedTests, orchestrator.OverLimit,
		orchestrator.NotReproduced, orchestrator.NotComparable:
		return true
	default:
		return false
	}
}

// errTemporary marks errors of a store that is unreachable for a while or full.
var errTemporary = errors.New("the farm's database does not answer")

// temporary reports whether an error comes from the farm's own machine and goes away by
// itself, or once an administrator has freed space there.
func temporary(err error) bool {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, errTemporary} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
