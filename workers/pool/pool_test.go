// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/pool"
)

// machine is a worker whose behaviour the test sets.
type machine struct {
	mu      sync.Mutex
	opening error         // the error of opening it
	using   error         // the error of using it
	slow    time.Duration // how long both take
	deaf    bool          // opening does not end with its context

	dials, asked, open int
}

func (m *machine) set(change func(*machine)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// count returns how often it was opened and probed, and how many are open.
func (m *machine) count() (dials, asked, open int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dials, m.asked, m.open
}

func (m *machine) Open(ctx context.Context, name string) (workers.Worker, error) {
	m.mu.Lock()
	m.dials++
	slow, deaf := m.slow, m.deaf
	m.mu.Unlock()
	if !deaf {
		if err := wait(ctx, slow); err != nil {
			return nil, err
		}
	} else if err := wait(context.WithoutCancel(ctx), slow); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.opening != nil {
		return nil, m.opening
	}
	m.open++
	return &connection{machine: m, name: name}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connection is one opening of a machine.
type connection struct {
	*machine
	name   string
	closed bool
}

func (c *connection) Name() string { return c.name }

func (c *connection) use(ctx context.Context) error {
	c.mu.Lock()
	c.asked++
	err, slow := c.using, c.slow
	if c.closed {
		err = fmt.Errorf("using %s: closed: %w", c.name, workers.ErrLost)
	}
	c.mu.Unlock()
	return errors.Join(wait(ctx, slow), err)
}

func (c *connection) Facts(ctx context.Context, _ ...string) (workers.Facts, error) {
	return workers.Facts{Host: c.name, FreeBytes: 1 << 40}, c.use(ctx)
}

func (c *connection) Workspace(ctx context.Context, _ string) (workers.Workspace, error) {
	return nil, c.use(ctx)
}

func (c *connection) Workspaces(ctx context.Context) ([]string, error) {
	return []string{c.name}, c.use(ctx)
}

func (c *connection) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("closed twice")
	}
	c.closed = true
	c.open--
	return nil
}

// unreachable is an adapter's error for a dead line.
func unreachable() error {
	return errors.Join(workers.ErrUnreachable, workers.ErrLost)
}

// bubble runs a test whose pool is closed at its end, with nothing left open.
func bubble(t *testing.T, test func(t *testing.T, m *machine, p *pool.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &machine{}
		p := pool.New(m.Open, pool.Options{})
		test(t, m, p)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if _, _, open := m.count(); open != 0 {
			t.Errorf("%d left open", open)
		}
		if _, err := p.Get(t.Context(), "lpar1"); !errors.Is(err, workers.ErrLost) {
			t.Errorf("Get of a closed pool = %v", err)
		}
	})
}

func get(t *testing.T, p *pool.Pool) workers.Worker {
	t.Helper()
	w, err := p.Get(t.Context(), "lpar1")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// many makes n calls at once and returns the errors.
func many(t *testing.T, p *pool.Pool, n int) []error {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { _, errs[i] = p.Get(t.Context(), "lpar1") })
	}
	all.Wait()
	return errs
}

func wantDials(t *testing.T, m *machine, want int) {
	t.Helper()
	if got, _, _ := m.count(); got != want {
		t.Errorf("opened %d times, want %d", got, want)
	}
}

func TestShared(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		m.set(func(m *machine) { m.slow = 3 * time.Second })
		for _, err := range many(t, p, 100) {
			if err != nil {
				t.Error(err)
			}
		}
		wantDials(t, m, 1)
		one, other := get(t, p), get(t, p)
		if err := one.Close(); err != nil {
			t.Error(err)
		}
		if _, err := other.Workspace(t.Context(), "x"); err != nil {
			t.Errorf("after another user closed: %v", err)
		}
		if one.Name() != "lpar1" {
			t.Errorf("Name = %s", one.Name())
		}
		if _, err := p.Get(t.Context(), "lpar2"); err != nil {
			t.Error(err)
		}
		wantDials(t, m, 2)
	})
}

func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		m.set(func(m *machine) { m.opening, m.slow = fs.ErrNotExist, 100*time.Millisecond })
		start := time.Now()
		var tried []time.Duration
		for time.Since(start) < 10*time.Minute {
			before, _, _ := m.count()
			for _, err := range many(t, p, 20) {
				if !errors.Is(err, workers.ErrUnreachable) || !errors.Is(err, workers.ErrLost) || !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("error is %v", err)
				}
			}
			switch after, _, _ := m.count(); after - before {
			case 0:
			case 1:
				tried = append(tried, time.Since(start))
			default:
				t.Fatalf("20 at once opened it %d times", after-before)
			}
			if err := wait(t.Context(), 250*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			if pause := tried[i+1] - tried[i]; pause < want*time.Second || pause > want*time.Second+time.Second {
				t.Errorf("pause %d is %v, want about %d s", i, pause, want)
			}
		}
		// Once repaired, it is available when the pause is over, and pauses are short
		// again.
		m.set(func(m *machine) { m.opening = nil })
		if err := wait(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		get(t, p)
		if err := p.Disconnect("lpar1"); err != nil {
			t.Error(err)
		}
		m.set(func(m *machine) { m.opening = unreachable() })
		dials, _, _ := m.count()
		for range 2 {
			if err := many(t, p, 1)[0]; err == nil {
				t.Error("no error")
			}
			if err := wait(t.Context(), 1100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		wantDials(t, m, dials+2)
	})
}

