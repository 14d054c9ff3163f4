// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package pool keeps the workers of a farm open: one connection for each,
// shared by all who use it, and opened again with growing pauses when it is
// lost. Health says why a worker must be quarantined.
//
// It knows neither addresses nor adapters: how a worker of some name is opened
// is handed in. Which attempt gets which worker is decided in
// orchestrator/schedule.
package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zfarm/zfarm/workers"
)

// Opener opens the worker of that name; the end of ctx ends that. What it
// returns should connect again by itself after a loss, and say
// workers.ErrUnreachable when that fails.
type Opener func(ctx context.Context, name string) (workers.Worker, error)

// Options say how patient a pool is.
type Options struct {
	// The pause after a failure doubles from First to Most. 0 means 1 s and
	// 1 minute. After a worker that refuses us, or is not who it should be, it is
	// Most at once.
	First, Most time.Duration
}

// Pool is safe for concurrent use.
type Pool struct {
	open  Opener
	pause Options
	tries sync.WaitGroup

	mu     sync.Mutex
	closed bool
	all    map[string]*entry
}

// entry is what is known of one worker. Its fields are guarded by the pool's mu.
type entry struct {
	name   string
	worker *opened // nil while none is open
	// lost: the last use of it failed with workers.ErrLost or the like.
	lost bool
	try  *try // under way; nil if there is none

	failures int // in a row
	cause    error
	retry    time.Time // before that, Get asks nobody
}

// opened distinguishes a worker from another that was opened under its name.
type opened struct{ workers.Worker }

// try is one attempt to open a worker, or to find out whether an open one still
// answers. Everybody who wants the worker waits for it.
type try struct {
	entry   *entry
	check   *opened       // the open one; nil to open one
	done    chan struct{} // closed when it ended
	cancel  context.CancelFunc
	waiting int

	// Once done. An abandoned try says nothing about the worker.
	worker    *opened
	err       error
	abandoned bool
}

// New returns a pool without workers.
func New(open Opener, o Options) *Pool {
	if o.First <= 0 {
		o.First = time.Second
	}
	if o.Most <= 0 {
		o.Most = time.Minute
	}
	return &Pool{open: open, pause: o, all: map[string]*entry{}}
}

// Get returns the worker of that name, opened if it is not. All who ask share
// one worker and one attempt to open it; closing it is left to the pool.
//
// After a failure Get fails at once until a pause is over. Every error but the
// end of ctx is workers.ErrUnreachable and workers.ErrLost, and what the cause
// was.
func (p *Pool) Get(ctx context.Context, name string) (workers.Worker, error) {
	return p.get(ctx, name, false)
}

// Probe asks the worker for its facts and those tools, now, whatever pause there
// is: somebody may just have repaired it. As with workers.Worker, there may be facts beside
// an error that is workers.ErrUnfit.
func (p *Pool) Probe(ctx context.Context, name string, tools ...string) (workers.Facts, error) {
	w, err := p.get(ctx, name, true)
	if err != nil {
		return workers.Facts{}, err
	}
	return w.Facts(ctx, tools...)
}

// Disconnect closes the worker of that name, for instance because its entry in
// the farm's file changed. Whoever uses it loses it; the next Get opens it anew.
func (p *Pool) Disconnect(name string) error {
	p.mu.Lock()
	e := p.all[name]
	delete(p.all, name)
	p.mu.Unlock()
	if e == nil {
		return nil
	}
	return p.end(e)
}

// Close closes all workers, waits until nothing is being opened any more, and
// lets nothing be opened again.
func (p *Pool) Close() error {
	p.mu.Lock()
	all := p.all
	p.all, p.closed = map[string]*entry{}, true
	p.mu.Unlock()
	var errs []error
	for _, e := range all {
		errs = append(errs, p.end(e))
	}
	p.tries.Wait()
	return errors.Join(errs...)
}

// end closes what an entry holds that is in the pool no more.
func (p *Pool) end(e *entry) error {
	p.mu.Lock()
	w := e.worker
	e.worker = nil
	if e.try != nil {
		e.try.cancel() // what it may still open is closed by it
	}
	p.mu.Unlock()
	if w == nil {
		return nil
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("closing worker %s: %w", e.name, err)
	}
	return nil
}

func (p *Pool) get(ctx context.Context, name string, insist bool) (workers.Worker, error) {
	for {
		w, t, err := p.find(ctx, name, insist)
		if err != nil {
			return nil, err
		}
		if t == nil {
			return w, nil
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			p.stopWaiting(t)
			return nil, fmt.Errorf("reaching worker %s: %w", name, context.Cause(ctx))
		}
		switch {
		case t.abandoned:
		case t.err != nil:
			return nil, t.err
		default:
			return &shared{t.worker, p, t.entry}, nil
		}
	}
}

// find returns the worker if it is open, or else the try to wait for.
func (p *Pool) find(ctx context.Context, name string, insist bool) (*shared, *try, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, unreachable(nil, "worker %s: the farm is stopping", name)
	}
	e := p.all[name]
	if e == nil {
		e = &entry{name: name}
		p.all[name] = e
	}
	wait := time.Until(e.retry)
	switch {
	case e.worker != nil && !e.lost:
		return &shared{e.worker, p, e}, nil, nil
	case e.try != nil:
	case wait > 0 && !insist:
		return nil, nil, unreachable(e.cause, "worker %s is not tried for another %s: %v", name, wait.Round(time.Second/10), e.cause)
	default:
		p.startTry(ctx, e)
	}
	e.try.waiting++
	return nil, e.try, nil
}

