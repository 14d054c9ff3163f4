// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// changing is a plugin whose script the test changes.
type changing struct {
	acts
	mu *sync.Mutex
	to *string
}

func newChanging(script string) changing { return changing{mu: &sync.Mutex{}, to: &script} }

func (c changing) set(script string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.to = script
}

func (c changing) Start(context.Context, string) (attempt.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return acts{*c.to}, nil
}

// release returns the release of a port.
func (s *scene) release(n *node, port string) store.Release {
	s.t.Helper()
	all, err := n.db.Releases(s.t.Context(), port, "")
	if err != nil || len(all) != 1 {
		s.t.Fatalf("%s is released %d times, %v", port, len(all), err)
	}
	return all[0]
}

// checks returns the ended rebuilds of a build.
func (s *scene) checks(n *node, id string) (all []store.Build) {
	s.t.Helper()
	builds, err := n.db.Builds(s.t.Context(), store.Filter{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, b := range builds {
		if b.Checks != id || !b.Over() {
			continue
		}
		whole, err := n.db.Build(s.t.Context(), b.ID) // a list has no needs
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, whole)
	}
	return all
}

// otherwise installs a file that is the same under all conditions, but differs from
// what installing installs.
const otherwise = installing + "\necho more >>\"$ZFARM_ROOT/stage/opt/$port/bin/$port\""

// TestRebuilds rebuilds releases every hour: one with the same output, one that does
// not build, one with a different output, and the same once more.
func TestRebuilds(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) string) {
		c, script := &clock{}, newChanging(installing)
		s := newScene(t, "", "w1", "w2")
		s.parts.Settings, s.parts.Plugins = fast(), script
		s.parts.Settings.Probe = 1000 * time.Hour
		s.parts.Rebuilds = []engine.Rebuild{{Name: "hourly", Ports: []string{"to*"}, Next: func(after time.Time) time.Time { return after.Add(time.Hour) }}}
		n := s.node(fresh(t), "one", func(p *engine.Deps) { p.Now = c.now })
		taken := s.submit(n.Engine, submission(s.port("top", "base"), s.port("base")))
		top, base := taken[0].Build.ID, taken[1].Build.ID
		s.wait(n.Engine, top, orchestrator.BuildSucceeded)

		// Another base is released meanwhile. The rebuild uses the old one.
		script.set(otherwise)
		forced := submission(s.port("base"))
		forced.Force = true
		s.wait(n.Engine, s.submit(n.Engine, forced)[0].Build.ID, orchestrator.BuildSucceeded)

		for i, round := range []struct{ script, finding string }{
			{installing, ""},
			{"exit 3", "exited with 3"},
			{otherwise, "made another top-1"},
			{installing, ""},
		} {
			script.set(round.script)
			c.set(time.Hour + time.Minute)
			s.eventually("the rebuild", func() bool { return len(s.checks(n, top)) == i+1 })
			r := s.release(n, "top")
			if r.Build != top || (r.NotReproduced == "") != (round.finding == "") || !strings.Contains(r.NotReproduced, round.finding) {
				t.Errorf("after round %d the release is %+v, want build %s and the finding %q", i, r, top, round.finding)
			}
		}
		for _, b := range s.checks(n, top) {
			if len(b.Needs) != 1 || b.Needs[0].Build != base {
				t.Errorf("the rebuild %s needs %+v, want build %s", b.ID, b.Needs, base)
			}
			s.endedOnce(b)
		}
		n.drain(t)
	})
}

// TestRetention deletes an old build that is no release, with its bytes, and nothing of
// a release.
func TestRetention(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) string) {
		script := newChanging(otherwise)
		s := newScene(t, "", "w1", "w2")
		s.parts.Settings, s.parts.Plugins = fast(), script
		n := s.node(fresh(t), "one", nil)
		old := s.wait(n.Engine, s.submit(n.Engine, submission(s.port("base")))[0].Build.ID, orchestrator.BuildSucceeded)
		script.set(installing)
		forced := submission(s.port("base"))
		forced.Force = true
		now := s.wait(n.Engine, s.submit(n.Engine, forced)[0].Build.ID, orchestrator.BuildSucceeded)
		s.eventually("all workspaces to be gone", func() bool { return s.clean(old.ID) && s.clean(now.ID) })
		was, err := n.db.Files(t.Context(), old.ID)
		if err != nil {
			t.Fatal(err)
		}
		n.drain(t)

		// Deleted by an engine that does nothing else. Any process that is just being
		// started elsewhere has all files open for a moment.
		s.eventually("the database to be free", func() bool {
			n.db, err = store.Open(t.Context(), n.url, store.Options{Node: "two"})
			if err != nil && !errors.Is(err, store.ErrInUse) {
				t.Fatal(err)
			}
			return err == nil
		})
		s.parts.Store = n.db
		e := engine.New(s.parts)
		later := time.Now().Add(time.Hour)
		if err := e.Forget(t.Context(), time.Time{}, time.Time{}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.db.Build(t.Context(), old.ID); err != nil {
			t.Fatalf("with no time given something was forgotten: %v", err)
		}
		if err := e.Forget(t.Context(), later, time.Time{}, later); err != nil {
			t.Fatal(err)
		}
		if _, err := n.db.Build(t.Context(), old.ID); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("the old build: %v", err)
		}
		kept, err := n.db.Files(t.Context(), now.ID)
		if err != nil || len(kept) == 0 {
			t.Fatal(kept, err)
		}
		names := map[string]store.File{}
		for _, f := range kept {
			names[f.Name] = f
			if err := s.opens(f); err != nil {
				t.Errorf("%s of the release: %v", f.Name, err)
			}
		}
		gone := 0
		for _, f := range was {
			if f.Digest == names[f.Name].Digest {
				continue
			}
			gone++
			if err := s.opens(f); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of the old build: %v", f.Name, err)
			}
		}
		if gone == 0 {
			t.Error("both builds made the same files, so this test shows nothing")
		}
		if c, err := e.Conclusion(t.Context(), now.ID); err != nil || len(c.Records) != 2 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func (s *scene) opens(f store.File) error {
	r, err := s.parts.Artifacts.Open(s.t.Context(), f.Digest)
	if err != nil {
		return err
	}
	return r.Close()
}
