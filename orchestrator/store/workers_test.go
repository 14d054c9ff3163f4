// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers"
)

func register(t testing.TB, s *store.Store, all ...store.Worker) {
	t.Helper()
	update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Register(ctx, all) })
}

// take gives a slot to a fictitious attempt.
func take(t testing.TB, s *store.Store, worker, build string) bool {
	t.Helper()
	var taken bool
	update(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		taken, err = tx.Take(ctx, store.Lease{Worker: worker, Build: build, Stage: "repeat-0", Fence: 1})
		return err
	})
	return taken
}

func worker(t testing.TB, s *store.Store, name string) store.Worker {
	t.Helper()
	all, err := s.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range all {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("no worker %s", name)
	return store.Worker{}
}

func TestWorkersAreRemembered(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		register(t, s,
			store.Worker{Name: "w1", Address: "w1.example.org:22", Labels: map[string]string{"machine": "8561"}, Slots: 2},
			store.Worker{Name: "w2", Slots: 1})
		facts := &workers.Facts{Release: "27.00", Tools: map[string]workers.Tool{"xlclang": {Version: "2.4.1"}}}
		probed := time.UnixMilli(1_700_000_000_123).UTC()
		quarantine := &workers.Quarantine{Code: workers.QuarantineUnreachable, Since: probed.Add(-time.Hour), Detail: "no route to host", Who: "node-9"}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			w, err := tx.Worker(ctx, "w1")
			if err != nil {
				return err
			}
			w.Draining, w.Quarantine, w.Facts, w.Probed = true, quarantine, facts, probed
			return tx.SetWorker(ctx, w)
		})
		register(t, s, store.Worker{Name: "w1", Address: "w1.example.net:22", Slots: 3})
		have, err := s.Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []store.Worker{
			{Name: "w1", Address: "w1.example.net:22", Slots: 3, Draining: true, Quarantine: quarantine, Facts: facts, Probed: probed, Registered: true},
			{Name: "w2", Slots: 1},
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("(-want +have):\n%s", diff)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			w := want[0]
			w.Quarantine, w.Facts = nil, &workers.Facts{Release: "31.00"}
			return tx.SetWorker(ctx, w)
		})
		want[0].Quarantine, want[0].Facts = nil, &workers.Facts{Release: "31.00"}
		for _, when := range []string{"changed", "read again"} {
			have, err := s.Workers(t.Context())
			if diff := cmp.Diff(want, have); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +have):\n%s", when, err, diff)
			}
		}
		err = s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.SetWorker(ctx, store.Worker{Name: "w3"}) })
		if !errors.Is(err, store.ErrUnknown) {
			t.Errorf("setting a worker that is not there: %v", err)
		}
	})
}

func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		for name, all := range map[string][]store.Worker{
			"twice":      {{Name: "w1"}, {Name: "w1"}},
			"no name":    {{Slots: 1}},
			"below zero": {{Name: "w1", Slots: -1}},
			"too many":   {{Name: "w1", Slots: store.MaxSlots + 1}},
		} {
			if err := s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.Register(ctx, all) }); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}

func TestSlots(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		if take(t, s, "w1", "b0") {
			t.Error("a worker that nobody registered gave a slot")
		}
		register(t, s, store.Worker{Name: "w1", Slots: 3}, store.Worker{Name: "w2", Slots: 1})
		for i, want := range []bool{true, true, true, false} {
			if have := take(t, s, "w1", fmt.Sprint("b", i)); have != want {
				t.Errorf("slot %d of 3: %t", i+1, have)
			}
		}
		if take(t, s, "w2", "b1") {
			t.Error("a stage that has a slot got a second one")
		}
		if taken := len(worker(t, s, "w1").Held); taken != 3 {
			t.Errorf("%d slots are held, want 3", taken)
		}
	})
}

