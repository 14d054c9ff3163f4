// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workertest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
)

func put(t *testing.T, ws workers.Workspace, name string, content []byte) {
	t.Helper()
	d, err := ws.Put(t.Context(), name, 0o644, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if d != digest.Of(content) {
		t.Errorf("Put(%q) gave another digest than that of its bytes", name)
	}
}

func get(t *testing.T, ws workers.Workspace, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	d, err := ws.Get(t.Context(), name, &b)
	if err != nil {
		t.Fatal(err)
	}
	if d != digest.Of(b.Bytes()) {
		t.Errorf("Get(%q) gave another digest than that of its bytes", name)
	}
	return b.Bytes()
}

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func testPutGet(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "files")
	big := make([]byte, 5<<20)
	r := rand.NewChaCha8([32]byte{1})
	if _, err := r.Read(big); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"all":                        allBytes(),
		"deep/below/it's $(odd) é/x": allBytes(),
		"-r":                         []byte("dash"),
		"empty":                      {},
		"big":                        big,
	} {
		put(t, ws, name, content)
		if !bytes.Equal(get(t, ws, name), content) {
			t.Errorf("%q came back changed", name)
		}
	}
	// The bytes must be right on the machine, too, not only after two
	// conversions that undo each other.
	if got := strings.Fields(does(t, ws, step("sum", "cksum <all"))); len(got) != 2 || got[0] != "1313719201" || got[1] != "256" {
		t.Errorf("on the worker cksum of all 256 bytes is %v", got)
	}
	if _, err := ws.Put(t.Context(), "tool", 0o755, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	does(t, ws, step("mode", "[ -x tool ] && [ ! -x all ]"))
}

func testPutReplaces(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "replaces")
	put(t, ws, "x", []byte("first and longer"))
	put(t, ws, "x", []byte("second"))
	if got := string(get(t, ws, "x")); got != "second" {
		t.Errorf("after a second Put the file holds %q", got)
	}
}

// broken returns half of a file and then waits for the signal to fail.
type broken struct {
	half    *strings.Reader
	reached chan<- struct{}
	fail    <-chan struct{}
}

var errBroken = errors.New("broken off")

func (b *broken) Read(p []byte) (int, error) {
	if n, _ := b.half.Read(p); n > 0 {
		return n, nil
	}
	b.reached <- struct{}{}
	<-b.fail
	return 0, errBroken
}

func testPutWhole(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "whole")
	put(t, ws, "old", []byte("old"))
	for _, name := range []string{"new", "old"} {
		reached, fail := make(chan struct{}, 1), make(chan struct{})
		put := make(chan error, 1)
		go func() {
			_, err := ws.Put(t.Context(), name, 0o644, &broken{strings.NewReader(strings.Repeat("x", 1<<20)), reached, fail})
			put <- err
		}()
		<-reached
		unchanged(t, ws)
		close(fail)
		if err := <-put; !errors.Is(err, errBroken) {
			t.Errorf("Put of a reader that fails: %v", err)
		}
		unchanged(t, ws)
	}
}

func unchanged(t *testing.T, ws workers.Workspace) {
	t.Helper()
	if got := string(get(t, ws, "old")); got != "old" {
		t.Errorf("half a Put shows: %d bytes", len(got))
	}
	if _, err := ws.Get(t.Context(), "new", io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a Put shows: %v", err)
	}
}

func testNames(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "names")
	for name, want := range map[string]error{
		"../x": fs.ErrInvalid, "a/../../x": fs.ErrInvalid, "/etc/passwd": fs.ErrInvalid, "..": fs.ErrInvalid,
		"a\nb": fs.ErrInvalid, "a\x00b": fs.ErrInvalid,
		".zfarm": fs.ErrPermission, ".zfarm/runner.sh": fs.ErrPermission, "a/../.zfarm/steps": fs.ErrPermission,
	} {
		_, put := ws.Put(t.Context(), name, 0o644, strings.NewReader("x"))
		_, get := ws.Get(t.Context(), name, io.Discard)
		_, list := ws.List(t.Context(), name)
		s := step("s", "true")
		s.Dir = name
		_, run := ws.Run(t.Context(), s, io.Discard)
		for verb, err := range map[string]error{"Put": put, "Get": get, "List": list, "Run in": run} {
			if !errors.Is(err, want) {
				t.Errorf("%s %q: %v, want %v", verb, name, err, want)
			}
		}
	}
	for _, name := range []string{"", "."} {
		if _, err := ws.Put(t.Context(), name, 0o644, strings.NewReader("x")); err == nil {
			t.Errorf("Put(%q), the root itself, was accepted", name)
		}
	}
}

func testMissing(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "missing")
	for _, name := range []string{"nothing", "no/folder/either"} {
		if _, err := ws.Get(t.Context(), name, io.Discard); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get(%q): %v", name, err)
		}
		if _, err := ws.List(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("List(%q): %v", name, err)
		}
	}
}

func testIrregular(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "irregular")
	does(t, ws, step("make", "mkdir folder; mkfifo pipe; ln -s /etc/passwd link; ln -s / root"))
	for _, name := range []string{"folder", "pipe", "link"} {
		if _, err := ws.Get(t.Context(), name, io.Discard); err == nil {
			t.Errorf("Get(%q) was accepted; it is no regular file", name)
		}
	}
	if e, err := ws.List(t.Context(), "root"); err == nil {
		t.Errorf("List went through a link to /: %d entries", len(e))
	}
}

func testList(t *testing.T, w workers.Worker) {
	ws := workspace(t, w, "list")
	if e, err := ws.List(t.Context(), ""); err != nil || len(e) != 0 {
		t.Errorf("a new workspace lists as %v, %v", e, err)
	}
	does(t, ws, step("make", "mkdir -p d/z; printf 12345 >d/b; chmod 640 d/b; ln -s /nowhere d/a; echo >d/C"))
	entries, err := ws.List(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	type short struct {
		Name string
		Type fs.FileMode
	}
	var got []short
	for _, e := range entries {
		got = append(got, short{e.Name, e.Mode.Type()})
		if e.Name == "b" && (e.Size != 5 || e.Mode.Perm() != 0o640 || e.ModTime.IsZero()) {
			t.Errorf("d/b is listed as %+v", e)
		}
	}
	want := []short{{"C", 0}, {"a", fs.ModeSymlink}, {"b", 0}, {"z", fs.ModeDir}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}
