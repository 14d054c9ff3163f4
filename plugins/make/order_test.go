// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package make

import (
	"fmt"
	"testing"
)

// Complaints about several variables come in one order.
func TestComplaintsHaveOneText(t *testing.T) {
	raw := []byte(`{"target":"all","install_target":"install","dir":".","destdir_var":"DESTDIR","vars":{"A ":"x","B ":"y","C":"1\n2","D ":""}}`)
	if n := len(builder{}.Check(raw)); n < 4 {
		t.Fatalf("%d complaints, want one for each variable", n)
	}
	texts := map[string]bool{}
	for range 200 {
		texts[fmt.Sprint(builder{}.Check(raw))] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
