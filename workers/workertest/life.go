// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers"
)

// gated prints one, waits for the file "go", prints two, and counts how often it was
// started.
const gated = `echo x >>count
printf 'one\n'
while [ ! -f go ]; do sleep 1; done
printf 'two\n'
exit 4`

func onceOnly(t *testing.T, ws workers.Workspace) {
	t.Helper()
	if got := strings.Count(does(t, ws, step("count", "cat count")), "x"); got != 1 {
		t.Errorf("the step was started %d times", got)
	}
}

func testJoin(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "join")
	second := workspace(t, w, "join")
	first := begin(t.Context(), ws, step("gated", gated))
	first.says(t, "one")
	joined := begin(t.Context(), second, step("gated", gated))
	joined.says(t, "one")
	put(t, ws, "go", nil)
	for _, r := range []running{first, joined} {
		e := r.end(t)
		if e.err != nil || e.status.State != workers.Exited || e.status.Code != 4 {
			t.Errorf("%+v", e)
		}
		if got := r.log.String(); got != "one\ntwo\n" {
			t.Errorf("log %q", got)
		}
	}
	onceOnly(t, ws)
}

func testBeginAtOnce(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "at-once")
	put(t, ws, "go", nil)
	var all []running
	for range 4 {
		all = append(all, begin(t.Context(), ws, step("gated", gated)))
	}
	for _, r := range all {
		if e := r.end(t); e.err != nil || e.status.Code != 4 || r.log.String() != "one\ntwo\n" {
			t.Errorf("%+v, log %q", e, r.log)
		}
	}
	onceOnly(t, ws)

	// Of two with different contents, one begins and the other gets an error.
	a := begin(t.Context(), ws, step("rival", "printf 'a\n'"))
	b := begin(t.Context(), ws, step("rival", "printf 'b\n'"))
	ea, eb := a.end(t), b.end(t)
	if errors.Is(ea.err, workers.ErrStepChanged) {
		a, b, ea, eb = b, a, eb, ea
	}
	if ea.err != nil || !ea.status.OK() || len(a.log.String()) != 2 || !errors.Is(eb.err, workers.ErrStepChanged) || b.log.String() != "" {
		t.Errorf("rivals: %+v, log %q; %+v, log %q", ea, a.log, eb, b.log)
	}
}

func testRecall(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "recall")
	put(t, ws, "go", nil)
	var statuses []workers.Status
	for range 2 {
		var log bytes.Buffer
		status, err := ws.Run(t.Context(), step("gated", gated), &log)
		if err != nil || log.String() != "one\ntwo\n" {
			t.Fatalf("%v, log %q", err, log.String())
		}
		statuses = append(statuses, status)
		ws = workspace(t, w, "recall")
	}
	if statuses[0] != statuses[1] || statuses[0].Code != 4 {
		t.Errorf("ended with %+v, recalled as %+v", statuses[0], statuses[1])
	}
	onceOnly(t, ws)
}

func testStepChanged(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "changed")
	base := step("s", "echo x >>count")
	does(t, ws, base)
	for what, change := range map[string]func(*workers.Step){
		"script": func(s *workers.Step) { s.Script += " " },
		"value":  func(s *workers.Step) { s.Env = map[string]string{"PATH": "/bin"} },
		"more":   func(s *workers.Step) { s.Env = map[string]string{"PATH": s.Env["PATH"], "A": ""} },
		"dir":    func(s *workers.Step) { s.Dir = "elsewhere" },
		"limit":  func(s *workers.Step) { s.Limit = time.Hour },
		"umask":  func(s *workers.Step) { s.Umask = 0o077 },
	} {
		s := base
		change(&s)
		if status, err := ws.Run(t.Context(), s, io.Discard); !errors.Is(err, workers.ErrStepChanged) {
			t.Errorf("with another %s: %+v, %v", what, status, err)
		}
	}
	same := base // an equivalent form is no change
	same.Dir, same.Umask = ".", 0o022
	does(t, ws, same)
	onceOnly(t, ws)
}

func testCancel(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "cancel")
	ctx, cancel := context.WithCancel(t.Context())
	r := begin(ctx, ws, step("gated", gated))
	r.says(t, "one")
	cancel()
	if e := r.end(t); !errors.Is(e.err, context.Canceled) {
		t.Errorf("a cancelled Run returns %+v", e)
	}
	r = begin(t.Context(), ws, step("gated", gated))
	r.says(t, "one")
	put(t, ws, "go", nil)
	if e := r.end(t); e.err != nil || e.status.Code != 4 || r.log.String() != "one\ntwo\n" {
		t.Errorf("joined again: %+v, log %q", e, r.log)
	}
	onceOnly(t, ws)
}

func testLeaseKept(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "kept")
	does(t, ws, step("long", fmt.Sprintf("sleep %d", shortLease*3/2/time.Second)))
}

// family is a step of four processes in its group that ignore TERM, and
// write down their ids.
const family = `: >pids
trap '' TERM
sh -c 'trap "" TERM; echo $$ >>pids; while :; do sleep 1; done' &
(trap '' TERM; (sh -c 'echo $$ >>pids; exec sleep 1000') & sleep 1000) &
echo $$ >>pids
until [ $(wc -l <pids) -ge 3 ]; do sleep 1; done
printf 'up\n'
while :; do sleep 1; done`

func testLease(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "lease")
	ctx, cancel := context.WithCancel(t.Context())
	r := begin(ctx, ws, step("family", strings.ReplaceAll(family, "trap", ":")))
	r.says(t, "up")
	cancel()
	r.end(t)
	gone(t, ws, "gone")
	status, err := ws.Run(t.Context(), step("family", strings.ReplaceAll(family, "trap", ":")), io.Discard)
	if err != nil || status.State != workers.Lease {
		t.Errorf("a step that nobody watched: %+v, %v", status, err)
	}
}

