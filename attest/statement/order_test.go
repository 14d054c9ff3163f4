// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement_test

import (
	"strings"
	"testing"

	"github.com/zfarm/zfarm/attest/statement"
)

// What is wrong with a statement is said in one order.
func TestFaultsHaveOneText(t *testing.T) {
	r := ruled()
	r.Rules[0].Format, r.Rules[0].Path, r.Rules[0].Field, r.Rules[0].Pattern = "json", "\x01", "\x02", "\x03"
	for name, read := range map[string]func() error{
		"rule":   func() error { _, err := r.Statement(); return err },
		"fields": func() error { _, err := statement.Parse([]byte(`{"a":1,"b":1,"_type":1,"subject":1}`)); return err },
		"digests": func() error {
			var out statement.Resource
			return out.UnmarshalJSON([]byte(`{"digest":{"a":"1","b":"2","sha256":"x","c":"3"}}`))
		},
	} {
		texts := map[string]bool{}
		for range 200 {
			texts[read().Error()] = true
		}
		if len(texts) != 1 {
			t.Errorf("%s: one input has %d texts: %v", name, len(texts), texts)
		}
		for text := range texts {
			if name == "rule" && strings.Count(text, "control characters") != 3 {
				t.Errorf("rule: %q does not name three faults", text)
			}
		}
	}
}
