// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// soon are the options of a store whose work begins quickly.
func soon(node string, shared bool) store.Options {
	return store.Options{Node: node, Poll: 10 * time.Millisecond, Shared: shared}
}

func wake(t testing.TB, s *store.Store, ws ...store.Wake) {
	t.Helper()
	update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Wake(ctx, ws...) })
}

// working works on the queue until the returned function is called, which waits for the
// end.
func working(t testing.TB, s *store.Store, w store.Work) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Work(ctx, w) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := within(t, ended, "Work"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func waiting(t testing.TB, s *store.Store) int64 {
	t.Helper()
	status, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.Waiting
}

func TestWakesArriveOnce(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		one := storetest.Open(t, url, soon("one", false))
		two := storetest.Open(t, url, soon("two", true))
		got := make(chan store.Wake, 1000)
		handle := func(_ context.Context, w store.Wake) error {
			got <- w
			return nil
		}
		working(t, one, store.Work{Parallel: 4, Handle: handle})
		working(t, two, store.Work{Parallel: 4, Handle: handle})
		want := map[store.Wake]int{}
		for i := range 50 {
			ws := []store.Wake{
				{Kind: store.Match}, {Kind: store.Claim, Build: fmt.Sprint("b", i), Stage: "compare"},
				{Kind: store.Needs, Build: fmt.Sprint("b", i)}, {Kind: store.Probe, Worker: fmt.Sprint("w", i)},
			}
			wake(t, two, ws...)
			for _, w := range ws {
				want[w]++
			}
		}
		have := map[store.Wake]int{}
		for range 200 {
			have[within(t, got, "a wake-up")]++
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("(-want +have):\n%s", diff)
		}
	})
}

// TestWakesThatWait checks which of them can be in the queue twice.
func TestWakesThatWait(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		for range 3 {
			wake(t, s, store.Wake{Kind: store.Claim, Build: "b1", Stage: "resolve"}, store.Wake{Kind: store.Match},
				store.Wake{Kind: store.Claim, Build: "b1", Stage: "resolve"}, store.Wake{Kind: store.Needs, Build: "b1"},
				store.Wake{Kind: store.Probe, Worker: "w1"})
		}
		if n := waiting(t, s); n != 3+3 {
			t.Errorf("%d wait, want one of each and the 3 matches", n)
		}
		if err := s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.Wake(ctx, store.Wake{Build: "b1"}) }); err == nil {
			t.Error("a wake-up of no kind was taken")
		}
	})
}

func TestOneMatchAtATime(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url, soon("one", false))
		const matches = 20
		began, other, let := make(chan struct{}, matches), make(chan struct{}), make(chan struct{})
		working(t, s, store.Work{Parallel: 4, Handle: func(_ context.Context, w store.Wake) error {
			if w.Kind != store.Match {
				other <- struct{}{}
				return nil
			}
			began <- struct{}{}
			<-let
			return nil
		}})
		for range matches {
			wake(t, s, store.Wake{Kind: store.Match})
		}
		for i := range matches {
			within(t, began, "a match")
			if i < 3 { // others get through meanwhile, and no second match does
				wake(t, s, store.Wake{Kind: store.Claim, Build: fmt.Sprint("b", i)})
				within(t, other, "something else than a match")
			}
			if len(began) != 0 {
				t.Fatal("two matches at once")
			}
			let <- struct{}{}
		}
	})
}

func TestHandlersThatDoNotFinish(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url, soon("one", false))
		var mu sync.Mutex
		calls := map[string]int{}
		done := make(chan string, 10)
		working(t, s, store.Work{Parallel: 4, Handle: func(_ context.Context, w store.Wake) error {
			mu.Lock()
			defer mu.Unlock()
			calls[w.Build]++
			if calls[w.Build] > 2 {
				done <- w.Build
				return nil
			}
			if w.Build == "panics" && calls[w.Build] == 1 {
				panic("a fault of the caller")
			}
			return errors.New("not yet")
		}})
		for _, b := range []string{"fails", "panics"} {
			wake(t, s, store.Wake{Kind: store.Claim, Build: b})
		}
		ended := map[string]bool{}
		for range 2 {
			ended[within(t, done, "a handler's third call")] = true
		}
		if len(ended) != 2 {
			t.Errorf("only %v ended", ended)
		}
	})
}

// TestStopHandsOver ends the work while a handler runs: its context ends, Work
// waits for it, and another node goes on with the same wake-up.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		one := storetest.Open(t, url, soon("one", false))
		two := storetest.Open(t, url, soon("two", true))
		began, ended := make(chan struct{}), make(chan struct{})
		stop := working(t, one, store.Work{Parallel: 1, Handle: func(ctx context.Context, _ store.Wake) error {
			close(began)
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		}})
		wake(t, one, store.Wake{Kind: store.Claim, Build: "b1"})
		within(t, began, "the handler")
		stop()
		select {
		case <-ended:
		default:
			t.Fatal("Work did not wait for its handler")
		}
		taken := make(chan store.Wake, 1)
		working(t, two, store.Work{Parallel: 1, Handle: func(_ context.Context, w store.Wake) error {
			taken <- w
			return nil
		}})
		if w := within(t, taken, "the other node"); w.Build != "b1" {
			t.Errorf("it got %v", w)
		}
	})
}

