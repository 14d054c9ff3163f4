// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/artifacts"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/source"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
)

// acts is a plugin in this process that runs a script as its build.
type acts struct{ script string }

func (a acts) Start(context.Context, string) (attempt.Process, error) { return a, nil }

func (a acts) Pin(_ context.Context, name string) (plugins.Description, digest.Digest, error) {
	return plugins.Description{Name: name, Version: "1"}, digest.Of([]byte(name)), nil
}

func (a acts) Close() error { return nil }

func (a acts) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	st, err := ws.Run(ctx, workers.Step{Name: "make", Dir: c.Source, Script: a.script}, nil)
	if err != nil {
		return nil, err
	}
	if !st.OK() {
		return nil, &plugins.StepError{Step: "make", Status: st}
	}
	return []plugins.Output{{Dir: c.Stage}}, nil
}

func (a acts) Test(ctx context.Context, ws plugins.Workspace, _ plugins.Config) (plugins.Report, error) {
	st, err := ws.Run(ctx, workers.Step{Name: "check", Script: "true"}, nil)
	if err != nil {
		return plugins.Report{}, err
	}
	outcome := plugins.Passed
	if !st.OK() {
		outcome = plugins.Failed
	}
	return plugins.Report{Format: "tap", Cases: []plugins.Case{{Name: "it works", Outcome: outcome}}}, nil
}

// sources returns one file for every source.
type sources struct{ path string }

func (s sources) Fetch(context.Context, recipes.Source) (source.Fetched, error) {
	return source.Fetched{Path: s.path, From: source.FromMirror}, nil
}

// key signs for all tests: opening one is slow on purpose.
type key struct {
	public []byte
	signer attest.Signer
}

var keyOfTests = sync.OnceValues(func() (key, error) {
	private, public, err := cosign.GenerateKey([]byte("x"))
	if err != nil {
		return key{}, err
	}
	signer, err := cosign.NewSigner(private, []byte("x"))
	return key{public, signer}, err
})

// scene is an engine with workers on this machine.
type scene struct {
	t       testing.TB
	parts   engine.Deps
	workers []workers.Worker
	recipe  *recipes.Recipe
	more    []engine.Submitted
	public  []byte
	roots   map[string]string // of the workspaces, by worker
	out     string

	mu   sync.Mutex
	seen []orchestrator.Progress
}

// same installs a file that is the same under all conditions.
const same = `mkdir -p "$ZFARM_ROOT/stage/opt/p" && umask 022 && cp file "$ZFARM_ROOT/stage/opt/p/file" && chmod 755 "$ZFARM_ROOT/stage/opt" "$ZFARM_ROOT/stage/opt/p"`

func newScene(t testing.TB, script string, names ...string) *scene {
	t.Helper()
	s := &scene{t: t, out: filepath.Join(t.TempDir(), "out"), roots: map[string]string{}}
	stored, err := artifacts.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyOfTests()
	if err != nil {
		t.Fatal(err)
	}
	s.public = key.public
	s.parts = engine.Deps{Sources: sources{s.tar()}, Plugins: acts{script}, Artifacts: stored, Signer: key.signer, Temp: t.TempDir(),
		Version: "1", BuilderID: statement.BuilderLocal, Watch: s.watch}
	for _, name := range names {
		w := s.worker(name)
		s.workers = append(s.workers, w)
		t.Cleanup(func() { tidy(t, w) })
	}
	s.recipe = &recipes.Recipe{Port: "p", Version: "1", Sources: []recipes.Source{{URL: "https://example.org/p-1.tar", SHA256: digest.Of([]byte("p"))}},
		Build: recipes.Build{Plugin: "acts"}, Tests: []recipes.Test{{Plugin: "acts", MinTests: 1}},
		Package:   recipes.Package{Prefix: "/opt/p", Include: []string{"**"}},
		Reproduce: recipes.Reproduce{Repeats: 2, Vary: recipes.Variations(), Tiers: []int{0}}}
	return s
}

