// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
)

// port returns the recipe of the scene under another name and with needs.
func (s *scene) port(name string, needs ...string) *recipes.Recipe {
	r := *s.recipe
	r.Port = name
	r.Package.Prefix = "/opt/" + name
	for _, n := range needs {
		r.Needs = append(r.Needs, recipes.Need{Port: n, At: []string{"build"}})
	}
	return &r
}

// installing stages one file under the prefix of whatever port is built.
const installing = `port=$(basename "$PWD"); port=${port%-1}
mkdir -p "$ZFARM_ROOT/stage/opt/$port/bin" && umask 022 && cp file "$ZFARM_ROOT/stage/opt/$port/bin/$port"
ls "$ZFARM_ROOT/needs/opt" 2>/dev/null | while read need; do cat "$ZFARM_ROOT/needs/opt/$need/bin/$need" >>"$ZFARM_ROOT/stage/opt/$port/bin/$port"; done
chmod -R go=rX "$ZFARM_ROOT/stage/opt"`

func (s *scene) engine() *engine.Engine {
	s.t.Helper()
	if s.parts.Store == nil {
		s.parts.Store = s.open()
	}
	s.parts.Workers = s
	s.parts.VerificationMaterial = engine.VerificationMaterial{PublicKey: s.public, TrustedRoot: cosign.TrustedRoot()}
	s.parts.Settings.Sweep = 200 * time.Millisecond
	e := engine.New(s.parts)
	if err := e.RegisterLocal(s.t.Context(), s.workers); err != nil {
		s.t.Fatal(err)
	}
	return e
}

// work lets the engine run until the test ends or stop is called.
func (s *scene) work(e *engine.Engine) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			if err := <-ended; err != nil {
				s.t.Errorf("running an engine: %v", err)
			}
		}
	}
	s.t.Cleanup(stop)
	return stop
}

func submission(all ...*recipes.Recipe) engine.Submission {
	sub := engine.Submission{Owner: "test"}
	for _, r := range all {
		sub.Recipes = append(sub.Recipes, engine.Submitted{Recipe: r, URI: "urn:zfarm:recipe:" + r.Port, Path: "recipe.hcl"})
	}
	return sub
}

func (s *scene) submit(e *engine.Engine, sub engine.Submission) []engine.Taken {
	s.t.Helper()
	taken, err := e.Submit(s.t.Context(), sub)
	if err != nil {
		s.t.Fatal(err)
	}
	return taken
}

// wait returns the build once it has ended as expected.
func (s *scene) wait(e *engine.Engine, id string, want orchestrator.BuildState) store.Build {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	b, err := e.Wait(ctx, id)
	if err != nil || b.State() != want {
		s.t.Fatalf("build %s of %s is %s (%+v), want %s; %v", id, b.Port, b.State(), b.Failure(), want, err)
	}
	return b
}