// TestQueueIsDisposable empties the queue again and again while two nodes run builds;
// the sweep finds what is due by the tables.
func TestQueueIsDisposable(t *testing.T) {
	t.Parallel()
	const builds = 8
	storetest.EachURL(t, func(t *testing.T, url string) {
		one := storetest.Open(t, url, soon("one", false))
		two := storetest.Open(t, url, soon("two", true))
		for i := range builds {
			create(t, one, sample(fmt.Sprint("b", i)))
		}
		for _, s := range []*store.Store{one, two} {
			working(t, s, store.Work{Parallel: 2, Handle: func(ctx context.Context, w store.Wake) error { return carryOn(ctx, s, w) }})
			sweeping(t, s)
		}
		db := raw(t, url)
		deadline := time.After(2 * time.Minute)
		for wiped := 0; ; {
			select {
			case <-deadline:
				t.Fatal("the builds do not end")
			case <-one.Changed():
			case <-time.After(100 * time.Millisecond):
			}
			if wiped < 6 {
				run(t, db, "DELETE FROM river_job")
				wiped++
			}
			done, err := one.Builds(t.Context(), store.Filter{State: orchestrator.BuildSucceeded})
			if err != nil {
				t.Fatal(err)
			}
			if len(done) == builds && wiped == 6 {
				break
			}
		}
		events, err := one.Events(t.Context(), 0, "", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		begun := map[string]int{}
		for _, e := range events {
			if e.To == orchestrator.Running {
				begun[e.Build+e.Stage]++
			}
		}
		if len(begun) != builds*6 {
			t.Errorf("%d stages were begun, want %d", len(begun), builds*6)
		}
		for stage, n := range begun {
			if n != 1 {
				t.Errorf("%s was begun %d times", stage, n)
			}
		}
	})
}

// carryOn does one step of the engine's work, without its effects.
func carryOn(ctx context.Context, s *store.Store, w store.Wake) error {
	if w.Kind == store.Match {
		ready, err := s.Ready(ctx)
		if err != nil {
			return err
		}
		for _, r := range ready {
			if err := carryOn(ctx, s, store.Wake{Kind: store.Claim, Build: r.Build, Stage: r.Stage}); err != nil {
				return err
			}
		}
		return nil
	}
	return s.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		was, err := tx.Build(ctx, w.Build)
		if err != nil {
			return err
		}
		next, step := was, unblock
		stage, named := was.Stage(w.Stage)
		switch {
		case w.Kind == store.Needs && was.Stages[0].State == orchestrator.Blocked:
		case w.Kind == store.Claim && named && stage.State == orchestrator.Ready:
			step = begin(stage.ID, "")
		case w.Kind == store.Claim && named && stage.State == orchestrator.Running:
			step = succeed(stage.ID)
		default:
			return nil // another node was faster
		}
		var events []orchestrator.Event
		if next.Build, events, err = step(was.Build, tx.Now()); err != nil {
			return err
		}
		for _, s := range next.Stages {
			if s.State == orchestrator.Ready || s.State == orchestrator.Running {
				if err := tx.Wake(ctx, store.Wake{Kind: store.Claim, Build: w.Build, Stage: s.ID}); err != nil {
					return err
				}
			}
		}
		return tx.Save(ctx, was, next, events...)
	})
}

// sweeping acts on what is due until the test ends.
func sweeping(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := sweepUp(ctx, s); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// sweepUp acts without the queue, as the engine does.
func sweepUp(ctx context.Context, s *store.Store) error {
	due, err := s.Due(ctx, time.Now())
	if err != nil {
		return err
	}
	wakes := slices.Concat(due.Claim, due.Needs)
	if due.Match {
		wakes = append(wakes, store.Wake{Kind: store.Match})
	}
	for _, w := range wakes {
		// Another node may be faster: then the store refuses, which is no error here.
		if err := carryOn(ctx, s, w); err != nil && !errors.Is(err, store.ErrRefused) {
			return err
		}
	}
	return nil
}

func TestWorkWantsToKnowWhoWorks(t *testing.T) {
	t.Parallel()
	handle := func(context.Context, store.Wake) error { return nil }
	s := storetest.Open(t, storetest.SQLite(t), store.Options{})
	if err := s.Work(t.Context(), store.Work{Handle: handle}); err == nil {
		t.Error("somebody without a name worked")
	}
	s = storetest.Open(t, storetest.SQLite(t), store.Options{Node: "one"})
	if err := s.Work(t.Context(), store.Work{}); err == nil {
		t.Error("nobody was there to handle anything")
	}
}
