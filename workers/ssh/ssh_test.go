// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/ssh"
	"github.com/zfarm/zfarm/workers/sshtest"
)

// daemons are shared by the tests of this package: starting an sshd and logging
// in takes longer than most of them.
var daemons sshtest.Daemons

// TestMain lets many tests run side by side, however few processors there are:
// they wait for lines, shells and clocks much more than they compute.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "16"); err != nil { // -parallel comes after this
		panic(err)
	}
	code := m.Run()
	daemons.Close()
	os.Exit(code)
}

// server is the common interface of both servers.
type server struct {
	config ssh.Config
	dir    string
	line   *sshtest.Line
}

// eachServer runs a test over both servers.
func eachServer(t *testing.T, test func(t *testing.T, s server)) {
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		s := daemons.OpenSSH(t, sshtest.Options{})
		test(t, server{s.Config(), s.Dir(), s.Line})
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		s := sshtest.Embedded(t, sshtest.Faults{})
		test(t, server{s.Config(), s.Dir(), s.Line})
	})
}

func dial(t testing.TB, c ssh.Config) *ssh.Host {
	t.Helper()
	h, err := ssh.Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// quick is for tests of dead lines: a line that is silent for 3 s counts as dead. On a
// busy machine that can be a good one, so such a Host may lose its line at any time.
func quick(c ssh.Config) ssh.Config {
	c.Keepalive = time.Second
	c.DialTimeout = 5 * time.Second
	return c
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// noise is a reader without a Seek, as a pipe or a stream from elsewhere.
func noise(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

func get(t testing.TB, h *ssh.Host, path string, offset int64) ([]byte, error) {
	t.Helper()
	r, err := h.Open(t.Context(), path, offset)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func sh(t testing.TB, h *ssh.Host, command string) runner.Output {
	t.Helper()
	out, err := h.Exec(t.Context(), command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

func TestExec(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		tests := map[string]struct {
			command, stdout, stderr string
			code                    int
		}{
			"output":  {`echo out; echo err >&2; exit 3`, "out\n", "err\n", 3},
			"quotes":  {`printf '%s\n' "it's" '$HOME'`, "it's\n$HOME\n", "", 0},
			"lines":   {"a=1\nif [ $a = 1 ]; then\n\techo yes\nfi", "yes\n", "", 0},
			"input":   {`cat; echo end`, "end\n", "", 0},
			"signal":  {`kill -TERM $$`, "", "", 128 + 15},
			"missing": {`/no/such/program 2>/dev/null`, "", "", 127},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				out := sh(t, h, test.command)
				want := runner.Output{Stdout: []byte(test.stdout), Stderr: []byte(test.stderr), Code: test.code}
				if diff := cmp.Diff(show(want), show(out)); diff != "" {
					t.Errorf("output (-want +got):\n%s", diff)
				}
			})
		}
		if b := h.Banner(); !strings.HasPrefix(b, "SSH-2.0-") {
			t.Errorf("banner %q", b)
		}
	})
}

func show(o runner.Output) string { return fmt.Sprintf("%d %q %q", o.Code, o.Stdout, o.Stderr) }

func TestExecBounds(t *testing.T) {
	t.Parallel()
	h := dial(t, sshtest.Embedded(t, sshtest.Faults{}).Config())
	out := sh(t, h, "dd if=/dev/zero bs=65536 count=80 2>/dev/null | tr '\\000' x; dd if=/dev/zero bs=65536 count=80 >&2 2>/dev/null; exit 4")
	if len(out.Stdout) != 1<<20 || len(out.Stderr) != 1<<20 || out.Code != 4 {
		t.Errorf("kept %d and %d bytes, code %d; want 1 MiB each and 4", len(out.Stdout), len(out.Stderr), out.Code)
	}
	for _, bad := range []string{"echo \xff", "echo ü", "echo \x00", "echo \r"} {
		if _, err := h.Exec(t.Context(), bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Exec(%q) = %v; want fs.ErrInvalid", bad, err)
		}
	}
}

func TestExecCancelled(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		mark := filepath.Join(s.dir, "pid")
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for ctx.Err() == nil {
				if b, err := os.ReadFile(mark); err == nil && bytes.HasSuffix(b, []byte("\n")) {
					cancel()
				}
				pause()
			}
		}()
		_, err := h.Exec(ctx, "echo $$ >"+mark+"; exec sleep 300")
		if !errors.Is(err, context.Canceled) || errors.Is(err, workers.ErrLost) {
			t.Fatalf("Exec = %v; want context.Canceled", err)
		}
		var pid int
		b, err := os.ReadFile(mark)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(b), &pid); err != nil {
			t.Fatal(err)
		}
		if name := t.Name(); !strings.HasSuffix(name, "/openssh") {
			eventually(t, "the command is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
		} else if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err) // this sshd signals only what runs as another user than itself
		}
		if got := sh(t, h, "echo still here"); string(got.Stdout) != "still here\n" {
			t.Errorf("after cancelling: %s", show(got))
		}
	})
}

