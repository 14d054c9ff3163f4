// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/artifacts"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/plugins"
)

var update = flag.Bool("update", false, "make the database of the upgrade test anew")

// upgradeFile is a farm's database and artifacts with running builds, made by the first
// version whose databases later ones must read. It may be regenerated only before that
// version is released: see docs/upgrading.md.
const upgradeFile = "testdata/upgrade.tar.gz"

const upgradeScript = installing + "\ncase $port in failed) echo no such header; exit 3;; esac"

// upgradeEnds are the builds of the file by port, with the state of each there, and how
// it must end.
var upgradeEnds = map[string]orchestrator.BuildState{
	"top":       orchestrator.BuildSucceeded, // blocked: base is not built
	"base":      orchestrator.BuildSucceeded, // ready to be resolved
	"resolved":  orchestrator.BuildSucceeded,
	"running":   orchestrator.BuildSucceeded, // one repeat runs, its output is fetched
	"repeated":  orchestrator.BuildSucceeded,
	"compared":  orchestrator.BuildSucceeded,
	"attested":  orchestrator.BuildSucceeded,
	"published": orchestrator.BuildSucceeded,
	"failed":    orchestrator.BuildFailed,
	"cancelled": orchestrator.BuildCancelled,
}

// TestUpgrade continues the builds of an earlier version's database with
// today's code, each to its end.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the builds of the file began on Linux and must end there: run this test on Linux")
	}
	if *update {
		makeUpgradeFile(t)
	}
	dir := t.TempDir()
	unpack(t, upgradeFile, dir)
	s := newScene(t, upgradeScript, "w1", "w2", "w3")
	folder, err := artifacts.Open(filepath.Join(dir, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	s.parts.Settings, s.parts.Artifacts = fast(), folder
	s.parts.Store = storetest.Open(t, "sqlite:"+filepath.Join(dir, "farm.db"), store.Options{Node: "later"})
	e := s.engine()
	all := s.byPort()
	for port, stands := range map[string]string{"top": "resolve blocked", "base": "resolve ready", "resolved": "repeat-0 ready",
		"repeated": "compare ready", "compared": "attest ready", "attested": "publish ready", "published": "publish succeeded"} {
		found := false
		for _, stage := range all[port].Stages {
			found = found || stage.ID+" "+string(stage.State) == stands
		}
		if !found {
			t.Errorf("in the file %s does not stand at %q", port, stands)
		}
	}
	s.keptAsWritten(e, all)
	for port, b := range all {
		s.pause(b.ID, false)
		if _, known := upgradeEnds[port]; !known || len(all) != len(upgradeEnds) {
			t.Errorf("the file has %d builds, one of %s", len(all), port)
		}
	}
	s.work(e)
	for port, end := range upgradeEnds {
		b := s.wait(e, all[port].ID, end)
		s.endedOnce(b)
		c, err := e.Conclusion(t.Context(), b.ID)
		if err != nil {
			t.Errorf("%s: %v", port, err)
		}
		if end == orchestrator.BuildSucceeded && (len(c.Records) != 2 || c.Verdict == nil || len(c.Files) == 0) {
			t.Errorf("%s: %d records, verdict %v, %d files", port, len(c.Records), c.Verdict, len(c.Files))
		}
		for _, f := range c.Files {
			if err := s.opens(f); err != nil {
				t.Errorf("%s of %s: %v", f.Name, port, err)
			}
		}
	}
}

// keptAsWritten checks what today's code reads of the file before it works on it: why a
// build failed, what is queued, and that submitting the same recipes makes no new build.
func (s *scene) keptAsWritten(e *engine.Engine, all map[string]store.Build) {
	s.t.Helper()
	for worker, id := range map[string]string{"w3": "repeat-0", "w2": "repeat-1"} {
		b := all["failed"]
		stage, _ := b.Stage(id)
		want := &orchestrator.Failure{Kind: "step", Message: "step build-make exited with 3 on " + worker + "\nThe end of its log:\nno such header"}
		if diff := cmp.Diff(want, stage.Failure); diff != "" {
			s.t.Errorf("why %s failed (-written +read):\n%s", id, diff)
		}
	}
	status, err := s.parts.Store.Status(s.t.Context())
	if err != nil || status.Waiting != 1 {
		s.t.Errorf("the queue has %d entries, %v; in the file it has 1, to probe a worker", status.Waiting, err)
	}
	for _, port := range []string{"base", "resolved", "running", "published"} {
		s.sameBuild(s.submit(e, submission(s.port(port))), all[port])
	}
	s.sameBuild(s.submit(e, submission(s.port("top", "base"))), all["top"])
}

// sameBuild checks that a submission was recognized as a build that exists.
func (s *scene) sameBuild(taken []engine.Taken, b store.Build) {
	s.t.Helper()
	if len(taken) != 1 || taken[0].Fresh || taken[0].Build.ID != b.ID {
		s.t.Errorf("submitting %s again made another build than %s: %+v", b.Port, b.ID, taken)
	}
}

// byPort are all builds of the scene's store.
func (s *scene) byPort() map[string]store.Build {
	s.t.Helper()
	all, err := s.parts.Store.Builds(s.t.Context(), store.Filter{})
	if err != nil {
		s.t.Fatal(err)
	}
	ports := map[string]store.Build{}
	for _, b := range all {
		whole, err := s.parts.Store.Build(s.t.Context(), b.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		ports[b.Port] = whole
	}
	return ports
}

func (s *scene) pause(id string, paused bool) {
	s.t.Helper()
	err := s.parts.Store.Update(context.WithoutCancel(s.t.Context()), func(ctx context.Context, tx *store.Tx) error {
		was, err := tx.Build(ctx, id)
		if err != nil {
			return err
		}
		next := was
		next.Paused = paused
		return tx.Save(ctx, was, next)
	})
	if err != nil {
		s.t.Error(err)
	}
}

// stopper pauses builds while the last stage that should end runs.
type stopper struct {
	*scene
	mu      sync.Mutex
	ports   map[string]string // by build
	repeats map[string]int
}

func (p *stopper) watch(e orchestrator.Progress) {
	p.scene.watch(e)
	if e.Kind != orchestrator.Transition || e.Event.To != orchestrator.Running {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := e.Event.Stage
	if e.Event.Worker != "" {
		if p.repeats[e.Build]++; p.repeats[e.Build] == 2 {
			at = "repeats"
		}
	}
	if last := map[string]string{"resolved": "resolve", "repeated": "repeats", "compared": "compare", "attested": "attest"}; last[p.ports[e.Build]] == at {
		p.pause(e.Build, true)
	}
}

// stuck is a plugin whose first suite for the port "running" never ends.
type stuck struct {
	acts
	once *atomic.Bool
}

func (p stuck) Start(context.Context, string) (attempt.Process, error) { return p, nil }

func (p stuck) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	if c.Port == "running" && p.once.CompareAndSwap(false, true) {
		<-ctx.Done()
		return plugins.Report{}, context.Cause(ctx)
	}
	return p.acts.Test(ctx, ws, c)
}

// makeUpgradeFile builds with today's code until every build is in its intended state,
// and packs the result.
func makeUpgradeFile(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	s := newScene(t, upgradeScript, "w1", "w2", "w3")
	folder, err := artifacts.Open(filepath.Join(dir, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	p := &stopper{scene: s, ports: map[string]string{}, repeats: map[string]int{}}
	s.parts.Settings, s.parts.Artifacts, s.parts.Watch = fast(), folder, p.watch
	s.parts.Plugins = stuck{acts{upgradeScript}, &atomic.Bool{}}
	s.parts.Store = storetest.Open(t, storetest.SQLite(t), store.Options{Node: "earlier"})
	e := s.engine()
	var sub engine.Submission
	for port := range upgradeEnds {
		if port != "top" {
			sub.Recipes = append(sub.Recipes, submission(s.port(port)).Recipes...)
		}
	}
	sub.Owner = "test"
	sub.Recipes = append(sub.Recipes, submission(s.port("top", "base")).Recipes...)
	for _, b := range s.submit(e, sub) {
		p.ports[b.Build.ID] = b.Build.Port
		if b.Build.Port == "base" || b.Build.Port == "cancelled" {
			s.pause(b.Build.ID, true)
		}
	}
	if err := e.Cancel(t.Context(), s.byPort()["cancelled"].ID); err != nil {
		t.Fatal(err)
	}
	stop := s.work(e)
	s.eventually("every build to stand where it should", func() bool { return s.stands() })
	stop()
	if err := s.parts.Store.Backup(t.Context(), filepath.Join(dir, "farm.db")); err != nil {
		t.Fatal(err)
	}
	pack(t, dir, upgradeFile)
}

func (s *scene) stands() bool {
	all := s.byPort()
	for port, stage := range map[string]string{"resolved": "resolve", "repeated": "repeat-0", "compared": "compare", "attested": "attest", "published": "publish"} {
		if at, _ := all[port].Stage(stage); at.State != orchestrator.Succeeded {
			return false
		}
	}
	if at, _ := all["repeated"].Stage("repeat-1"); at.State != orchestrator.Succeeded || !all["failed"].Over() || !all["cancelled"].Over() {
		return false
	}
	attempts, err := s.parts.Store.Attempts(s.t.Context(), all["running"].ID)
	if err != nil {
		s.t.Fatal(err)
	}
	ended, fetched := 0, 0
	for _, a := range attempts {
		switch {
		case a.Workspace == "":
		case !a.Ended.IsZero():
			ended++
		case !a.Output.IsZero():
			fetched++
		}
	}
	return ended == 1 && fetched == 1
}

// pack writes a folder into a compressed archive.
func pack(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(zipped)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), zipped.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

// unpack reads what pack wrote.
func unpack(t *testing.T, name, dir string) {
	t.Helper()
	in, err := os.Open(name)
	if err != nil {
		t.Fatalf("%v; run this test with -update", err)
	}
	defer in.Close() //nolint:errcheck // read only
	if info, err := in.Stat(); err != nil || info.Size() > 1<<20 {
		t.Errorf("%s is too large for a file of tests: %v, %v", name, info.Size(), err)
	}
	zipped, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil || !fs.ValidPath(filepath.Clean(h.Name)) {
			t.Fatal(h, err)
		}
		to := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(to, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
			var text []byte
			if text, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(to, text, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
