// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zfarm/zfarm/plugins"
)

func TestWatchParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var parent atomic.Int64
		parent.Store(7)
		gone := make(chan time.Time, 1)
		began := time.Now()
		go watchParent(ctx, 7, func() int { return int(parent.Load()) }, time.Second, func() { gone <- time.Now() })
		<-time.After(time.Minute)
		synctest.Wait()
		if len(gone) != 0 {
			t.Fatal("told to end while its parent lives")
		}
		parent.Store(1)
		if took := (<-gone).Sub(began); took > time.Minute+2*time.Second {
			t.Errorf("noticed after %s", took)
		}
	})
}

func TestServeRefuses(t *testing.T) {
	if err := Serve(plugins.Plugin{}); err == nil {
		t.Error("a plugin that is nothing: served")
	}
}

func TestBatchesFit(t *testing.T) {
	cases := make([]plugins.Case, 5000)
	for i := range cases {
		cases[i] = plugins.Case{Name: "n", Detail: strings.Repeat("x", 2*plugins.MaxDetail)}
	}
	sum := 0
	for len(cases) > 0 {
		n := fits(cases)
		if n < 1 {
			t.Fatal("no progress")
		}
		sum += n
		cases = cases[n:]
	}
	if sum != 5000 || fits(nil) != 0 {
		t.Errorf("%d of 5000 sent", sum)
	}
}
