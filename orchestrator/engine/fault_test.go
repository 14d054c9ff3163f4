// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// fast makes an engine notice quickly that another one has died.
func fast() engine.Settings {
	return engine.Settings{Hold: time.Second, Sweep: 100 * time.Millisecond, Patience: 2 * time.Second}
}

// counted is a build that notes each run in a file outside its workspace.
func counted(dir string) string {
	return fmt.Sprintf("echo run >>%s/$(basename \"$ZFARM_ROOT\")\n", dir) + installing
}

// killer makes an engine lose its database at the n-th progress it reports: it goes on
// like a process that was cut off, and can change nothing any more.
type killer struct {
	mu   sync.Mutex
	left int
	kill func()
	next orchestrator.Watch
}

func (k *killer) watch(p orchestrator.Progress) {
	k.next(p)
	if p.Kind != orchestrator.Transition && p.Kind != orchestrator.StepBegun && p.Kind != orchestrator.StepEnded {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left--; k.left == 0 {
		k.kill()
	}
}

// points are the moments at which an engine is cut off: transitions, and beginnings and
// ends of steps, of one build.
func points(stride int) []int {
	var all []int
	for point := 1; point <= 32; point += stride {
		all = append(all, point)
	}
	return all
}

// TestKilledAtEveryPoint loses an orchestrator at each progress it reports and lets
// another one go on.
func TestKilledAtEveryPoint(t *testing.T) {
	eachPoint(t)
	stride := thorough(t, 20, 4)
	each(t, func(t *testing.T, fresh func(*testing.T) string) {
		atOnce(t, points(stride), func(t *testing.T, point int) { killedAt(t, fresh(t), point) })
	})
}

// doomed submits one build to an engine that is cut off at a point, and returns when
// that happens, or when the build has ended. The rest of the engine goes on while
// others work.
func (s *scene) doomed(url string, point int) (build string) {
	k := &killer{left: point, next: s.watch}
	n := s.node(url, "doomed", func(p *engine.Deps) { p.Watch = k.watch })
	k.mu.Lock()
	k.kill = sync.OnceFunc(func() { go n.cut() })
	k.mu.Unlock()
	taken, err := n.Submit(s.t.Context(), submission(s.port("base")))
	if err != nil {
		s.t.Fatal(err)
	}
	id := taken[0].Build.ID
	s.eventually("the orchestrator to be cut off, or the build to end", func() bool {
		b, err := n.db.Build(s.t.Context(), id)
		return err != nil || b.Over()
	})
	k.kill()
	return id
}

func killedAt(t *testing.T, url string, point int) {
	dir := t.TempDir()
	s := newScene(t, counted(dir), "w1", "w2")
	s.parts.Settings = fast()
	id := s.doomed(url, point)
	heir := s.node(url, "heir", nil)
	b := s.wait(heir.Engine, id, orchestrator.BuildSucceeded)
	s.endedOnce(b)
	s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
	if n := s.ranOnce(dir); n < 2 {
		t.Errorf("the build was run in %d workspaces", n)
	}
	if c, err := heir.Conclusion(t.Context(), id); err != nil || c.Verdict.Outcome != compare.Identical || len(c.Records) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestCancelledAtEveryPoint cancels a build after its orchestrator was lost at each
// progress it reports.
func TestCancelledAtEveryPoint(t *testing.T) {
	eachPoint(t)
	stride := thorough(t, 20, 6)
	each(t, func(t *testing.T, fresh func(*testing.T) string) {
		atOnce(t, points(stride), func(t *testing.T, point int) { cancelledAt(t, fresh(t), point) })
	})
}

func cancelledAt(t *testing.T, url string, point int) {
	dir := t.TempDir()
	s := newScene(t, counted(dir), "w1", "w2")
	s.parts.Settings = fast()
	id := s.doomed(url, point)
	heir := s.node(url, "heir", nil)
	dependant := s.submit(heir.Engine, submission(s.port("top", "base")))[0].Build.ID
	if err := heir.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	b, err := heir.Wait(t.Context(), id)
	if err != nil || b.State() != orchestrator.BuildCancelled && b.State() != orchestrator.BuildSucceeded {
		t.Fatalf("it is %s, %v", b.State(), err)
	}
	s.endedOnce(b)
	s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
	s.ranOnce(dir)
	if b.State() == orchestrator.BuildSucceeded { // it ended before the cancellation
		s.wait(heir.Engine, dependant, orchestrator.BuildSucceeded)
	} else if f := s.wait(heir.Engine, dependant, orchestrator.BuildFailed).Failure(); f.Kind != orchestrator.FailedNeed {
		t.Errorf("what needs a cancelled build ended with %+v", f)
	}
	s.eventually("the dependant's workspaces to be gone", func() bool { return s.clean(dependant) })
	workers, err := heir.db.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workers {
		if len(w.Held) > 0 {
			t.Errorf("%s still holds %+v", w.Name, w.Held)
		}
	}
	s.empty()
}

// endedOnce checks that every stage ended exactly once.
func (s *scene) endedOnce(b store.Build) {
	s.t.Helper()
	events, err := s.parts.Store.Events(s.t.Context(), 0, b.ID, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	ends := map[string]int{}
	for _, e := range events {
		if e.To.Over() {
			ends[e.Stage]++
		}
	}
	for _, stage := range b.Stages {
		if ends[stage.ID] != 1 {
			s.t.Errorf("stage %s ended %d times", stage.ID, ends[stage.ID])
		}
	}
}

// clean reports whether nothing of a build is left on its workers.
func (s *scene) clean(id string) bool {
	s.t.Helper()
	all, err := s.parts.Store.Attempts(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range all {
		if a.Workspace != "" && !a.Cleaned {
			return false
		}
	}
	return true
}

// TestQueueIsOnlyABell empties the queue again and again while builds run.
func TestQueueIsOnlyABell(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) string) {
		url := fresh(t)
		s := newScene(t, installing, "w1", "w2")
		s.parts.Store = storetest.Open(t, url, store.Options{Node: "one"})
		s.parts.Settings = fast()
		e := s.engine()
		s.parts.Settings.Sweep = 100 * time.Millisecond
		s.work(e)
		stop := emptying(t, url)
		taken := s.submit(e, submission(s.port("top", "left", "right"), s.port("left", "base"), s.port("right", "base"), s.port("base")))
		for _, t := range taken {
			s.endedOnce(s.wait(e, t.Build.ID, orchestrator.BuildSucceeded))
		}
		if n := stop(); n == 0 {
			t.Error("the queue was never emptied")
		}
	})
}

// emptying deletes every entry of the queue until it is stopped, and returns their
// number.
func emptying(t *testing.T, url string) (stop func() int64) {
	t.Helper()
	db, err := storetest.SQL(t, url)
	if err != nil {
		t.Fatal(err)
	}
	done, deleted := make(chan struct{}), make(chan int64)
	go func() {
		var n int64
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for {
			if out, err := db.ExecContext(context.WithoutCancel(t.Context()), "DELETE FROM river_job"); err == nil {
				more, _ := out.RowsAffected()
				n += more
			}
			select {
			case <-tick.C:
			case <-done:
				deleted <- n
				return
			}
		}
	}()
	return func() int64 {
		close(done)
		return <-deleted
	}
}

// TestFenceHolds gives a repeat to another worker while its first holder lives on, and
// lets the old holder record its outcome.
func TestFenceHolds(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1", "w2")
	s.parts.Store = s.open()
	e := s.engine()
	id := s.submit(e, submission(s.port("base")))[0].Build.ID
	db := s.parts.Store
	var stale store.Build
	step := func(what string, change func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error)) error {
		return db.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			was, err := tx.Build(ctx, id)
			if err != nil {
				return err
			}
			next := was
			var events []orchestrator.Event
			if next.Build, events, err = change(was.Build, tx.Now()); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return tx.Save(ctx, was, next, events...)
		})
	}
	begin := func(stage, worker string) func(orchestrator.Build, time.Time) (orchestrator.Build, []orchestrator.Event, error) {
		return func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			next, event, err := b.Begin(stage, worker, now)
			return next, []orchestrator.Event{event}, err
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(step("begin", begin("resolve", "")))
	must(step("succeed", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
		return b.Succeed("resolve", 1, digest.Of([]byte("x")), now)
	}))
	must(step("begin", begin("repeat-0", "w1")))
	stale, err := db.Build(t.Context(), id)
	must(err)
	must(step("lose", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
		return b.Lose("repeat-0", 1, "cut off", now.Add(-time.Hour))
	}))
	must(step("begin", begin("repeat-0", "w2")))
	if err := step("succeed", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
		return b.Succeed("repeat-0", 1, digest.Of([]byte("old")), now)
	}); err == nil {
		t.Error("the old holder ended the stage by the pure functions")
	}
	// Even a holder that works on what it read earlier is refused.
	late, events, err := stale.Succeed("repeat-0", 1, digest.Of([]byte("old")), time.Now())
	must(err)
	err = db.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		next := stale
		next.Build = late
		return tx.Save(ctx, stale, next, events...)
	})
	if !errors.Is(err, store.ErrRefused) {
		t.Errorf("the old holder ended the stage in the store: %v", err)
	}
	now, err := db.Build(t.Context(), id)
	must(err)
	if stage, _ := now.Stage("repeat-0"); stage.State != orchestrator.Running || stage.Worker != "w2" || stage.Fence != 2 {
		t.Errorf("%+v", stage)
	}
}

