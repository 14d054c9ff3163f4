// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"testing"

	"github.com/zfarm/zfarm/plugins"
)

// The faults of a description come in one order, so that an author who runs
// the same plugin twice reads the same text.
func TestValidateHasOneText(t *testing.T) {
	bad := &plugins.Schema{Attributes: []plugins.Attribute{{Name: "A"}}}
	d := plugins.Description{Name: "make", Version: "1", Builder: bad, Tester: bad}
	texts := map[string]bool{}
	for range 200 {
		texts[d.Validate().Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
