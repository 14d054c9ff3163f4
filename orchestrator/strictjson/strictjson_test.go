// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package strictjson_test

import (
	"testing"

	"github.com/zfarm/zfarm/orchestrator/strictjson"
)

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{`{"known":1}`, true},
		{" {\"known\":1}\n", true},
		{`{}`, true},
		{`{"known":1,"unknown":2}`, false},
		{`{"known":1}{"known":2}`, false},
		{`{"known":1}x`, false},
		{`{"known":"1"}`, false},
		{`{"known":1`, false},
		{``, false},
	} {
		var v struct {
			Known int `json:"known"`
		}
		if err := strictjson.Decode([]byte(tt.text), &v); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.text, err)
		}
	}
}
