// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"
)

// A rule with several bad patterns names the same one each time.
func TestClaimRulesHaveOneText(t *testing.T) {
	r := ClaimRule{Claims: map[string]string{"sub": "[", "email": "[", "name": "["}}
	texts := map[string]bool{}
	for range 200 {
		texts[r.check().Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
