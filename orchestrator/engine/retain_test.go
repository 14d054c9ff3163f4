// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/engine"
)

// TestForgottenLogsLeaveTheRest: the bytes of logs are deleted, and everything that
// belongs to a release stays.
func TestForgottenLogsLeaveTheRest(t *testing.T) {
	t.Parallel()
	s := newScene(t, "echo building; "+same, "w1", "w2")
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil {
		t.Fatalf("%+v, %v", c.Failure, err)
	}
	logs := func() (all []digest.Digest) {
		for _, r := range c.Records {
			for _, step := range r.Steps {
				all = append(all, step.Log)
			}
		}
		return all
	}()
	there := func(d digest.Digest) bool {
		t.Helper()
		r, err := s.parts.Artifacts.Open(t.Context(), d)
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	later := time.Now().Add(time.Hour)
	e := engine.New(s.parts)
	for _, when := range []struct {
		name   string
		logged time.Time
		kept   bool
	}{{"for ever", time.Time{}, true}, {"too young", later.Add(-24 * time.Hour), true}, {"old", later, false}} {
		if err := e.Forget(t.Context(), time.Time{}, when.logged, later); err != nil {
			t.Fatal(err)
		}
		for _, log := range logs {
			if there(log) != when.kept {
				t.Errorf("%s: log %s is there: %t", when.name, log.Short(), !when.kept)
			}
		}
	}
	if len(logs) < 2 {
		t.Errorf("there were %d logs", len(logs))
	}
	for _, f := range c.Files {
		if !there(f.Digest) {
			t.Errorf("%s is gone", f.Name)
		}
	}
	for _, r := range c.Records {
		if !there(r.Output) {
			t.Errorf("the output of %s is gone", r.Name)
		}
	}
}