func TestBurst(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := newScene(t, same, "w1")
		s.parts.Store = open()
		e := s.engine()
		recipes, each := thorough(t, 15, 100), 10
		var wg sync.WaitGroup
		ids := make([]map[string]int, recipes)
		var mu sync.Mutex
		for i := range recipes {
			ids[i] = map[string]int{}
			r := s.port("base")
			r.Summary = fmt.Sprint(i)
			for range each {
				wg.Go(func() {
					taken, err := e.Submit(t.Context(), submission(r))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					ids[i][taken[0].Build.ID]++
					if taken[0].Fresh {
						ids[i]["fresh"]++
					}
				})
			}
		}
		wg.Wait()
		for i, seen := range ids {
			if len(seen) != 2 || seen["fresh"] != 1 {
				t.Errorf("recipe %d became %v", i, seen)
			}
		}
	})
}

func TestPausedBuildWaits(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1", "w2")
	e := s.engine()
	id := s.submit(e, submission(s.port("base")))[0].Build.ID
	pause := func(paused bool) {
		t.Helper()
		err := s.parts.Store.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			was, err := tx.Build(ctx, id)
			if err != nil {
				return err
			}
			next := was
			next.Paused = paused
			return tx.Save(ctx, was, next)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pause(true)
	s.work(e)
	other := s.port("other")
	s.wait(e, s.submit(e, submission(other))[0].Build.ID, orchestrator.BuildSucceeded)
	why, err := e.Why(t.Context(), id)
	if err != nil || len(why) == 0 || !strings.Contains(why[0].Why, "paused") {
		t.Errorf("%+v, %v", why, err)
	}
	pause(false)
	s.wait(e, id, orchestrator.BuildSucceeded)
}
