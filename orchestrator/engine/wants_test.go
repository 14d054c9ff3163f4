// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/recipes"
)

// TestStoredWants pins the form in databases of earlier programs.
func TestStoredWants(t *testing.T) {
	want := schedule.Wants{Tools: []recipes.Tool{{Name: "make", Version: ">= 4.0"}}, Patch: true, Apart: true, Alike: true}
	text, err := encodeWants(want)
	if err != nil {
		t.Fatal(err)
	}
	const golden = `{"format":"zfarm.wants/1","value":{"tools":[{"name":"make","version":"\u003e= 4.0"}],"patch":true,"apart":true,"alike":true}}`
	if diff := cmp.Diff(golden, string(text)); diff != "" {
		t.Errorf("the form has changed: give it another version if an older program would misread it (-want +have):\n%s", diff)
	}
	have, err := decodeWants("b1", []byte(golden))
	if diff := cmp.Diff(want, have); diff != "" || err != nil {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
	for _, other := range []string{`{"apart":true}`, `{"format":"zfarm.wants/0","value":{}}`, `{"format":"zfarm.wants/2","value":{"apart":true}}`, ``, `[]`} {
		if _, err := decodeWants("b1", []byte(other)); err == nil || !strings.Contains(err.Error(), "build b1") {
			t.Errorf("%s: %v, want an error that names the build", other, err)
		}
	}
}
