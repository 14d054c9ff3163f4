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
	"github.com/zfarm/zfarm/workers"
)

func sumOf(text string) digest.Digest { return digest.Of([]byte(text)) }

func TestReleases(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		create(t, s, sample("b1"), sample("b2"))
		files := []store.File{
			{Name: "gzip-1.12.pax.Z", Digest: sumOf("pax"), Size: 1 << 40, MediaType: "application/x-compress"},
			{Name: "gzip-1.12.pax.Z.sigstore.json", Digest: sumOf("bundle"), Size: 10, MediaType: "application/json"},
		}
		publish := func(r store.Release, files ...store.File) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.Publish(ctx, r, files) })
		}
		first := store.Release{Port: "gzip", Version: "1.12", Build: "b1", At: c.now(), Verdict: "identical", Signed: true}
		if err := errors.Join(publish(first, files...), publish(first, files...), publish(store.Release{Build: "b2"}, files[0])); err != nil {
			t.Fatal(err)
		}
		if err := publish(store.Release{Build: "b2"}, files[0], files[0]); err == nil {
			t.Error("two files of one name were published")
		}
		if err := publish(store.Release{Build: "none"}); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("publishing a build that is not there: %v", err)
		}
		have, err := s.Files(t.Context(), "b1")
		if diff := cmp.Diff(files, have); diff != "" || err != nil {
			t.Errorf("files: %v (-want +have):\n%s", err, diff)
		}
		second := store.Release{Port: "gzip", Version: "1.12", Build: "b2", At: c.now().Add(time.Hour), Verdict: "equivalent"}
		other := store.Release{Port: "gzip", Version: "1.13", Build: "b2", At: c.now()}
		tar := store.Release{Port: "tar", Version: "1.12", Build: "b2", At: c.now()}
		if err := errors.Join(publish(second), publish(other), publish(tar)); err != nil {
			t.Fatal(err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.SetNotReproduced(ctx, "gzip", "1.12", "a rebuild differs")
		})
		second.NotReproduced = "a rebuild differs"
		for _, q := range []struct {
			port, version string
			want          []store.Release
		}{
			{"", "", []store.Release{second, other, tar}}, {"gzip", "", []store.Release{second, other}},
			{"gzip", "1.12", []store.Release{second}}, {"", "1.12", []store.Release{second, tar}}, {"none", "", []store.Release{}},
		} {
			have, err := s.Releases(t.Context(), q.port, q.version)
			if diff := cmp.Diff(q.want, have); diff != "" || err != nil {
				t.Errorf("releases of %q %q: %v (-want +have):\n%s", q.port, q.version, err, diff)
			}
		}
		err = s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.SetNotReproduced(ctx, "gzip", "9", "") })
		if !errors.Is(err, store.ErrUnknown) {
			t.Errorf("recording a rebuild of what was not released: %v", err)
		}
	})
}

func TestKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		step(t, s, "make")
		if err := s.EndStep(t.Context(), "b1", "repeat-0", 1, "make", workers.Status{}, 0, sumOf("log")); err != nil {
			t.Fatal(err)
		}
		finish(t, s, "b1")
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.Keep(ctx, "b1", sumOf("patch"), sumOf("patch"), digest.Digest{}),
				tx.Publish(ctx, store.Release{Build: "b1"}, []store.File{{Name: "f", Digest: sumOf("file")}}))
		})
		kept := func() (names []string) {
			for _, name := range []string{"patch", "log", "file", "document of b1", "compare", "nobody's"} {
				if k, err := s.Kept(t.Context(), sumOf(name)); err != nil {
					t.Fatal(err)
				} else if k {
					names = append(names, name)
				}
			}
			return names
		}
		if diff := cmp.Diff([]string{"patch", "log", "file", "document of b1", "compare"}, kept()); diff != "" {
			t.Errorf("kept (-want +have):\n%s", diff)
		}
		if k, err := s.Kept(t.Context(), digest.Digest{}); err != nil || k {
			t.Errorf("the zero digest is kept: %t, %v", k, err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Forget(ctx, "b1") })
		if have := kept(); len(have) > 0 {
			t.Errorf("%v is kept for a build that was forgotten", have)
		}
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		create(t, s, sample("b1"), sample("b2"), sample("b3", store.Need{Port: "gzip", Build: "b2"}))
		forget := func(id string) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.Forget(ctx, id) })
		}
		old := func() []string {
			ids, err := s.Old(t.Context(), c.now(), 10)
			if err != nil {
				t.Fatal(err)
			}
			return ids
		}
		if err := forget("b1"); !errors.Is(err, store.ErrRefused) {
			t.Errorf("forgetting a build that lives: %v", err)
		}
		finish(t, s, "b1")
		step(t, s, "make")
		tell(t, s, 0, "log")
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.Publish(ctx, store.Release{Port: "gzip", Version: "1", Build: "b1"}, []store.File{{Name: "f"}}),
				tx.BeginAttempt(ctx, store.Attempt{Build: "b1", Stage: "repeat-0", Fence: 1}), tx.Keep(ctx, "b1", sumOf("k")),
				tx.Audit(ctx, store.Audit{Who: "anna", What: "submit", Subject: "b1"}))
		})
		c.advance(time.Minute)
		finish(t, s, "b2")
		c.advance(time.Minute)
		if err := forget("b1"); !errors.Is(err, store.ErrRefused) {
			t.Errorf("forgetting a release: %v", err)
		}
		if err := forget("b2"); !errors.Is(err, store.ErrRefused) {
			t.Errorf("forgetting what a living build needs: %v", err)
		}
		if ids := old(); len(ids) > 0 {
			t.Errorf("%v may be forgotten: one is a release, one is needed", ids)
		}
		move(t, s, "b3", func(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
			next, events := b.Cancel(now)
			return next, events, nil
		})
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.Publish(ctx, store.Release{Port: "gzip", Version: "1", Build: "b2"}, nil)
		})
		if diff := cmp.Diff([]string{"b1"}, old()); diff != "" {
			t.Errorf("what may be forgotten (-want +have):\n%s", diff)
		}
		if err := forget("b1"); err != nil {
			t.Fatal(err)
		}
		if err := forget("b1"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("forgetting twice: %v", err)
		}
		db := raw(t, url)
		for _, table := range []string{"stage", "need", "attempt", "step", "log_chunk", "event", "file", "kept"} {
			var n int
			if err := db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT count(*) FROM %s WHERE build = 'b1'", table)).Scan(&n); err != nil || n != 0 {
				t.Errorf("%d rows of table %s are left (%v)", n, table, err)
			}
		}
		if all, err := s.Audits(t.Context(), 0, 10); err != nil || len(all) != 1 {
			t.Errorf("%d audits are left (%v), want the 1 there was", len(all), err)
		}
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		want := store.Token{ID: "t1", Name: "anna's laptop", Hash: sumOf("secret"), Roles: []string{"maintainer"}, Ports: []string{"gzip", "lib*"},
			Created: c.now(), Expires: c.now().Add(time.Hour)}
		add := func(k store.Token) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.AddToken(ctx, k) })
		}
		if err := add(want); err != nil {
			t.Fatal(err)
		}
		if err := add(store.Token{ID: "t1", Hash: sumOf("other")}); !errors.Is(err, store.ErrRefused) {
			t.Errorf("an id that is taken: %v", err)
		}
		if err := add(store.Token{ID: "t2", Hash: sumOf("secret")}); !errors.Is(err, store.ErrRefused) {
			t.Errorf("a secret that is taken: %v", err)
		}
		have, err := s.Token(t.Context(), sumOf("secret"))
		if diff := cmp.Diff(want, have); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
		if _, err := s.Token(t.Context(), sumOf("guess")); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("a secret that nobody has: %v", err)
		}
		revoke := func(id string) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.RevokeToken(ctx, id) })
		}
		if err := revoke("t9"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("revoking what is not there: %v", err)
		}
		if err := revoke("t1"); err != nil {
			t.Fatal(err)
		}
		want.Revoked = true
		all, err := s.Tokens(t.Context())
		if diff := cmp.Diff([]store.Token{want}, all); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
	})
}