// TestShrinkingWorker takes slots away while they are held.
func TestShrinkingWorker(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		register(t, s, store.Worker{Name: "w1", Slots: 3})
		for i := range 3 {
			b := sample(fmt.Sprint("b", i))
			create(t, s, b)
			move(t, s, b.ID, unblock)
			move(t, s, b.ID, begin("resolve", ""))
			move(t, s, b.ID, succeed("resolve"))
			move(t, s, b.ID, begin("repeat-0", "w1"))
			if !take(t, s, "w1", b.ID) {
				t.Fatal("no slot")
			}
		}
		register(t, s, store.Worker{Name: "w1", Slots: 1})
		for i := range 3 {
			if take(t, s, "w1", "other") {
				t.Fatalf("a slot was given with %d of 1 held", 3-i)
			}
			move(t, s, fmt.Sprint("b", i), succeed("repeat-0"))
			if held := len(worker(t, s, "w1").Held); held != 2-i {
				t.Errorf("%d slots are held after %d ended", held, i+1)
			}
		}
		if !take(t, s, "w1", "one") || take(t, s, "w1", "two") {
			t.Error("a worker with one slot gives one")
		}
		register(t, s, store.Worker{Name: "w1", Slots: 2})
		if !take(t, s, "w1", "two") || take(t, s, "w1", "three") {
			t.Error("a worker that grew to two slots gives a second one")
		}
	})
}

func TestWorkersThatGiveNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		register(t, s, store.Worker{Name: "w1", Slots: 1})
		set := func(w store.Worker) {
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetWorker(ctx, w) })
		}
		set(store.Worker{Name: "w1", Draining: true})
		if take(t, s, "w1", "b1") {
			t.Error("a draining worker gave a slot")
		}
		set(store.Worker{Name: "w1", Quarantine: &workers.Quarantine{Code: workers.QuarantineUnfit}})
		if take(t, s, "w1", "b1") {
			t.Error("a quarantined worker gave a slot")
		}
		set(store.Worker{Name: "w1"})
		register(t, s)
		if take(t, s, "w1", "b1") {
			t.Error("a worker that is no longer registered gave a slot")
		}
		register(t, s, store.Worker{Name: "w1", Slots: 1})
		if !take(t, s, "w1", "b1") {
			t.Error("a worker that serves again gave no slot")
		}
	})
}

