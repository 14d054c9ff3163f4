// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers"
)

func step(t testing.TB, s *store.Store, name string) store.Step {
	t.Helper()
	st, err := s.BeginStep(t.Context(), "b1", "repeat-0", 1, name)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func tell(t testing.TB, s *store.Store, off int64, text string) {
	t.Helper()
	if err := s.AppendLog(t.Context(), "b1", "repeat-0", 1, "make", off, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func logOf(t testing.TB, s *store.Store, off int64, most int) string {
	t.Helper()
	log, err := s.Log(t.Context(), "b1", "repeat-0", 1, "make", off, most)
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

func TestSteps(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		if _, err := s.BeginStep(t.Context(), "b1", "repeat-0", 1, "make"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("a step of a build that is not there: %v", err)
		}
		create(t, s, sample("b1"))
		begun := c.now()
		for i, name := range []string{"configure", "make", "check"} {
			if have := step(t, s, name); have.No != int64(i+1) {
				t.Errorf("step %s has number %d", name, have.No)
			}
		}
		c.advance(time.Minute)
		tell(t, s, 0, "cc -c gzip.c\n")
		changed := s.Changed()
		tell(t, s, 13, "ld\n")
		within(t, changed, "Changed")
		status := workers.Status{State: workers.Exited, Code: 2, Took: 40 * time.Second}
		if err := s.EndStep(t.Context(), "b1", "repeat-0", 1, "make", status, 41*time.Second+7, digest.Of([]byte("log"))); err != nil {
			t.Fatal(err)
		}
		want := []store.Step{
			{No: 1, Name: "configure", Begun: begun},
			{No: 2, Name: "make", Begun: begun, Status: &status, Took: 41*time.Second + 7, Size: 16, Log: digest.Of([]byte("log"))},
			{No: 3, Name: "check", Begun: begun},
		}
		have, err := s.Steps(t.Context(), "b1", "repeat-0", 1)
		if diff := cmp.Diff(want, have); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
		if diff := cmp.Diff(want[1], step(t, s, "make")); diff != "" {
			t.Errorf("a step that is begun again (-want +have):\n%s", diff)
		}
		if err := s.EndStep(t.Context(), "b1", "repeat-0", 1, "none", status, 0, digest.Digest{}); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("ending a step that is not there: %v", err)
		}
	})
}

func TestStepsBegunAtOnceAreNumberedOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		stores := []*store.Store{open(), open()}
		create(t, stores[0], sample("b1"))
		var group errgroup.Group
		for i := range 8 {
			group.Go(func() error {
				_, err := stores[i%2].BeginStep(t.Context(), "b1", "repeat-0", 1, fmt.Sprint("step", i/2))
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		all, err := stores[0].Steps(t.Context(), "b1", "repeat-0", 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range all {
			if s.No != int64(i+1) {
				t.Errorf("step %d has number %d", i+1, s.No)
			}
		}
		if len(all) != 4 {
			t.Errorf("%d steps, want 4", len(all))
		}
	})
}

func TestLogs(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		step(t, s, "make")
		tell(t, s, 0, "0123")
		tell(t, s, 0, "0123")   // a repetition
		tell(t, s, 2, "2345")   // overlaps
		tell(t, s, 0, "012345") // repeated from the start by an engine that joined
		tell(t, s, 6, "")
		tell(t, s, 6, "6789")
		for _, c := range []struct {
			off  int64
			most int
			want string
		}{
			{0, 0, "0123456789"}, {0, 3, "012"}, {3, 3, "345"}, {5, 100, "56789"}, {9, 1, "9"}, {10, 5, ""}, {1000, 5, ""}, {-5, 2, "01"},
		} {
			if have := logOf(t, s, c.off, c.most); have != c.want {
				t.Errorf("%d bytes from %d on: %q, want %q", c.most, c.off, have, c.want)
			}
		}
		if err := s.AppendLog(t.Context(), "b1", "repeat-0", 1, "make", 11, []byte("x")); !errors.Is(err, store.ErrGap) {
			t.Errorf("a gap: %v", err)
		}
		if err := s.AppendLog(t.Context(), "b1", "repeat-0", 1, "make", -1, []byte("x")); !errors.Is(err, store.ErrGap) {
			t.Errorf("an offset below zero: %v", err)
		}
		if err := s.AppendLog(t.Context(), "b1", "repeat-0", 2, "make", 0, []byte("x")); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("a step that was not begun: %v", err)
		}
		if err := s.EndStep(t.Context(), "b1", "repeat-0", 1, "make", workers.Status{State: workers.Exited}, 0, digest.Digest{}); err != nil {
			t.Fatal(err)
		}
		tell(t, s, 0, "0123456789")
		if err := s.AppendLog(t.Context(), "b1", "repeat-0", 1, "make", 10, []byte("x")); !errors.Is(err, store.ErrRefused) {
			t.Errorf("a log that grows after its step has ended: %v", err)
		}
	})
}

