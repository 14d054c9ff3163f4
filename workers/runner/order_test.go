// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"testing"

	"github.com/zfarm/zfarm/workers"
)

// A step with several bad variables is refused for the same one each time.
func TestVariablesHaveOneText(t *testing.T) {
	step := workers.Step{Name: "make", Env: map[string]string{"A=": "", "B=": "", "C": "\x00"}}
	texts := map[string]bool{}
	for range 200 {
		texts[checkStep(step).Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
