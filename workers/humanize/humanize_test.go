// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package humanize_test

import (
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers/humanize"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 9_999: "9999 bytes", 10_000: "9 KiB", 10<<20 - 1: "10239 KiB", 10 << 20: "10 MiB",
		10<<30 - 1: "10239 MiB", 10 << 30: "10 GiB", 1 << 50: "1048576 GiB"} {
		if have := humanize.Bytes(n); have != want {
			t.Errorf("%d: %q, want %q", n, have, want)
		}
	}
}

func TestNumberAndCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 files", 1: "1 file", 2: "2 files", 1234: "1234 files", 12345: "12,345 files", 1234567: "1,234,567 files", -12345: "-12,345 files"} {
		if have := humanize.Count(n, "file"); have != want {
			t.Errorf("%d: %q, want %q", n, have, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.0 s", 1234 * time.Millisecond: "1.2 s", 90 * time.Second: "1m30s", 3*time.Hour + 1500*time.Millisecond: "3h0m2s"} {
		if have := humanize.Duration(d); have != want {
			t.Errorf("%s: %q, want %q", d, have, want)
		}
	}
}

func TestTime(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("CET", 3600))
	if have := humanize.Time(at); have != "2026-01-02 02:04:05Z" {
		t.Error(have)
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for d, want := range map[time.Duration]string{0: "0 s ago", 90 * time.Second: "90 s ago", 3 * time.Minute: "3 min ago",
		-3 * time.Minute: "in 3 min", 47 * time.Hour: "47 h ago", 49 * time.Hour: "2 days ago", -90 * 24 * time.Hour: "in 90 days"} {
		if have := humanize.Ago(now.Add(-d), now); have != want {
			t.Errorf("%s: %q, want %q", d, have, want)
		}
	}
	if have := humanize.Ago(time.Time{}, now); have != "" {
		t.Errorf("no time: %q", have)
	}
}
