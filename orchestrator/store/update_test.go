// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// raw opens the database without the store.
func raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, name := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// within fails the test when nothing comes from the channel in time.
func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("waited a minute for %s", what)
		panic("unreachable")
	}
}

// TestUpdatesDoNotInterleave counts in a column of a build from many goroutines of two
// stores. Meanwhile a reader that follows the events must never see a number before a
// smaller one.
func TestUpdatesDoNotInterleave(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 25
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		stores := []*store.Store{open(), open()}
		create(t, stores[0], sample("b1"))
		before, err := stores[1].Seq(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var group errgroup.Group
		for i := range writers {
			group.Go(func() error {
				for range each {
					if err := stores[i%2].Update(t.Context(), count); err != nil {
						return err
					}
				}
				return nil
			})
		}
		group.Go(func() error { return follow(t.Context(), stores[0], writers*each) })
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		b, err := stores[0].Build(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if want := sample("b1").Priority + writers*each; b.Priority != want {
			t.Errorf("counted to %d, want %d", b.Priority, want)
		}
		if after, err := stores[1].Seq(t.Context()); err != nil || after != before+writers*each {
			t.Errorf("Seq rose from %d to %d (%v), want by one for each of %d updates", before, after, err, writers*each)
		}
	})
}

func count(ctx context.Context, tx *store.Tx) error {
	was, err := tx.Build(ctx, "b1")
	if err != nil {
		return err
	}
	next := was
	next.Priority++
	return tx.Save(ctx, was, next, orchestrator.Event{Stage: "resolve", Detail: fmt.Sprint(next.Priority)})
}

func follow(ctx context.Context, s *store.Store, until int64) error {
	for last := int64(0); last < until; {
		events, err := s.Events(ctx, last, "", 1000)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Seq != last+1 {
				return fmt.Errorf("event %d was seen after %d", e.Seq, last)
			}
			last = e.Seq
		}
	}
	return nil
}

func TestGivenUpUpdateLeavesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b0"))
		seq, err := s.Seq(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		changed := s.Changed()
		enough := errors.New("enough")
		err = s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Create(ctx, sample("b1"))
			return errors.Join(enough, err, tx.Wake(ctx, store.Wake{Kind: store.Match}, store.Wake{Kind: store.Claim, Build: "b1"}),
				tx.Audit(ctx, store.Audit{Who: "anna", What: "submit"}), count(ctx, tx),
				tx.Register(ctx, []store.Worker{{Name: "w1", Slots: 1}}))
		})
		if !errors.Is(err, enough) {
			t.Fatalf("%v, want the function's own error", err)
		}
		if _, err := s.Build(t.Context(), "b1"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("the build is there: %v", err)
		}
		events, err1 := s.Events(t.Context(), 0, "", 0)
		audits, err2 := s.Audits(t.Context(), 0, 0)
		workers, err3 := s.Workers(t.Context())
		status, err4 := s.Status(t.Context())
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if n := len(events) + len(audits) + len(workers) + int(status.Waiting); n != 0 {
			t.Errorf("%d events, %d audits, %d workers and %d wake-ups are there", len(events), len(audits), len(workers), status.Waiting)
		}
		if now, err := s.Seq(t.Context()); err != nil || now != seq {
			t.Errorf("Seq went from %d to %d (%v)", seq, now, err)
		}
		select {
		case <-changed:
			t.Error("Changed was closed")
		default:
		}
		// The number that was drawn is drawn again.
		create(t, s, sample("b2"))
		if b, err := s.Build(t.Context(), "b2"); err != nil || b.Seq != 2 {
			t.Errorf("the next build has number %d (%v), want 2", b.Seq, err)
		}
		within(t, changed, "Changed")
	})
}

func TestUpdateThatWritesNothingDoesNotCount(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		before, err := s.Seq(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			b, err := tx.Build(ctx, "b1")
			if err != nil {
				return err
			}
			return tx.Save(ctx, b, b)
		})
		if after, err := s.Seq(t.Context()); err != nil || after != before {
			t.Errorf("Seq went from %d to %d (%v)", before, after, err)
		}
	})
}

func TestUpdateWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			left <- s.Update(context.WithoutCancel(t.Context()), func(context.Context, *store.Tx) error {
				close(inside)
				<-leave
				return nil
			})
		}()
		within(t, inside, "the first update")
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() { second <- s.Update(ctx, func(context.Context, *store.Tx) error { return nil }) }()
		cancel()
		if err := within(t, second, "the second update"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		close(leave)
		if err := within(t, left, "the first update"); err != nil {
			t.Error(err)
		}
	})
}

func TestPanicInAnUpdateFreesTheDatabase(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		func() {
			defer func() { _ = recover() }()
			_ = s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, _ = tx.Create(ctx, sample("b1"))
				panic("a fault of the caller")
			})
		}()
		create(t, s, sample("b1"))
	})
}

// TestReadsBesideAnUpdate: readers do not wait for a transition.
func TestReadsBesideAnUpdate(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		var group errgroup.Group
		for range 20 {
			group.Go(func() error {
				return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					if _, err := s.Build(t.Context(), "b1"); err != nil {
						return err
					}
					return count(ctx, tx)
				})
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestNestedCallsAreRefused calls methods of the Store of every kind with the
// context of an Update: none takes a second connection, and the Update goes on.
func TestNestedCallsAreRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for name, call := range map[string]func() error{
				"Build":     func() error { _, err := s.Build(ctx, "b1"); return err },
				"Builds":    func() error { _, err := s.Builds(ctx, store.Filter{}); return err },
				"Workers":   func() error { _, err := s.Workers(ctx); return err },
				"Left":      func() error { _, err := s.Left(ctx, "w1"); return err },
				"Files":     func() error { _, err := s.Files(ctx, "b1"); return err },
				"Seq":       func() error { _, err := s.Seq(ctx); return err },
				"Due":       func() error { _, err := s.Due(ctx, time.Now()); return err },
				"Status":    func() error { _, err := s.Status(ctx); return err },
				"BeginStep": func() error { _, err := s.BeginStep(ctx, "b1", "resolve", 1, "make"); return err },
				"Take":      func() error { _, err := s.Take(ctx, store.Hold{Build: "b1"}); return err },
				"Update":    func() error { return s.Update(ctx, count) },
			} {
				if err := call(); !errors.Is(err, store.ErrNested) {
					t.Errorf("%s within Update: %v, want ErrNested", name, err)
				}
			}
			return count(ctx, tx)
		})
		if b, err := s.Build(t.Context(), "b1"); err != nil || b.Priority != sample("b1").Priority+1 {
			t.Errorf("counted to %d (%v)", b.Priority, err)
		}
	})
}

// TestNextSeq: the number is that of the next build, and no number is reused.
func TestNextSeq(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		for i := range int64(3) {
			update(t, s, func(ctx context.Context, tx *store.Tx) error {
				next := tx.NextSeq()
				b, err := tx.Create(ctx, sample(fmt.Sprint("b", i)))
				if b.Seq != next || next != i+1 || tx.NextSeq() != next+1 {
					t.Errorf("build %d has number %d, NextSeq was %d and is %d", i, b.Seq, next, tx.NextSeq())
				}
				return err
			})
		}
	})
}
