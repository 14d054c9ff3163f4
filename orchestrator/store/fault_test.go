// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

func TestUpdateOutlivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	url, server := storetest.Postgres(t)
	s := storetest.Open(t, url, store.Options{Node: "node-1"})
	create(t, s, sample("b1"))
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	update(t, s, count)
	if b, err := s.Build(t.Context(), "b1"); err != nil || b.Priority != sample("b1").Priority+1 {
		t.Errorf("counted to %d (%v)", b.Priority, err)
	}
}

// TestStoppedInMidTransition has a process stop while it holds the lock that
// all transitions wait for: the others go on, and it tries again when it wakes.
func TestStoppedInMidTransition(t *testing.T) {
	t.Parallel()
	url := storetest.Database(t)
	stopped := storetest.Open(t, url, store.Options{Node: "node-1"})
	other := storetest.Open(t, url, store.Options{Node: "node-2"})
	create(t, other, sample("b1"))
	holds, woken := make(chan bool), make(chan bool)
	tries, ended := 0, make(chan error, 1)
	go func() {
		ended <- stopped.Update(context.WithoutCancel(t.Context()), func(ctx context.Context, tx *store.Tx) error {
			if tries++; tries == 1 {
				holds <- true
				<-woken
			}
			return count(ctx, tx)
		})
	}()
	within(t, holds, "the lock")
	update(t, other, count)
	close(woken)
	if err := within(t, ended, "the one that was stopped"); err != nil {
		t.Error(err)
	}
	b, err := other.Build(t.Context(), "b1")
	if want := sample("b1").Priority + 2; err != nil || b.Priority != want || tries != 2 {
		t.Errorf("counted to %d in %d tries, not to %d in 2 (%v)", b.Priority, tries, want, err)
	}
}

// TestWorkBeginsWithoutItsServer begins to work while the server is away, for longer than
// a single statement would be tried again.
func TestWorkBeginsWithoutItsServer(t *testing.T) {
	if os.Getenv("ZFARM_LONG") == "" {
		t.Skip("it lasts 20 seconds: set ZFARM_LONG=1 to run it")
	}
	t.Parallel()
	url, server := storetest.Postgres(t)
	s := storetest.Open(t, url, soon("one", false))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	got := make(chan store.Wake, 10)
	working(t, s, store.Work{Handle: func(_ context.Context, w store.Wake) error {
		got <- w
		return nil
	}})
	<-time.After(20 * time.Second)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	wake(t, s, store.Wake{Kind: store.Probe, Worker: "w"})
	within(t, got, "a wake-up")
}

// TestKilledServer kills the server again and again while a client counts: every
// acknowledged count is stored, and no refused one.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	url, server := storetest.Postgres(t)
	s := storetest.Open(t, url, soon("one", false))
	create(t, s, sample("b1"))
	got := make(chan store.Wake, 1000)
	working(t, s, store.Work{Parallel: 2, Handle: func(_ context.Context, w store.Wake) error {
		got <- w
		return nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type tally struct{ told, uncertain int }
	counted := make(chan tally)
	go func() {
		var n tally
		for ctx.Err() == nil {
			switch err := s.Update(context.WithoutCancel(ctx), count); {
			case err == nil:
				n.told++
			case errors.Is(err, store.ErrUncertain):
				n.uncertain++
			}
		}
		counted <- n
	}()
	for range 3 {
		from, err := s.Seq(t.Context())
		for now := from; err == nil && now < from+10; {
			now, err = s.Seq(t.Context())
		}
		if err := errors.Join(err, server.Kill(), server.Restart()); err != nil {
			t.Fatal(err)
		}
	}
	wake(t, s, store.Wake{Kind: store.Probe, Worker: "after the last restart"})
	within(t, got, "a wake-up after the restarts")
	cancel()
	n := within(t, counted, "the counter")
	b, err := s.Build(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	have := b.Priority - sample("b1").Priority
	if n.told == 0 || have < n.told || have > n.told+n.uncertain {
		t.Errorf("counted to %d, with %d told and %d uncertain", have, n.told, n.uncertain)
	}
	if err := follow(t.Context(), s, int64(have)); err != nil {
		t.Error(err)
	}
}

// TestKilledProcess is also the process that is killed, if the environment says so: it
// counts, and prints each number once it is written.
func TestKilledProcess(t *testing.T) {
	const told = "STORE_TEST_COUNT"
	if url := os.Getenv(told); url != "" {
		s := storetest.OpenDurable(t, url, store.Options{Node: "child"})
		for {
			update(t, s, count)
			b, err := s.Build(t.Context(), "b1")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("counted %d\n", b.Priority)
		}
	}
	t.Parallel()
	url := storetest.EmptySQLite(t)
	first, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, first, sample("b1"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	last := 0
	for round := range 5 {
		last = max(last, countAndDie(t, told+"="+url, 10+7*round))
		s, err := store.Open(t.Context(), url, store.Options{}) // a dead process holds nothing
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Build(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if b.Priority < last {
			t.Errorf("%d was told, and %d is there", last, b.Priority)
		}
		if err := errors.Join(follow(t.Context(), s, int64(b.Priority-sample("b1").Priority)), s.Close()); err != nil {
			t.Error(err)
		}
		last = b.Priority
	}
	var sound string
	if err := raw(t, url).QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("the database is %q (%v)", sound, err)
	}
}

// countAndDie kills a counting child after so many numbers and returns the last.
func countAndDie(t *testing.T, env string, numbers int) (last int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
	child.Env = append(os.Environ(), env)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines, n := bufio.NewScanner(out), 0
	for lines.Scan() {
		if number, ok := strings.CutPrefix(lines.Text(), "counted "); ok {
			if last, err = strconv.Atoi(number); err != nil {
				t.Fatal(err)
			}
			if n++; n == numbers {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := child.Wait(); err == nil || n < numbers {
		t.Fatalf("the child said %d numbers and ended with %v", n, err)
	}
	return last
}