func TestNeedsComeFirst(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1", "w2")
	e := s.engine()
	s.work(e)
	taken := s.submit(e, submission(s.port("top", "left", "right"), s.port("left", "base"), s.port("right", "base"), s.port("base")))
	s.wait(e, taken[3].Build.ID, orchestrator.BuildSucceeded)
	for i, port := range []string{"top", "left", "right", "base"} {
		if b := s.wait(e, taken[i].Build.ID, orchestrator.BuildSucceeded); b.Port != port {
			t.Errorf("build %d is of %s, want %s", i, b.Port, port)
		}
	}
	c, err := e.Conclusion(t.Context(), taken[0].Build.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Inputs.Needs) != 2 {
		t.Errorf("the inputs name %d needs: %+v", len(c.Inputs.Needs), c.Inputs.Needs)
	}
	events, err := s.parts.Store.Events(t.Context(), 0, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	seq := func(build, stage string, to orchestrator.StageState) int64 {
		for _, e := range events {
			if e.Build == build && e.Stage == stage && e.To == to {
				return e.Seq
			}
		}
		t.Fatalf("build %s never came to %s of %s", build, to, stage)
		return 0
	}
	for _, edge := range [][2]int{{3, 1}, {3, 2}, {1, 0}, {2, 0}} {
		need, dependant := taken[edge[0]].Build.ID, taken[edge[1]].Build.ID
		if seq(need, "publish", orchestrator.Succeeded) > seq(dependant, "resolve", orchestrator.Running) {
			t.Errorf("%s began before %s was published", dependant, need)
		}
	}
}

func TestSameSubmissionIsTheSameBuild(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1", "w2")
	e := s.engine()
	s.work(e)
	sub := submission(s.port("base"), s.port("top", "base"))
	first := s.submit(e, sub)
	second := s.submit(e, sub)
	for i := range first {
		if !first[i].Fresh || second[i].Fresh || first[i].Build.ID != second[i].Build.ID {
			t.Errorf("recipe %d: %v %s, then %v %s", i, first[i].Fresh, first[i].Build.ID, second[i].Fresh, second[i].Build.ID)
		}
	}
	s.wait(e, first[1].Build.ID, orchestrator.BuildSucceeded)

	// A need that is rebuilt with the same output rebuilds no port.
	sub.Force = true
	sub.Recipes = sub.Recipes[:1]
	forced := s.submit(e, sub)
	if !forced[0].Fresh {
		t.Fatal("a forced build is one that was there")
	}
	s.wait(e, forced[0].Build.ID, orchestrator.BuildSucceeded)
	again := s.submit(e, submission(s.port("base"), s.port("top", "base")))
	if again[0].Fresh || again[0].Build.ID != forced[0].Build.ID || !again[1].Fresh {
		t.Errorf("base is %s (fresh %v), top is fresh %v", again[0].Build.ID, again[0].Fresh, again[1].Fresh)
	}
	b := s.wait(e, again[1].Build.ID, orchestrator.BuildSucceeded)
	if b.SameAs != first[1].Build.ID {
		t.Errorf("top was built again though its inputs are those of %s: %+v", first[1].Build.ID, b)
	}
	c, err := e.Conclusion(t.Context(), b.ID)
	if err != nil || len(c.Files) == 0 || c.Failure != nil {
		t.Errorf("conclusion of a build that another stands for: %d files, %+v, %v", len(c.Files), c.Failure, err)
	}
}

func TestNeedThatFails(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing+"\ncase $port in base) exit 3;; esac", "w1", "w2")
	e := s.engine()
	s.work(e)
	taken := s.submit(e, submission(s.port("base"), s.port("middle", "base"), s.port("top", "middle")))
	s.wait(e, taken[0].Build.ID, orchestrator.BuildFailed)
	for _, i := range []int{1, 2} {
		b := s.wait(e, taken[i].Build.ID, orchestrator.BuildFailed)
		if f := b.Failure(); f.Kind != orchestrator.FailedNeed || !strings.Contains(f.Message, "needs") {
			t.Errorf("%s failed with %+v", b.Port, f)
		}
	}
	// A port that failed by itself is not retried without a request; one that waited
	// for it is.
	again := s.submit(e, submission(s.port("base"), s.port("middle", "base")))
	if again[0].Fresh || !again[1].Fresh {
		t.Errorf("fresh: base %v, middle %v; want false, true", again[0].Fresh, again[1].Fresh)
	}
}

func TestNeedsInACircle(t *testing.T) {
	t.Parallel()
	s := newScene(t, installing, "w1")
	e := s.engine()
	_, err := e.Submit(t.Context(), submission(s.port("a", "b"), s.port("b", "c"), s.port("c", "a")))
	if !errors.Is(err, engine.ErrNeeds) || !strings.Contains(err.Error(), "a needs b needs c needs a") {
		t.Error(err)
	}
}

func TestCancelReachesTheWorker(t *testing.T) {
	t.Parallel()
	s := newScene(t, "echo $$ >pid; sleep 1000", "w1", "w2")
	e := s.engine()
	s.work(e)
	id := s.submit(e, submission(s.port("base")))[0].Build.ID
	s.eventually("both repeats to run", func() bool {
		b, err := s.parts.Store.Build(t.Context(), id)
		return err == nil && len(s.steps(b, "build-make")) == 2
	})
	if err := e.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.wait(e, id, orchestrator.BuildCancelled)
	s.eventually("both workspaces to be gone", func() bool {
		all, err := s.parts.Store.Attempts(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if a.Workspace != "" && !a.Cleaned {
				return false
			}
		}
		return true
	})
	again := s.submit(e, submission(s.port("base")))
	if !again[0].Fresh {
		t.Error("a cancelled build cannot be submitted again")
	}
	if err := e.Cancel(t.Context(), again[0].Build.ID); err != nil {
		t.Fatal(err)
	}
}

// steps returns the names of the attempts' steps of that name that have begun.
func (s *scene) steps(b store.Build, name string) []string {
	var all []string
	for _, stage := range b.Stages {
		steps, err := s.parts.Store.Steps(s.t.Context(), b.ID, stage.ID, stage.Fence)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, step := range steps {
			if step.Name == name {
				all = append(all, stage.ID)
			}
		}
	}
	return all
}

// eventually polls a condition that no event reports.
func (s *scene) eventually(what string, is func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}
