// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// farm is a store, an engine and an artifact store in memory.
type farm struct {
	mu       sync.Mutex
	changed  chan struct{}
	builds   []store.Build
	attempts []store.Attempt
	steps    map[string][]store.Step // by attempt
	logs     map[string][]byte       // by attempt and step
	events   []orchestrator.Event
	audits   []store.Audit
	releases []store.Release
	files    map[string][]store.File
	workers  []store.Worker
	tokens   []store.Token
	blobs    map[digest.Digest][]byte
	probed   []string
	asked    []engine.Submission
	waiting  []engine.Waiting
	seekable bool
	// broken is the error of every read; unwritable that of every change.
	broken, unwritable error
	reads              int // of logs
}

func newFarm() *farm {
	return &farm{changed: make(chan struct{}), steps: map[string][]store.Step{}, logs: map[string][]byte{},
		files: map[string][]store.File{}, blobs: map[digest.Digest][]byte{}}
}

func (f *farm) lock() func() { f.mu.Lock(); return f.mu.Unlock }

// news wakes those who wait; the lock is held.
func (f *farm) news() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func attemptKey(build, stage string, fence int64) string {
	return fmt.Sprintf("%s/%s/%d", build, stage, fence)
}

func (f *farm) Build(_ context.Context, id string) (store.Build, error) {
	defer f.lock()()
	if f.broken != nil {
		return store.Build{}, f.broken
	}
	for _, b := range f.builds {
		if b.ID == id {
			return b, nil
		}
	}
	return store.Build{}, fmt.Errorf("build %s: %w", id, store.ErrUnknown)
}

func (f *farm) Builds(_ context.Context, filter store.Filter) ([]store.Build, error) {
	defer f.lock()()
	var out []store.Build
	for _, b := range slices.Backward(f.builds) {
		if len(out) < filter.Limit && (filter.Port == "" || b.Port == filter.Port) && (filter.Owner == "" || b.Owner == filter.Owner) &&
			(filter.State == "" || b.State() == filter.State) && (filter.Before == 0 || b.Seq < filter.Before) {
			out = append(out, b)
		}
	}
	return out, f.broken
}

func (f *farm) Attempts(_ context.Context, build string) ([]store.Attempt, error) {
	defer f.lock()()
	var out []store.Attempt
	for _, a := range f.attempts {
		if a.Build == build {
			out = append(out, a)
		}
	}
	return out, nil
}

func (f *farm) Steps(_ context.Context, build, stage string, fence int64) ([]store.Step, error) {
	defer f.lock()()
	return slices.Clone(f.steps[attemptKey(build, stage, fence)]), nil
}

func (f *farm) Log(_ context.Context, build, stage string, fence int64, step string, off int64, most int) ([]byte, error) {
	defer f.lock()()
	f.reads++
	all := f.logs[attemptKey(build, stage, fence)+"/"+step]
	if off >= int64(len(all)) {
		return nil, nil
	}
	return bytes.Clone(all[off:min(off+int64(most), int64(len(all)))]), nil
}

func (f *farm) Changed() <-chan struct{} {
	defer f.lock()()
	return f.changed
}

func (f *farm) Events(_ context.Context, after int64, build string, limit int) ([]orchestrator.Event, error) {
	defer f.lock()()
	var out []orchestrator.Event
	for _, e := range f.events[min(after, int64(len(f.events))):] {
		if len(out) < limit && (build == "" || e.Build == build) {
			out = append(out, e)
		}
	}
	return out, nil
}

func (f *farm) Audits(_ context.Context, after int64, limit int) ([]store.Audit, error) {
	defer f.lock()()
	all := f.audits[min(after, int64(len(f.audits))):]
	return slices.Clone(all[:min(limit, len(all))]), nil
}

