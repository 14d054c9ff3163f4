// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

func pause(t *testing.T, s *store.Store, id string, paused bool) {
	t.Helper()
	update(t, s, func(ctx context.Context, tx *store.Tx) error {
		was, err := tx.Build(ctx, id)
		if err != nil {
			return err
		}
		next := was
		next.Paused = paused
		return tx.Save(ctx, was, next)
	})
}

func due(t *testing.T, s *store.Store, now time.Time) store.Due {
	t.Helper()
	d, err := s.Due(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDue(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		one, _, c := nodes(t, url)
		check := func(when string, want store.Due) {
			t.Helper()
			if diff := cmp.Diff(want, due(t, one, c.now()), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +have):\n%s", when, diff)
			}
		}
		claim := func(stages ...string) (ws []store.Wake) {
			for _, s := range stages {
				ws = append(ws, store.Wake{Kind: store.Claim, Build: "b1", Stage: s})
			}
			return ws
		}
		create(t, one, sample("b0"))
		create(t, one, sample("b1", store.Need{Port: "zlib", Build: "b0", At: []string{"build"}}, store.Need{Port: "gone", Build: "forgotten", At: []string{"run"}}))
		check("b1 waits for b0", store.Due{Needs: []store.Wake{{Kind: store.Needs, Build: "b0"}}})
		finish(t, one, "b0")
		check("b0 is over", store.Due{Needs: []store.Wake{{Kind: store.Needs, Build: "b1"}}})
		move(t, one, "b1", unblock)
		check("b1 may begin", store.Due{Claim: claim("resolve")})
		pause(t, one, "b1", true)
		check("b1 is paused", store.Due{})
		pause(t, one, "b1", false)
		move(t, one, "b1", begin("resolve", ""))
		check("nobody holds what runs", store.Due{Claim: claim("resolve")})
		took(t, one, store.Hold{Build: "b1", Stage: "resolve", Fence: 1, Until: c.now().Add(time.Minute)})
		check("somebody holds it", store.Due{})
		c.advance(time.Minute + time.Second)
		check("the hold has run out", store.Due{Claim: claim("resolve")})
		move(t, one, "b1", succeed("resolve"))
		check("repeats are ready", store.Due{Match: true})
		pause(t, one, "b1", true)
		check("but paused", store.Due{})
		pause(t, one, "b1", false)
		move(t, one, "b1", begin("repeat-0", "w1"))
		move(t, one, "b1", begin("repeat-1", "w2"))
		check("repeats run", store.Due{Claim: claim("repeat-0", "repeat-1")})
		move(t, one, "b1", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			return b.Lose("repeat-0", 1, "lost", now)
		})
		check("a retry waits", store.Due{Claim: claim("repeat-1")})
		c.advance(2 * time.Second)
		check("a retry may begin", store.Due{Claim: claim("repeat-1"), Match: true})
	})
}

func TestDueProbes(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		register(t, s, store.Worker{Name: "w1", Slots: 1}, store.Worker{Name: "w2", Slots: 1})
		attempt := func(fence int64, worker string) store.Attempt {
			return store.Attempt{Build: "b1", Stage: "repeat-0", Fence: fence, Worker: worker, Workspace: "ws"}
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i, w := range []string{"w1", "w2", "gone", "w1"} {
				if err := tx.BeginAttempt(ctx, attempt(int64(i+1), w)); err != nil {
					return err
				}
			}
			return nil
		})
		if d := due(t, s, time.Now()); len(d.Probe) != 0 {
			t.Errorf("attempts run on %v", d.Probe)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i, w := range []string{"w1", "w2", "gone", "w1"} {
				a := attempt(int64(i+1), w)
				a.Outcome = "lost"
				if err := tx.EndAttempt(ctx, a); err != nil {
					return err
				}
			}
			return tx.Cleaned(ctx, "b1", "repeat-0", 2)
		})
		if diff := cmp.Diff([]string{"w1"}, due(t, s, time.Now()).Probe); diff != "" {
			t.Errorf("workers to look at (-want +have):\n%s", diff)
		}
	})
}

