// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers"
)

// each benchmarks databases that sync to the disk.
func each(b *testing.B, fn func(b *testing.B, url string)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, storetest.EmptySQLite(b)) })
	b.Run("postgres", func(b *testing.B) {
		url, _ := storetest.Postgres(b)
		fn(b, url)
	})
}

// BenchmarkUpdate measures one transition with its event, synced to the disk.
func BenchmarkUpdate(b *testing.B) {
	each(b, func(b *testing.B, url string) {
		s := storetest.OpenDurable(b, url, store.Options{Node: "one"})
		create(b, s, sample("b1"))
		move(b, s, "b1", unblock)
		steps := []func(orchestrator.Build, time.Time) (orchestrator.Build, []orchestrator.Event, error){
			begin("resolve", ""),
			func(build orchestrator.Build, now time.Time) (orchestrator.Build, []orchestrator.Event, error) {
				stage, _ := build.Stage("resolve")
				return build.Postpone("resolve", stage.Fence, "on purpose", now.Add(-time.Hour))
			},
		}
		n := 0
		for b.Loop() {
			update(b, s, moving("b1", steps[n%2]))
			n++
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "updates/s")
	})
}

// BenchmarkWake measures the queue entries of a submission, with its transition.
func BenchmarkWake(b *testing.B) {
	each(b, func(b *testing.B, url string) {
		s := storetest.OpenDurable(b, url, store.Options{Node: "one"})
		n := 0
		for b.Loop() {
			n++
			wake(b, s, store.Wake{Kind: store.Match}, store.Wake{Kind: store.Claim, Build: strconv.Itoa(n)})
		}
	})
}

func BenchmarkAppendLog(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			each(b, func(b *testing.B, url string) {
				s := storetest.OpenDurable(b, url, store.Options{Node: "one"})
				create(b, s, sample("b1"))
				step(b, s, "make")
				data := []byte(strings.Repeat("cc -O2 -c gzip.c -o gzip.o      \n", size/33+1))[:size]
				off := int64(0)
				b.SetBytes(int64(size))
				for b.Loop() {
					if err := s.AppendLog(b.Context(), "b1", "repeat-0", 1, "make", off, data); err != nil {
						b.Fatal(err)
					}
					off += int64(size)
				}
			})
		})
	}
}

// fill makes builds by the statement, as many as asked for, each with one
// state of its stages, and attempts for the first of them.
func fill(b *testing.B, url string, builds, attempts int, live string) *store.Store {
	b.Helper()
	s := storetest.OpenDurable(b, url, store.Options{Node: "one"})
	db := raw(b, url)
	numbers := func(n int) string {
		return fmt.Sprintf("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) ", n)
	}
	// Every 1000th build lives, every 97th failed; one of the ports and one of
	// the owners are rare.
	run(b, db, numbers(builds)+`INSERT INTO build SELECT 'b' || n, n, CASE WHEN n % 10007 = 5 THEN 'rare' ELSE 'port' || (n % 300) END, '1.0', '', '', 'https://example.org/ports.git', 'recipe.hcl',
		CASE WHEN n % 9973 = 5 THEN 'rare' ELSE 'owner' || (n % 20) END, '', '', 0, 0, '', '{"apart":true}', 'identical',
		CASE WHEN `+live+` THEN 'queued' WHEN n % 97 = 0 THEN 'failed' ELSE 'succeeded' END, 0, '', n, CASE WHEN `+live+` THEN 0 ELSE n END, 0 FROM c`)
	for place, stage := range orchestrator.New("b", 2, time.Time{}).Stages {
		state := "CASE WHEN " + live + " THEN 'blocked' ELSE 'succeeded' END"
		if stage.Kind == orchestrator.Repeat {
			state = "CASE WHEN " + live + " THEN 'ready' ELSE 'succeeded' END"
		}
		run(b, db, numbers(builds)+fmt.Sprintf(`INSERT INTO stage SELECT 'b' || n, '%s', %d, '%s', %s, %d, '["before"]', 1, 1, '', '', 0, 1000, '', '', '', 0 FROM c`,
			stage.ID, place, stage.Kind, state, stage.Repeat))
	}
	run(b, db, numbers(attempts)+fmt.Sprintf(`INSERT INTO attempt SELECT 'b' || (1 + n %% %d), 'repeat-0', n, 'w1', 'ws', 1000, 2000, 'succeeded', '', 1, '' FROM c`, builds))
	run(b, db, "ANALYZE")
	return s
}