// tidy ends what tests leave running: it would still write into folders that are about
// to be deleted.
func tidy(t testing.TB, w workers.Worker) {
	ctx := context.Background()
	ids, err := w.Workspaces(ctx)
	for _, id := range ids {
		ws, one := w.Workspace(ctx, id)
		if one == nil {
			one = ws.Remove(ctx)
		}
		err = errors.Join(err, one)
	}
	if err != nil {
		t.Errorf("tidying up worker %s: %v", w.Name(), err)
	}
}

func (s *scene) worker(name string) workers.Worker {
	s.t.Helper()
	s.roots[name] = filepath.Join(s.t.TempDir(), name)
	w, err := local.New(name, runner.Options{Root: s.roots[name], Lease: time.Minute})
	if err != nil {
		s.t.Fatal(err)
	}
	facts, err := factsOfThisMachine()
	if errors.Is(err, workers.ErrUnfit) {
		s.t.Skipf("this machine cannot be a worker: %v", err)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return probed{w, facts}
}

// probed is a worker of this machine that has been probed: its facts do not change
// while the tests run.
type probed struct {
	workers.Worker
	facts workers.Facts
}

func (p probed) Facts(ctx context.Context, tools ...string) (workers.Facts, error) {
	if slices.ContainsFunc(tools, func(t string) bool { return !p.facts.Knows(t) }) {
		return p.Worker.Facts(ctx, tools...)
	}
	return p.facts, nil
}

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

func (s *scene) tar() string {
	s.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "p-1/file", Mode: 0o644, Size: 5, ModTime: time.Unix(1_700_000_000, 0)}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(w, "hello"); err != nil {
		s.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		s.t.Fatal(err)
	}
	name := filepath.Join(s.t.TempDir(), "p-1.tar")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *scene) watch(p orchestrator.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, p)
}

// told reports whether a note or an event contains the text.
func (s *scene) told(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.seen {
		if strings.Contains(p.Text, text) && p.Kind == orchestrator.Note || p.Event != nil && strings.Contains(p.Event.Detail, text) {
			return true
		}
	}
	return false
}

// Get returns a worker of the scene.
func (s *scene) Get(_ context.Context, name string) (workers.Worker, error) {
	for _, w := range s.workers {
		if w.Name() == name {
			return w, nil
		}
	}
	return nil, workers.ErrUnreachable
}

// Probe asks a worker of the scene.
func (s *scene) Probe(ctx context.Context, name string, tools ...string) (workers.Facts, error) {
	w, err := s.Get(ctx, name)
	if err != nil {
		return workers.Facts{}, err
	}
	return w.Facts(ctx, tools...)
}

// open returns a new store for this test.
func (s *scene) open() *store.Store {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), "sqlite:"+filepath.Join(s.t.TempDir(), "farm.db"), store.Options{Node: "test"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { db.Close() }) //nolint:errcheck // the test is over
	if err := db.Migrate(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return db
}

func (s *scene) build(ctx context.Context) (engine.Conclusion, error) {
	s.t.Helper()
	if s.parts.Store == nil {
		s.parts.Store = s.open()
	}
	s.parts.Workers = s
	s.parts.VerificationMaterial = engine.VerificationMaterial{PublicKey: s.public, TrustedRoot: cosign.TrustedRoot()}
	s.parts.Settings.Sweep = 200 * time.Millisecond
	s.parts.Settings.KeepWorkspaces = false
	e := engine.New(s.parts)
	if err := e.RegisterLocal(s.t.Context(), s.workers); err != nil {
		s.t.Fatal(err)
	}
	all, err := e.RunSubmission(ctx, engine.Submission{Recipes: append([]engine.Submitted{{Recipe: s.recipe, URI: "urn:zfarm:recipe:p:1", Path: "recipe.hcl"}}, s.more...), Owner: "test"})
	if len(all) == 0 {
		return engine.Conclusion{}, err
	}
	if c := all[0]; c.Signed && len(c.Files) > 0 {
		s.collect(c)
	}
	return all[0], err
}