func TestReady(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		one, _, c := nodes(t, url)
		b := sample("b1")
		b.Build = orchestrator.New("b1", 3, c.now())
		create(t, one, b, sample("b2"), sample("b3"))
		for _, id := range []string{"b1", "b2", "b3"} {
			move(t, one, id, unblock)
			move(t, one, id, begin("resolve", ""))
			move(t, one, id, succeed("resolve"))
		}
		pause(t, one, "b3", true)
		move(t, one, "b1", begin("repeat-0", "w1"))
		move(t, one, "b1", begin("repeat-1", "w2"))
		move(t, one, "b1", succeed("repeat-0"))
		move(t, one, "b2", begin("repeat-1", "w3"))
		move(t, one, "b2", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			return b.Lose("repeat-1", 1, "lost", now)
		})
		ready := func(id string, n int, used, lost []string, since time.Time) store.ReadyRepeat {
			return store.ReadyRepeat{
				Build: id, Stage: []string{"repeat-0", "repeat-1", "repeat-2"}[n], Port: "gzip", Owner: "anna", Priority: 3,
				Since: since, Wants: []byte(`{"apart":true}`), Lost: lost, Used: used,
			}
		}
		begun := c.now()
		want := []store.ReadyRepeat{ready("b1", 2, []string{"w1", "w2"}, nil, begun), ready("b2", 0, nil, nil, begun)}
		have, err := one.Ready(t.Context())
		if diff := cmp.Diff(want, have); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
		c.advance(2 * time.Second)
		want = append(want, ready("b2", 1, nil, []string{"w3"}, begun))
		have, err = one.Ready(t.Context())
		if diff := cmp.Diff(want, have); diff != "" || err != nil {
			t.Errorf("after the pause: %v (-want +have):\n%s", err, diff)
		}
	})
}

func TestGraph(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		other := sample("b2", store.Need{Port: "gzip", Build: "b0"}, store.Need{Port: "gzip", Build: "b1"})
		other.Port = "tar"
		create(t, s, sample("b0"), sample("b1"), other)
		finish(t, s, "b0")
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for _, took := range []time.Duration{time.Minute, 3 * time.Minute, 6 * time.Minute} {
				if err := tx.Learn(ctx, "gzip", string(orchestrator.Repeat), took); err != nil {
					return err
				}
			}
			return tx.Learn(ctx, "gzip", string(orchestrator.Compare), time.Hour)
		})
		want := []store.Node{
			{ID: "b1", Port: "gzip", Owner: "anna", State: orchestrator.BuildWaiting, Expected: 4 * time.Minute},
			{ID: "b2", Port: "tar", Owner: "anna", State: orchestrator.BuildWaiting, Needs: []string{"b0", "b1"}},
		}
		have, err := s.Graph(t.Context())
		if diff := cmp.Diff(want, have); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
		history, err := s.History(t.Context())
		if diff := cmp.Diff(map[string]time.Duration{"gzip": 4 * time.Minute}, history); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
	})
}

// TestBuildsThatLiveAreReadOnce: the cached part of a build follows its state, even if
// an id is used a second time.
func TestBuildsThatLiveAreReadOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		one, two := open(), open()
		look := func(when string, want ...store.Node) {
			t.Helper()
			for _, s := range []*store.Store{one, two, one} {
				have, err := s.Graph(t.Context())
				if diff := cmp.Diff(want, have, cmpopts.EquateEmpty()); diff != "" || err != nil {
					t.Errorf("%s: %v (-want +have):\n%s", when, err, diff)
				}
			}
		}
		wants := func(when string, want ...string) {
			t.Helper()
			for _, s := range []*store.Store{two, one, two} {
				ready, err := s.Ready(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var have []string
				for _, r := range ready {
					have = append(have, r.Build+" "+r.Stage+" "+r.Port+" "+string(r.Wants))
				}
				if diff := cmp.Diff(want, have); diff != "" {
					t.Errorf("%s (-want +have):\n%s", when, diff)
				}
			}
		}
		ready := func(id string) {
			for _, step := range []func(orchestrator.Build, time.Time) (orchestrator.Build, []orchestrator.Event, error){unblock, begin("resolve", ""), succeed("resolve")} {
				move(t, one, id, step)
			}
		}
		create(t, one, sample("b1"))
		waiting := func(id, port string, needs ...string) store.Node {
			return store.Node{ID: id, Port: port, Owner: "anna", State: orchestrator.BuildWaiting, Needs: needs}
		}
		look("one build", waiting("b1", "gzip"))
		create(t, two, sample("b2", store.Need{Port: "gzip", Build: "b1"}))
		look("two builds", waiting("b1", "gzip"), waiting("b2", "gzip", "b1"))
		ready("b1")
		ready("b2")
		wants("both are ready", `b1 repeat-0 gzip {"apart":true}`, `b1 repeat-1 gzip {"apart":true}`, `b2 repeat-0 gzip {"apart":true}`, `b2 repeat-1 gzip {"apart":true}`)
		pause(t, two, "b2", true)
		wants("one is paused", `b1 repeat-0 gzip {"apart":true}`, `b1 repeat-1 gzip {"apart":true}`)
		for _, id := range []string{"b1", "b2"} {
			move(t, two, id, func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
				next, events := b.Cancel(now)
				return next, events, nil
			})
		}
		update(t, two, func(ctx context.Context, tx *store.Tx) error { return tx.Forget(ctx, "b1") })
		other := sample("b1", store.Need{Port: "m4", Build: "b9"})
		other.Port, other.Wants = "tar", []byte(`{}`)
		create(t, two, other)
		look("another build of the same id", waiting("b1", "tar", "b9"))
		ready("b1")
		wants("another build of the same id is ready", "b1 repeat-0 tar {}", "b1 repeat-1 tar {}")
	})
}

