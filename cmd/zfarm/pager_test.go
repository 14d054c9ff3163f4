// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare"
)

func TestTooLong(t *testing.T) {
	for _, c := range []struct {
		text           string
		columns, lines int
		want           bool
	}{
		{"one\ntwo\n", 80, 3, false},
		{"one\ntwo\nthree\n", 80, 3, true},
		{strings.Repeat("x", 161) + "\n", 80, 3, true},
		{strings.Repeat("x", 160) + "\n", 80, 3, false},
		{"", 80, 1, false},
		{"x\n", 0, 2, false},
	} {
		if have := tooLong([]byte(c.text), c.columns, c.lines); have != c.want {
			t.Errorf("%q on %d x %d: %v", c.text, c.columns, c.lines, have)
		}
	}
}

func TestPager(t *testing.T) {
	there := func(string) (string, error) { return "/usr/bin/less", nil }
	missing := func(string) (string, error) { return "", errors.New("not found") }
	for _, c := range []struct {
		env  map[string]string
		look func(string) (string, error)
		want string
	}{
		{nil, there, "less -R"},
		{nil, missing, ""},
		{map[string]string{"TERM": "dumb"}, there, ""},
		{map[string]string{"PAGER": "more"}, missing, "more"},
		{map[string]string{"PAGER": "cat"}, there, ""},
	} {
		if have := pager(func(name string) string { return c.env[name] }, c.look); have != c.want {
			t.Errorf("%v: %q, want %q", c.env, have, c.want)
		}
	}
}

// TestPage: page passes the text on unchanged, reports a missing command, and returns
// no error for a reader that quits early.
func TestPage(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // read by its name
	long := bytes.Repeat([]byte("line\n"), 200_000)
	for _, c := range []struct {
		command string
		shown   bool
	}{{"cat", true}, {"exit 3", true}, {"head -1 >/dev/null", true}, {"no-such-pager-anywhere", false}, {"", false}} {
		shown, err := page(c.command, out, io.Discard, long)
		if err != nil || shown != c.shown {
			t.Errorf("%q: %v, %v", c.command, shown, err)
		}
	}
	have, err := os.ReadFile(out.Name())
	if err != nil || !bytes.Equal(have, long) {
		t.Errorf("%d of %d bytes were handed on, %v", len(have), len(long), err)
	}
}

func TestReadersWhoLeaveAreNoError(t *testing.T) {
	lost := errors.New("lost")
	for _, c := range []struct{ err, want error }{{syscall.EPIPE, nil}, {&os.PathError{Err: syscall.EPIPE}, nil}, {io.ErrClosedPipe, nil}, {nil, nil}, {lost, lost}} {
		if have := ignoreClosedPipe(c.err); !errors.Is(have, c.want) {
			t.Errorf("%v: %v", c.err, have)
		}
	}
}

// TestWatchCounts what is read either way, and keeps files what they are.
func TestWatchCounts(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &watched{w: io.Discard}
	in, err := comparable(name)
	if err != nil {
		t.Fatal(err)
	}
	in = p.input(in, name)
	r, err := in.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.line(2*time.Second), "4 bytes of 10 bytes read, 2s") {
		t.Error(p.line(2 * time.Second))
	}
	at, ok := r.(io.ReaderAt)
	if !ok {
		t.Fatal("a file can no longer be read anywhere")
	}
	if _, err := at.ReadAt(make([]byte, 6), 4); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.line(time.Minute), "10 bytes read, looking into what differs, 1m0s") {
		t.Error(p.line(time.Minute))
	}
	quiet := watchReading(&bytes.Buffer{})
	if plain := quiet.input(compare.Input{Name: "x"}, name); plain.Open != nil || quiet.total != 0 {
		t.Error("it watches although nobody looks")
	}
	quiet.close()
}
