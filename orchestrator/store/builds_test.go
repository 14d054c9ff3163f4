// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// sample is a new build.
func sample(id string, needs ...store.Need) store.Build {
	return store.Build{
		Build: orchestrator.New(id, 2, time.UnixMilli(1_700_000_000_000).UTC()),
		Port:  "gzip", Version: "1.12", Owner: "anna", Recipe: digest.Of([]byte("recipe of " + id)), Document: digest.Of([]byte("document of " + id)),
		URI: "https://example.org/ports.git", Path: "gzip/recipe.hcl", Identity: digest.Of([]byte("identity of " + id)),
		Priority: 3, Wants: []byte(`{"apart":true}`), Needs: needs,
	}
}

// update runs fn in an Update that must succeed.
func update(t testing.TB, s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, s *store.Store, builds ...store.Build) {
	t.Helper()
	update(t, s, func(ctx context.Context, tx *store.Tx) error {
		for _, b := range builds {
			if _, err := tx.Create(ctx, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// move applies one pure transition to a stored build.
func move(t testing.TB, s *store.Store, id string, step func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error)) store.Build {
	t.Helper()
	update(t, s, moving(id, step))
	b, err := s.Build(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func moving(id string, step func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error)) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		was, err := tx.Build(ctx, id)
		if err != nil {
			return err
		}
		next := was
		var events []orchestrator.Event
		if next.Build, events, err = step(was.Build, tx.Now()); err != nil {
			return err
		}
		return tx.Save(ctx, was, next, events...)
	}
}

func unblock(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
	next, e, err := b.Unblock(now)
	return next, []orchestrator.Event{e}, err
}

func begin(stage, worker string) func(orchestrator.Build, time.Time) (orchestrator.Build, []orchestrator.Event, error) {
	return func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
		next, e, err := b.Begin(stage, worker, now)
		return next, []orchestrator.Event{e}, err
	}
}

func succeed(stage string) func(orchestrator.Build, time.Time) (orchestrator.Build, []orchestrator.Event, error) {
	return func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
		s, _ := b.Stage(stage)
		return b.Succeed(stage, s.Fence, digest.Of([]byte(stage)), now)
	}
}

// finish takes a build to success.
func finish(t testing.TB, s *store.Store, id string) store.Build {
	t.Helper()
	b := move(t, s, id, unblock)
	for _, stage := range b.Stages {
		move(t, s, id, begin(stage.ID, ""))
		b = move(t, s, id, succeed(stage.ID))
	}
	return b
}

func TestLifeOfABuild(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		want := sample("b1", store.Need{Port: "zlib", Build: "b0", At: []string{"build", "run"}}, store.Need{Port: "m4", Build: "b9", At: []string{"build"}})
		var created store.Build
		update(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			created, err = tx.Create(ctx, want)
			want.Submitted = tx.Now()
			return err
		})
		want.Seq = 1
		have, err := s.Build(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("a build as it was read (-created +read):\n%s", diff)
		}
		if diff := cmp.Diff(want, created); diff != "" {
			t.Errorf("a build as Create returned it:\n%s", diff)
		}

		// Every transition must come back from the database exactly as the pure
		// functions made it.
		state := have.Build
		steps := []func(orchestrator.Build, time.Time) (orchestrator.Build, []orchestrator.Event, error){
			unblock, begin("resolve", ""), succeed("resolve"), begin("repeat-0", "w1"), begin("repeat-1", "w2"),
			func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
				return b.Lose("repeat-1", 1, "connection reset \x00 by \xff peer", now.Add(-time.Hour))
			},
			begin("repeat-1", "w3"), succeed("repeat-1"), succeed("repeat-0"), begin("compare", ""),
			func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
				return b.Fail("compare", 1, orchestrator.Failure{Kind: orchestrator.NotReproduced, Message: "bin/gzip differs"}, digest.Of([]byte("report")), now)
			},
		}
		events := 0
		for i, step := range steps {
			var kept []orchestrator.Event
			have := move(t, s, "b1", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
				next, made, err := step(b, now)
				state, kept = next, made
				return next, made, err
			})
			if diff := cmp.Diff(state, have.Build); diff != "" {
				t.Fatalf("after step %d (-made +read):\n%s", i, diff)
			}
			events += len(kept)
		}
		have, err = s.Build(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if have.State() != orchestrator.BuildFailed || have.Ended.IsZero() {
			t.Errorf("the build is %s and ended at %s, want failed and a time", have.State(), have.Ended)
		}
		all, err := s.Events(t.Context(), 0, "b1", 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != events {
			t.Errorf("%d events were kept, %d were made", len(all), events)
		}
		for i, e := range all {
			if e.Seq != int64(i+1) || e.Build != "b1" {
				t.Errorf("event %d has number %d and build %q", i+1, e.Seq, e.Build)
			}
		}
	})
}

func TestOtherColumnsOfABuildAreSaved(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		var want store.Build
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			was, err := tx.Build(ctx, "b1")
			if err != nil {
				return err
			}
			want = was
			want.Inputs, want.Identity, want.Priority, want.Paused = digest.Of([]byte("inputs")), digest.Digest{}, -2, true
			want.Verdict, want.SameAs = "identical", "b0"
			return tx.Save(ctx, was, want)
		})
		have, err := s.Build(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("(-saved +read):\n%s", diff)
		}
	})
}

func TestStaleFenceIsRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		move(t, s, "b1", unblock)
		stale := move(t, s, "b1", begin("resolve", ""))
		move(t, s, "b1", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			return b.Postpone("resolve", 1, "disk full", now.Add(-time.Hour))
		})
		move(t, s, "b1", begin("resolve", ""))
		next := stale
		var events []orchestrator.Event
		var err error
		if next.Build, events, err = stale.Succeed("resolve", 1, digest.Digest{}, time.Now()); err != nil {
			t.Fatal(err)
		}
		err = s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.Save(ctx, stale, next, events...) })
		if !errors.Is(err, store.ErrRefused) {
			t.Errorf("saving under an old fence: %v, want ErrRefused", err)
		}
		have, err := s.Build(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if stage, _ := have.Stage("resolve"); stage.State != orchestrator.Running || stage.Fence != 2 {
			t.Errorf("the stage is %s under fence %d, want running under 2", stage.State, stage.Fence)
		}
		if all, err := s.Events(t.Context(), 0, "", 100); err != nil || len(all) != 4 {
			t.Errorf("%d events (%v), want the 4 of the transitions that happened", len(all), err)
		}
	})
}

func TestUnknownBuild(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		if _, err := s.Build(t.Context(), "none"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%v, want ErrUnknown", err)
		}
		err := s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Build(ctx, "none")
			return err
		})
		if !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%v, want ErrUnknown", err)
		}
	})
}

func TestIdentityIsTakenOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		stores := []*store.Store{open(), open()}
		outcome := make(chan error)
		for i := range 50 {
			go func() {
				b := sample(fmt.Sprintf("b%d", i))
				b.Identity = digest.Of([]byte("the same"))
				outcome <- stores[i%2].Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.Create(ctx, b)
					return err
				})
			}()
		}
		made := 0
		for range 50 {
			switch err := <-outcome; {
			case err == nil:
				made++
			case !errors.Is(err, store.ErrRefused):
				t.Error(err)
			}
		}
		if made != 1 {
			t.Errorf("%d builds were made with one identity", made)
		}
	})
}
