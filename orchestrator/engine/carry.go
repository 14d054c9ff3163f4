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

// dropping bounds how long a database is told that a stage is given up.
const dropping = 10 * time.Second

// carriage is one running stage that this engine holds.
type carriage struct {
	place
	fence int64
	// stop is nil until the hold is taken.
	stop  context.CancelCauseFunc
	ended chan struct{}
}

// end is what came of one stage.
type end struct {
	failure *orchestrator.Failure
	err     error
	// output names what the stage made or saw; keep what must stay with it.
	output digest.Digest
	keep   []digest.Digest
	// reuse is another build whose outcome stands for this one's.
	reuse string
	// change sets what is known of the build from now on.
	change func(*store.Build)
	// publish is what the build laid out.
	publish []store.File
	// learnt is how long a repeat took; 0 for nothing to learn.
	learnt time.Duration
}

// carry begins a stage that is ready, or joins one that runs and is held by
// nobody.
func (e *Engine) carry(ctx context.Context, build, id string) error {
	var b store.Build
	var stage orchestrator.Stage
	var events []orchestrator.Event
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		events = nil
		var err error
		if b, err = tx.Build(ctx, build); err != nil {
			return err
		}
		stage, _ = b.Stage(id)
		if stage.State != orchestrator.Ready || stage.Kind == orchestrator.Repeat || stage.NotBefore.After(tx.Now()) || b.Paused {
			return nil
		}
		was := b
		var event orchestrator.Event
		if b.Build, event, err = was.Begin(id, "", tx.Now()); err != nil {
			return err
		}
		stage, _ = b.Stage(id)
		events = []orchestrator.Event{event}
		if err := tx.Save(ctx, was, b, event); err != nil {
			return err
		}
		return tx.BeginAttempt(ctx, store.Attempt{Build: build, Stage: id, Fence: stage.Fence, Begun: tx.Now()})
	})
	if errors.Is(err, store.ErrUnknown) || err == nil && stage.State != orchestrator.Running {
		return nil
	}
	if err != nil {
		return fmt.Errorf("carrying %s of build %s: %w", id, build, err)
	}
	e.tell(events)
	return e.hold(ctx, b, stage)
}

// hold takes the stage and carries it in a goroutine of its own: what wakes
// us up must not last as long as a build.
func (e *Engine) hold(ctx context.Context, b store.Build, s orchestrator.Stage) error {
	c := e.reserve(place{b.ID, s.ID}, s.Fence)
	if c == nil {
		return nil
	}
	// What is carried outlives the wake-up.
	carrying, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	taken, err := e.Store.Take(ctx, e.holding(c.place, c.fence))
	if err != nil || !taken {
		stop(nil)
		e.leave(c)
		e.all.Done()
		return err
	}
	e.taken(c, stop)
	go func() {
		defer e.all.Done()
		defer stop(nil)
		e.carryOut(carrying, b, s)
		if errors.Is(context.Cause(carrying), errDraining) {
			e.drop(carrying, c)
		}
		e.leave(c)
		if errors.Is(context.Cause(carrying), errGone) && s.Kind == orchestrator.Repeat {
			e.mopUp(context.WithoutCancel(carrying), c, s.Worker)
		}
	}()
	return nil
}

// reserve keeps a place for a stage that is about to be carried here, nil if it
// is already, or if this engine takes nothing any more.
func (e *Engine) reserve(at place, fence int64) *carriage {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.carried[at]
	if e.draining || before != nil && before.fence == fence {
		return nil
	}
	if before != nil && before.stop != nil {
		before.stop(errGone) // others have ended that attempt, and we have not heard of it
	}
	c := &carriage{place: at, fence: fence, ended: make(chan struct{})}
	e.carried[at] = c
	e.all.Add(1)
	return c
}

func (e *Engine) taken(c *carriage, stop context.CancelCauseFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.stop = stop
	if e.draining {
		stop(errDraining)
	}
}

func (e *Engine) leave(c *carriage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.carried[c.place] == c {
		delete(e.carried, c.place)
	}
	close(c.ended)
}

