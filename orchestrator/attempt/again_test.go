// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// ledger is a journal in memory.
type ledger struct {
	// fails is the call that fails for steps of the builder.
	fails string

	mu    sync.Mutex
	calls []string
	logs  map[string]*bytes.Buffer
}

var errFull = errors.New("disk full")

func (l *ledger) fault(call, step string) error {
	if call == l.fails && strings.HasPrefix(step, "build-") {
		return errFull
	}
	return nil
}

func (l *ledger) Begin(_ context.Context, step string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, "begin "+step)
	return l.fault("begin", step)
}

func (l *ledger) Append(_ context.Context, step string, off int64, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs == nil {
		l.logs = map[string]*bytes.Buffer{}
	}
	if l.logs[step] == nil {
		l.logs[step] = &bytes.Buffer{}
	}
	if have := int64(l.logs[step].Len()); off != have || len(p) > 32<<10 || len(p) == 0 {
		return fmt.Errorf("%d bytes at %d, %d are there", len(p), off, have)
	}
	l.logs[step].Write(p)
	return l.fault("append", step)
}

func (l *ledger) End(_ context.Context, step string, st workers.Status, _ time.Duration, log digest.Digest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var whole []byte
	if b := l.logs[step]; b != nil {
		whole = b.Bytes()
	}
	if log != digest.Of(whole) {
		return fmt.Errorf("ending %s with log %s, its %d bytes are %s", step, log.Short(), len(whole), digest.Of(whole).Short())
	}
	l.calls = append(l.calls, fmt.Sprintf("end %s %s %d", step, st.State, st.Code))
	return l.fault("end", step)
}

// timeless compares records without their times.
func timeless() cmp.Options {
	return cmp.Options{
		cmpopts.IgnoreFields(orchestrator.Record{}, "Begun", "Ended", "Facts"),
		cmpopts.IgnoreFields(orchestrator.StepRecord{}, "Begun", "Took"),
		cmpopts.IgnoreFields(workers.Status{}, "Took"),
	}
}

// brokenOff is an attempt that does a bit of everything; its middle step waits until
// the file "go" exists in the workspace.
func (s *scene) brokenOff() acts {
	file, err := s.store.Put(s.t.Context(), strings.NewReader("plain old\n"))
	if err != nil {
		s.t.Fatal(err)
	}
	patch := []byte("--- a/sub/plain\n+++ b/sub/plain\n@@ -1 +1 @@\n-plain old\n+plain new\n")
	s.order.Sources = append(s.order.Sources, attempt.Source{Digest: file, File: "sub/plain",
		Patches: []recipes.File{{Name: "patches/new.patch", Digest: digest.Of(patch), Data: patch}}})
	s.order.Needs = []attempt.Need{s.need("one", "/opt/one/1", map[string]string{"bin/greet": "#!/bin/sh\necho one\n"})}
	s.order.Recipe.Tests = []recipes.Test{{Plugin: "acts", MinTests: 1}}
	return acts{
		build: []workers.Step{
			{Name: "first", Script: "echo begun; echo x >>count"},
			{Name: "middle", Script: `echo waiting; while ! [ -f "$ZFARM_ROOT/go" ]; do sleep 0.05; done; echo went`},
			{Name: "last", Script: `mkdir -p "$ZFARM_ROOT/stage/opt/p" && { cat count sub/plain file; greet; } >"$ZFARM_ROOT/stage/opt/p/out"`},
		},
		check:  []workers.Step{{Name: "check", Script: "echo checked"}},
		report: plugins.Report{Cases: []plugins.Case{{Name: "a", Outcome: plugins.Passed}}},
	}
}