// TestLeasesAreNeverDoubled has two stores begin, end, lose and cancel repeats at
// random, and checks after each transition that slots and running repeats are the same
// set, and never more than exist.
func TestLeasesAreNeverDoubled(t *testing.T) {
	t.Parallel()
	const builds, moves = 6, 60
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		stores := []*store.Store{open(), open()}
		register(t, stores[0], store.Worker{Name: "w1", Slots: 2}, store.Worker{Name: "w2", Slots: 1})
		for i := range builds {
			id := fmt.Sprint("b", i)
			create(t, stores[0], sample(id))
			move(t, stores[0], id, unblock)
			move(t, stores[0], id, begin("resolve", ""))
			move(t, stores[0], id, succeed("resolve"))
		}
		fences := fencesSeen{seen: map[string]bool{}}
		var begun atomic.Int64
		var group errgroup.Group
		for i := range 4 {
			random := rand.New(rand.NewPCG(uint64(i), 7)) // its own, so that one order of moves can be looked for again
			group.Go(func() error {
				for range moves {
					id, stage, w := fmt.Sprint("b", random.IntN(builds)), fmt.Sprint("repeat-", random.IntN(2)), fmt.Sprint("w", 1+random.IntN(2))
					kind := random.IntN(10)
					var lease *store.Lease
					err := stores[i%2].Update(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
						lease, err = randomMove(ctx, tx, kind, id, stage, w)
						if err != nil {
							return err
						}
						return consistent(ctx, tx, builds)
					})
					if err != nil {
						return err
					}
					if lease != nil {
						begun.Add(1)
						if err := fences.draw(*lease); err != nil {
							return err
						}
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if begun.Load() < builds {
			t.Errorf("only %d attempts were begun: this tried nothing", begun.Load())
		}
	})
}

type fencesSeen struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (f *fencesSeen) draw(l store.Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fmt.Sprint(l.Build, l.Stage, l.Fence)
	if f.seen[key] {
		return fmt.Errorf("%s was begun twice", key)
	}
	f.seen[key] = true
	return nil
}

// randomMove begins the repeat if it can be begun, and ends it in one of
// three ways if it runs. The lease is nil when nothing was begun.
func randomMove(ctx context.Context, tx *store.Tx, kind int, id, stage, worker string) (*store.Lease, error) {
	was, err := tx.Build(ctx, id)
	if err != nil {
		return nil, err
	}
	next, past := was, tx.Now().Add(-time.Hour)
	s, _ := was.Stage(stage)
	var events []orchestrator.Event
	var begun *store.Lease
	switch {
	case s.State == orchestrator.Ready:
		lease := store.Lease{Worker: worker, Build: id, Stage: stage, Fence: s.Fence + 1}
		if taken, err := tx.Take(ctx, lease); err != nil || !taken {
			return nil, err
		}
		begun = &lease
		var event orchestrator.Event
		next.Build, event, err = was.Begin(stage, worker, tx.Now())
		events = []orchestrator.Event{event}
	case s.State == orchestrator.Running && kind == 0:
		next.Build, events, err = was.Succeed(stage, s.Fence, digest.Digest{}, tx.Now())
	case s.State == orchestrator.Running && kind == 1 && id == "b0":
		next.Build, events = was.Cancel(tx.Now())
	case s.State == orchestrator.Running:
		next.Build, events, err = was.Postpone(stage, s.Fence, "on purpose", past)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return begun, tx.Save(ctx, was, next, events...)
}

// consistent compares the slots with the running repeats.
func consistent(ctx context.Context, tx *store.Tx, builds int) error {
	running := map[string]string{}
	for i := range builds {
		b, err := tx.Build(ctx, fmt.Sprint("b", i))
		if err != nil {
			return err
		}
		for _, s := range b.Stages {
			if s.State == orchestrator.Running {
				running[fmt.Sprint(b.ID, s.ID, s.Fence)] = s.Worker
			}
		}
	}
	all, err := tx.Workers(ctx)
	if err != nil {
		return err
	}
	held := map[string]string{}
	for _, w := range all {
		if len(w.Held) > w.Slots {
			return fmt.Errorf("%d of %d slots of %s are held", len(w.Held), w.Slots, w.Name)
		}
		for _, l := range w.Held {
			held[fmt.Sprint(l.Build, l.Stage, l.Fence)] = w.Name
		}
	}
	if diff := cmp.Diff(running, held); diff != "" {
		return fmt.Errorf("running repeats and held slots differ (-running +held):\n%s", diff)
	}
	return nil
}

// TestQuarantineBegins: a quarantine that continues for the same reason keeps its Since
// and Who, whatever is reported later.
func TestQuarantineBegins(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		one, two, c := nodes(t, url)
		register(t, one, store.Worker{Name: "w1", Slots: 1})
		set := func(s *store.Store, q *workers.Quarantine) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				w, err := tx.Worker(ctx, "w1")
				if err != nil {
					return err
				}
				w.Quarantine = q
				return tx.SetWorker(ctx, w)
			})
		}
		began := c.now()
		for i, step := range []struct {
			by   *store.Store
			is   *workers.Quarantine
			want *workers.Quarantine
		}{
			{one, &workers.Quarantine{Code: workers.QuarantineDiskFull, Detail: "1 MiB free"}, &workers.Quarantine{Code: workers.QuarantineDiskFull, Detail: "1 MiB free", Since: began, Who: "one"}},
			{two, &workers.Quarantine{Code: workers.QuarantineDiskFull, Detail: "2 MiB free"}, &workers.Quarantine{Code: workers.QuarantineDiskFull, Detail: "2 MiB free", Since: began, Who: "one"}},
			{two, &workers.Quarantine{Code: workers.QuarantineClock, Detail: "an hour ahead"}, &workers.Quarantine{Code: workers.QuarantineClock, Detail: "an hour ahead", Since: began.Add(2 * time.Minute), Who: "two"}},
			{one, nil, nil},
			{one, &workers.Quarantine{Code: workers.QuarantineClock}, &workers.Quarantine{Code: workers.QuarantineClock, Since: began.Add(4 * time.Minute), Who: "one"}},
		} {
			if err := set(step.by, step.is); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(step.want, worker(t, two, "w1").Quarantine); diff != "" {
				t.Errorf("step %d (-want +have):\n%s", i, diff)
			}
			c.advance(time.Minute)
		}
		if err := set(one, &workers.Quarantine{Code: "a word of its own"}); err == nil {
			t.Error("a code that does not exist was written")
		}
	})
}
