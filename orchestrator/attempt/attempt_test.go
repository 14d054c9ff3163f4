// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/artifacts"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/plan"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
)

// acts is a plugin whose steps the test defines.
type acts struct {
	build, check []workers.Step
	report       plugins.Report
	put          io.Reader
}

func (a acts) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	if a.put != nil {
		if _, err := ws.Put(ctx, "big", 0o644, a.put); err != nil {
			return nil, err
		}
	}
	return []plugins.Output{{Dir: c.Stage}}, steps(ctx, ws, c, a.build)
}

func (a acts) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	return a.report, steps(ctx, ws, c, a.check)
}

func (a acts) Close() error { return nil }

func (a acts) Start(context.Context, string) (attempt.Process, error) { return a, nil }

func steps(ctx context.Context, ws plugins.Workspace, c plugins.Config, all []workers.Step) error {
	for _, s := range all {
		if s.Dir == "" {
			s.Dir = c.Source
		}
		st, err := ws.Run(ctx, s, nil)
		if err != nil {
			return err
		}
		if !st.OK() {
			return &plugins.StepError{Step: s.Name, Status: st}
		}
	}
	return nil
}

// scene is an attempt in a workspace on this machine.
type scene struct {
	t     *testing.T
	store *artifacts.Folder
	ws    workers.Workspace
	order attempt.Order
	seen  []orchestrator.Progress
}