// TestJoinedAgain: an attempt whose orchestrator stopped in the middle of a step and
// came back records the same as an undisturbed one.
func TestJoinedAgain(t *testing.T) {
	t.Parallel()
	straight, broken := newScene(t), newScene(t)
	if _, ok := straight.order.Facts.Tools["patch"]; !ok {
		t.Skip("the attempt applies a patch: install patch")
	}
	plugin := straight.brokenOff()
	broken.brokenOff()
	straight.let()
	want, failure, err := straight.do(plugin)
	if err != nil || failure != nil {
		t.Fatalf("undisturbed: %+v, %v", failure, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := attempt.Deps{Plugins: plugin, Store: broken.store, Now: time.Now, Steps: &ledger{}, Watch: func(p orchestrator.Progress) {
		if p.Kind == orchestrator.StepLog && strings.Contains(p.Text, "waiting") {
			cancel()
		}
	}}
	if _, failure, err := first.Do(ctx, broken.ws, broken.order); !errors.Is(err, context.Canceled) || failure != nil {
		t.Fatalf("broken off: %+v, %v", failure, err)
	}

	broken.let()
	text, err := json.Marshal(broken.order)
	if err != nil {
		t.Fatal(err)
	}
	var order attempt.Order
	if err := json.Unmarshal(text, &order); err != nil {
		t.Fatal(err)
	}
	patch := broken.order.Sources[1].Patches[0].Data
	if _, err := broken.store.Put(t.Context(), bytes.NewReader(patch)); err != nil {
		t.Fatal(err)
	}
	order.Begun = time.Unix(1_700_000_000, 0)
	l := &ledger{}
	second := attempt.Deps{Plugins: plugin, Store: broken.store, Now: time.Now, Steps: l, Watch: func(orchestrator.Progress) {}}
	have, failure, err := second.Do(t.Context(), broken.ws, order)
	if err != nil || failure != nil {
		t.Fatalf("joined again: %+v, %v", failure, err)
	}
	outputs := cmpopts.IgnoreFields(orchestrator.Record{}, "Output") // raw: times of files are in it
	if diff := cmp.Diff(want, have, timeless(), outputs); diff != "" {
		t.Errorf("record (-undisturbed +joined again):\n%s", diff)
	}
	out := map[string]string{"./opt/p/out": "x\nplain new\nold\none\n"}
	if diff := cmp.Diff(out, broken.output(have.Output)); diff != "" {
		t.Errorf("output (-want +joined again):\n%s", diff)
	}
	if diff := cmp.Diff(out, straight.output(want.Output)); diff != "" {
		t.Errorf("output (-want +undisturbed):\n%s", diff)
	}
	if !have.Begun.Equal(order.Begun) {
		t.Errorf("begun %s", have.Begun)
	}
	if log := l.logs["build-middle"].String(); log != "waiting\nwent\n" {
		t.Errorf("the log of the step that was joined is %q", log)
	}
	if log := l.logs["build-first"].String(); log != "begun\n" {
		t.Errorf("the log of a step that was recalled is %q", log)
	}
}

// let lets the middle step go on.
func (s *scene) let() {
	s.t.Helper()
	if _, err := s.ws.Put(s.t.Context(), "go", 0o644, strings.NewReader("")); err != nil {
		s.t.Fatal(err)
	}
}

// TestOutputIsFetchedOnce: changes that a suite makes to the workspace after the output
// was fetched have no effect, whenever the attempt is joined again.
func TestOutputIsFetchedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.order.Recipe.Tests = []recipes.Test{{Plugin: "acts"}}
	plugin := acts{
		build: []workers.Step{{Name: "make", Script: `mkdir -p "$ZFARM_ROOT/stage/opt/p" && echo good >"$ZFARM_ROOT/stage/opt/p/out"`}},
		check: []workers.Step{{Name: "check", Script: `echo evil >"$ZFARM_ROOT/stage.pax"`}},
	}
	var kept digest.Digest
	deps := attempt.Deps{Plugins: plugin, Store: s.store, Now: time.Now, Watch: func(orchestrator.Progress) {},
		Fetched: func(_ context.Context, d digest.Digest) error { kept = d; return nil }}
	first, _, err := deps.Do(t.Context(), s.ws, s.order)
	if err != nil || kept != first.Output || kept.IsZero() {
		t.Fatalf("told %s, recorded %s, %v", kept, first.Output, err)
	}
	s.order.Output = kept
	again, _, err := deps.Do(t.Context(), s.ws, s.order)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"./opt/p/out": "good\n"}, s.output(again.Output)); diff != "" {
		t.Errorf("output (-want +have):\n%s", diff)
	}
	s.order.Output = digest.Digest{}
	deps.Fetched = func(context.Context, digest.Digest) error { return errFull }
	if _, failure, err := deps.Do(t.Context(), s.ws, s.order); !errors.Is(err, errFull) || failure != nil {
		t.Errorf("nobody keeps it: %+v, %v", failure, err)
	}
}

func TestJournalIsToldEverything(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	l := &ledger{}
	deps := attempt.Deps{Plugins: acts{build: []workers.Step{
		{Name: "loud", Script: "i=0; while [ $i -lt 3000 ]; do echo 'forty characters of log, more or less ...'; i=$((i+1)); done"},
		{Name: "silent", Script: "exit 3"}}}, Store: s.store, Now: time.Now, Watch: func(orchestrator.Progress) {}, Steps: l}
	_, failure, err := deps.Do(t.Context(), s.ws, s.order)
	if err != nil || failure == nil {
		t.Fatalf("%+v, %v", failure, err)
	}
	want := []string{"begin folders", "end folders exited 0", "begin unpack-1", "end unpack-1 exited 0",
		"begin build-loud", "end build-loud exited 0", "begin build-silent", "end build-silent exited 3"}
	if diff := cmp.Diff(want, l.calls); diff != "" {
		t.Errorf("calls (-want +have):\n%s", diff)
	}
	if have := l.logs["build-loud"].Len(); have != 3000*42 {
		t.Errorf("%d bytes of log", have)
	}
}

// swallows is a plugin that hides the errors of its steps.
type swallows struct{ acts }

func (w swallows) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	_ = steps(ctx, ws, c, w.build)
	return nil, &plugins.StepError{Step: "make", Hint: "nothing to see"}
}

func (w swallows) Start(context.Context, string) (attempt.Process, error) { return w, nil }

func TestJournalThatFailsIsAFaultOfTheFarm(t *testing.T) {
	t.Parallel()
	make := acts{build: []workers.Step{{Name: "make", Script: "echo made"}}}
	for _, call := range []string{"begin", "append", "end"} {
		for what, plugin := range map[string]attempt.Starter{"an honest plugin": make, "one that hides it": swallows{make}} {
			t.Run(call+", "+what, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				deps := attempt.Deps{Plugins: plugin, Store: s.store, Now: time.Now, Watch: func(orchestrator.Progress) {}, Steps: &ledger{fails: call}}
				_, failure, err := deps.Do(t.Context(), s.ws, s.order)
				if !errors.Is(err, errFull) || errors.Is(err, workers.ErrLost) || failure != nil {
					t.Errorf("failure %+v, error %v", failure, err)
				}
			})
		}
	}
}
