// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
)

// TestStraysGo: a workspace that comes back after its removal is removed again, and one
// that the farm does not know stays.
func TestStraysGo(t *testing.T) {
	each(t, func(t *testing.T, fresh func(t *testing.T) string) {
		s := newScene(t, installing, "w1", "w2")
		s.parts.Settings = fast()
		s.parts.Settings.Probe = 200 * time.Millisecond
		n := s.node(fresh(t), "one", nil)
		id := s.submit(n.Engine, submission(s.port("base")))[0].Build.ID
		s.wait(n.Engine, id, orchestrator.BuildSucceeded)
		s.eventually("all workspaces to be gone", func() bool { return s.clean(id) })
		all, err := n.db.Attempts(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		stay := []string{"0123456789ab-01234567-a1", id + "-a99", id + "-a1.kept", "another"}
		for _, a := range all {
			if a.Workspace == "" {
				continue
			}
			for _, name := range append([]string{a.Workspace}, stay...) {
				dir := filepath.Join(s.roots[a.Worker], name, "build")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.eventually("the strays to be gone", func() bool {
			return !slices.ContainsFunc(s.left(), func(name string) bool { return !slices.Contains(stay, name) })
		})
		want := slices.Sorted(slices.Values(slices.Concat(stay, stay)))
		if d := cmp.Diff(want, slices.Sorted(slices.Values(s.left()))); d != "" {
			t.Errorf("what is left (-want +have):\n%s", d)
		}
		n.drain(t)
	})
}