// relinquish ends the carrying of an attempt that has ended, if it is carried
// here, and waits for it: nothing may be put into a workspace that is being
// removed.
func (e *Engine) relinquish(ctx context.Context, at place, fence int64) error {
	e.mu.Lock()
	c := e.carried[at]
	if c == nil || c.fence != fence {
		e.mu.Unlock()
		return nil
	}
	if c.stop != nil {
		c.stop(errGone)
	}
	e.mu.Unlock()
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for attempt %d at %s of build %s to be let go of: %w", fence, at.stage, at.build, context.Cause(ctx))
	}
}

func (e *Engine) holding(at place, fence int64) store.Hold {
	return store.Hold{Build: at.build, Stage: at.stage, Fence: fence, Until: e.now().Add(e.Settings.Hold)}
}

// carryOut carries the stage to its end and says so, unless it was taken away
// in between.
func (e *Engine) carryOut(ctx context.Context, b store.Build, s orchestrator.Stage) {
	if s.Kind != orchestrator.Repeat {
		select {
		case e.here <- struct{}{}:
			defer func() { <-e.here }()
		case <-ctx.Done():
			return
		}
	}
	came := e.effect(ctx, b, s)
	if ctx.Err() != nil {
		return // drained, cancelled, or joined by another: not ours to say
	}
	if s.Kind == orchestrator.Repeat && errors.Is(came.err, store.ErrRefused) {
		// This engine stood still and another one went on. That is no fault of
		// the build; whoever holds the attempt next looks at it anew.
		e.Log.Info("an attempt went on without this engine", "build", b.ID, "stage", s.ID, "fence", s.Fence, "error", came.err)
		return
	}
	e.finish(ctx, b, s, came)
}

func (e *Engine) effect(ctx context.Context, b store.Build, s orchestrator.Stage) end {
	c, err := e.course(ctx, b, s)
	if err != nil {
		return end{err: err}
	}
	switch s.Kind {
	case orchestrator.Resolve:
		return c.resolve(ctx)
	case orchestrator.Repeat:
		return c.repeat(ctx)
	case orchestrator.Compare:
		return c.compare(ctx)
	case orchestrator.Attest:
		return c.attest(ctx)
	default:
		return c.publish(ctx)
	}
}

// finish tells the store how a stage ended, for as long as it takes: what was
// done must not be done again because a database was away for a while.
func (e *Engine) finish(ctx context.Context, b store.Build, s orchestrator.Stage, came end) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		var events []orchestrator.Event
		err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
			var err error
			events, err = e.conclude(ctx, tx, s, b.ID, came)
			return err
		})
		switch {
		case err == nil:
			e.tell(events)
			if s.Kind == orchestrator.Repeat && came.err == nil { // its logs lie in the artifact store now
				if err := e.Store.DropLog(ctx, b.ID, s.ID, s.Fence); err != nil {
					e.Log.Warn("pieces of a log remain in the database", "build", b.ID, "stage", s.ID, "error", err)
				}
			}
			return
		case errors.Is(err, store.ErrRefused), errors.Is(err, store.ErrUnknown), ctx.Err() != nil:
			e.Log.Info("an end came too late", "build", b.ID, "stage", s.ID, "fence", s.Fence, "error", err)
			return
		}
		e.Log.Error("the end of a stage cannot be written yet", "build", b.ID, "stage", s.ID, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// conclude is finish inside its transaction.
func (e *Engine) conclude(ctx context.Context, tx *store.Tx, s orchestrator.Stage, build string, came end) ([]orchestrator.Event, error) {
	was, err := tx.Build(ctx, build)
	if err != nil {
		return nil, err
	}
	next := was
	if came.change != nil {
		came.change(&next)
	}
	var events []orchestrator.Event
	var outcome string
	next.Build, events, outcome, err = follow(was.Build, s, came, tx.Now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrRefused, err)
	}
	if f := next.Failure(); next.Over() && f != nil && !final(f.Kind) {
		next.Identity = digest.Digest{} // the next submission is a new try
	}
	if err := tx.Save(ctx, was, next, events...); err != nil {
		return nil, err
	}
	if err := e.settle(ctx, tx, s, was, next, came, outcome); err != nil {
		return nil, err
	}
	return events, wakeAfter(ctx, tx, was, next)
}

