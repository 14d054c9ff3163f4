// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/recipes"
)

// TestStorm has two engines on one PostgreSQL build a graph of ports while they are cut
// off, frozen, drained and restarted, the queue is emptied and the database restarted.
// The test checks the invariants from outside.
func TestStorm(t *testing.T) {
	if os.Getenv("ZFARM_LONG") == "" {
		t.Skip("takes minutes: set ZFARM_LONG=1, or run task long")
	}
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			url, server := storetest.Postgres(t)
			st := &storm{scene: newScene(t, "", "w1", "w2", "w3"), url: url, server: server, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed+1, 1))}
			st.run(t)
		})
	}
}

// storm is a scene in which everything goes wrong.
type storm struct {
	*scene
	url    string
	server *storetest.Server
	dir    string
	random *rand.Rand
	nodes  []*stormy
	names  int
}

// stormy is an engine that can be frozen: without a clock and unable to report
// progress, it neither renews its holds nor goes on.
type stormy struct {
	*node
	mu     sync.Mutex
	thawed chan struct{}
}

func (f *stormy) wait() {
	f.mu.Lock()
	thawed := f.thawed
	f.mu.Unlock()
	<-thawed
}

func (f *stormy) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.thawed:
		f.thawed = make(chan struct{})
	default: // it is
	}
}

func (f *stormy) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.thawed:
	default:
		close(f.thawed)
	}
}

func (st *storm) start() *stormy {
	st.t.Helper()
	f := &stormy{thawed: make(chan struct{})}
	f.thaw()
	st.names++
	f.node = st.node(st.url, fmt.Sprint("node-", st.names), func(p *engine.Deps) {
		p.Now = func() time.Time { f.wait(); return time.Now() }
		p.Watch = func(e orchestrator.Progress) { f.wait(); st.watch(e) }
	})
	st.t.Cleanup(f.thaw)
	return f
}

func (st *storm) run(t *testing.T) {
	st.parts.Plugins = acts{"sleep 0.2\n" + counted(st.dir)}
	st.parts.Settings = fast()
	st.nodes = []*stormy{st.start(), st.start()}
	st.slots(2)
	taken := st.submit(st.nodes[0].Engine, submission(st.graph(12)...))
	over := func() bool {
		for _, b := range taken {
			if b, err := st.nodes[0].db.Build(t.Context(), b.Build.ID); err != nil || !b.Over() {
				return false
			}
		}
		return true
	}
	faults := 0
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	for most := 40; faults < most && !over(); faults++ {
		st.strike(t)
		<-tick.C
	}
	for _, b := range taken {
		b := st.wait(st.nodes[0].Engine, b.Build.ID, orchestrator.BuildSucceeded)
		st.endedOnce(b)
		st.eventually("all workspaces to be gone", func() bool { return st.clean(b.ID) })
	}
	for _, n := range st.nodes {
		n.thaw()
	}
	st.probe()
	st.eventually("nothing to be left", func() bool { return len(st.left()) == 0 })
	for _, n := range st.nodes {
		n.drain(t)
	}
	st.judge(t, taken)
	t.Logf("%d faults", faults)
}

// probe has every worker probed now: that finds what an engine without its database
// made after others had cleaned up.
func (st *storm) probe() {
	st.t.Helper()
	err := st.nodes[0].db.Update(st.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Workers(ctx)
		for _, w := range all {
			w.Probed = time.Time{}
			err = errors.Join(err, tx.SetWorker(ctx, w))
		}
		return err
	})
	if err != nil {
		st.t.Fatal(err)
	}
}

// slots sets the number of slots of every worker.
func (st *storm) slots(n int) {
	st.t.Helper()
	db := st.nodes[0].db
	err := db.Update(st.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Workers(ctx)
		if err != nil {
			return err
		}
		for i := range all {
			all[i].Slots = n
		}
		return tx.Register(ctx, all)
	})
	if err != nil {
		st.t.Fatal(err)
	}
}