func TestDeleteLog(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		step(t, s, "make")
		tell(t, s, 0, "all of it")
		drop := func() {
			if err := s.DeleteLog(t.Context(), "b1", "repeat-0", 1); err != nil {
				t.Fatal(err)
			}
		}
		drop()
		if have := logOf(t, s, 0, 0); have != "all of it" {
			t.Errorf("a log that lies nowhere else was dropped: %q is left", have)
		}
		if err := s.EndStep(t.Context(), "b1", "repeat-0", 1, "make", workers.Status{State: workers.Exited}, 0, digest.Of([]byte("all of it"))); err != nil {
			t.Fatal(err)
		}
		drop()
		if have := logOf(t, s, 0, 0); have != "" {
			t.Errorf("%q is left", have)
		}
		tell(t, s, 0, "all of it") // an engine that joins sends it again: it is known
		if have := logOf(t, s, 0, 0); have != "" {
			t.Errorf("%q came back", have)
		}
	})
}

// TestTwoWritersOfALog has two nodes write the same log in different pieces.
func TestTwoWritersOfALog(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		stores := []*store.Store{open(), open()}
		create(t, stores[0], sample("b1"))
		step(t, stores[0], "make")
		var want bytes.Buffer
		for i := range 20_000 {
			fmt.Fprintf(&want, "line %d\n", i)
		}
		var group errgroup.Group
		for i, s := range stores {
			group.Go(func() error {
				piece := []int{7001, 90_001}[i] // beyond the size of a row, too
				for off := 0; off < want.Len(); off += piece {
					end := min(off+piece, want.Len())
					if err := s.AppendLog(t.Context(), "b1", "repeat-0", 1, "make", int64(off), want.Bytes()[off:end]); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		have := logOf(t, stores[1], 0, 0)
		if have != want.String() {
			t.Errorf("the log has %d bytes, %d were told, or they differ", len(have), want.Len())
		}
		var pieces bytes.Buffer
		for off := int64(0); ; off += 50_001 {
			piece := logOf(t, stores[0], off, 50_001)
			if piece == "" {
				break
			}
			pieces.WriteString(piece)
		}
		if pieces.String() != want.String() {
			t.Error("the log read in pieces is another one")
		}
	})
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		create(t, s, sample("b1"))
		a := store.Attempt{Build: "b1", Stage: "repeat-0", Fence: 1, Worker: "w1", Workspace: "b1-repeat-0-1", Begun: c.now()}
		begin := func(a store.Attempt) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.BeginAttempt(ctx, a) })
		}
		if err := begin(a); err != nil {
			t.Fatal(err)
		}
		if err := begin(a); !errors.Is(err, store.ErrRefused) {
			t.Errorf("beginning twice: %v", err)
		}
		c.advance(time.Minute)
		end := func(a store.Attempt) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.EndAttempt(ctx, a) })
		}
		a.Ended, a.Outcome, a.Detail = c.now(), "lost", "connection reset"
		later := a
		later.Outcome = "succeeded"
		if err := errors.Join(end(a), end(later)); err != nil {
			t.Fatal(err)
		}
		if err := end(store.Attempt{Build: "b1", Stage: "repeat-0", Fence: 9}); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("ending what never began: %v", err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Cleaned(ctx, "b1", "repeat-0", 1) })
		a.Cleaned = true
		have, err := s.Attempts(t.Context(), "b1")
		if diff := cmp.Diff([]store.Attempt{a}, have); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
	})
}