func TestPauseIsReported(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		m.set(func(m *machine) { m.opening = unreachable() })
		_, first := p.Get(t.Context(), "lpar1")
		_, second := p.Get(t.Context(), "lpar1")
		if want := "worker lpar1: worker unreachable\nworker lost"; first.Error() != want {
			t.Errorf("error is %q, want %q", first, want)
		}
		if want := "worker lpar1 is not tried for another 1s: " + unreachable().Error(); second.Error() != want {
			t.Errorf("error is %q, want %q", second, want)
		}
	})
}

// TestRefused: a refused login or a wrong host key is not retried soon.
func TestRefused(t *testing.T) {
	for _, cause := range []error{workers.ErrHostKey, workers.ErrAuth} {
		bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
			m.set(func(m *machine) { m.opening = cause })
			for range 59 {
				if _, err := p.Get(t.Context(), "lpar1"); !errors.Is(err, cause) {
					t.Errorf("error is %v", err)
				}
				if err := wait(t.Context(), time.Second); err != nil {
					t.Fatal(err)
				}
			}
			wantDials(t, m, 1)
			// An administrator repaired it and has it probed.
			m.set(func(m *machine) { m.opening = nil })
			if facts, err := p.Probe(t.Context(), "lpar1"); err != nil || facts.Host != "lpar1" {
				t.Errorf("Probe = %v, %v", facts, err)
			}
			get(t, p)
			wantDials(t, m, 2)
			// It refuses its callers: its configuration is read again.
			m.set(func(m *machine) { m.using = cause })
			if _, err := get(t, p).Facts(t.Context()); !errors.Is(err, cause) {
				t.Errorf("error is %v", err)
			}
			if _, err := p.Get(t.Context(), "lpar1"); !errors.Is(err, cause) {
				t.Errorf("error is %v", err)
			}
			m.set(func(m *machine) { m.using = nil })
			if err := wait(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			get(t, p)
			wantDials(t, m, 3)
		})
	}
}

// TestOutage: a worker that reconnects by itself is kept through an outage, so that
// steps can still be watched through it, and checked once for all callers.
func TestOutage(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		w := get(t, p)
		m.set(func(m *machine) { m.using = unreachable() })
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := w.Workspace(t.Context(), "x"); !errors.Is(err, workers.ErrUnreachable) {
					t.Errorf("Workspace: %v", err)
				}
			})
		}
		all.Wait()
		_, before, _ := m.count()
		for _, err := range many(t, p, 100) {
			if !errors.Is(err, workers.ErrUnreachable) {
				t.Errorf("in the pause: %v", err)
			}
		}
		if _, after, _ := m.count(); after != before {
			t.Errorf("asked %d times in the pause", after-before)
		}
		if err := wait(t.Context(), 1100*time.Millisecond); err != nil { // it counts as one failure
			t.Fatal(err)
		}
		for _, err := range many(t, p, 100) {
			if !errors.Is(err, workers.ErrUnreachable) {
				t.Errorf("after the pause: %v", err)
			}
		}
		if _, after, open := m.count(); after != before+1 || open != 1 {
			t.Errorf("asked %d times after the pause, %d are open", after-before, open)
		}
		m.set(func(m *machine) { m.using = nil })
		if err := wait(t.Context(), 2100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		get(t, p)
		if _, err := w.Facts(t.Context()); err != nil {
			t.Errorf("who had it before: %v", err)
		}
		wantDials(t, m, 1)
	})
}

// TestLost: a lost worker is checked at once, and opened again if it does not recover
// by itself.
func TestLost(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		w := get(t, p)
		m.set(func(m *machine) { m.using = workers.ErrLost })
		if _, err := w.Facts(t.Context()); !errors.Is(err, workers.ErrLost) {
			t.Errorf("error is %v", err)
		}
		m.set(func(m *machine) { m.using = nil })
		get(t, p)
		wantDials(t, m, 1)
		m.set(func(m *machine) { m.using = workers.ErrLost })
		if _, err := w.Facts(t.Context()); !errors.Is(err, workers.ErrLost) {
			t.Errorf("error is %v", err)
		}
		get(t, p)
		wantDials(t, m, 2)
	})
}

