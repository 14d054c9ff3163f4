// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package pool keeps the workers of a farm open: one connection for each,
// shared by all who use it, looked for again with growing pauses when it is
// gone. Health says why a worker should get nothing.
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
	// 1 minute. A worker that refuses us, or is not who it should be, is left
	// alone for Most at once.
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
	// doubted: the last thing heard of it is that it was lost.
	doubted bool
	try     *try // under way; nil if there is none

	failures int // in a row
	cause    error
	retry    time.Time // before that, Get asks nobody
}

// opened tells a worker from another that was opened under its name.
type opened struct{ workers.Worker }

// try is one going at a worker, which everybody who wants it waits for.
type try struct {
	entry   *entry
	doubted *opened       // asked whether it is there; nil to open one
	done    chan struct{} // closed when it ended
	cancel  context.CancelFunc
	waiting int

	// Once done. A try that was given up says nothing about the worker.
	worker  *opened
	err     error
	givenUp bool
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

// Probe asks the worker for its facts, now, whatever pause there is: somebody
// may just have mended it. As with workers.Worker, there may be facts beside
// an error that is workers.ErrUnfit.
func (p *Pool) Probe(ctx context.Context, name string) (workers.Facts, error) {
	w, err := p.get(ctx, name, true)
	if err != nil {
		return workers.Facts{}, err
	}
	return w.Facts(ctx)
}

// Drop closes the worker of that name, for instance because its entry in the
// farm's file changed. Whoever uses it loses it; the next Get opens it anew.
func (p *Pool) Drop(name string) error {
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
		w, t, err := p.look(ctx, name, insist)
		if err != nil {
			return nil, err
		}
		if t == nil {
			return w, nil
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			p.leave(t)
			return nil, fmt.Errorf("reaching worker %s: %w", name, context.Cause(ctx))
		}
		switch {
		case t.givenUp:
		case t.err != nil:
			return nil, t.err
		default:
			return &shared{t.worker, p, t.entry}, nil
		}
	}
}

// look returns the worker if it is there, or else the try to wait for.
func (p *Pool) look(ctx context.Context, name string, insist bool) (*shared, *try, error) {
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
	case e.worker != nil && !e.doubted:
		return &shared{e.worker, p, e}, nil, nil
	case e.try != nil:
	case wait > 0 && !insist:
		return nil, nil, unreachable(e.cause, "worker %s is left alone for another %s: %v", name, wait.Round(time.Second/10), e.cause)
	default:
		p.begin(ctx, e)
	}
	e.try.waiting++
	return nil, e.try, nil
}

func (p *Pool) leave(t *try) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		t.cancel()
	}
}

// begin goes at a worker. It ends when it came to an end or nobody waits for
// it any more, not when the first who asked goes. The caller holds mu.
func (p *Pool) begin(ctx context.Context, e *entry) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &try{entry: e, doubted: e.worker, done: make(chan struct{}), cancel: cancel}
	e.try = t
	p.tries.Go(func() {
		defer cancel()
		r := p.reach(ctx, e.name, t.doubted)
		p.finish(t, r, ctx.Err() != nil)
	})
}

// reached is the outcome of a try.
type reached struct {
	worker *opened
	// lost is a worker that is of no use any more.
	lost *opened
	err  error
}

// reach asks a doubted worker whether it is there, or opens one.
func (p *Pool) reach(ctx context.Context, name string, doubted *opened) reached {
	var r reached
	if doubted != nil {
		_, err := doubted.Facts(ctx)
		switch {
		case ctx.Err() != nil:
			return reached{worker: doubted, err: context.Cause(ctx)}
		case !troubling(err):
			return reached{worker: doubted}
		case refusing(err):
			return reached{lost: doubted, err: err}
		case errors.Is(err, workers.ErrUnreachable):
			return reached{worker: doubted, err: err} // it tries by itself; steps may be watched through it
		}
		r.lost = doubted
	}
	w, err := p.open(ctx, name)
	if r.err = err; err == nil {
		r.worker = &opened{w}
	}
	return r
}

// troubling reports whether an error says that the worker is not there.
func troubling(err error) bool {
	return errors.Is(err, workers.ErrLost) || errors.Is(err, workers.ErrUnreachable) || refusing(err)
}

// refusing reports whether an error says that going on will not help.
func refusing(err error) bool {
	return errors.Is(err, workers.ErrHostKey) || errors.Is(err, workers.ErrAuth)
}

// finish writes down how a try ended and tells those who wait. An abandoned
// one failed because nobody waited for it.
func (p *Pool) finish(t *try, r reached, abandoned bool) {
	e := t.entry
	p.mu.Lock()
	dropped := p.all[e.name] != e
	e.try = nil
	switch {
	case dropped:
		t.givenUp = true
	case r.err != nil:
		e.worker, e.doubted = r.worker, true
		if t.givenUp = abandoned; !abandoned {
			p.fail(e, r.err)
		}
		t.err = unreachable(r.err, "%s", naming(e.name, r.err))
	default:
		e.worker, e.doubted, e.failures, e.cause, e.retry = r.worker, false, 0, nil, time.Time{}
		t.worker = r.worker
	}
	p.mu.Unlock()
	close(t.done)
	if dropped { // and a doubted worker was closed with its entry
		r.lost = nil
		if r.worker != t.doubted {
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
	if refusing(err) {
		pause = p.pause.Most // somebody must look; trying on may lock the account
	}
	e.failures++
	e.cause, e.retry = err, time.Now().Add(min(pause, p.pause.Most))
}

// note hears what came of using a worker that Get gave.
func (p *Pool) note(e *entry, w *opened, err error) {
	if err == nil || !troubling(err) {
		return
	}
	p.mu.Lock()
	var lost *opened
	if p.all[e.name] == e && e.worker == w && e.try == nil && !e.doubted { // the first of many who say the same
		e.doubted = true
		switch {
		case refusing(err):
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

func (s *shared) Facts(ctx context.Context) (workers.Facts, error) {
	f, err := s.opened.Facts(ctx)
	s.pool.note(s.entry, s.opened, err)
	return f, err
}

func (s *shared) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	w, err := s.opened.Workspace(ctx, id)
	s.pool.note(s.entry, s.opened, err)
	return w, err
}

func (s *shared) Workspaces(ctx context.Context) ([]string, error) {
	ids, err := s.opened.Workspaces(ctx)
	s.pool.note(s.entry, s.opened, err)
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