// pause gives others a moment between two looks at a condition.
func pause() {
	tick := time.NewTimer(2 * time.Millisecond)
	<-tick.C
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); pause() {
		if holds() {
			return
		}
	}
	t.Fatalf("not true after 5 minutes: %s", what)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		for _, size := range []int{0, 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 5<<20 + 17} {
			content := random(t, size)
			name := s.dir + fmt.Sprintf("/it's %d", size)
			for range 2 { // the second time over the first
				d, err := h.Put(t.Context(), name, 0o750, noise(content))
				if err != nil || d != digest.Of(content) {
					t.Fatalf("Put of %d bytes: %v, %v", size, d, err)
				}
			}
			for _, offset := range []int{0, 1, size / 2, size, size + 100} {
				got, err := get(t, h, name, int64(offset))
				if err != nil || !bytes.Equal(got, content[min(offset, size):]) {
					t.Errorf("%d bytes from %d: got %d, %v", size, offset, len(got), err)
				}
			}
			e, err := h.Stat(t.Context(), name)
			if err != nil || e.Size != int64(size) || e.Mode != 0o750 {
				t.Errorf("Stat = %+v, %v", e, err)
			}
		}
		if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 6 {
			t.Errorf("folder holds %v, %v; want the six files and no parts", entries, err)
		}
	})
}

func TestListAndKinds(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		sh(t, h, "cd "+s.dir+" && mkdir d && echo hi >b && ln -s b a && mkfifo p && ln -s /nowhere z && chmod 604 b")
		entries, err := h.List(t.Context(), s.dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprint(e.Name, " ", e.Mode.Type(), " ", e.ModTime.IsZero()))
		}
		want := []string{"a L--------- false", "b ---------- false", "d d--------- false", "p p--------- false", "z L--------- false"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
		for _, name := range []string{"a", "d", "p", "z"} {
			if _, err := h.Open(t.Context(), s.dir+"/"+name, 0); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("Open(%s) = %v; want fs.ErrInvalid for what is no regular file", name, err)
			}
		}
		sh(t, h, "ln -s d "+s.dir+"/l")
		for _, name := range []string{"a", "b", "l"} {
			if _, err := h.List(t.Context(), s.dir+"/"+name); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("List(%s) = %v; want fs.ErrInvalid for what is no folder", name, err)
			}
		}
		if e, err := h.Stat(t.Context(), s.dir+"/z"); err != nil || e.Mode.Type() != fs.ModeSymlink {
			t.Errorf("Stat of a link = %+v, %v", e, err)
		}
	})
}

func TestMissing(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		_, statErr := h.Stat(t.Context(), s.dir+"/no")
		_, openErr := h.Open(t.Context(), s.dir+"/no", 0)
		_, listErr := h.List(t.Context(), s.dir+"/no")
		_, putErr := h.Put(t.Context(), s.dir+"/no/file", 0o600, strings.NewReader("x"))
		for what, err := range map[string]error{"Stat": statErr, "Open": openErr, "List": listErr, "Put": putErr} {
			if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, workers.ErrLost) {
				t.Errorf("%s = %v; want fs.ErrNotExist", what, err)
			}
		}
	})
}

func TestPutLeavesNothing(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		name := s.dir + "/file"
		if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		bad := fmt.Errorf("connection of the sender: %w", io.EOF)
		_, err := h.Put(t.Context(), name, 0o600, io.MultiReader(bytes.NewReader(random(t, 1<<20)), iotest.ErrReader(bad)))
		if !errors.Is(err, bad) || errors.Is(err, workers.ErrLost) {
			t.Errorf("Put = %v; want the reader's error", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		src := &hook{r: bytes.NewReader(random(t, 4<<20)), at: 1 << 20, do: cancel}
		if _, err := h.Put(ctx, name, 0o600, src); !errors.Is(err, context.Canceled) {
			t.Errorf("Put = %v; want context.Canceled", err)
		}
		eventually(t, "parts are gone", func() bool {
			entries, err := os.ReadDir(s.dir)
			return err == nil && len(entries) == 1
		})
		if b, err := os.ReadFile(name); err != nil || string(b) != "old" {
			t.Errorf("file holds %q, %v; want what it held", b, err)
		}
	})
}

// hook calls do once, when at bytes were read through it.
type hook struct {
	r    io.Reader
	at   int
	do   func()
	once sync.Once
}

func (k *hook) Read(p []byte) (int, error) {
	n, err := k.r.Read(p[:min(len(p), 32<<10)])
	if k.at -= n; k.at <= 0 {
		k.once.Do(k.do)
	}
	return n, err
}

func TestWideExec(t *testing.T) {
	t.Parallel()
	embedded := sshtest.Embedded(t, sshtest.Faults{MaxSessions: 3, Refuse: 20})
	t.Run("embedded", func(t *testing.T) { wide(t, embedded.Config()) })
	t.Run("openssh", func(t *testing.T) { wide(t, daemons.OpenSSH(t, sshtest.Options{MaxSessions: 4}).Config()) })
}

// wide is 32 at a time where the server allows fewer sessions than the client
// asks for.
func wide(t *testing.T, c ssh.Config) {
	h := dial(t, c)
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			for j := range 2 {
				want := fmt.Sprintf("%d.%d\n", i, j)
				if out, err := h.Exec(t.Context(), "echo "+strings.TrimSpace(want)); err != nil || string(out.Stdout) != want {
					t.Errorf("echo %s: %s, %v", want, show(out), err)
				}
			}
		})
	}
	all.Wait()
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{})
	h := dial(t, s.Config())
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Stat(t.Context(), s.Dir()); !errors.Is(err, workers.ErrLost) {
		t.Errorf("Stat after Close = %v; want ErrLost", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
