// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule_test

import (
	"testing"

	"github.com/zfarm/zfarm/orchestrator/schedule"
)

// Settings with several bad shares are refused for the same one each time.
func TestSharesHaveOneText(t *testing.T) {
	p := schedule.Settings{Shares: map[string]float64{"a": 0, "b": -1, "c": -2}}
	texts := map[string]bool{}
	for range 200 {
		texts[p.Check().Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