func (f *farm) Releases(_ context.Context, port, version string) ([]store.Release, error) {
	defer f.lock()()
	var out []store.Release
	for _, r := range f.releases {
		if (port == "" || r.Port == port) && (version == "" || r.Version == version) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (f *farm) Files(_ context.Context, build string) ([]store.File, error) {
	defer f.lock()()
	return f.files[build], nil
}

func (f *farm) Workers(context.Context) ([]store.Worker, error) {
	defer f.lock()()
	return slices.Clone(f.workers), nil
}

func (f *farm) Tokens(context.Context) ([]store.Token, error) {
	defer f.lock()()
	return slices.Clone(f.tokens), nil
}

func (f *farm) Token(_ context.Context, hash digest.Digest) (store.Token, error) {
	defer f.lock()()
	for _, t := range f.tokens {
		if t.Hash == hash {
			return t, nil
		}
	}
	return store.Token{}, store.ErrUnknown
}

func (f *farm) ChangeBuild(_ context.Context, id string, c wire.BuildChange) (store.Build, error) {
	defer f.lock()()
	i := slices.IndexFunc(f.builds, func(b store.Build) bool { return b.ID == id })
	if c.Priority != nil {
		f.builds[i].Priority = *c.Priority
	}
	if c.Paused != nil {
		f.builds[i].Paused = *c.Paused
	}
	return f.builds[i], nil
}

func (f *farm) ChangeWorker(_ context.Context, name string, c wire.WorkerChange) (store.Worker, error) {
	defer f.lock()()
	i := slices.IndexFunc(f.workers, func(w store.Worker) bool { return w.Name == name })
	f.workers[i].Draining = *c.Draining
	return f.workers[i], nil
}

func (f *farm) ProbeWorker(_ context.Context, name string) error {
	defer f.lock()()
	f.probed = append(f.probed, name)
	return nil
}

func (f *farm) AddToken(_ context.Context, t store.Token) error {
	defer f.lock()()
	f.tokens = append(f.tokens, t)
	return nil
}

func (f *farm) RevokeToken(_ context.Context, id string) error {
	defer f.lock()()
	i := slices.IndexFunc(f.tokens, func(t store.Token) bool { return t.ID == id })
	f.tokens[i].Revoked = true
	return nil
}

func (f *farm) Audit(_ context.Context, a store.Audit) error {
	defer f.lock()()
	if f.unwritable != nil {
		return f.unwritable
	}
	a.Seq = int64(len(f.audits)) + 1
	f.audits = append(f.audits, a)
	return nil
}

func (f *farm) Writable(context.Context) error {
	defer f.lock()()
	return f.unwritable
}

func (f *farm) Tally(context.Context) (store.Tally, error) {
	defer f.lock()()
	t := store.Tally{Builds: map[orchestrator.BuildState]int{}, Ready: 3}
	for _, b := range f.builds {
		t.Builds[b.State()]++
	}
	return t, f.broken
}

func (f *farm) Open(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	defer f.lock()()
	data, ok := f.blobs[d]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if f.seekable {
		return readSeekCloser{bytes.NewReader(data)}, nil
	}
	return io.NopCloser(bytes.NewBuffer(bytes.Clone(data))), nil
}

type readSeekCloser struct{ *bytes.Reader }

func (readSeekCloser) Close() error { return nil }

func (f *farm) Size(_ context.Context, d digest.Digest) (int64, error) {
	defer f.lock()()
	data, ok := f.blobs[d]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return int64(len(data)), nil
}

func (f *farm) Submit(_ context.Context, s engine.Submission) ([]engine.Taken, error) {
	defer f.lock()()
	f.asked = append(f.asked, s)
	var out []engine.Taken
	for _, r := range s.Recipes {
		if r.Recipe.Port == "needy" {
			return nil, fmt.Errorf("submitting: %w: needy 1.0 needs zlib", engine.ErrNeeds)
		}
		b := f.add(fmt.Sprintf("%s-%d", r.Recipe.Port, len(f.builds)), r.Recipe.Port, s.Owner)
		out = append(out, engine.Taken{Build: b, Fresh: true})
	}
	return out, nil
}

// add adds a build; the lock is held, or nobody else is there.
func (f *farm) add(id, port, owner string) store.Build {
	now := time.Date(2025, 11, 1, 12, 0, 0, 0, time.UTC)
	b := store.Build{Build: orchestrator.New(id, 2, now), Seq: int64(len(f.builds)) + 1, Port: port, Version: "1.0", Owner: owner,
		Recipe: digest.Of([]byte(port)), URI: "urn:x", Path: "recipe.hcl", Submitted: now}
	f.builds = append(f.builds, b)
	return b
}

func (f *farm) Cancel(_ context.Context, id string) error {
	defer f.lock()()
	for i := range f.builds {
		if f.builds[i].ID == id {
			f.builds[i].Build, _ = f.builds[i].Cancel(time.Date(2025, 11, 1, 13, 0, 0, 0, time.UTC))
			return nil
		}
	}
	return store.ErrUnknown
}

func (f *farm) Why(_ context.Context, id string) ([]engine.Waiting, error) {
	if _, err := f.Build(context.Background(), id); err != nil {
		return nil, err
	}
	return f.waiting, nil
}

// event adds the event of a transition.
func (f *farm) event(build string, to orchestrator.StageState, worker string) {
	defer f.lock()()
	f.events = append(f.events, orchestrator.Event{Seq: int64(len(f.events)) + 1, Build: build, Stage: "repeat-0", To: to, Worker: worker, At: time.Unix(1e9, 0).UTC()})
	f.news()
}

// begin begins an attempt with one step.
func (f *farm) begin(build, step string) client.AttemptID {
	defer f.lock()()
	f.attempts = append(f.attempts, store.Attempt{Build: build, Stage: "repeat-0", Fence: 1, Begun: time.Unix(1e9, 0).UTC()})
	f.steps[attemptKey(build, "repeat-0", 1)] = []store.Step{{No: 1, Name: step}}
	return client.AttemptID{Build: build, Stage: "repeat-0", Fence: 1}
}

// write appends to a log.
func (f *farm) write(a client.AttemptID, data string) {
	defer f.lock()()
	key := attemptKey(a.Build, a.Stage, a.Fence)
	f.logs[key+"/"+f.steps[key][0].Name] = append(f.logs[key+"/"+f.steps[key][0].Name], data...)
	f.steps[key][0].Size += int64(len(data))
	f.news()
}

// end ends the step; its log moves to the artifact store.
func (f *farm) end(a client.AttemptID) {
	defer f.lock()()
	key := attemptKey(a.Build, a.Stage, a.Fence)
	data := f.logs[key+"/"+f.steps[key][0].Name]
	f.blobs[digest.Of(data)] = data
	delete(f.logs, key+"/"+f.steps[key][0].Name)
	f.steps[key][0].Status = &workers.Status{State: workers.Exited}
	f.steps[key][0].Log = digest.Of(data)
	f.news()
}

// publish adds a published file.
func (f *farm) publish(build, name, data string) store.File {
	defer f.lock()()
	d := digest.Of([]byte(data))
	f.blobs[d] = []byte(data)
	file := store.File{Name: name, Digest: d, Size: int64(len(data)), MediaType: "application/x-thing"}
	f.files[build] = append(f.files[build], file)
	return file
}

// token adds a token of the farm and returns its secret.
func (f *farm) token(name string, role wire.Role, ports ...string) string {
	secret, hash := NewSecret()
	f.tokens = append(f.tokens, store.Token{ID: name, Name: name, Hash: hash, Roles: []string{string(role)}, Ports: ports})
	return secret
}

func (f *farm) lastAudit(t *testing.T) store.Audit {
	t.Helper()
	defer f.lock()()
	if len(f.audits) == 0 {
		t.Fatal("nothing was audited")
	}
	return f.audits[len(f.audits)-1]
}

// faults are the errors that the recipe parser finds.
type faults struct{ line int }

func (f *faults) Error() string { return "unknown argument" }

func (f *faults) WriteText(w io.Writer, _ int, _ bool) error {
	_, err := fmt.Fprintf(w, "Error: Unknown argument\n\n  on recipe.hcl line %d:\n   %d: colour = 1\n", f.line, f.line)
	return err
}

func (f *faults) MarshalJSON() ([]byte, error) {
	return json.Marshal([]diagnostic{{Severity: "error", Summary: "Unknown argument", Detail: "There is no colour.", File: "recipe.hcl", Line: f.line, Column: 3}})
}

// parse reads "port NAME" from a recipe.
func parse(_ context.Context, dir fs.FS) (*recipes.Recipe, error) {
	text, err := fs.ReadFile(dir, "recipe.hcl")
	if err != nil {
		return nil, err
	}
	port, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "port ")
	if !ok {
		return nil, &faults{line: 7}
	}
	return &recipes.Recipe{Port: port, Version: "1.0"}, nil
}

func (f *farm) options() Options {
	return Options{Store: f, Blobs: f, Engine: f, Parse: parse, Authenticators: []Authenticator{NewFarmTokens(f, nil)}, Version: "test",
		Limits: Limits{PerAddress: Rate{1e6, 1e6}, PerPrincipal: Rate{1e6, 1e6}}}
}

// serve serves on a free port and returns the address; stop ends it.
func serve(t testing.TB, o Options) (base string, stop func()) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, s, listen(t))
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func serveOn(t testing.TB, s *Server, l net.Listener) (base string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(stop)
	return "http://" + l.Addr().String(), stop
}

