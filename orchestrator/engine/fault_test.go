// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// fast makes an engine notice soon that another one is gone.
func fast() engine.Settings {
	return engine.Settings{Hold: time.Second, Sweep: 100 * time.Millisecond, Patience: 2 * time.Second}
}

// counted is a build that notes outside of its workspace that it was run.
func counted(dir string) string {
	return fmt.Sprintf("echo run >>%s/$(basename \"$ZFARM_ROOT\")\n", dir) + installing
}

// killer lets an engine lose its database at the n-th thing it tells: it goes
// on as a process would that was cut off, and can change nothing any more.
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

// TestKilledAtEveryPoint loses an orchestrator at each thing it tells and lets
// another one go on.
func TestKilledAtEveryPoint(t *testing.T) {
	const points = 32 // transitions, and steps that begin and end, of one build
	stride := 3
	if testing.Short() {
		stride = 9
	}
	storetest.EachURL(t, func(t *testing.T, url string) {
		first, err := store.Open(t.Context(), url, store.Options{})
		if err == nil {
			err = errors.Join(first.Migrate(t.Context()), first.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		for point := 1; point <= points; point += stride {
			t.Run(fmt.Sprint(point), func(t *testing.T) { killedAt(t, url, point) })
		}
	})
}

func killedAt(t *testing.T, url string, point int) {
	dir := t.TempDir()
	s := newScene(t, counted(dir), "w1", "w2")
	s.recipe = s.port("base")
	s.recipe.Summary = fmt.Sprint("killed at ", point) // a build of its own
	doomed, err := store.Open(t.Context(), url, store.Options{Node: fmt.Sprint("doomed-", point)})
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{left: point, next: s.watch, kill: sync.OnceFunc(func() { go doomed.Close() })} //nolint:errcheck // it is cut off
	s.parts.Watch, s.parts.Store, s.parts.Settings = k.watch, doomed, fast()
	e := s.engine()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	id := s.submit(e, submission(s.recipe))[0].Build.ID
	s.eventually("the orchestrator to be cut off, or the build to end", func() bool {
		b, err := doomed.Build(t.Context(), id)
		return err != nil || b.Over()
	})
	defer func() { // until here the zombie goes on while the other one works
		cancel()
		<-ended
		k.kill()
	}()

	var heir *store.Store
	s.eventually("the database to be free", func() bool {
		heir, err = store.Open(t.Context(), url, store.Options{Node: fmt.Sprint("heir-", point)})
		if err != nil && !errors.Is(err, store.ErrInUse) {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(func() { heir.Close() }) //nolint:errcheck // the test is over
	s.parts.Store, s.parts.Watch = heir, s.watch
	next := s.engine()
	s.work(next)
	b := s.wait(next, id, orchestrator.Done)
	s.endedOnce(b)
	s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
	runs, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(runs) < 2 {
		t.Errorf("the build was run in %v, %v", runs, err)
	}
	for _, name := range runs {
		if text, err := os.ReadFile(name); err != nil || string(text) != "run\n" {
			t.Errorf("in %s it ran %q, %v", filepath.Base(name), text, err)
		}
	}
	if c, err := next.Conclusion(t.Context(), id); err != nil || c.Verdict.Outcome != compare.Identical || len(c.Records) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// endedOnce checks that every stage came to its end once.
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

// TestQueueIsOnlyABell empties the queue over and over while builds go on.
func TestQueueIsOnlyABell(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := newScene(t, installing, "w1", "w2")
		s.parts.Store = storetest.Open(t, url, store.Options{Node: "one"})
		s.parts.Settings = fast()
		e := s.engine()
		s.parts.Settings.Sweep = 100 * time.Millisecond
		s.work(e)
		stop := emptying(t, url)
		taken := s.submit(e, submission(s.port("top", "left", "right"), s.port("left", "base"), s.port("right", "base"), s.port("base")))
		for _, t := range taken {
			s.endedOnce(s.wait(e, t.Build.ID, orchestrator.Done))
		}
		if n := stop(); n == 0 {
			t.Error("the queue was never emptied")
		}
	})
}

// emptying deletes every entry of the queue until it is stopped, and returns
// how many there were.
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

// full is a store of artifacts whose disk is full for some writes.
type full struct {
	engine.Artifacts
	mu   sync.Mutex
	left int
}

func (f *full) Fill(ctx context.Context, write func(io.Writer) error) (digest.Digest, error) {
	f.mu.Lock()
	short := f.left > 0
	if short {
		f.left--
	}
	f.mu.Unlock()
	if short {
		return digest.Digest{}, fmt.Errorf("storing an artifact: %w", syscall.ENOSPC)
	}
	return f.Artifacts.Fill(ctx, write)
}

func TestFullDiskIsWaitedFor(t *testing.T) {
	s := newScene(t, installing, "w1", "w2")
	disk := &full{Artifacts: s.parts.Artifacts}
	s.parts.Artifacts = disk
	s.parts.Settings = fast()
	e := s.engine()
	s.work(e)
	id := s.submit(e, submission(s.port("base")))[0].Build.ID
	disk.mu.Lock()
	disk.left = 2
	disk.mu.Unlock()
	b := s.wait(e, id, orchestrator.Done)
	for _, stage := range b.Stages {
		if len(stage.Lost) > 0 {
			t.Errorf("stage %s blames %v for a disk that was full here", stage.ID, stage.Lost)
		}
	}
}

// TestFenceHolds gives a repeat to another worker while the one that had it
// lives on, and lets the old holder say what came of it.
func TestFenceHolds(t *testing.T) {
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
	// Even a holder that works on what it read before is refused.
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
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := newScene(t, same, "w1")
		s.parts.Store = open()
		e := s.engine()
		const recipes, each = 100, 10
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
	s.wait(e, s.submit(e, submission(other))[0].Build.ID, orchestrator.Done)
	why, err := e.Why(t.Context(), id)
	if err != nil || len(why) == 0 || !strings.Contains(why[0].Why, "paused") {
		t.Errorf("%+v, %v", why, err)
	}
	pause(false)
	s.wait(e, id, orchestrator.Done)
}
