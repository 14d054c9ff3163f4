// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"sync"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
)

// Journal records the steps of an attempt while they run. Steps may overlap. An attempt
// that is joined again records every step again: Begin, the whole log from its first
// byte, End.
type Journal interface {
	// Begin is called before the step is begun, joined or recalled.
	Begin(ctx context.Context, step string) error
	// Append records bytes of the log from offset off, at most 32 KiB per call. It must
	// not keep p. It may block for a while: the step goes on.
	Append(ctx context.Context, step string, off int64, p []byte) error
	// End is called after the last Append. took is measured by the farm's clock, log is
	// the digest of the whole log, which is in the store. A step whose end was not
	// observed gets no End.
	End(ctx context.Context, step string, st workers.Status, took time.Duration, log digest.Digest) error
}

// Bounds for batches of a log: a batch is handed over as soon as it is full or its time
// is up. The bytes that wait for the journal are bounded, too.
const (
	batchBytes = 32 << 10
	batchEvery = 300 * time.Millisecond
	maxWaiting = 1 << 20
)

// feed hands a log to the journal from its own goroutine, so that a slow journal slows
// the copying of the log only when much is waiting.
type feed struct {
	append func(off int64, p []byte) error

	mu      sync.Mutex
	waiting []byte
	off     int64 // of waiting, from the start of the log
	err     error

	full  chan struct{} // a batch is waiting
	room  chan struct{} // signalled after a batch was taken
	stop  chan struct{}
	ended chan struct{}
}

// startFeed returns a running feed; end must be called.
func startFeed(append func(off int64, p []byte) error) *feed {
	f := &feed{append: append, full: make(chan struct{}, 1), room: make(chan struct{}, 1),
		stop: make(chan struct{}), ended: make(chan struct{})}
	go f.work()
	return f
}

// end hands over what is still waiting and returns the journal's first error.
func (f *feed) end() error {
	close(f.stop)
	<-f.ended
	return f.err
}

// Write buffers p. It fails once the journal has failed.
func (f *feed) Write(p []byte) (int, error) {
	for n := 0; ; {
		took, err := f.buffer(p[n:])
		n += took
		if err != nil || n == len(p) {
			return n, err
		}
		select {
		case <-f.room:
		case <-f.ended:
		}
	}
}

// buffer takes as much of p as fits.
func (f *feed) buffer(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	n := min(len(p), maxWaiting-len(f.waiting))
	f.waiting = append(f.waiting, p[:n]...)
	if len(f.waiting) >= batchBytes {
		signal(f.full)
	}
	return n, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is signalled already
	}
}

func (f *feed) work() {
	defer close(f.ended)
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	for {
		minimum, last := 1, false
		select {
		case <-tick.C:
		case <-f.full:
			minimum = batchBytes
		case <-f.stop:
			last = true
		}
		for {
			batch, off := f.take(minimum)
			if len(batch) == 0 {
				break
			}
			if err := f.append(off, batch); err != nil {
				f.fail(err)
				return
			}
		}
		if last {
			return
		}
	}
}

// take takes the next batch, or nothing if less than minimum is waiting.
func (f *feed) take(minimum int) ([]byte, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) < minimum {
		return nil, 0
	}
	batch, off := f.waiting[:min(len(f.waiting), batchBytes)], f.off
	f.waiting = f.waiting[len(batch):]
	f.off += int64(len(batch))
	signal(f.room)
	return batch, off
}

func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	f.waiting = nil
}

// fault keeps the first error of the farm itself. It is kept here because the call in
// which it happened may be a plugin's, and a plugin is not trusted to report it.
type fault struct {
	mu  sync.Mutex
	err error
}

func (f *fault) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *fault) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
