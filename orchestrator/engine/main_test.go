// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestMain runs more tests at once than there are processors, unless -parallel
// says otherwise: builds wait for steps, sweeps and holds more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if at := flag.Lookup("test.parallel"); at != nil && !chosen {
		if n, err := strconv.Atoi(at.Value.String()); err == nil {
			_ = at.Value.Set(strconv.Itoa(max(n, 8))) // a number is always valid
		}
	}
	os.Exit(m.Run())
}

// patience bounds the wait for what must happen. It only ends tests that would wait for
// ever: no machine is slow enough to reach it.
const patience = 5 * time.Minute

// eachPoint skips, under -short, a test that kills or stops engines at every point: it
// waits for leases and holds far more than it computes.
func eachPoint(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("waits for many leases: run it without -short")
	}
}

// some returns the cases of that name, and all of them when ZFARM_LONG is set.
func some[C any](t *testing.T, all map[string]C, names ...string) map[string]C {
	t.Helper()
	if thorough(t, len(names), len(all)) == len(all) {
		return all
	}
	few := map[string]C{}
	for _, name := range names {
		c, ok := all[name]
		if !ok {
			t.Fatalf("there is no case %q", name)
		}
		few[name] = c
	}
	return few
}

// thorough returns how much of something a test tries: more when ZFARM_LONG is set.
func thorough(t *testing.T, short, long int) int {
	t.Helper()
	if os.Getenv("ZFARM_LONG") == "" {
		t.Logf("a short form, %d for %d: set ZFARM_LONG=1 for the whole, or run task long", short, long)
		return short
	}
	return long
}
