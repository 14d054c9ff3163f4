// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"

	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// workshop is where a pair is made: two sides, each with its own folder and
// conditions.
type workshop struct {
	t     testing.TB
	known compare.Known
	dirs  [2]string // of the same length
}

// The two builds ran on different days, ten minutes each.
func dayA() time.Time { return time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC) }
func dayB() time.Time { return time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC) }

func newWorkshop(t testing.TB) *workshop {
	w := &workshop{t: t}
	root := t.TempDir()
	for i, name := range []string{"first", "other"} {
		w.dirs[i] = filepath.Join(root, name)
		if err := os.Mkdir(w.dirs[i], 0o755); err != nil { //nolint:gosec // modes are the subject of some pairs
			t.Fatal(err)
		}
	}
	w.known = compare.Known{
		A: compare.Conditions{Begun: dayA(), Ended: dayA().Add(10 * time.Minute), Zone: "ZFA+12", Values: map[string]string{
			"build path": w.dirs[0], "user": "builder1", "host": "LPARONE", "HOME": "/u/home1", "time zone": "ZFA+12", "locale": "C", "jobs": "4"}},
		B: compare.Conditions{Begun: dayB(), Ended: dayB().Add(10 * time.Minute), Zone: "ZFB-14", Values: map[string]string{
			"build path": w.dirs[1], "user": "another2", "host": "LPARTWO", "HOME": "/v/home2", "time zone": "ZFB-14", "locale": "En_US", "jobs": "7"}},
	}
	return w
}

// side is one of the two builds.
type side struct {
	t    testing.TB
	dir  string
	at   time.Time // within the time of the build
	cond compare.Conditions
	b    bool
}

func (w *workshop) sides() (a, b *side) {
	return &side{w.t, w.dirs[0], w.known.A.Begun.Add(3 * time.Minute), w.known.A, false},
		&side{w.t, w.dirs[1], w.known.B.Begun.Add(4 * time.Minute), w.known.B, true}
}

// both makes both sides by the same function and packs the results.
func both(build func(s *side) []file) func(w *workshop) (a, b compare.Input) {
	return func(w *workshop) (compare.Input, compare.Input) {
		a, b := w.sides()
		return input("a.pax", packed(w.t, build(a)...)), input("b.pax", packed(w.t, build(b)...))
	}
}

// each makes an artifact of each side.
func each(build func(s *side) []byte) func(w *workshop) (a, b compare.Input) {
	return func(w *workshop) (compare.Input, compare.Input) {
		a, b := w.sides()
		return input("a", build(a)), input("b", build(b))
	}
}

// edited packs a file and an edited copy.
func edited(name string, original func(t testing.TB) []byte, edit func(b []byte) []byte) func(w *workshop) (a, b compare.Input) {
	return both(func(s *side) []file {
		b := original(s.t)
		if s.b {
			b = edit(bytes.Clone(b))
		}
		return []file{reg(name, string(b))}
	})
}

// pick returns the value for the side.
func pick[T any](s *side, a, b T) T {
	if s.b {
		return b
	}
	return a
}

func input(name string, b []byte) compare.Input {
	return compare.Input{Name: name, Open: func() (io.ReadCloser, error) {
		return struct {
			*bytes.Reader
			io.Closer
		}{bytes.NewReader(b), io.NopCloser(nil)}, nil
	}}
}

// need skips a test if its programs are not installed.
func need(t testing.TB, tools []string) {
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the pair is made with %s: install it", tool)
		}
	}
}

// env is the environment of the build, as the farm sets it.
func (s *side) env() []string {
	v := s.cond.Values
	return []string{"PATH=" + os.Getenv("PATH"), "TZ=" + s.cond.Zone, "LC_ALL=C", "LOCALE=" + v["locale"], "HOME=" + s.dir, "OLDHOME=" + v["HOME"], "USER=" + v["user"],
		"LOGNAME=" + v["user"], "HOST=" + v["host"], "JOBS=" + v["jobs"], "NOW=" + strconv.FormatInt(s.at.Unix(), 10),
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(s.at.Unix(), 10), "BUILD=" + s.dir}
}

// run runs a program in the folder of the side and returns what it writes.
func (s *side) run(name string, args ...string) string {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = s.dir, s.env()
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		s.t.Skipf("the pair is made with %s: install it", name)
	} else if err != nil {
		s.t.Fatalf("running %s %s: %v: %s%s", name, strings.Join(args, " "), err, faults.String(), out.String())
	}
	return out.String()
}

// sh runs a shell script.
func (s *side) sh(script string) string {
	s.t.Helper()
	return s.run("sh", "-c", script)
}

// write writes a file dated at a time within the build.
func (s *side) write(name, body string) string {
	s.t.Helper()
	at := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil { //nolint:gosec // as above
		s.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(body), 0o644); err != nil { //nolint:gosec // as above
		s.t.Fatal(err)
	}
	s.touch(name, s.at)
	return name
}

// touch sets the time of a file.
func (s *side) touch(name string, at time.Time) {
	s.t.Helper()
	if err := os.Chtimes(filepath.Join(s.dir, name), at, at); err != nil {
		s.t.Fatal(err)
	}
}

func (s *side) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// took packs a file that the side made.
func (s *side) took(names ...string) []file {
	s.t.Helper()
	var out []file
	for _, name := range names {
		out = append(out, reg("port-1.0/"+name, s.read(name)))
	}
	return out
}

// file is a member of a package.
type file struct {
	pax.Member
	body string
}

func reg(name, body string) file {
	return file{pax.Member{Name: name, Type: pax.Regular, Mode: 0o644, ModTime: dayA(), Size: int64(len(body))}, body}
}

func symlink(name, target string) file {
	return file{pax.Member{Name: name, Type: pax.Symlink, Mode: 0o777, ModTime: dayA(), Link: target}, ""}
}

func hardlink(name, target string) file {
	return file{pax.Member{Name: name, Type: pax.HardLink, Mode: 0o644, ModTime: dayA(), Link: target}, ""}
}

func (f file) mode(mode uint32) file {
	f.Mode = mode
	return f
}

func (f file) record(key, value string) file {
	f.Records = append(f.Records[:len(f.Records):len(f.Records)], pax.Record{Key: key, Value: value})
	return f
}

// tagged is a file with its tag: text in a code page.
func (f file) tagged(page string) file { return f.record(pax.ZOSTag, "1 "+page) }

// packed writes an archive as the farm does.
func packed(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pax.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&f.Member); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// ebcdic returns text in IBM-1047, with newlines as on z/OS.
func ebcdic(s string) string {
	var out strings.Builder
	for _, r := range s {
		c, ok := charmap.CodePage1047.EncodeRune(r)
		if !ok {
			panic(fmt.Sprintf("%q is not in IBM-1047", r))
		}
		if r == '\n' {
			c = 0x15
		}
		out.WriteByte(c)
	}
	return out.String()
}

// replaced replaces text by other text of equal length, at its only occurrence or
// at the given one.
func replaced(t testing.TB, b []byte, which int, from, to string) []byte {
	t.Helper()
	at := -1
	for range which + 1 {
		i := bytes.Index(b[at+1:], []byte(from))
		if i < 0 || len(from) != len(to) {
			t.Fatalf("%q cannot be put in place %d of %q", to, which, from)
		}
		at += 1 + i
	}
	copy(b[at:], to)
	return b
}

// pad pads s with blanks.
func pad(s string, length int) string { return fmt.Sprintf("%-*s", length, s) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
