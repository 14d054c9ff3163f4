// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
)

// A command line with several faults is refused with the same text each time.
func TestKnownHasOneText(t *testing.T) {
	for _, f := range []knownFlags{
		{a: []string{"begun=x", "ended=y"}, b: []string{"begun=x", "ended=y"}},
		{a: []string{"path=/a", "home=/b", "user=c"}},
		{a: []string{"nonsense"}},
	} {
		texts := map[string]bool{}
		for range 200 {
			_, err := f.known()
			texts[err.Error()] = true
		}
		if len(texts) != 1 {
			t.Errorf("%v has %d texts: %v", f, len(texts), texts)
		}
	}
}