func (s *scene) collect(c engine.Conclusion) {
	s.t.Helper()
	var pieces []kit.Piece
	for _, f := range c.Files {
		pieces = append(pieces, kit.Piece{Name: f.Name, Digest: f.Digest,
			Open: func(ctx context.Context) (io.ReadCloser, error) { return s.parts.Artifacts.Open(ctx, f.Digest) }})
	}
	if err := kit.Collect(s.t.Context(), s.out, pieces); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) verify() (kit.Report, error) {
	return kit.Verify(s.t.Context(), s.out, kit.Options{PublicKey: s.public, Builders: []string{statement.BuilderLocal},
		Open: func(key []byte) (attest.Verifier, error) { return cosign.NewVerifier(key) }})
}

func TestBuildToTheEnd(t *testing.T) {
	t.Parallel()
	s := newScene(t, same, "w1", "w2")
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil {
		t.Fatalf("%+v, %v", c.Failure, err)
	}
	if c.Verdict.Outcome != compare.Identical || c.Agreeing != 2 || !c.Signed {
		t.Errorf("verdict %v, %d agree, signed %v", c.Verdict, c.Agreeing, c.Signed)
	}
	if c.Records[0].Worker == c.Records[1].Worker {
		t.Errorf("both repeats were made on %s", c.Records[0].Worker)
	}
	report, err := s.verify()
	if err != nil || !report.Releasable {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestMoreRepeatsThanWorkers(t *testing.T) {
	t.Parallel()
	s := newScene(t, same, "w1", "w2")
	s.recipe.Reproduce.Repeats = 4
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil || c.Agreeing != 4 {
		t.Fatalf("%+v, %d agree, %v", c.Failure, c.Agreeing, err)
	}
}

// TestUnvariedPathOnOneWorker builds both repeats in folders of the same name, one
// after the other; neither finds anything of the other.
func TestUnvariedPathOnOneWorker(t *testing.T) {
	t.Parallel()
	s := newScene(t, `mkdir -p "$ZFARM_ROOT/stage/opt/p"; echo "$ZFARM_ROOT" >>file; cp file "$ZFARM_ROOT/stage/opt/p/file"`, "w1")
	s.recipe.Reproduce.Vary = []recipes.Variation{recipes.VaryJobs}
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil || c.Verdict.Outcome != compare.Identical {
		t.Fatalf("%+v, %v, %v", c.Failure, c.Verdict, err)
	}
}

func TestDifferenceIsSignedAndNotReleased(t *testing.T) {
	t.Parallel()
	s := newScene(t, `mkdir -p "$ZFARM_ROOT/stage/opt/p"; echo "$TZ" >"$ZFARM_ROOT/stage/opt/p/file"`, "w1", "w2")
	c, err := s.build(t.Context())
	if err != nil || c.Failure == nil || c.Failure.Kind != orchestrator.NotReproduced {
		t.Fatalf("%+v, %v", c.Failure, err)
	}
	if _, err := s.verify(); !errors.Is(err, attest.ErrNotVerified) {
		t.Errorf("a folder of findings is releasable: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.out, kit.FindingsFile)); err != nil {
		t.Error(err)
	}
	if found, _ := filepath.Glob(filepath.Join(s.out, "*.pax.Z")); len(found) > 0 {
		t.Errorf("an artifact lies beside its findings: %v", found)
	}
}

// flaky is a worker that is lost a number of times.
type flaky struct {
	workers.Worker
	mu     sync.Mutex
	losses int
}

func (f *flaky) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	ws, err := f.Worker.Workspace(ctx, id)
	return flakyWorkspace{ws, f}, err
}

type flakyWorkspace struct {
	workers.Workspace
	worker *flaky
}

func (f flakyWorkspace) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	f.worker.mu.Lock()
	defer f.worker.mu.Unlock()
	if s.Name == "build-make" && f.worker.losses > 0 {
		f.worker.losses--
		return workers.Status{}, fmt.Errorf("the plug was pulled: %w", workers.ErrLost)
	}
	return f.Workspace.Run(ctx, s, log)
}

func TestLostWorkerIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, same, "w1", "w2")
	s.workers[0] = &flaky{Worker: s.workers[0], losses: 2}
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil {
		t.Fatalf("%+v, %v", c.Failure, err)
	}
	if !s.told("the plug was pulled") {
		t.Error("the loss was not told")
	}
	attempts := c.Build.Stages[1].Attempts + c.Build.Stages[2].Attempts
	if attempts < 3 {
		t.Errorf("%d attempts for two repeats and a loss", attempts)
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, "echo begun; sleep 1000", "w1", "w2")
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	begun := s.parts.Watch
	s.parts.Watch = func(p orchestrator.Progress) {
		begun(p)
		if p.Kind == orchestrator.StepLog && p.Step == "build-make" {
			once.Do(cancel)
		}
	}
	c, err := s.build(ctx)
	if !errors.Is(err, context.Canceled) || !c.Build.Cancelled {
		t.Errorf("%v, %v", err, c.Build.Cancelled)
	}
	if _, err := os.Stat(s.out); err == nil {
		t.Error("a cancelled build wrote a folder")
	}
	for _, p := range s.seen {
		if strings.Contains(p.Text, "removing workspace") {
			t.Error(p.Text)
		}
	}
}

