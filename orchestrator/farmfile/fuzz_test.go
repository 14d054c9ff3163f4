// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farmfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.hcl", "testdata/errors/*.hcl", "testdata/faults.hcl"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		farm, diags := farmfile.Read(src, "farm.hcl")
		if (farm == nil) != diags.HasErrors() {
			t.Fatalf("farm %v beside %v", farm, diags)
		}
		shown := text(t, diags, 80, false)
		if codepage.PrintableString(shown) != shown {
			t.Errorf("shown: %q", shown)
		}
		for _, d := range diags {
			if d.Summary == "" || d.Detail == "" {
				t.Errorf("a fault without advice: %+v", d)
			}
			if strings.Contains(strings.ToLower(d.Detail), "a recipe") && !strings.Contains(strings.ToLower(string(src)), "a recipe") {
				t.Errorf("speaks of recipes: %+v", d)
			}
		}
		if farm != nil {
			fuzzFarm(t, farm)
		}
	})
}

// fuzzFarm checks what users of a farm rely on.
func fuzzFarm(t *testing.T, farm *farmfile.Farm) {
	if farm.Name == "" || farm.Store == "" || farm.Sources == "" || farm.Database == "" || farm.Listen == "" || farm.Patience <= 0 {
		t.Errorf("something is empty: %+v", farm)
	}
	for _, w := range farm.Workers {
		if w.Slots < 1 || w.Slots > 1000 || w.Lease <= farm.Patience {
			t.Errorf("%+v, patience %v", w, farm.Patience)
		}
		if w.Local {
			continue
		}
		if a, err := workers.ParseAddress(w.Address); err != nil || len(a.Settings) > 0 || a.Kind != workers.KindSSH {
			t.Errorf("workers reads %q as %+v, %v", w.Address, a, err)
		}
	}
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, r := range farm.Rebuilds {
		if next := r.Next(start); !next.After(start) {
			t.Errorf("%q: after %v comes %v", r.Cron, start, next)
		}
	}
}
