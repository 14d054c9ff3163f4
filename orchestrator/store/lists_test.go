// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

func ids(builds []store.Build) string {
	text := ""
	for _, b := range builds {
		text += " " + b.ID
	}
	return text
}

func cancel(b orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
	next, events := b.Cancel(now)
	return next, events, nil
}

func TestBuilds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		for i := range 8 {
			b := sample(fmt.Sprint("b", i))
			b.Port, b.Owner = []string{"gzip", "tar"}[i%2], []string{"anna", "ben"}[i/4]
			create(t, s, b)
		}
		for _, id := range []string{"b1", "b2", "b6"} {
			move(t, s, id, cancel)
		}
		for _, c := range []struct {
			filter store.Filter
			want   string
		}{
			{store.Filter{}, " b7 b6 b5 b4 b3 b2 b1 b0"},
			{store.Filter{Limit: 3}, " b7 b6 b5"},
			{store.Filter{Limit: 3, Before: 4}, " b2 b1 b0"},
			{store.Filter{Port: "tar"}, " b7 b5 b3 b1"},
			{store.Filter{Owner: "anna"}, " b3 b2 b1 b0"},
			{store.Filter{State: orchestrator.BuildCancelled}, " b6 b2 b1"},
			{store.Filter{Port: "gzip", State: orchestrator.BuildCancelled}, " b6 b2"},
			{store.Filter{Owner: "anna", State: orchestrator.BuildWaiting}, " b3 b0"},
			{store.Filter{Port: "tar", Owner: "ben", State: orchestrator.BuildWaiting, Before: 8}, " b5"},
			{store.Filter{Port: "none"}, ""},
		} {
			have, err := s.Builds(t.Context(), c.filter)
			if err != nil {
				t.Fatal(err)
			}
			if ids(have) != c.want {
				t.Errorf("%+v: %s, want %s", c.filter, ids(have), c.want)
			}
		}
		whole, err := s.Build(t.Context(), "b6")
		if err != nil {
			t.Fatal(err)
		}
		listed, err := s.Builds(t.Context(), store.Filter{Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, listed[1]); diff != "" {
			t.Errorf("a build in a list (-whole +listed):\n%s", diff)
		}
	})
}

// TestManyBuilds lists more builds than one statement reads the stages of.
func TestManyBuilds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		var all []store.Build
		for i := range 120 {
			all = append(all, sample(fmt.Sprintf("b%03d", i)))
		}
		create(t, s, all...)
		have, err := s.Builds(t.Context(), store.Filter{Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		if len(have) != len(all) {
			t.Fatalf("%d builds, want %d", len(have), len(all))
		}
		for i, b := range have {
			if diff := cmp.Diff(all[len(all)-1-i].Stages, b.Stages); diff != "" {
				t.Errorf("build %d of the list, %s:\n%s", i, b.ID, diff)
			}
		}
		if page, err := s.Builds(t.Context(), store.Filter{}); err != nil || len(page) != 50 {
			t.Errorf("a page has %d builds (%v)", len(page), err)
		}
	})
}

func TestLookups(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		other := sample("b4", store.Need{Port: "gzip", Build: "b1"})
		other.Port = "tar"
		create(t, s, sample("b1"), sample("b2"), sample("b3"), other, sample("b5", store.Need{Port: "gzip", Build: "b1"}))
		for _, id := range []string{"b1", "b2", "b3"} {
			finish(t, s, id)
		}
		move(t, s, "b5", cancel)
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			for _, id := range []string{"b1", "b2", "b3", "b4"} {
				was, err := tx.Build(ctx, id)
				if err != nil {
					return err
				}
				next := was
				next.Inputs = sumOf("inputs")
				if id == "b3" {
					next.SameAs = "b2"
				}
				if err := tx.Save(ctx, was, next); err != nil {
					return err
				}
			}
			return nil
		})
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			b, found, err := tx.ByInputs(ctx, sumOf("inputs"))
			if err != nil || !found || b.ID != "b2" || len(b.Stages) != 6 {
				t.Errorf("the newest with these inputs is %s (%t, %v), want b2", b.ID, found, err)
			}
			for _, d := range []digest.Digest{{}, sumOf("others")} {
				if _, found, err := tx.ByInputs(ctx, d); found || err != nil {
					t.Errorf("something was made of inputs %v (%v)", d, err)
				}
				if _, found, err := tx.ByIdentity(ctx, d); found || err != nil {
					t.Errorf("something is %v (%v)", d, err)
				}
			}
			if b, found, err := tx.ByIdentity(ctx, sumOf("identity of b4")); err != nil || !found || b.ID != "b4" || len(b.Needs) != 1 {
				t.Errorf("the build is %s (%t, %v), want b4", b.ID, found, err)
			}
			offers, err := tx.Offers(ctx, "gzip")
			if err != nil || ids(offers) != " b3 b2 b1" {
				t.Errorf("offers are%s (%v), want b3 b2 b1: b5 was cancelled", ids(offers), err)
			}
			dependants, err := tx.Dependants(ctx, "b1")
			if diff := cmp.Diff([]string{"b4"}, dependants); diff != "" || err != nil {
				t.Errorf("dependants: %v (-want +have):\n%s", err, diff)
			}
			return nil
		})
	})
}

func TestIdentityIsFreedAndTakenAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		create(t, s, sample("b1"))
		set := func(id string, identity digest.Digest) error {
			return s.Update(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				was, err := tx.Build(ctx, id)
				if err != nil {
					return err
				}
				next := was
				next.Identity = identity
				return tx.Save(ctx, was, next)
			})
		}
		if err := set("b1", digest.Digest{}); err != nil {
			t.Fatal(err)
		}
		b2 := sample("b2")
		b2.Identity = sumOf("identity of b1")
		create(t, s, b2)
		if err := set("b1", b2.Identity); err == nil {
			t.Error("two builds have one identity")
		}
	})
}