// stopWaiting cancels a try that nobody waits for any more.
func (p *Pool) stopWaiting(t *try) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		t.cancel()
	}
}

// startTry starts a try. It ends by itself or when nobody waits for it any more,
// not when the first who asked stops waiting. The caller holds mu.
func (p *Pool) startTry(ctx context.Context, e *entry) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &try{entry: e, check: e.worker, done: make(chan struct{}), cancel: cancel}
	e.try = t
	p.tries.Go(func() {
		defer cancel()
		r := p.reach(ctx, e.name, t.check)
		p.finish(t, r, ctx.Err() != nil)
	})
}

// reached is the outcome of a try.
type reached struct {
	worker *opened
	// lost is a worker that is of no use any more, to be closed.
	lost *opened
	err  error
}

// reach asks an open worker whether it still answers, or opens one.
func (p *Pool) reach(ctx context.Context, name string, check *opened) reached {
	var r reached
	if check != nil {
		_, err := check.Facts(ctx)
		switch {
		case ctx.Err() != nil:
			return reached{worker: check, err: context.Cause(ctx)}
		case !isLost(err):
			return reached{worker: check}
		case isRefusal(err):
			return reached{lost: check, err: err}
		case errors.Is(err, workers.ErrUnreachable):
			return reached{worker: check, err: err} // it connects again by itself; steps may be watched through it
		}
		r.lost = check
	}
	w, err := p.open(ctx, name)
	if r.err = err; err == nil {
		r.worker = &opened{w}
	}
	return r
}

// isLost reports whether an error says that the worker does not answer.
func isLost(err error) bool {
	return errors.Is(err, workers.ErrLost) || errors.Is(err, workers.ErrUnreachable) || isRefusal(err)
}

// isRefusal reports whether an error says that trying again will not help.
func isRefusal(err error) bool {
	return errors.Is(err, workers.ErrHostKey) || errors.Is(err, workers.ErrAuth)
}

// finish records how a try ended and wakes up those who wait. A cancelled one
// failed because nobody waited for it.
func (p *Pool) finish(t *try, r reached, cancelled bool) {
	e := t.entry
	p.mu.Lock()
	removed := p.all[e.name] != e
	e.try = nil
	switch {
	case removed:
		t.abandoned = true
	case r.err != nil:
		e.worker, e.lost = r.worker, true
		if t.abandoned = cancelled; !cancelled {
			p.fail(e, r.err)
		}
		t.err = unreachable(r.err, "%s", naming(e.name, r.err))
	default:
		e.worker, e.lost, e.failures, e.cause, e.retry = r.worker, false, 0, nil, time.Time{}
		t.worker = r.worker
	}
	p.mu.Unlock()
	close(t.done)
	if removed { // the open worker was closed with its entry
		r.lost = nil
		if r.worker != t.check {
			r.lost = r.worker
		}
	}
	if r.lost != nil {
		_ = r.lost.Close() // it is of no use, whatever that says
	}
}

// fail begins a pause. The caller holds mu.
func (p *Pool) fail(e *entry, err error) {
	pause := p.pause.First
	for i := 0; i < e.failures && pause < p.pause.Most; i++ {
		pause *= 2
	}
	if isRefusal(err) {
		pause = p.pause.Most // somebody must look; trying on may lock the account
	}
	e.failures++
	e.cause, e.retry = err, time.Now().Add(min(pause, p.pause.Most))
}

// noteUse records the error of using a worker that Get gave.
func (p *Pool) noteUse(e *entry, w *opened, err error) {
	if err == nil || !isLost(err) {
		return
	}
	p.mu.Lock()
	var lost *opened
	if p.all[e.name] == e && e.worker == w && e.try == nil && !e.lost { // the first of many that fail in the same way
		e.lost = true
		switch {
		case isRefusal(err):
			lost, e.worker = w, nil
			p.fail(e, err)
		case errors.Is(err, workers.ErrUnreachable):
			p.fail(e, err)
		}
	}
	p.mu.Unlock()
	if lost != nil {
		_ = lost.Close() // it is of no use, whatever that says
	}
}

// shared is a worker as it is given to many.
type shared struct {
	*opened
	pool  *Pool
	entry *entry
}

func (s *shared) Facts(ctx context.Context, tools ...string) (workers.Facts, error) {
	f, err := s.opened.Facts(ctx, tools...)
	s.pool.noteUse(s.entry, s.opened, err)
	return f, err
}

func (s *shared) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	w, err := s.opened.Workspace(ctx, id)
	s.pool.noteUse(s.entry, s.opened, err)
	return w, err
}

func (s *shared) Workspaces(ctx context.Context) ([]string, error) {
	ids, err := s.opened.Workspaces(ctx)
	s.pool.noteUse(s.entry, s.opened, err)
	return ids, err
}

// Close leaves the worker open for the others.
func (s *shared) Close() error { return nil }

// failure is an error whose text is for people and whose kinds are for
// errors.Is.
type failure struct {
	text  string
	kinds []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.kinds }

// naming is the text of an error that is about a worker, which it may name.
func naming(name string, err error) string {
	if text := err.Error(); strings.Contains(text, name) {
		return text
	}
	return fmt.Sprintf("worker %s: %v", name, err)
}

// unreachable is the error of a worker that cannot be had; cause may be nil.
func unreachable(cause error, format string, args ...any) error {
	f := &failure{fmt.Sprintf(format, args...), []error{workers.ErrUnreachable, workers.ErrLost}}
	if cause != nil {
		f.kinds = append(f.kinds, cause)
	}
	return f
}
