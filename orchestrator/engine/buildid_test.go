// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
)

// TestBuildIDs makes 100,000 ids of one recipe within one millisecond.
func TestBuildIDs(t *testing.T) {
	recipe, now := digest.Of([]byte("recipe")), time.UnixMilli(1_700_000_000_000)
	ids := map[string]bool{}
	for seq := range int64(100_000) {
		id := buildID(recipe, now, seq+1)
		if ids[id] || !workers.ValidID(id+"-repeat-0-1") {
			t.Fatalf("id %q of build %d: taken before: %t", id, seq+1, ids[id])
		}
		ids[id] = true
	}
	if id := buildID(recipe, now.Add(time.Millisecond), 1); ids[id] {
		t.Errorf("id %q of a build a millisecond later is taken", id)
	}
}