func TestNothingIsBuiltThatCannotBe(t *testing.T) {
	t.Parallel()
	t.Run("needs", func(t *testing.T) {
		s := newScene(t, same, "w1")
		s.recipe.Needs = []recipes.Need{{Port: "ncurses", At: []string{"build"}}}
		if _, err := s.build(t.Context()); !errors.Is(err, engine.ErrNeeds) {
			t.Error(err)
		}
	})
	t.Run("a tool that no worker has", func(t *testing.T) {
		s := newScene(t, same, "w1")
		s.recipe.Tools = []recipes.Tool{{Name: "tar", Version: ">= 99"}}
		if _, err := s.build(t.Context()); !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), "its tar is") {
			t.Error(err)
		}
	})
	t.Run("a tool that no worker was probed for and none has", func(t *testing.T) {
		s := newScene(t, same, "w1")
		s.recipe.Tools = []recipes.Tool{{Name: "zfarm-no-such-tool"}}
		if _, err := s.build(t.Context()); !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), "it has no zfarm-no-such-tool") {
			t.Error(err)
		}
	})
	t.Run("a staged folder outside the prefix", func(t *testing.T) {
		s := newScene(t, `mkdir -p "$ZFARM_ROOT/stage/etc"; cp file "$ZFARM_ROOT/stage/etc/passwd"`, "w1")
		c, err := s.build(t.Context())
		if err != nil || c.Failure == nil || c.Failure.Kind != orchestrator.FailedStep || !strings.Contains(c.Failure.Message, "etc/passwd") {
			t.Errorf("%+v, %v", c.Failure, err)
		}
	})
}

// brokenSigner always fails.
type brokenSigner struct{}

func (brokenSigner) Sign(context.Context, attest.Statement) (attest.Bundle, error) {
	return nil, errors.New("the token was removed")
}

func TestSignerThatBreaks(t *testing.T) {
	t.Parallel()
	s := newScene(t, same, "w1")
	s.parts.Signer = brokenSigner{}
	c, err := s.build(t.Context())
	if err != nil || c.Failure == nil || c.Failure.Kind != orchestrator.NotSigned || c.Signed {
		t.Errorf("%+v, signed %v, %v", c.Failure, c.Signed, err)
	}
	if _, err := os.Stat(s.out); err == nil {
		t.Error("something was laid out that nobody signed")
	}
}