// TestUnfit: the connection is not at fault.
func TestUnfit(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		m.set(func(m *machine) { m.using = workers.ErrUnfit })
		for range 3 {
			if facts, err := p.Probe(t.Context(), "lpar1"); !errors.Is(err, workers.ErrUnfit) || errors.Is(err, workers.ErrLost) || facts.Host != "lpar1" {
				t.Errorf("Probe = %v, %v", facts, err)
			}
		}
		get(t, p)
		wantDials(t, m, 1)
	})
}

// TestPatience: opening goes on while a caller waits, and ends with the last.
func TestPatience(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		m.set(func(m *machine) { m.slow = time.Minute })
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := p.Get(short, "lpar1"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, workers.ErrLost) {
				t.Errorf("who had a second: %v", err)
			}
		})
		all.Go(func() {
			if _, err := p.Get(t.Context(), "lpar1"); err != nil {
				t.Errorf("who had time: %v", err)
			}
		})
		all.Wait()
		wantDials(t, m, 1)

		// No caller waits any more: no failure, no pause.
		if err := p.Disconnect("lpar1"); err != nil {
			t.Error(err)
		}
		again, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Get(again, "lpar1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		get(t, p)
		wantDials(t, m, 3)
	})
}

// TestAbandoned: a caller that comes while an abandoned opening still ends gets a new
// opening, or what the old one opened after all.
func TestAbandoned(t *testing.T) {
	for _, fails := range []bool{false, true} {
		bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
			m.set(func(m *machine) { m.slow, m.deaf = time.Minute, true })
			if fails {
				m.set(func(m *machine) { m.opening = unreachable() })
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := p.Get(short, "lpar1"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
			want := 1
			if fails {
				want = 2
				time.AfterFunc(59500*time.Millisecond, func() { m.set(func(m *machine) { m.opening = nil }) })
			}
			get(t, p)
			wantDials(t, m, want)
		})
	}
}

func TestDrop(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		if err := p.Disconnect("lpar1"); err != nil {
			t.Errorf("of what is not there: %v", err)
		}
		w := get(t, p)
		if err := p.Disconnect("lpar1"); err != nil {
			t.Error(err)
		}
		if _, err := w.Facts(t.Context()); !errors.Is(err, workers.ErrLost) {
			t.Errorf("who had it: %v", err)
		}
		get(t, p) // an error of the old one does not count against the new one
		wantDials(t, m, 2)

		// While it is being opened, waiters get the new one.
		if err := p.Disconnect("lpar1"); err != nil {
			t.Error(err)
		}
		m.set(func(m *machine) { m.slow, m.deaf = time.Minute, true })
		time.AfterFunc(time.Second, func() {
			if err := p.Disconnect("lpar1"); err != nil {
				t.Error(err)
			}
		})
		get(t, p)
		wantDials(t, m, 4)
	})
}

// TestCloseWhileOpening: nothing is opened after Close.
func TestCloseWhileOpening(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
		m.set(func(m *machine) { m.slow, m.deaf = time.Minute, true })
		time.AfterFunc(time.Second, func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		if _, err := p.Get(t.Context(), "lpar1"); !errors.Is(err, workers.ErrLost) || !strings.Contains(err.Error(), "the farm is stopping") {
			t.Errorf("error is %v", err)
		}
	})
}

// TestAnything does everything at random times; the race detector and the number of
// open workers are the check.
func TestAnything(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T, m *machine, p *pool.Pool) {
			states := []error{nil, nil, nil, unreachable(), workers.ErrLost, workers.ErrAuth, workers.ErrUnfit}
			var all sync.WaitGroup
			for user := range uint64(20) {
				all.Go(func() {
					r := rand.New(rand.NewPCG(seed, user))
					for range 50 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(3000))*time.Millisecond)
						switch n := r.IntN(20); {
						case n == 0:
							if err := p.Disconnect("lpar1"); err != nil {
								t.Error(err)
							}
						case n < 3:
							m.set(func(m *machine) { m.opening, m.using = states[r.IntN(len(states))], states[r.IntN(len(states))] })
						case n < 5:
							m.set(func(m *machine) { m.slow, m.deaf = time.Duration(r.IntN(2000))*time.Millisecond, r.IntN(2) == 0 })
						case n < 7:
							_, _ = p.Probe(ctx, "lpar1") // any outcome will do
						default:
							if w, err := p.Get(ctx, "lpar1"); err == nil {
								_, _ = w.Workspace(ctx, "x") // any outcome will do
							}
						}
						cancel()
						if err := wait(t.Context(), time.Duration(r.IntN(1500))*time.Millisecond); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			m.set(func(m *machine) { m.opening, m.using, m.slow = nil, nil, 0 })
			if _, err := p.Probe(t.Context(), "lpar1"); err != nil {
				t.Errorf("mended: %v", err)
			}
			get(t, p)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	m := &machine{}
	p := pool.New(m.Open, pool.Options{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Get(b.Context(), "lpar1"); err != nil {
				b.Error(err)
			}
		}
	})
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
}