// follow asks the pure functions what follows from the end of a stage.
func follow(b orchestrator.Build, s orchestrator.Stage, came end, now time.Time) (next orchestrator.Build, events []orchestrator.Event, outcome string, err error) {
	switch {
	case came.err != nil && s.Kind == orchestrator.Repeat && errors.Is(came.err, workers.ErrLost):
		next, events, err = b.Lose(s.ID, s.Fence, came.err.Error(), now)
		outcome = "lost"
	case came.err != nil && passing(came.err):
		next, events, err = b.Postpone(s.ID, s.Fence, came.err.Error(), now)
		outcome = "postponed"
	case came.err != nil:
		next, events, err = b.Fail(s.ID, s.Fence, orchestrator.Failure{Kind: orchestrator.Infrastructure, Message: came.err.Error()}, came.output, now)
		outcome = "failed"
	case came.failure != nil:
		next, events, err = b.Fail(s.ID, s.Fence, *came.failure, came.output, now)
		outcome = "failed"
	case came.reuse != "":
		next, events, err = b.Reuse(s.ID, s.Fence, came.output, came.reuse, now)
		outcome = "succeeded"
	default:
		next, events, err = b.Succeed(s.ID, s.Fence, came.output, now)
		outcome = "succeeded"
	}
	return next, events, outcome, err
}

// settle writes what goes along with the end of a stage.
func (e *Engine) settle(ctx context.Context, tx *store.Tx, s orchestrator.Stage, was, next store.Build, came end, outcome string) error {
	detail := ""
	switch {
	case came.err != nil:
		detail = came.err.Error()
	case came.failure != nil:
		detail = came.failure.Message
	}
	err := tx.EndAttempt(ctx, store.Attempt{Build: was.ID, Stage: s.ID, Fence: s.Fence, Ended: tx.Now(), Outcome: outcome, Detail: detail})
	if err != nil {
		return err
	}
	if keep := came.keep; len(keep) > 0 || !came.output.IsZero() {
		if !came.output.IsZero() {
			keep = append(keep, came.output)
		}
		if err := tx.Keep(ctx, was.ID, keep...); err != nil {
			return err
		}
	}
	if came.learnt > 0 {
		if err := tx.Learn(ctx, was.Port, string(s.Kind), came.learnt); err != nil {
			return err
		}
	}
	if s.Kind == orchestrator.Repeat {
		if err := vacate(ctx, tx, s.Worker, outcome, came.err); err != nil {
			return err
		}
	}
	if next.Checks != "" && next.Over() {
		return e.doubt(ctx, tx, next, came)
	}
	if laidOut := s.Kind == orchestrator.Publish && came.err == nil; laidOut {
		return e.lay(ctx, tx, next, came)
	}
	return nil
}

// lay enters what was laid out, as a release if it may be one.
func (e *Engine) lay(ctx context.Context, tx *store.Tx, b store.Build, came end) error {
	r := store.Release{Build: b.ID, At: tx.Now(), Verdict: b.Verdict, Signed: e.Signer != nil}
	if came.failure == nil {
		r.Port, r.Version = b.Port, b.Version
	}
	return tx.Publish(ctx, r, came.publish)
}

// vacate has the worker rid of an attempt that has ended. One that was lost
// keeps the worker out of everything until somebody has looked.
func vacate(ctx context.Context, tx *store.Tx, worker, outcome string, cause error) error {
	unfit := (*ailing)(nil)
	switch {
	case errors.As(cause, &unfit):
		return suspect(ctx, tx, worker, unfit.trouble)
	case outcome == "lost":
		return suspect(ctx, tx, worker, "an attempt was lost there: "+cause.Error())
	}
	return tx.Wake(ctx, store.Wake{Kind: store.Probe, Worker: worker})
}

