// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

func TestReport(t *testing.T) {
	good := plugins.Case{Name: "a", Outcome: plugins.Passed}
	bad := plugins.Case{Name: "b", Outcome: plugins.Failed}
	for _, tt := range []struct {
		name  string
		cases []plugins.Case
		code  int
		want  []plugins.Case
	}{
		{"all well", []plugins.Case{good}, 0, []plugins.Case{good}},
		{"a failure told by name and status", []plugins.Case{good, bad}, 1, []plugins.Case{good, bad}},
		{"a failure that no test tells", []plugins.Case{good}, 7, []plugins.Case{good,
			{Name: "check", Outcome: plugins.Failed, Detail: "the script exited with 7, although no test that it named failed"}}},
		{"silent and well", nil, 0, []plugins.Case{{Name: "check", Outcome: plugins.Passed}}},
		{"silent and not well", nil, 1, []plugins.Case{{Name: "check", Outcome: plugins.Failed, Detail: "the script exited with 1"}}},
	} {
		if diff := cmp.Diff(tt.want, report(tt.cases, "tap", tt.code).Cases); diff != "" {
			t.Errorf("%s (-want +have):\n%s", tt.name, diff)
		}
	}
}

func TestCompiler(t *testing.T) {
	tools := map[string]workers.Tool{"clang": {Path: "/usr/bin/clang"}, "cc": {Path: "cc"}}
	if have := compiler(workers.Facts{Tools: tools}); have != "/usr/bin/clang" {
		t.Errorf("compiler %q", have)
	}
	if have := compiler(workers.Facts{}); have != "cc" {
		t.Errorf("compiler %q where none is known", have)
	}
}
