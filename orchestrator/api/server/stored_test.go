// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/artifacts"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// database is a real one, migrated, with one build that runs.
func database(t *testing.T) (Stored, store.Build) {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "farm.db"), store.Options{Node: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var b store.Build
	change(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		if err := tx.Register(ctx, []store.Worker{{Name: "zos1", Address: "ssh://zos1", Slots: 2}}); err != nil {
			return err
		}
		b, err = tx.Create(ctx, store.Build{Build: orchestrator.New("gz", 2, tx.Now()), Port: "gzip", Version: "1.12", Owner: "anna",
			Recipe: digest.Of([]byte("r")), Document: digest.Of([]byte("d")), URI: "urn:x", Path: "recipe.hcl"})
		return err
	})
	change(t, s, func(ctx context.Context, tx *store.Tx) error {
		next := b
		var err error
		var first, second orchestrator.Event
		if next.Build, first, err = next.Unblock(tx.Now()); err != nil {
			return err
		}
		if next.Build, second, err = next.Begin("resolve", "", tx.Now()); err != nil {
			return err
		}
		if err := tx.Save(ctx, b, next, first, second); err != nil {
			return err
		}
		return tx.BeginAttempt(ctx, store.Attempt{Build: "gz", Stage: "resolve", Fence: 1, Begun: tx.Now()})
	})
	return Stored{s}, b
}

func change(t *testing.T, s *store.Store, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// TestOverARealDatabase does what a maintainer and an admin do, over SQLite and a
// folder of artifacts.
func TestOverARealDatabase(t *testing.T) {
	s, _ := database(t)
	ctx := t.Context()
	blobs, err := artifacts.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := newFarm() // for its engine
	base, _ := serve(t, Options{Store: s, Blobs: blobs, Engine: f, Parse: parse, Authenticators: []Authenticator{NewFarmTokens(s, nil)}})
	secret, hash := NewSecret()
	if err := s.AddToken(ctx, store.Token{ID: "1", Name: "root", Hash: hash, Roles: []string{"admin"}}); err != nil {
		t.Fatal(err)
	}
	c := client.New(base, secret, nil)
	yes, no, eight := true, false, 8
	for _, change := range []wire.BuildChange{{Priority: &eight, Paused: &yes}, {Paused: &no}} {
		if _, err := c.Change(ctx, "gz", change); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := c.Build(ctx, "gz"); err != nil || b.Priority != 8 || b.Paused || b.State != wire.BuildRunning {
		t.Errorf("%+v, %v", b, err)
	}
	if w, err := c.ChangeWorker(ctx, "zos1", wire.WorkerChange{Draining: &yes}); err != nil || !w.Draining || w.Slots != 2 {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := c.ProbeWorker(ctx, "zos1"); err != nil {
		t.Error(err)
	}
	status, err := s.Status(ctx)
	if err != nil || status.Waiting < 2 {
		t.Errorf("the queue: %+v, %v", status, err)
	}
	made, err := c.AddToken(ctx, wire.NewToken{Name: "ci", Roles: []wire.Role{wire.Reader}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RevokeToken(ctx, made.Token.ID); err != nil {
		t.Error(err)
	}
	var p *client.Problem
	if _, err := client.New(base, made.Secret, nil).Workers(ctx, ""); !errors.As(err, &p) || p.Status != 401 {
		t.Errorf("a revoked token: %v", err)
	}
	if _, err := c.Build(ctx, "nope"); !errors.As(err, &p) || p.Status != 404 {
		t.Errorf("an unknown build: %v", err)
	}
	audits, err := c.Audit(ctx, 0, 100)
	var what []string
	for _, a := range audits {
		what = append(what, a.What)
	}
	if diff := cmp.Diff([]string{"change-build", "change-build", "change-worker", "probe", "add-token", "revoke-token"}, what); diff != "" || err != nil {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
	var figures bytes.Buffer
	if err := c.Metrics(ctx, &figures); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"zfarm_store_up 1", "zfarm_ready_stages 0", `zfarm_builds{state="waiting"} 0`, `zfarm_builds{state="queued"} 0`, `zfarm_builds{state="running"} 1`,
		`zfarm_builds{state="succeeded"} 0`, `zfarm_builds{state="failed"} 0`, `zfarm_builds{state="cancelled"} 0`} {
		if !strings.Contains(figures.String(), want+"\n") {
			t.Errorf("%s is missing in\n%s", want, figures.String())
		}
	}
	if err := c.Ready(ctx); err != nil {
		t.Error(err)
	}
}

// TestFollowOverARealDatabase follows a log into the artifact store, and the
// events beside it.
func TestFollowOverARealDatabase(t *testing.T) {
	s, b := database(t)
	ctx := t.Context()
	blobs, err := artifacts.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(Options{Store: s, Blobs: blobs, Engine: newFarm(), Parse: parse, Embedded: &Principal{Name: "me", Roles: []wire.Role{wire.Admin}}})
	if err != nil {
		t.Fatal(err)
	}
	base, _ := serveOn(t, srv, listen(t))
	c := client.New(base, "", nil)
	a := client.AttemptID{Build: "gz", Stage: "resolve", Fence: 1}
	if _, err := s.BeginStep(ctx, "gz", "resolve", 1, "fetch"); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	ended, told := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.FollowLog(ctx, a, "fetch", 0, &log)
		ended <- err
	}()
	var seen []string
	go func() {
		told <- c.FollowEvents(ctx, 0, "gz", func(e wire.Event) error {
			seen = append(seen, e.Stage+" "+string(e.To))
			if e.To == wire.StageSucceeded {
				return client.ErrEnough
			}
			return nil
		})
	}()
	var whole []byte
	for i := range 50 {
		piece := bytes.Repeat([]byte{byte(i), '\n'}, 1+i*100)
		if err := s.AppendLog(ctx, "gz", "resolve", 1, "fetch", int64(len(whole)), piece); err != nil {
			t.Fatal(err)
		}
		whole = append(whole, piece...)
	}
	until(t, "the log so far", func() bool { return log.String() == string(whole) })
	sum, err := blobs.Put(ctx, bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EndStep(ctx, "gz", "resolve", 1, "fetch", workers.Status{State: workers.Exited}, time.Second, sum); err != nil {
		t.Fatal(err)
	}
	change(t, s.Store, func(ctx context.Context, tx *store.Tx) error {
		was, err := tx.Build(ctx, b.ID)
		if err != nil {
			return err
		}
		next := was
		var events []orchestrator.Event
		if next.Build, events, err = was.Succeed("resolve", 1, sum, tx.Now()); err != nil {
			return err
		}
		if err := tx.Save(ctx, was, next, events...); err != nil {
			return err
		}
		return tx.EndAttempt(ctx, store.Attempt{Build: "gz", Stage: "resolve", Fence: 1, Ended: tx.Now(), Outcome: "succeeded"})
	})
	if err := errors.Join(<-ended, <-told); err != nil || log.String() != string(whole) {
		t.Errorf("%d of %d bytes, %v", len(log.String()), len(whole), err)
	}
	if diff := cmp.Diff([]string{"resolve ready", "resolve running", "resolve succeeded"}, seen); diff != "" {
		t.Errorf("events (-want +have):\n%s", diff)
	}
	if err := s.DeleteLog(ctx, "gz", "resolve", 1); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	if at, err := c.Log(ctx, a, "fetch", 100, &rest); err != nil || at != int64(len(whole)) || !bytes.Equal(rest.Bytes(), whole[100:]) {
		t.Errorf("from the artifact store: %d bytes, %v", rest.Len(), err)
	}
}