// TestManyBuildsLive has more builds than one statement asks for, and drops those that
// have ended from the cache.
func TestManyBuildsLive(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		const n = 1203
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range n {
				b := sample(fmt.Sprint("b", i), store.Need{Port: "gzip", Build: fmt.Sprint("b", i-1)}, store.Need{Port: "gzip", Build: fmt.Sprint("b", i/2)})
				b.Port = fmt.Sprint("port", i)
				if _, err := tx.Create(ctx, b); err != nil {
					return err
				}
			}
			return nil
		})
		check := func(from int) {
			t.Helper()
			graph, err := s.Graph(t.Context())
			if err != nil || len(graph) != n-from {
				t.Fatalf("%d builds live (%v)", len(graph), err)
			}
			for i, node := range graph {
				i += from
				want := store.Node{ID: fmt.Sprint("b", i), Port: fmt.Sprint("port", i), Owner: "anna", State: orchestrator.BuildWaiting, Needs: []string{fmt.Sprint("b", i-1), fmt.Sprint("b", i/2)}}
				if diff := cmp.Diff(want, node); diff != "" {
					t.Fatalf("(-want +have):\n%s", diff)
				}
			}
		}
		check(0)
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range n - 10 {
				was, err := tx.Build(ctx, fmt.Sprint("b", i))
				if err != nil {
					return err
				}
				next := was
				next.Build, _ = was.Cancel(tx.Now())
				if err := tx.Save(ctx, was, next); err != nil {
					return err
				}
			}
			return nil
		})
		check(n - 10)
		last := sample("last")
		create(t, s, last)
		graph, err := s.Graph(t.Context())
		if err != nil || len(graph) != 11 || graph[10].ID != "last" || graph[10].Port != "gzip" || graph[0].Port != fmt.Sprint("port", n-10) {
			t.Errorf("%+v, %v", graph, err)
		}
	})
}

func TestTally(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		check := func(when string, ready int, want map[orchestrator.BuildState]int) {
			t.Helper()
			all := map[orchestrator.BuildState]int{orchestrator.BuildWaiting: 0, orchestrator.BuildQueued: 0, orchestrator.BuildRunning: 0, orchestrator.BuildSucceeded: 0, orchestrator.BuildFailed: 0, orchestrator.BuildCancelled: 0}
			for state, n := range want {
				all[state] = n
			}
			have, err := s.Tally(t.Context())
			if diff := cmp.Diff(store.Tally{Builds: all, Ready: ready}, have); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +have):\n%s", when, err, diff)
			}
		}
		check("nothing", 0, nil)
		create(t, s, sample("b1"), sample("b2"), sample("b3"), sample("b4"), sample("b5"))
		finish(t, s, "b1")
		move(t, s, "b2", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			next, events := b.Cancel(now)
			return next, events, nil
		})
		move(t, s, "b3", unblock)
		move(t, s, "b3", begin("resolve", ""))
		move(t, s, "b3", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			return b.Fail("resolve", 1, orchestrator.Failure{Kind: orchestrator.FaultySource, Message: "gone"}, digest.Digest{}, now)
		})
		move(t, s, "b4", unblock)
		move(t, s, "b4", begin("resolve", ""))
		check("one of each", 0, map[orchestrator.BuildState]int{orchestrator.BuildWaiting: 1, orchestrator.BuildRunning: 1, orchestrator.BuildSucceeded: 1, orchestrator.BuildFailed: 1, orchestrator.BuildCancelled: 1})
		move(t, s, "b4", succeed("resolve"))
		check("two are ready", 2, map[orchestrator.BuildState]int{orchestrator.BuildWaiting: 1, orchestrator.BuildQueued: 1, orchestrator.BuildSucceeded: 1, orchestrator.BuildFailed: 1, orchestrator.BuildCancelled: 1})
		move(t, s, "b4", begin("repeat-0", "w1"))
		move(t, s, "b4", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			return b.Lose("repeat-0", 1, "lost", now)
		})
		check("one waits for another try", 1, map[orchestrator.BuildState]int{orchestrator.BuildWaiting: 1, orchestrator.BuildQueued: 1, orchestrator.BuildSucceeded: 1, orchestrator.BuildFailed: 1, orchestrator.BuildCancelled: 1})
		c.advance(2 * time.Second)
		pause(t, s, "b4", true)
		check("but is paused", 0, map[orchestrator.BuildState]int{orchestrator.BuildWaiting: 1, orchestrator.BuildQueued: 1, orchestrator.BuildSucceeded: 1, orchestrator.BuildFailed: 1, orchestrator.BuildCancelled: 1})
	})
}
