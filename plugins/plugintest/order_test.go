// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"testing"
)

// A step with several bad variables is refused for the same one each time.
func TestVariablesHaveOneText(t *testing.T) {
	s := &Space{}
	texts := map[string]bool{}
	for range 200 {
		_, err := s.environment(map[string]string{"A=": "", "B=": "", "C=": ""})
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