// doubt enters what a rebuild has shown of the release that it checks.
func (e *Engine) doubt(ctx context.Context, tx *store.Tx, b store.Build, came end) error {
	if len(came.publish) > 0 {
		if err := tx.Publish(ctx, store.Release{Build: b.ID, At: tx.Now(), Verdict: b.Verdict, Signed: e.Signer != nil}, came.publish); err != nil {
			return err
		}
	}
	why := ""
	switch f := b.Failure(); {
	case f != nil && !final(f.Kind), b.Cancelled:
		return nil // nothing was learnt
	case f != nil:
		why = fmt.Sprintf("rebuild %s: %s", b.ID, f.Message)
	default:
		released, err := e.Store.Files(ctx, b.Checks)
		if err != nil {
			return err
		}
		if name := changed(released, came.publish); name != "" {
			why = fmt.Sprintf("rebuild %s agreed with itself and made another %s than build %s", b.ID, name, b.Checks)
		}
	}
	return tx.Doubt(ctx, b.Port, b.Version, why)
}

// changed names an artifact that came out otherwise than it was released.
func changed(released, rebuilt []store.File) string {
	for _, f := range rebuilt {
		i := slices.IndexFunc(released, func(r store.File) bool { return r.Name == f.Name })
		if f.MediaType == mediaPackage && (i < 0 || released[i].Digest != f.Digest) {
			return f.Name
		}
	}
	return ""
}

// final reports whether building the same again would come to the same end.
func final(kind orchestrator.FailureKind) bool {
	switch kind {
	case orchestrator.FaultyRecipe, orchestrator.FailedStep, orchestrator.FailedTests, orchestrator.OverLimit,
		orchestrator.NotReproduced, orchestrator.NotComparable:
		return true
	default:
		return false
	}
}

// errPassing marks errors of the store, which is away for a while or full.
var errPassing = errors.New("the farm's database does not answer")

// passing reports whether an error lies in the farm's own machine and will
// pass when somebody has made room there.
func passing(err error) bool {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, errPassing} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// renewing keeps what is held here until ctx ends.
func (e *Engine) renewing(ctx context.Context) {
	tick := time.NewTicker(e.Settings.Hold / 5)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.poke:
		case <-ctx.Done():
			return
		}
		e.renew(ctx)
	}
}

// look asks for a renewal now.
func (e *Engine) look() {
	select {
	case e.poke <- struct{}{}:
	default:
	}
}

// renew keeps what is held here, and lets go of what was cancelled or is
// carried by another.
func (e *Engine) renew(ctx context.Context) {
	e.mu.Lock()
	var holds []store.Hold
	for at, c := range e.carried {
		if c.stop != nil {
			holds = append(holds, e.holding(at, c.fence))
		}
	}
	e.mu.Unlock()
	if len(holds) == 0 {
		return
	}
	lost, err := e.Store.Renew(ctx, holds...)
	if err != nil {
		if ctx.Err() == nil {
			e.Log.Error("what is carried here cannot be renewed", "error", err)
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range lost {
		if c := e.carried[place{h.Build, h.Stage}]; c != nil && c.fence == h.Fence && c.stop != nil {
			c.stop(errGone)
		}
	}
}

// letGo stops carrying without ending anything. Each stage is given up as soon
// as nothing is done for it here any more.
func (e *Engine) letGo() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.draining = true
	for _, c := range e.carried {
		if c.stop != nil {
			c.stop(errDraining)
		}
	}
}

// drop gives up the hold of a stage, so that another engine joins it at once.
func (e *Engine) drop(ctx context.Context, c *carriage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropping)
	defer cancel()
	if err := e.Store.Drop(ctx, e.holding(c.place, c.fence)); err != nil {
		e.Log.Error("what was carried here cannot be dropped; others join it once its hold has run out",
			"build", c.build, "stage", c.stage, "error", err)
	}
}
