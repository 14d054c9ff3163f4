// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pool_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/pool"
)

func TestHealth(t *testing.T) {
	with := func(change func(*workers.Facts)) *workers.Facts {
		f := &workers.Facts{Archiver: workers.ArchiverGNUTar, FreeBytes: 5 << 30}
		if change != nil {
			change(f)
		}
		return f
	}
	free := func(n int64) *workers.Facts { return with(func(f *workers.Facts) { f.FreeBytes = n }) }
	off := func(d time.Duration) *workers.Facts { return with(func(f *workers.Facts) { f.ClockOffset = d }) }
	without := with(func(f *workers.Facts) { f.Archiver = "" })
	refused := fmt.Errorf("%w: %w: %w", workers.ErrUnreachable, workers.ErrLost, workers.ErrAuth)
	for name, tt := range map[string]struct {
		was, now *workers.Facts
		err      error
		limits   pool.Limits
		code     workers.QuarantineCode // "": it is well
		want     []string
	}{
		"well":               {nil, with(nil), nil, pool.Limits{}, "", nil},
		"new":                {nil, nil, nil, pool.Limits{}, workers.QuarantineNotProbed, []string{"has not been probed yet"}},
		"unreachable":        {with(nil), nil, fmt.Errorf("connecting to h:22: %w", workers.ErrUnreachable), pool.Limits{}, workers.QuarantineUnreachable, []string{"cannot be reached. See that it is up", "connecting to h:22: worker unreachable."}},
		"lost":               {with(nil), nil, workers.ErrLost, pool.Limits{}, workers.QuarantineProbeLost, []string{"connection was lost", "tries again by itself"}},
		"host key":           {nil, nil, workers.ErrHostKey, pool.Limits{}, workers.QuarantineHostKey, []string{"Ask its administrator for the fingerprint"}},
		"refused, by a pool": {nil, nil, refused, pool.Limits{}, workers.QuarantineCredentials, []string{"refused the farm's credentials", "authorized_keys"}},
		"unfit":              {nil, with(nil), fmt.Errorf("probing lpar1: %w: no shell; install bash", workers.ErrUnfit), pool.Limits{}, workers.QuarantineUnfit, []string{"lacks what the farm", "install bash."}},
		"another error":      {nil, nil, errors.New("no such identity file"), pool.Limits{}, workers.QuarantineProbeFailed, []string{"The probe failed", "no such identity file."}},
		"no archiver":        {nil, without, nil, pool.Limits{}, workers.QuarantineNoArchiver, []string{"no archiver", "Install GNU tar"}},
		"archiver gone":      {with(nil), without, nil, pool.Limits{}, workers.QuarantineNoArchiver, []string{"It had gnu-tar before."}},
		"room at the limit":  {nil, free(1 << 30), nil, pool.Limits{}, "", nil},
		"little room":        {nil, free(1<<30 - 1), nil, pool.Limits{}, workers.QuarantineDiskFull, []string{"nearly full: 1023 MiB free for workspaces, 1024 MiB wanted"}},
		"room of one's own":  {nil, free(20 << 30), nil, pool.Limits{FreeBytes: 50 << 30}, workers.QuarantineDiskFull, []string{"20 GiB free", "50 GiB wanted"}},
		"room not told":      {nil, free(0), nil, pool.Limits{}, "", nil},
		"room coming back":   {free(1 << 29), free(1 << 30), nil, pool.Limits{}, workers.QuarantineDiskFull, []string{"1280 MiB wanted"}},
		"room come back":     {free(1 << 29), free(5 << 28), nil, pool.Limits{}, "", nil},
		"room getting less":  {free(5 << 30), free(1 << 30), nil, pool.Limits{}, "", nil},
		"clock a bit ahead":  {nil, off(5 * time.Minute), nil, pool.Limits{}, "", nil},
		"clock ahead":        {nil, off(5*time.Minute + time.Second), nil, pool.Limits{}, workers.QuarantineClock, []string{"clock is 5m1s ahead, and 5m0s is allowed", "NTP"}},
		"clock behind":       {nil, off(-time.Hour), nil, pool.Limits{Clock: time.Minute}, workers.QuarantineClock, []string{"1h0m0s behind, and 1m0s"}},
		"clock of another":   {nil, off(-time.Hour), nil, pool.Limits{Clock: 2 * time.Hour}, "", nil},
		"clock from hell":    {nil, off(-1 << 63), nil, pool.Limits{}, workers.QuarantineClock, []string{"behind"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := pool.Health(tt.was, tt.now, tt.err, tt.limits)
			if got == nil {
				got = &workers.Quarantine{}
			}
			if got.Code != tt.code || (got.Detail == "") != (tt.want == nil) {
				t.Fatalf("Health = %q %q, want %q %q", got.Code, got.Detail, tt.code, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.Detail, want) {
					t.Errorf("Health = %q, lacks %q", got.Detail, want)
				}
			}
		})
	}
}

// TestHealthIsOneLine: errors contain text of hostile machines.
func TestHealthIsOneLine(t *testing.T) {
	err := fmt.Errorf("%w: one\ntwo\x1b[2J\u202e\xff%s", workers.ErrUnreachable, strings.Repeat("long ", 1000))
	got := pool.Health(nil, nil, err, pool.Limits{}).Detail
	if strings.ContainsAny(got, "\n\x1b\u202e") || len(got) > 1000 || !strings.Contains(got, `one two\x1b[2J`) {
		t.Errorf("Health = %q", got)
	}
}
