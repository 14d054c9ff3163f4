// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"testing"
)

// A step with several bad variables is refused for the same one each time.
func TestForeignVariablesHaveOneText(t *testing.T) {
	step := &Step{Name: "make", Env: map[string][]byte{"A=": nil, "B=": nil, "C": []byte("\x00")}}
	texts := map[string]bool{}
	for range 200 {
		_, err := toStep(step)
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
