// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// TestWorkerState: draining and quarantine are different, and the reason for a
// quarantine begins with its code.
func TestWorkerState(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	full := &wire.Quarantine{Code: "disk-full", Since: now.Add(-5 * time.Minute), Detail: "Its disk is nearly full.", Who: "node-1"}
	for _, tt := range []struct {
		worker        wire.Worker
		state, reason string
	}{
		{wire.Worker{Registered: true, Facts: &wire.Facts{}}, "serves", ""},
		{wire.Worker{Registered: true}, "new", ""},
		{wire.Worker{Registered: true, Quarantine: full}, "quarantined", "disk-full (5 min ago): Its disk is nearly full."},
		{wire.Worker{Registered: true, Draining: true}, "draining", ""},
		{wire.Worker{Registered: true, Draining: true, Quarantine: full}, "draining", "disk-full (5 min ago): Its disk is nearly full."},
		{wire.Worker{Quarantine: full}, "removed", "the farm's file no longer names it"},
	} {
		if state, reason := workerState(tt.worker), workerReason(tt.worker, now); state != tt.state || reason != tt.reason {
			t.Errorf("%+v is %s (%s), want %s (%s)", tt.worker, state, reason, tt.state, tt.reason)
		}
	}
}
