// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// batch is one Append.
type batch struct {
	At   time.Duration
	Off  int64
	Size int
}

// taker remembers what it was given.
type taker struct {
	mu    sync.Mutex
	begun time.Time
	pause time.Duration
	fail  error
	got   []batch
	log   []byte
}

func (k *taker) take(off int64, p []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, batch{time.Since(k.begun), off, len(p)})
	k.log = append(k.log, p...)
	<-time.After(k.pause) // in a bubble: it takes no time
	return k.fail
}

func write(t *testing.T, f *feed, n int) {
	t.Helper()
	if have, err := f.Write(bytes.Repeat([]byte("x"), n)); err != nil || have != n {
		t.Errorf("%d of %d bytes, %v", have, n, err)
	}
}

func TestFeedCutsLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &taker{begun: time.Now()}
		f := startFeed(k.take)
		write(t, f, 10)
		write(t, f, 5)
		<-time.After(400 * time.Millisecond)
		write(t, f, batchBytes+7) // a full batch goes at once, the rest with the time
		<-time.After(300 * time.Millisecond)
		write(t, f, 3)
		if err := f.end(); err != nil {
			t.Error(err)
		}
		ms := time.Millisecond
		want := []batch{{300 * ms, 0, 15}, {400 * ms, 15, batchBytes}, {600 * ms, 15 + batchBytes, 7}, {700 * ms, 22 + batchBytes, 3}}
		if diff := cmp.Diff(want, k.got); diff != "" {
			t.Errorf("batches (-want +have):\n%s", diff)
		}
	})
}

func TestFeedGoesAheadOfASlowJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &taker{begun: time.Now(), pause: time.Minute}
		f := startFeed(k.take)
		write(t, f, batchBytes)
		synctest.Wait() // the journal holds the first batch now
		write(t, f, maxWaiting)
		if took := time.Since(k.begun); took != 0 {
			t.Errorf("%d bytes waited %s for the journal", maxWaiting, took)
		}
		write(t, f, 1) // no room: it waits for one batch, no longer
		if took := time.Since(k.begun); took != time.Minute {
			t.Errorf("one byte more waited %s", took)
		}
		if err := f.end(); err != nil {
			t.Error(err)
		}
		if len(k.log) != batchBytes+maxWaiting+1 {
			t.Errorf("%d bytes arrived", len(k.log))
		}
	})
}

func TestFeedTellsWhatTheJournalSaid(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	t.Run("while the step runs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := &taker{begun: time.Now(), fail: full}
			f := startFeed(k.take)
			write(t, f, 1)
			<-time.After(time.Second)
			if _, err := f.Write([]byte("more")); !errors.Is(err, full) {
				t.Errorf("writing: %v", err)
			}
			if err := f.end(); !errors.Is(err, full) || len(k.got) != 1 {
				t.Errorf("%v after %d batches", err, len(k.got))
			}
		})
	})
	t.Run("with a writer that waits for room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := &taker{begun: time.Now(), fail: full, pause: time.Second}
			f := startFeed(k.take)
			write(t, f, batchBytes)
			synctest.Wait()
			if n, err := f.Write(make([]byte, 2*maxWaiting)); !errors.Is(err, full) || n != maxWaiting {
				t.Errorf("writing: %d, %v", n, err)
			}
			if err := f.end(); !errors.Is(err, full) {
				t.Error(err)
			}
		})
	})
	t.Run("at the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := startFeed((&taker{begun: time.Now(), fail: full}).take)
			write(t, f, 1)
			if err := f.end(); !errors.Is(err, full) {
				t.Error(err)
			}
		})
	})
}