func newScene(t *testing.T) *scene {
	t.Helper()
	store, err := artifacts.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w, err := local.New("here", runner.Options{Root: t.TempDir(), Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := factsOfThisMachine()
	if errors.Is(err, workers.ErrUnfit) {
		t.Skipf("this machine cannot be a worker: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ws, err := w.Workspace(t.Context(), "attempt-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ws.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &scene{t: t, store: store, ws: ws}
	r := &recipes.Recipe{Port: "p", Version: "1", Build: recipes.Build{Plugin: "acts"}, Package: recipes.Package{Prefix: "/opt/p"}}
	r.Reproduce = recipes.Reproduce{Repeats: 2, Vary: recipes.Variations()}
	s.order = attempt.Order{Recipe: r, Conditions: plan.Repeats(r)[1], Stage: "repeat-1", Repeat: 1, Attempt: 1, Worker: "here", Facts: facts, Epoch: 1_700_000_000}
	s.order.Sources = []attempt.Source{{Digest: s.source(map[string]string{"file": "old\n"})}}
	return s
}

// factsOfThisMachine probes it once: the facts do not change while tests run.
var factsOfThisMachine = sync.OnceValues(func() (workers.Facts, error) {
	root, err := os.MkdirTemp("", "zfarm-facts-*")
	if err != nil {
		return workers.Facts{}, err
	}
	defer os.RemoveAll(root) //nolint:errcheck // temporary files only
	w, err := local.New("here", runner.Options{Root: root, Lease: time.Minute})
	if err != nil {
		return workers.Facts{}, err
	}
	return w.Facts(context.Background())
})

// source stores a tar of those files.
func (s *scene) source(files map[string]string) digest.Digest {
	s.t.Helper()
	d, err := s.store.Fill(s.t.Context(), func(w io.Writer) error {
		tw := tar.NewWriter(w)
		for name, content := range files {
			if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
				return err
			}
			if _, err := io.WriteString(tw, content); err != nil {
				return err
			}
		}
		return tw.Close()
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *scene) do(a acts) (orchestrator.Record, *orchestrator.Failure, error) {
	deps := attempt.Deps{Plugins: a, Store: s.store, Now: time.Now, Watch: func(p orchestrator.Progress) { s.seen = append(s.seen, p) }}
	return deps.Do(s.t.Context(), s.ws, s.order)
}

// output returns the regular files of the raw archive, by name.
func (s *scene) output(d digest.Digest) map[string]string {
	s.t.Helper()
	r, err := s.store.Open(s.t.Context(), d)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	files := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			s.t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			s.t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			files[h.Name] = string(content)
		}
	}
}

func TestAttempt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if _, ok := s.order.Facts.Tools["patch"]; !ok {
		t.Skip("the attempt applies a patch: install patch")
	}
	patch := []byte("--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n+new\n")
	s.order.Sources[0].Patches = []recipes.File{{Name: "patches/new.patch", Digest: digest.Of(patch), Data: patch}}
	s.order.Recipe.Tests = []recipes.Test{{Plugin: "acts", MinTests: 2, KnownFailures: []recipes.KnownFailure{{Name: "b"}}}}
	record, failure, err := s.do(acts{
		build: []workers.Step{
			{Name: "make", Script: `mkdir -p "$ZFARM_ROOT/stage/opt/p"; { cat file; echo "$TZ $LC_ALL $ZFARM_CAPTURED"; umask; } >"$ZFARM_ROOT/stage/opt/p/out"`,
				Env: map[string]string{"TZ": "UTC0", "OWN": "1"}},
		},
		// A hostile suite rewrites what was staged; the output was fetched before.
		check:  []workers.Step{{Name: "check", Script: `echo changed >"$ZFARM_ROOT/stage/opt/p/out"`}},
		report: plugins.Report{Cases: []plugins.Case{{Name: "a", Outcome: plugins.Passed}, {Name: "b", Outcome: plugins.Failed}}},
	})
	if err != nil || failure != nil {
		t.Fatalf("%+v, %v", failure, err)
	}
	want := map[string]string{"./opt/p/out": fmt.Sprintf("new\nZFB-14 %s captured by repeat 1\n0002\n", record.Vary[recipes.VaryLocale])}
	if diff := cmp.Diff(want, s.output(record.Output)); diff != "" {
		t.Errorf("output (-want +have):\n%s", diff)
	}
	for _, v := range recipes.Variations() {
		if record.Vary[v] == "" {
			t.Errorf("the record of a varied repeat does not say what %s was", v)
		}
	}
	var names []string
	for _, step := range record.Steps {
		names = append(names, step.Name)
		if step.Log.IsZero() || step.Script.IsZero() || !step.Status.OK() {
			t.Errorf("step %+v", step)
		}
	}
	if diff := cmp.Diff([]string{"folders", "unpack-1", "patch-1-1", "build-make", "pack", "test-1-check"}, names); diff != "" {
		t.Errorf("steps (-want +have):\n%s", diff)
	}
	if len(record.Suites) != 1 || record.Suites[0].Tally.Expected != 1 || !record.Suites[0].Tally.OK() {
		t.Errorf("suites: %+v", record.Suites)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		acts  acts
		limit time.Duration
		kind  orchestrator.FailureKind
		says  []string
	}{
		{name: "a step exits", acts: acts{build: []workers.Step{{Name: "make", Script: "echo one; echo no rule >&2; exit 2"}}},
			kind: orchestrator.FailedStep, says: []string{"build-make exited with 2 on here", "one\nno rule"}},
		{name: "a step runs past the recipe's limit, whatever the plugin asks for", limit: time.Second,
			acts: acts{build: []workers.Step{{Name: "make", Script: "sleep 600", Limit: time.Hour}}},
			kind: orchestrator.OverLimit, says: []string{"ran past its limit of 1s"}},
		{name: "a test fails", acts: acts{report: plugins.Report{Cases: []plugins.Case{{Name: "a", Outcome: plugins.Failed, Detail: "want 1\nhave 2"}}}},
			kind: orchestrator.FailedTests, says: []string{"failed: a: want 1", "known_failure"}},
		{name: "the suite itself fails", acts: acts{check: []workers.Step{{Name: "check", Script: "echo cannot; exit 1"}}},
			kind: orchestrator.FailedStep, says: []string{"test-1-check exited with 1", "cannot"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.order.Recipe.Build.Limit = recipes.Duration(tt.limit)
			s.order.Recipe.Tests = []recipes.Test{{Plugin: "acts"}}
			_, failure, err := s.do(tt.acts)
			if err != nil || failure == nil {
				t.Fatalf("failure %+v, error %v", failure, err)
			}
			if failure.Kind != tt.kind {
				t.Errorf("kind %s, want %s", failure.Kind, tt.kind)
			}
			for _, text := range tt.says {
				if !strings.Contains(failure.Message, text) {
					t.Errorf("message does not say %q:\n%s", text, failure.Message)
				}
			}
		})
	}
}

func TestErrorsAreNoFailures(t *testing.T) {
	t.Parallel()
	t.Run("another source than was proven", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		bad := []byte("evil")
		s.order.Sources[0].Patches = []recipes.File{{Name: "p", Digest: digest.Of([]byte("good")), Data: bad}}
		if _, failure, err := s.do(acts{}); err == nil || failure != nil {
			t.Errorf("failure %+v, error %v", failure, err)
		}
	})
	t.Run("a plugin puts too much", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		_, failure, err := s.do(acts{put: io.LimitReader(zeros{}, plugins.MaxPut+1)})
		if err == nil || failure != nil || !strings.Contains(err.Error(), "larger than a plugin may put") {
			t.Errorf("failure %+v, error %v", failure, err)
		}
	})
	t.Run("the worker is lost", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.ws = lost{s.ws}
		if _, failure, err := s.do(acts{}); !errors.Is(err, workers.ErrLost) || failure != nil {
			t.Errorf("failure %+v, error %v", failure, err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// lost is a workspace whose worker is lost when a step is run.
type lost struct{ workers.Workspace }

func (lost) Run(context.Context, workers.Step, io.Writer) (workers.Status, error) {
	return workers.Status{}, fmt.Errorf("running: %w", workers.ErrLost)
}

func TestProgressTellsStepsAndLogs(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if _, failure, err := s.do(acts{build: []workers.Step{{Name: "make", Script: "echo hello"}}}); failure != nil || err != nil {
		t.Fatalf("%+v, %v", failure, err)
	}
	var log bytes.Buffer
	ends := 0
	for _, p := range s.seen {
		if p.Kind == orchestrator.StepLog && p.Step == "build-make" {
			log.WriteString(p.Text)
		}
		if p.Kind == orchestrator.StepEnded {
			ends++
		}
	}
	if log.String() != "hello\n" || ends != 4 {
		t.Errorf("log %q, %d steps ended", log.String(), ends)
	}
}