func TestWhatWasFetchedOfAnAttempt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		a := store.Attempt{Build: "b1", Stage: "repeat-0", Fence: 1, Worker: "w1", Workspace: "ws"}
		fetched := func(fence int64, what string) error {
			return s.Fetched(t.Context(), "b1", "repeat-0", fence, digest.Of([]byte(what)))
		}
		if err := fetched(1, "tree"); !errors.Is(err, store.ErrRefused) {
			t.Errorf("of an attempt that did not begin: %v", err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.BeginAttempt(ctx, a) })
		if err := fetched(1, "tree"); err != nil {
			t.Fatal(err)
		}
		if err := fetched(1, "tree"); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if err := fetched(1, "another tree"); !errors.Is(err, store.ErrRefused) {
			t.Errorf("something else later: %v", err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			later := a
			later.Fence = 2
			return errors.Join(tx.BeginAttempt(ctx, later), tx.EndAttempt(ctx, later))
		})
		if err := fetched(2, "late tree"); !errors.Is(err, store.ErrRefused) {
			t.Errorf("of an attempt that has ended: %v", err)
		}
		have, err := s.Attempt(t.Context(), "b1", "repeat-0", 1)
		if err != nil || have.Output != digest.Of([]byte("tree")) {
			t.Errorf("the output is %s (%v)", have.Output.Short(), err)
		}
		for what, want := range map[string]bool{"tree": true, "another tree": false, "late tree": false} {
			if kept, err := s.Kept(t.Context(), digest.Of([]byte(what))); err != nil || kept != want {
				t.Errorf("the %s is kept: %t (%v)", what, kept, err)
			}
		}
	})
}

func TestForgetLogs(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		create(t, s, sample("b1"), sample("b2"), sample("b3"))
		forget := func(id string) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.ForgetLogs(ctx, id) })
		}
		old := func(before time.Time, limit int) []string {
			t.Helper()
			ids, err := s.OldLogs(t.Context(), before, limit)
			if err != nil {
				t.Fatal(err)
			}
			return ids
		}
		status := workers.Status{State: workers.Exited}
		for name, log := range map[string]string{"make": "log", "check": "log that is a report, too"} {
			step(t, s, name)
			if err := s.EndStep(t.Context(), "b1", "repeat-0", 1, name, status, time.Second, sumOf(log)); err != nil {
				t.Fatal(err)
			}
		}
		step(t, s, "lost") // its worker was lost: the log never came to the artifact store
		if err := s.AppendLog(t.Context(), "b1", "repeat-0", 1, "lost", 0, []byte("half a log")); err != nil {
			t.Fatal(err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.Keep(ctx, "b1", sumOf("log that is a report, too"), sumOf("tree"))
		})
		if err := forget("b1"); !errors.Is(err, store.ErrRefused) {
			t.Errorf("forgetting the logs of a build that lives: %v", err)
		}
		if err := forget("nobody"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("forgetting the logs of no build: %v", err)
		}
		for _, id := range []string{"b2", "b1"} {
			finish(t, s, id)
			c.advance(time.Minute)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.Publish(ctx, store.Release{Port: "gzip", Version: "1", Build: "b1"}, nil)
		})
		if diff := cmp.Diff([][]string{{"b2", "b1"}, {"b2"}, {"b2"}, nil}, [][]string{old(c.now(), 10), old(c.now(), 1), old(c.now().Add(-time.Minute), 10), old(time.Time{}, 10)}); diff != "" {
			t.Errorf("what may be forgotten (-want +have):\n%s", diff)
		}
		if err := forget("b1"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"b2"}, old(c.now(), 10)); diff != "" {
			t.Errorf("what may be forgotten afterwards (-want +have):\n%s", diff)
		}
		steps, err := s.Steps(t.Context(), "b1", "repeat-0", 1)
		if err != nil || len(steps) != 3 {
			t.Fatalf("%d steps, %v", len(steps), err)
		}
		for _, st := range steps {
			if !st.Log.IsZero() || (st.Status == nil) != (st.Name == "lost") {
				t.Errorf("a step afterwards: %+v", st)
			}
		}
		if log, err := s.Log(t.Context(), "b1", "repeat-0", 1, "lost", 0, 0); err != nil || len(log) > 0 {
			t.Errorf("the log of the lost step is %q, %v", log, err)
		}
		for what, want := range map[string]bool{"log": false, "log that is a report, too": true, "tree": true, "document of b1": true} {
			if kept, err := s.Kept(t.Context(), sumOf(what)); err != nil || kept != want {
				t.Errorf("the %s is kept: %t (%v)", what, kept, err)
			}
		}
		for id, want := range map[string]bool{"b1": true, "b2": false} {
			if b, err := s.Build(t.Context(), id); err != nil || b.LogsForgotten != want {
				t.Errorf("the logs of build %s are forgotten: %t (%v)", id, b.LogsForgotten, err)
			}
		}
	})
}