// asked is the answer to a raw request.
type asked struct {
	status int
	header http.Header
	body   string
}

func (a asked) problem(t *testing.T) wire.Problem {
	t.Helper()
	var p wire.Problem
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%d is %s, no problem: %s", a.status, ct, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != a.status || p.Instance != "urn:zfarm:request:"+a.header.Get("X-Request-Id") {
		t.Errorf("the problem is %+v, the answer %d for %s", p, a.status, a.header.Get("X-Request-Id"))
	}
	return p
}

// ask sends a request as curl does.
func ask(t *testing.T, method, url, token string, body io.Reader, headers ...string) asked {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return asked{resp.StatusCode, resp.Header, string(text)}
}

// submission is an archive of recipes, by folder.
func submission(t testing.TB, folders map[string]string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for dir, text := range folders {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: dir + "/recipe.hcl", Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// until polls, with a bound.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 4000 {
		if ok() {
			return
		}
		timer := time.NewTimer(5 * time.Millisecond)
		<-timer.C
	}
	t.Fatalf("waited in vain for %s", what)
}

// journal is a log that tests can read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

var errDisk = errors.New("no space left on /var/lib/secret-path")

// panicking is an engine with a fault.
type panicking struct{ *farm }

func (panicking) Why(context.Context, string) ([]engine.Waiting, error) { panic("oh dear") }