func testLimit(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "limit")
	s := step("family", family)
	s.Limit = 4500 * time.Millisecond // its processes need some of it to write down their ids
	r := begin(t.Context(), ws, s)
	e := r.end(t)
	if e.err != nil || e.status.State != workers.Limit || e.status.Code != 0 || e.status.OK() {
		t.Errorf("a step beyond its limit: %+v", e)
	}
	if e.status.Took < 5*time.Second {
		t.Errorf("ended after %s, 4.5 s rounded up are 5 s", e.status.Took)
	}
	gone(t, ws, "gone")
}

func testStop(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "stop")
	if err := ws.Stop(t.Context()); err != nil {
		t.Errorf("stopping nothing: %v", err)
	}
	put(t, ws, "go", nil)
	if _, err := ws.Run(t.Context(), step("before", gated), io.Discard); err != nil {
		t.Fatal(err)
	}
	r := begin(t.Context(), ws, step("family", family))
	r.says(t, "up")
	if err := ws.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, ws, "gone")
	if e := r.end(t); e.err != nil || e.status.State != workers.Stopped {
		t.Errorf("a stopped step: %+v", e)
	}
	status, err := ws.Run(t.Context(), step("before", gated), io.Discard)
	if err != nil || status.State != workers.Exited || status.Code != 4 {
		t.Errorf("a step that ended before Stop: %+v, %v", status, err)
	}
}

func testLeftovers(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "leftovers")
	got := does(t, ws, step("leaves", `: >pids
sh -c 'echo $$ >>pids; exec sleep 1000' &
sh -c 'trap "" TERM HUP; echo $$ >>pids; while :; do sleep 1; done' &
until [ $(wc -l <pids) -ge 2 ]; do sleep 1; done
printf 'end\n'`))
	if got != "end\n" {
		t.Errorf("log %q", got)
	}
	gone(t, ws, "gone")
}

// testLost: a step that destroys the runner's files about it is lost, and none of its
// processes survives.
func testLost(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "lost")
	s := step("wrecks", `echo $$ >>pids; rm -rf "$ZFARM_ROOT/.zfarm"; while :; do sleep 1; done`)
	status, err := ws.Run(t.Context(), s, io.Discard)
	if !errors.Is(err, workers.ErrLost) {
		t.Errorf("%+v, %v", status, err)
	}
	gone(t, workspace(t, w, "lost"), "gone")
}

func testRemove(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "remove")
	r := begin(t.Context(), ws, step("locks", `mkdir outside; ln -s "$PWD/../outside-of-it" link
mkdir -p d/e; echo >d/e/f; chmod 000 d/e; chmod 500 d
printf 'up\n'; sleep 1000`))
	r.says(t, "up")
	for range 2 {
		if err := ws.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if e := r.end(t); e.err == nil && e.status.State != workers.Stopped {
		t.Errorf("a step whose workspace is removed: %+v", e)
	}
	again := workspace(t, w, "remove")
	if e, err := again.List(t.Context(), "."); err != nil || len(e) != 0 {
		t.Errorf("after Remove: %v, %v", e, err)
	}
	// The name is free again.
	if got := does(t, again, step("locks", "printf 'new\n'")); got != "new\n" {
		t.Errorf("log %q", got)
	}
}

func testWorkspaces(t *testing.T, w workers.Worker) {
	among := func() (found []string) {
		t.Helper()
		ids, err := w.Workspaces(t.Context())
		if err != nil || !slices.IsSorted(ids) {
			t.Errorf("workspaces %q, %v", ids, err)
		}
		for _, id := range []string{"here-a", "here-b", "here-c"} {
			if slices.Contains(ids, id) {
				found = append(found, id)
			}
		}
		return found
	}
	if found := among(); found != nil {
		t.Errorf("before there is any: %q", found)
	}
	b, a := workspace(t, w, "here-b"), workspace(t, w, "here-a")
	put(t, a, "here-c/file", nil)
	if found := among(); !slices.Equal(found, []string{"here-a", "here-b"}) {
		t.Errorf("there are %q", found)
	}
	if err := b.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := among(); !slices.Equal(found, []string{"here-a"}) {
		t.Errorf("after one was removed: %q", found)
	}
}

func testSideBySide(t *testing.T, w workers.Worker) {
	a, b := workspace(t, w, "a"), workspace(t, w, "b")
	put(t, a, "x", []byte("of a"))
	put(t, b, "x", []byte("of b"))
	ra, rb := begin(t.Context(), a, step("s", "cat x; sleep 1000")), begin(t.Context(), b, step("s", "cat x; until [ -f go ]; do sleep 1; done"))
	ra.says(t, "of a")
	rb.says(t, "of b")
	if err := a.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, b, "go", nil)
	if e := rb.end(t); e.err != nil || !e.status.OK() {
		t.Errorf("removing one workspace harmed the other: %+v", e)
	}
	ra.end(t)
	if _, err := a.Get(t.Context(), "x", io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed workspace still has its file: %v", err)
	}
}

// testFourAtOnce: no step ends before all have begun.
func testFourAtOnce(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "four")
	var all []running
	for i := range 4 {
		all = append(all, begin(t.Context(), ws, step(fmt.Sprint("s", i), fmt.Sprintf(
			"echo >up%d; until [ -f up0 ] && [ -f up1 ] && [ -f up2 ] && [ -f up3 ]; do sleep 1; done; exit %d", i, i))))
	}
	for i, r := range all {
		if e := r.end(t); e.err != nil || e.status.Code != i {
			t.Errorf("step %d: %+v", i, e)
		}
	}
}
