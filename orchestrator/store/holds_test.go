// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// clock is one that a test sets, for several stores.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()).UTC() }

func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// nodes opens a database as two nodes with one clock.
func nodes(t *testing.T, url string) (one, two *store.Store, c *clock) {
	t.Helper()
	c = &clock{}
	c.ms.Store(1_700_000_000_000)
	one = storetest.Open(t, url, store.Options{Node: "one", Now: c.now})
	two = storetest.Open(t, url, store.Options{Node: "two", Now: c.now, Shared: true})
	return one, two, c
}

func took(t *testing.T, s *store.Store, h store.Hold) bool {
	t.Helper()
	taken, err := s.Take(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

func TestHolds(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		one, two, c := nodes(t, url)
		create(t, one, sample("b1"))
		hold := func(fence int64) store.Hold {
			return store.Hold{Build: "b1", Stage: "resolve", Fence: fence, Until: c.now().Add(time.Minute)}
		}
		if took(t, one, hold(0)) {
			t.Error("a stage that does not run was taken")
		}
		move(t, one, "b1", unblock)
		move(t, one, "b1", begin("resolve", ""))
		if took(t, one, hold(2)) {
			t.Error("a stage was taken under a fence it does not have")
		}
		for range 2 {
			if !took(t, one, hold(1)) {
				t.Error("a free stage was not taken, or not a second time by its holder")
			}
		}
		if took(t, two, hold(1)) {
			t.Error("a stage that another node holds was taken")
		}
		lost, err := two.Renew(t.Context(), hold(1))
		if diff := cmp.Diff([]store.Hold{hold(1)}, lost); diff != "" || err != nil {
			t.Errorf("renewing what another holds: %v %s", err, diff)
		}
		c.advance(50 * time.Second)
		if lost, err := one.Renew(t.Context(), hold(1)); err != nil || len(lost) > 0 {
			t.Errorf("renewing: lost %v, %v", lost, err)
		}
		c.advance(50 * time.Second)
		if took(t, two, hold(1)) {
			t.Error("a hold that was renewed was taken")
		}
		c.advance(11 * time.Second)
		if !took(t, two, hold(1)) {
			t.Error("a hold that ran out was not taken")
		}
		if lost, err := one.Renew(t.Context(), hold(1)); err != nil || len(lost) != 1 {
			t.Errorf("renewing a hold that another has taken: lost %v, %v", lost, err)
		}
		if err := one.ReleaseHolds(t.Context(), hold(1)); err != nil || took(t, one, hold(1)) {
			t.Errorf("a node gave up what another holds (%v)", err)
		}
		if err := two.ReleaseHolds(t.Context(), hold(1)); err != nil || !took(t, one, hold(1)) {
			t.Errorf("a hold that was given up was not taken (%v)", err)
		}
		move(t, two, "b1", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			next, events := b.Cancel(now)
			return next, events, nil
		})
		if lost, err := one.Renew(t.Context(), hold(1)); err != nil || len(lost) != 1 {
			t.Errorf("renewing the hold of a cancelled stage: lost %v, %v", lost, err)
		}
	})
}

func TestHoldNeedsANode(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.SQLite(t), store.Options{})
	if _, err := s.Take(t.Context(), store.Hold{Build: "b1"}); err == nil {
		t.Error("somebody without a name took a hold")
	}
}

// TestOneOfManyTakesAHold has two nodes try at once, many times.
func TestOneOfManyTakesAHold(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		one, two, c := nodes(t, url)
		create(t, one, sample("b1"))
		move(t, one, "b1", unblock)
		for round := range 10 {
			move(t, one, "b1", begin("resolve", ""))
			var winners [2]atomic.Int64
			var group errgroup.Group
			for i, s := range []*store.Store{one, two} {
				for range 3 {
					group.Go(func() error {
						taken, err := s.Take(t.Context(), store.Hold{Build: "b1", Stage: "resolve", Fence: int64(round + 1), Until: c.now().Add(time.Minute)})
						if taken {
							winners[i].Add(1)
						}
						return err
					})
				}
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			if a, b := winners[0].Load(), winners[1].Load(); a+b != 3 || a*b != 0 {
				t.Errorf("one took it %d times and two %d times, want 3 and 0", a, b)
			}
			move(t, one, "b1", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
				return b.Postpone("resolve", int64(round+1), "on purpose", now.Add(-time.Hour))
			})
		}
	})
}
