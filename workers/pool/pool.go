// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package pool keeps the connections to the workers of a farm: one for each worker,
// shared by all users, and opened again after growing pauses when it is lost. Health
// says why a worker must be quarantined.
//
// It knows neither addresses nor adapters: the caller passes in how to open a worker of
// some name. orchestrator/schedule decides which attempt gets which worker.
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

// Opener opens the worker of that name; the end of ctx ends the opening. The worker
// should reconnect by itself after a loss, and return workers.ErrUnreachable when that
// fails.
type Opener func(ctx context.Context, name string) (workers.Worker, error)

// Options set the pauses of a pool.
type Options struct {
	// The pause after a failure doubles from First to Most. 0 means 1 s and 1 minute.
	// After a worker that refuses the login or has the wrong host key, it is Most at
	// once.
	First, Most time.Duration
}

// Pool holds the open workers by name. It is safe for concurrent use.
type Pool struct {
	open  Opener
	pause Options
	tries sync.WaitGroup

	mu     sync.Mutex
	closed bool
	all    map[string]*entry
}

// entry is the state of one worker. The pool's mu guards its fields.
type entry struct {
	name   string
	worker *opened // nil while none is open
	// lost: its last use failed with workers.ErrLost or the like.
	lost bool
	try  *try // in progress; nil if there is none

	failures int // in a row
	cause    error
	retry    time.Time // until then, Get fails at once
}

// opened distinguishes a worker from another that was opened under its name.
type opened struct{ workers.Worker }

// try is one attempt to open a worker, or to check whether an open one still answers.
// Every caller that wants the worker waits for it.
type try struct {
	entry   *entry
	check   *opened       // the open one; nil to open one
	done    chan struct{} // closed when the try has ended
	cancel  context.CancelFunc
	waiting int

	// Set before done is closed. An abandoned try says nothing about the worker.
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

// Get returns the worker of that name and opens it if necessary. All callers share one
// worker and one attempt to open it; the pool closes it.
//
// After a failure Get fails at once until a pause is over. Every error except the end
// of ctx is workers.ErrUnreachable and workers.ErrLost, and also whatever the cause
// was.
func (p *Pool) Get(ctx context.Context, name string) (workers.Worker, error) {
	return p.get(ctx, name, false)
}

// Probe reads the worker's facts and asks for those tools, now, even during a pause:
// somebody may just have repaired it. As with workers.Worker, facts may come with an
// error that is workers.ErrUnfit.
func (p *Pool) Probe(ctx context.Context, name string, tools ...string) (workers.Facts, error) {
	w, err := p.get(ctx, name, true)
	if err != nil {
		return workers.Facts{}, err
	}
	return w.Facts(ctx, tools...)
}

// Disconnect closes the worker of that name, for instance because its entry in the
// farm's file changed. Its current users lose it; the next Get opens it again.
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

// Close closes all workers, waits until no opening is in progress, and prevents any
// further one.
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

// end closes what an entry that was removed from the pool still holds.
func (p *Pool) end(e *entry) error {
	p.mu.Lock()
	w := e.worker
	e.worker = nil
	if e.try != nil {
		e.try.cancel() // the try closes what it may still open
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

// find returns the worker if it is open, or the try to wait for.
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

// stopWaiting cancels a try that no caller waits for any more.
func (p *Pool) stopWaiting(t *try) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		t.cancel()
	}
}

// startTry starts a try. It ends by itself or when no caller waits for it any more, not
// when its first caller stops waiting. The caller holds mu.
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
	// lost is a worker that is useless by now and must be closed.
	lost *opened
	err  error
}

// reach checks whether an open worker still answers, or opens one.
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
			return reached{worker: check, err: err} // it reconnects by itself; steps may be watched through it
		}
		r.lost = check
	}
	w, err := p.open(ctx, name)
	if r.err = err; err == nil {
		r.worker = &opened{w}
	}
	return r
}

// isLost reports whether err means that the worker does not answer.
func isLost(err error) bool {
	return errors.Is(err, workers.ErrLost) || errors.Is(err, workers.ErrUnreachable) || isRefusal(err)
}

// isRefusal reports whether err means that a retry will not help.
func isRefusal(err error) bool {
	return errors.Is(err, workers.ErrHostKey) || errors.Is(err, workers.ErrAuth)
}

// finish records how a try ended and wakes its waiters. A cancelled one failed because
// no caller waited for it.
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
		t.err = unreachable(r.err, "%s", withWorkerName(e.name, r.err))
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
		_ = r.lost.Close() // it is useless, whatever the error
	}
}

// fail begins a pause. The caller holds mu.
func (p *Pool) fail(e *entry, err error) {
	pause := p.pause.First
	for i := 0; i < e.failures && pause < p.pause.Most; i++ {
		pause *= 2
	}
	if isRefusal(err) {
		pause = p.pause.Most // a person must act; further tries may lock the account
	}
	e.failures++
	e.cause, e.retry = err, time.Now().Add(min(pause, p.pause.Most))
}

// noteUse records the error of a call on a worker that Get returned.
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
		_ = lost.Close() // it is useless, whatever the error
	}
}

// shared is a worker in the form that many callers get.
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

// withWorkerName returns the text of an error about a worker, which may name it already.
func withWorkerName(name string, err error) string {
	if text := err.Error(); strings.Contains(text, name) {
		return text
	}
	return fmt.Sprintf("worker %s: %v", name, err)
}

// unreachable returns the error of a worker that cannot be reached; cause may be nil.
func unreachable(cause error, format string, args ...any) error {
	f := &failure{fmt.Sprintf(format, args...), []error{workers.ErrUnreachable, workers.ErrLost}}
	if cause != nil {
		f.kinds = append(f.kinds, cause)
	}
	return f
}
