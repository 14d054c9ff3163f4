// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// BenchmarkAssign assigns 10,000 queued repeats to 200 simulated workers with the real
// schedule and the real store, as fast as the workers can be freed.
func BenchmarkAssign(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkAssign(b, storetest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { benchmarkAssign(b, storetest.Database(b)) })
}

func benchmarkAssign(b *testing.B, url string) {
	const builds, repeats, machines, slots = 5000, 2, 200, 2
	for b.Loop() {
		b.StopTimer()
		e := New(Deps{Store: storetest.Open(b, url, store.Options{Node: "bench"})})
		simulate(b, e, machines, slots)
		queued(b, e, builds, repeats)
		var decisions []time.Duration
		var assigning, ending time.Duration
		given := 0
		b.StartTimer()
		for given < builds*repeats {
			begun := time.Now()
			q, err := e.queue(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			deciding := time.Now()
			assigned := e.decide(q)
			decisions = append(decisions, time.Since(deciding))
			for some := range slices.Chunk(assigned, atOnce) {
				n, err := e.assign(b.Context(), some)
				if err != nil {
					b.Fatal(err)
				}
				given += n
			}
			assigning += time.Since(begun)
			begun = time.Now()
			for _, a := range assigned {
				finishSimulated(b, e, a)
			}
			ending += time.Since(begun)
		}
		slices.Sort(decisions)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(given)/assigning.Seconds(), "assignments/s")
		b.ReportMetric(float64(given)/(assigning+ending).Seconds(), "assignments+ends/s")
		b.ReportMetric(float64(decisions[len(decisions)*99/100].Microseconds())/1000, "p99-decision-ms")
		b.ReportMetric(float64(m.Sys)/(1<<20), "MB-from-system")
	}
}

// simulate registers workers with the facts of a real one.
func simulate(b *testing.B, e *Engine, machines, slots int) {
	b.Helper()
	var all []store.Worker
	for i := range machines {
		all = append(all, store.Worker{Name: fmt.Sprintf("w%03d", i), Slots: slots, Labels: map[string]string{"site": fmt.Sprint(i % 3)}, Registered: true,
			Probed: time.Now(), Facts: &workers.Facts{System: "OS/390", Release: "29.00", Host: fmt.Sprintf("h%d", i), Cores: 4,
				Tools: map[string]workers.Tool{"make": {Version: "4.4"}, "clang": {Version: fmt.Sprint(14 + i%3)}}}})
	}
	err := e.Store.Update(b.Context(), func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Register(ctx, all); err != nil {
			return err
		}
		for _, w := range all {
			if err := tx.SetWorker(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// queued makes builds whose repeats are ready.
func queued(b *testing.B, e *Engine, builds, repeats int) {
	b.Helper()
	wants, err := encodeWants(schedule.Wants{Apart: true, Tools: []recipes.Tool{{Name: "make", Version: ">= 4.0"}}})
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < builds; from += 500 {
		err := e.Store.Update(b.Context(), func(ctx context.Context, tx *store.Tx) error {
			for i := from; i < min(from+500, builds); i++ {
				if err := queueOne(ctx, tx, i, repeats, wants); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func queueOne(ctx context.Context, tx *store.Tx, i, repeats int, wants []byte) error {
	now := tx.Now()
	life, _, err := orchestrator.New(fmt.Sprintf("b%05d", i), repeats, now).Unblock(now)
	if err != nil {
		return err
	}
	if life, _, err = life.Begin("resolve", "", now); err != nil {
		return err
	}
	if life, _, err = life.Succeed("resolve", 1, digest.Of([]byte("resolved")), now); err != nil {
		return err
	}
	_, err = tx.Create(ctx, store.Build{Build: life, Port: fmt.Sprintf("port-%d", i%300), Version: "1", Owner: fmt.Sprintf("owner-%d", i%7),
		Identity: digest.Of(fmt.Append(nil, i)), Wants: wants, Submitted: now})
	return err
}

// finishSimulated ends a repeat as finish does.
func finishSimulated(b *testing.B, e *Engine, a schedule.Assignment) {
	b.Helper()
	err := e.Store.Update(b.Context(), func(ctx context.Context, tx *store.Tx) error {
		was, err := tx.Build(ctx, a.Build)
		if err != nil {
			return err
		}
		s, _ := was.Stage(a.Stage)
		_, err = e.conclude(ctx, tx, s, a.Build, outcome{output: digest.Of([]byte(a.Build + a.Stage)), duration: time.Minute})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
