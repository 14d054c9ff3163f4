// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// big writes a lot, and a little in many tables.
func big(n int) func(ctx context.Context, tx *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		b := sample("big" + strconv.Itoa(n))
		b.URI = noise(n, 60_000)
		if _, err := tx.Create(ctx, b); err != nil {
			return err
		}
		return errors.Join(count(ctx, tx), tx.Wake(ctx, store.Wake{Kind: store.Match}))
	}
}

// noise is text that no database can make smaller.
func noise(seed, length int) string {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	text := make([]byte, length)
	for i := range text {
		text[i] = byte(' ' + 1 + random.IntN(94))
	}
	return string(text)
}

// fillUp writes until there is no space, and checks that exactly the acknowledged
// writes are stored.
func fillUp(t *testing.T, s *store.Store) {
	t.Helper()
	create(t, s, sample("b1"))
	kept := 0
	var err error
	for n := range 1000 {
		if err = s.Update(t.Context(), big(n)); err != nil {
			break
		}
		kept++
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("after %d builds: %v, want ErrFull", kept, err)
	}
	status, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Build(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	if status.Builds != int64(kept+1) || status.Waiting != int64(kept) || b.Priority != 3+kept {
		t.Errorf("%d builds, %d wake-ups and a count of %d after %d updates", status.Builds, status.Waiting, b.Priority-3, kept)
	}
}

func TestFullDatabase(t *testing.T) {
	t.Parallel()
	s := storetest.OpenDurable(t, storetest.EmptySQLite(t), store.Options{Node: "one"})
	if err := store.Bound(t.Context(), s, 500); err != nil {
		t.Fatal(err)
	}
	fillUp(t, s)
	if err := store.Bound(t.Context(), s, 1000); err != nil {
		t.Fatal(err)
	}
	update(t, s, big(1000))
}
