// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
)

func TestExec(t *testing.T) {
	var h local.Host
	t.Setenv("ZFARM_SECRET", "of the farm")
	for command, want := range map[string]runner.Output{
		"echo a; echo b >&2; exit 3":   {Stdout: []byte("a\n"), Stderr: []byte("b\n"), Code: 3},
		"kill -s KILL $$":              {Code: 137},
		"cat":                          {},
		`printf %s "${ZFARM_SECRET-}"`: {},
		"pwd":                          {Stdout: []byte("/\n")},
		"echo first\necho second":      {Stdout: []byte("first\nsecond\n")},
	} {
		got, err := h.Exec(t.Context(), command)
		if err != nil {
			t.Errorf("%q: %v", command, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", command, diff)
		}
	}
	out, err := h.Exec(t.Context(), "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")
	if err != nil || len(out.Stdout) != 1<<20 || len(out.Stderr) != 1<<20 {
		t.Errorf("%d and %d bytes were kept, %v", len(out.Stdout), len(out.Stderr), err)
	}
}

// TestExecEnds: the end of ctx kills everything that the command started.
func TestExecEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := local.Host{}.Exec(ctx, "sleep 1000 & echo $! >"+file+"; wait")
		done <- err
	}()
	var pid int
	until(t, "the command writes its pid", func() bool {
		b, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid > 1
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	until(t, "its child is dead", func() bool { return syscall.Kill(pid, 0) != nil })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, end := time.NewTicker(10*time.Millisecond), time.After(5*time.Minute)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestFiles(t *testing.T) {
	var h local.Host
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	d, err := h.Put(t.Context(), file, 0o755|fs.ModeSetuid, strings.NewReader("0123456789"))
	if err != nil || d != digest.Of([]byte("0123456789")) {
		t.Fatalf("%s, %v", d, err)
	}
	if e, err := h.Stat(t.Context(), file); err != nil || e.Mode != 0o755 || e.Size != 10 {
		t.Errorf("%+v, %v", e, err)
	}
	for offset, want := range map[int64]string{0: "0123456789", 7: "789", 10: "", 99: ""} {
		r, err := h.Open(t.Context(), file, offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(got) != want {
			t.Errorf("from %d: %q, %v", offset, got, err)
		}
	}
	if _, err := h.Put(t.Context(), filepath.Join(dir, "no", "f"), 0o644, strings.NewReader("")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Put without a parent: %v", err)
	}
	if _, err := h.Put(t.Context(), dir, 0o644, strings.NewReader("")); err == nil {
		t.Error("Put over a folder was accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Put(ctx, file, 0o644, strings.NewReader("new")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after the end: %v", err)
	}
	left, err := h.List(t.Context(), dir)
	if err != nil || len(left) != 1 || left[0].Name != "f" {
		t.Errorf("%v, %v", left, err)
	}
}

func TestNewWantsAnAbsoluteRoot(t *testing.T) {
	if w, err := local.New("here", runner.Options{Root: "x"}); err == nil {
		t.Errorf("%v", w)
	}
}