// BenchmarkDecision reads what a scheduling decision depends on: 10,000 waiting repeats
// of 5,000 builds with two needs each, and 200 workers whose slots are all held.
func BenchmarkDecision(b *testing.B) {
	each(b, func(b *testing.B, url string) {
		s := fill(b, url, 5000, 1, "n > 0")
		db := raw(b, url)
		for place := range 2 {
			run(b, db, fmt.Sprintf("INSERT INTO need SELECT id, %d, port, 'b' || (1 + seq / 2), '[\"build\"]' FROM build", place))
		}
		var all []store.Worker
		for i := range 200 {
			all = append(all, store.Worker{Name: fmt.Sprintf("w%03d", i), Slots: 2, Labels: map[string]string{"site": "muc"}, Facts: facts()})
		}
		register(b, s, all...)
		update(b, s, func(ctx context.Context, tx *store.Tx) error {
			for i, w := range all {
				if err := tx.SetWorker(ctx, w); err != nil {
					return err
				}
				for slot := range 2 {
					if taken, err := tx.Take(ctx, store.Lease{Worker: w.Name, Build: fmt.Sprint("b", 1+i), Stage: fmt.Sprint("repeat-", slot), Fence: 1}); err != nil || !taken {
						return fmt.Errorf("a slot was not to be had: %w", err)
					}
				}
			}
			return nil
		})
		run(b, db, "ANALYZE")
		for name, read := range map[string]func(context.Context) (int, error){
			"ready":   func(ctx context.Context) (int, error) { r, err := s.Ready(ctx); return len(r), err },
			"graph":   func(ctx context.Context) (int, error) { g, err := s.Graph(ctx); return len(g), err },
			"workers": func(ctx context.Context) (int, error) { w, err := s.Workers(ctx); return len(w), err },
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if n, err := read(b.Context()); err != nil || n != map[string]int{"ready": 10_000, "graph": 5000, "workers": 200}[name] {
						b.Fatal(n, err)
					}
				}
			})
		}
	})
}

// facts are as long as those of a real worker.
func facts() *workers.Facts {
	f := &workers.Facts{System: "OS/390", Release: "29.00", Host: "lpar1", Cores: 4, Tools: map[string]workers.Tool{}}
	for i := range 40 {
		f.Tools[fmt.Sprint("tool", i)] = workers.Tool{Path: "/usr/local/zopen/bin/tool", Version: "4.4.1", Banner: "GNU tool 4.4.1, built for z/OS, with some words of licence"}
	}
	return f
}

// BenchmarkLarge reads from a database with a million attempts.
func BenchmarkLarge(b *testing.B) {
	if testing.Short() {
		b.Skip("makes a database of about a gigabyte")
	}
	each(b, func(b *testing.B, url string) {
		s := fill(b, url, 300_000, 1_000_000, "n % 1000 = 0")
		ctx := b.Context()
		for name, filter := range map[string]store.Filter{
			"newest": {}, "port": {Port: "port7"}, "rare port": {Port: "rare"}, "owner": {Owner: "owner7"}, "rare owner": {Owner: "rare"},
			"failed": {State: orchestrator.BuildFailed}, "succeeded": {State: orchestrator.BuildSucceeded}, "queued": {State: orchestrator.BuildQueued},
			"old page": {Before: 1000}, "port and state": {Port: "port7", State: orchestrator.BuildFailed},
			"owner and state": {Owner: "owner7", State: orchestrator.BuildFailed}, "nothing": {Owner: "owner7", State: orchestrator.BuildCancelled},
		} {
			b.Run("builds/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Builds(ctx, filter); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		for name, read := range map[string]func(context.Context) error{
			"ready":    func(ctx context.Context) error { _, err := s.Ready(ctx); return err },
			"graph":    func(ctx context.Context) error { _, err := s.Graph(ctx); return err },
			"due":      func(ctx context.Context) error { _, err := s.Due(ctx, time.Now()); return err },
			"build":    func(ctx context.Context) error { _, err := s.Build(ctx, "b150000"); return err },
			"attempts": func(ctx context.Context) error { _, err := s.Attempts(ctx, "b150000"); return err },
			"tally":    func(ctx context.Context) error { _, err := s.Tally(ctx); return err },
			"oldlogs":  func(ctx context.Context) error { _, err := s.OldLogs(ctx, time.UnixMilli(150_000), 100); return err },
			"old":      func(ctx context.Context) error { _, err := s.Old(ctx, time.UnixMilli(150_000), 100); return err },
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if err := read(ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