// graph is a random graph of ports, each of which may need those before it.
func (st *storm) graph(n int) []*recipes.Recipe {
	var all []*recipes.Recipe
	for i := range n {
		var needs []string
		for j := range i {
			if st.random.IntN(i+1) == 0 && len(needs) < 3 {
				needs = append(needs, fmt.Sprint("port-", j))
			}
		}
		all = append(all, st.port(fmt.Sprint("port-", i), needs...))
	}
	return all
}

// strike makes one thing go wrong.
func (st *storm) strike(t *testing.T) {
	i := st.random.IntN(len(st.nodes))
	n := st.nodes[i]
	switch st.random.IntN(6) {
	case 0: // it goes on without its database, and another one takes its place
		n.thaw()
		n.cut()
		st.nodes[i] = st.start()
	case 1:
		n.thaw()
		n.drain(t)
		st.nodes[i] = st.start()
	case 2, 3: // longer than its holds last, until the next strike
		n.freeze()
	case 4:
		db, err := storetest.SQL(t, st.url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "DELETE FROM river_job"); err != nil {
			t.Error(err)
		}
	default:
		if err := st.server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	// At least one engine works.
	if other := st.nodes[1-i]; st.random.IntN(2) == 0 {
		n.thaw()
	} else {
		other.thaw()
	}
}

// judge checks the events and the state from outside.
func (st *storm) judge(t *testing.T, taken []engine.Taken) {
	db := storetest.Open(t, st.url, store.Options{})
	st.parts.Store = db
	events, err := db.Events(t.Context(), 0, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	st.ranOnce(st.dir)
	st.empty()
	slotsKept(t, events, 2)
	needsFirst(t, taken, events)
	for _, b := range taken {
		c, err := st.reader(db).Conclusion(t.Context(), b.Build.ID)
		if err != nil || len(c.Records) != 2 || c.Records[0].Worker == c.Records[1].Worker {
			t.Errorf("%s: %d records, %v", b.Build.ID, len(c.Records), err)
		}
	}
	workers, err := db.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workers {
		if len(w.Held) > 0 {
			t.Errorf("%s still holds %+v", w.Name, w.Held)
		}
	}
}

// reader is an engine that only reads.
func (st *storm) reader(db *store.Store) *engine.Engine {
	p := st.parts
	p.Store, p.Workers = db, st.scene
	return engine.New(p)
}

// slotsKept replays the events: a worker never has more attempts than slots,
// and no attempt begins twice.
func slotsKept(t *testing.T, events []orchestrator.Event, slots int) {
	t.Helper()
	running := map[string]string{} // by build and stage, the worker
	begun := map[string]bool{}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has the number %d", i+1, e.Seq)
		}
		at := e.Build + " " + e.Stage
		if e.From == orchestrator.Running {
			delete(running, at)
		}
		if e.To != orchestrator.Running {
			continue
		}
		attempt := fmt.Sprint(at, " ", e.Fence)
		if begun[attempt] {
			t.Errorf("%s began twice", attempt)
		}
		begun[attempt] = true
		if e.Worker == "" {
			continue
		}
		running[at] = e.Worker
		held := 0
		for _, w := range running {
			if w == e.Worker {
				held++
			}
		}
		if held > slots {
			t.Errorf("event %d: %s has %d attempts in %d slots", e.Seq, e.Worker, held, slots)
		}
	}
}

// needsFirst checks that nothing began before what it needs was published.
func needsFirst(t *testing.T, taken []engine.Taken, events []orchestrator.Event) {
	t.Helper()
	for _, b := range taken {
		first := slices.IndexFunc(events, func(e orchestrator.Event) bool {
			return e.Build == b.Build.ID && e.To == orchestrator.Running
		})
		for _, need := range b.Build.Needs {
			published := slices.IndexFunc(events, func(e orchestrator.Event) bool {
				return e.Build == need.Build && e.Stage == "publish" && e.To == orchestrator.Succeeded
			})
			if published < 0 || first < published {
				t.Errorf("%s began at event %d, before %s was published at %d", b.Build.ID, first, need.Port, published)
			}
		}
	}
}