func TestAudit(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		var want []store.Audit
		for i := range 5 {
			a := store.Audit{Who: "anna", What: "cancel", Subject: "b1", Detail: "because", Request: fmt.Sprint("r", i), Refused: i%2 == 1}
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Audit(ctx, a) })
			a.Seq, a.At = int64(i+1), c.now()
			want = append(want, a)
			c.advance(time.Second)
		}
		have, err := s.Audits(t.Context(), 1, 3)
		if diff := cmp.Diff(want[1:4], have); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
	})
}

func TestPlans(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			if _, known, err := tx.NextDue(ctx, "nightly"); err != nil || known {
				t.Errorf("a plan that nobody set: %t, %v", known, err)
			}
			return tx.SetNextDue(ctx, "nightly", c.now())
		})
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			at, known, err := tx.NextDue(ctx, "nightly")
			if err != nil || !known || !at.Equal(c.now()) {
				t.Errorf("due at %s, %t, %v", at, known, err)
			}
			return tx.SetNextDue(ctx, "nightly", at.Add(time.Hour))
		})
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			if at, _, err := tx.NextDue(ctx, "nightly"); err != nil || !at.Equal(c.now().Add(time.Hour)) {
				t.Errorf("due at %s, %v", at, err)
			}
			return nil
		})
	})
}

func TestWhatIsLeftOnAWorker(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		create(t, s, sample("b1"))
		register(t, s, store.Worker{Name: "w1", Slots: 2}, store.Worker{Name: "w2", Slots: 2})
		attempt := func(fence int64, worker string) store.Attempt {
			return store.Attempt{Build: "b1", Stage: "repeat-0", Fence: fence, Worker: worker, Workspace: fmt.Sprint("ws", fence), Begun: c.now()}
		}
		ended, cleaned, running, elsewhere := attempt(1, "w1"), attempt(2, "w1"), attempt(3, "w1"), attempt(4, "w2")
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for _, a := range []*store.Attempt{&ended, &cleaned, &running, &elsewhere} {
				if err := tx.BeginAttempt(ctx, *a); err != nil {
					return err
				}
			}
			for _, a := range []*store.Attempt{&ended, &cleaned, &elsewhere} {
				a.Ended, a.Outcome = c.now(), "lost"
				if err := tx.EndAttempt(ctx, *a); err != nil {
					return err
				}
			}
			return tx.Cleaned(ctx, "b1", "repeat-0", 2)
		})
		have, err := s.Left(t.Context(), "w1")
		if diff := cmp.Diff([]store.Attempt{ended}, have); diff != "" || err != nil {
			t.Errorf("left on w1: %v (-want +have):\n%s", err, diff)
		}
		one, err := s.Attempt(t.Context(), "b1", "repeat-0", 3)
		if diff := cmp.Diff(running, one); diff != "" || err != nil {
			t.Errorf("one attempt: %v (-want +have):\n%s", err, diff)
		}
		if _, err := s.Attempt(t.Context(), "b1", "repeat-0", 9); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("an attempt that is not there: %v", err)
		}
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for workspace, want := range map[string]bool{"ws1": true, "ws2": false, "ws3": true, "ws4": false} {
				if have, err := tx.Occupied(ctx, "w1", workspace); err != nil || have != want {
					t.Errorf("workspace %s may be on w1: %t, %v", workspace, have, err)
				}
			}
			return nil
		})
		if w, err := s.Worker(t.Context(), "w2"); err != nil || w.Slots != 2 || !w.Registered {
			t.Errorf("worker w2: %+v, %v", w, err)
		}
		if _, err := s.Worker(t.Context(), "w9"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("a worker that is not there: %v", err)
		}
	})
}

func TestLeaseSaysSinceWhen(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _, c := nodes(t, url)
		register(t, s, store.Worker{Name: "w1", Slots: 1})
		if !take(t, s, "w1", "b1") {
			t.Fatal("no slot")
		}
		want := []store.Lease{{Worker: "w1", Slot: 1, Build: "b1", Stage: "repeat-0", Fence: 1, Since: c.now()}}
		if diff := cmp.Diff(want, worker(t, s, "w1").Held); diff != "" {
			t.Errorf("(-want +have):\n%s", diff)
		}
	})
}
