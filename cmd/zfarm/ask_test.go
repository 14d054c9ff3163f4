// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/intake"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// ask runs zfarm in this process against a farm.
func ask(t *testing.T, farm *httptest.Server, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append(args, "--server", farm.URL), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// answers are a fake farm's answers, by method and path.
type answers map[string]func(http.ResponseWriter)

func (a answers) farm(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := a[r.Method+" "+r.URL.Path]
		if !ok {
			refuse(http.StatusNotFound)(w)
			return
		}
		answer(w)
	}))
	t.Cleanup(s.Close)
	return s
}

func refuse(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"status": status, "detail": fmt.Sprintf("said \x1b[31m%d", status)}) //nolint:errcheck,errchkjson // a test
	}
}

func tell(v any) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { json.NewEncoder(w).Encode(v) } //nolint:errcheck,errchkjson // a test
}

// file sends bytes under the digest of other bytes.
func file(sent, named string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("ETag", `"`+digest.Of([]byte(named)).String()+`"`)
		w.Write([]byte(sent)) //nolint:errcheck // a test
	}
}

func TestRefusalsHaveCodes(t *testing.T) {
	for status, want := range map[int]int{400: usageError, 401: notAllowed, 403: notAllowed, 404: usageError, 409: usageError, 413: usageError,
		422: usageError, 500: otherError, 503: serverAway} {
		farm := answers{"PATCH /v1/builds/b": refuse(status)}.farm(t)
		code, out, errs := ask(t, farm, "pause", "b")
		if code != want || out != "" || !strings.Contains(errs, fmt.Sprintf(`said \x1b[31m%d`, status)) {
			t.Errorf("%d: exit code %d, want %d: %s%s", status, code, want, out, errs)
		}
		if strings.Contains(errs, "ZFARM_TOKEN") != (status == 401) {
			t.Errorf("%d: %s", status, errs)
		}
	}
}

func TestAddressOfNoUse(t *testing.T) {
	for _, address := range []string{"farm.example.org", "ftp://farm.example.org"} {
		var b bytes.Buffer
		if code := run(t.Context(), []string{"list", "--server", address}, nil, &b, &b); code != usageError || !strings.Contains(b.String(), "is no URL") {
			t.Errorf("%s: exit code %d: %s", address, code, b.String())
		}
	}
}

// released is a fake farm with one release of one file.
func released(finding string, size int64, sent, named string) answers {
	return answers{
		"GET /v1/releases/p/1": tell(wire.ReleaseFiles{Release: wire.Release{Port: "p", Version: "1", Build: "b", NotReproduced: finding, Signed: true},
			Files: []wire.File{{Name: "p.txt", Digest: digest.Of([]byte(named)), Size: size}}}),
		"GET /v1/builds/b/files/p.txt": file(sent, named),
	}
}

func TestCollect(t *testing.T) {
	for name, tc := range map[string]struct {
		farm  answers
		args  []string
		code  int
		says  string
		whole bool
	}{
		"whole":                   {farm: released("", 5, "hello", "hello"), says: "p 1 collected into", whole: true},
		"not reproduced":          {farm: released("it \x1b[31mdiffers now", 5, "hello", "hello"), says: `p@1 was not reproduced: it \x1b[31mdiffers now`, whole: true},
		"not reproduced, refused": {farm: released("it differs now", 5, "hello", "hello"), args: []string{"--reproduced"}, code: refutedRelease, says: "was reproducible, and is not now"},
		"other bytes":             {farm: released("", 5, "hallo", "hello"), code: otherError, says: "the file arrived as"},
		"too many bytes":          {farm: released("", 4, "hello", "hello"), code: otherError, says: "more bytes than it said"},
		"not verified":            {farm: released("", 5, "hello", "hello"), args: []string{"--key", "KEY"}, code: notVerified, says: "out was not made"},
		"no key":                  {farm: released("", 5, "hello", "hello"), args: []string{"--key", "nowhere"}, code: usageError, says: "nowhere"},
		"not allowed": {farm: answers{"GET /v1/releases/p/1": released("", 5, "", "hello")["GET /v1/releases/p/1"],
			"GET /v1/builds/b/files/p.txt": refuse(403)}, code: notAllowed, says: "said"},
		"name that leads out": {farm: answers{"GET /v1/releases/p/1": tell(wire.ReleaseFiles{Release: wire.Release{Port: "p", Version: "1", Build: "b"},
			Files: []wire.File{{Name: "../p.txt"}}})}, code: otherError, says: "../p.txt"},
		"nobody submitted it":  {farm: answers{"GET /v1/builds": tell(wire.BuildsPage{Builds: []wire.Build{}})}, code: notYet, says: "nobody has submitted p 1"},
		"timeout without wait": {farm: answers{}, args: []string{"--timeout", "5s"}, code: usageError, says: "give both"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key := filepath.Join(dir, "farm")
			if slices.Contains(tc.args, "KEY") {
				makeKey(t, key)
				tc.args[slices.Index(tc.args, "KEY")] = key + ".pub"
			}
			in := filepath.Join(dir, "in")
			code, out, errs := ask(t, tc.farm.farm(t), append([]string{"release", "collect", "p@1", "--out", filepath.Join(in, "out")}, tc.args...)...)
			if code != tc.code || !strings.Contains(out+errs, tc.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", code, tc.code, tc.says, out, errs)
			}
			want := []string(nil)
			if tc.whole {
				want = []string{"out/p.txt"}
			}
			if diff := cmp.Diff(want, filesIn(t, in)); diff != "" {
				t.Errorf("what is left (-want +have):\n%s", diff)
			}
		})
	}
}

func makeKey(t *testing.T, name string) {
	t.Helper()
	password := name + ".password"
	if err := os.WriteFile(password, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if code := run(t.Context(), []string{"key", "generate", "--out", name, "--key-password-file", password}, nil, &b, &b); code != 0 {
		t.Fatalf("exit code %d: %s", code, b.String())
	}
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCollectWaits waits while the build goes on, until there is a release.
func TestCollectWaits(t *testing.T) {
	b := wire.Build{ID: "b", State: wire.BuildWaiting, Port: "p", Version: "1"}
	have := released("", 5, "hello", "hello")
	ready := have["GET /v1/releases/p/1"]
	var asked atomic.Int32
	have["GET /v1/releases/p/1"] = func(w http.ResponseWriter) {
		if asked.Add(1) < 3 {
			refuse(http.StatusNotFound)(w)
			return
		}
		ready(w)
	}
	// Neither a rebuild nor another version ends the wait.
	check, other := b, b
	check.Checks, check.State = "a", wire.BuildCancelled
	other.Version = "2"
	have["GET /v1/builds"] = tell(wire.BuildsPage{Builds: []wire.Build{check, other, b}})
	dir := filepath.Join(t.TempDir(), "out")
	code, out, errs := ask(t, have.farm(t), "release", "collect", "p@1", "--out", dir, "--wait", "--json")
	if code != 0 || strings.Count(errs, "waiting: p 1 is not released yet: build b is waiting") != 1 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	var said struct {
		Port, Build, Out string
		Files            []wire.File
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || said.Port != "p" || said.Build != "b" || said.Out != dir || len(said.Files) != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestPackedRecipe checks uploads against the farm's limits.
func TestPackedRecipe(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("gzip/recipe.hcl", "port")
	write("gzip/patches/one.patch", "patch")
	write("gzip/.secret", "secret")
	write("gzip/.git/config", "git")
	write("zlib/recipe.hcl", "port")
	paths := []string{filepath.Join(dir, "gzip"), filepath.Join(dir, "zlib", "recipe.hcl")}
	first, err := packed(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	second, err := packed(t.Context(), paths)
	if err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("packed twice it is not the same: %v", err)
	}
	a, err := intake.Read(t.Context(), first, intake.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"gzip", "zlib"}, a.Recipes()); diff != "" {
		t.Errorf("recipes (-want +have):\n%s", diff)
	}
	folder, err := a.Folder("gzip")
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(folder, "*")
	if diff := cmp.Diff([]string{"patches", "recipe.hcl"}, names); diff != "" || err != nil {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
}

func TestPackedRecipeIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(dir string) error
		says string
	}{
		"a link":           {func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "x.patch")) }, "not a regular file"},
		"a large file":     {func(dir string) error { return holes(dir, 17<<20, 1) }, "the most is"},
		"too much":         {func(dir string) error { return holes(dir, 15<<20, 5) }, "only the recipe, its patches and keys"},
		"too many":         {func(dir string) error { return holes(dir, 1, 2001) }, "only the recipe, its patches and keys"},
		"no recipe":        {func(dir string) error { return os.Remove(filepath.Join(dir, "recipe.hcl")) }, "holds no recipe.hcl"},
		"no folder at all": {os.RemoveAll, "looking for the recipe"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "gzip")
			if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "recipe.hcl"), nil, 0o600), tc.make(dir)); err != nil {
				t.Fatal(err)
			}
			_, err := packed(t.Context(), []string{dir})
			if err == nil || !strings.Contains(err.Error(), tc.says) || codeOf(t.Context(), err) != usageError {
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
	twice := t.TempDir()
	for _, name := range []string{"a/gzip", "b/gzip"} {
		dir := filepath.Join(twice, name)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "recipe.hcl"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := packed(t.Context(), []string{filepath.Join(twice, "a/gzip"), filepath.Join(twice, "b/gzip")}); err == nil || !strings.Contains(err.Error(), "of one name") {
		t.Errorf("two folders of one name: %v", err)
	}
}

// holes makes sparse files, which take no space on the disk.
func holes(dir string, size int64, n int) error {
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("%d.patch", i))
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size)); err != nil {
			return err
		}
	}
	return nil
}

// TestBuildCodes: every way in which a build can end has its own exit code, except
// those that no caller needs to distinguish.
func TestBuildCodes(t *testing.T) {
	ended := func(kind orchestrator.FailureKind) wire.Build {
		failed := wire.Stage{ID: "resolve", State: wire.StageFailed, Failure: &wire.Failure{Kind: string(kind), Message: "because"}}
		return wire.Build{State: wire.BuildFailed, Stages: []wire.Stage{failed}, Port: "p", Version: "1"}
	}
	seen := map[int]orchestrator.FailureKind{}
	for _, kind := range []orchestrator.FailureKind{orchestrator.FaultyRecipe, orchestrator.FaultySource, orchestrator.FailedNeed, orchestrator.FailedStep, orchestrator.FailedTests,
		orchestrator.OverLimit, orchestrator.Infrastructure, orchestrator.NotReproduced, orchestrator.NotComparable, orchestrator.NotSigned} {
		code := buildCode(ended(kind))
		if other, twice := seen[code]; twice || code == 0 || code == otherError || code == notYet {
			t.Errorf("%s ends with %d, as does %q", kind, code, other)
		}
		seen[code] = kind
	}
	if _, twice := seen[cancelled]; twice {
		t.Error("a failure ends as a cancelled build does")
	}
	fresh := wire.Build{ID: "b", State: wire.BuildWaiting}
	if code := buildCode(fresh); code != notYet {
		t.Errorf("a build that goes on: %d", code)
	}
	gone := fresh
	gone.State = wire.BuildCancelled
	if code := buildCode(gone); code != cancelled {
		t.Errorf("a cancelled build: %d", code)
	}
}

// TestPatience: a command that waits retries while the farm is unreachable, and on no
// other error.
func TestPatience(t *testing.T) {
	gone := func() error {
		return &client.Problem{Problem: wire.Problem{Status: http.StatusServiceUnavailable, Detail: "later"}}
	}
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		c := &session{errs: &said}
		calls := 0
		err := c.retryWhileUnreachable(t.Context(), func() error {
			if calls++; calls < 10 {
				return gone()
			}
			return nil
		})
		if err != nil || calls != 10 || strings.Count(said.String(), "the farm cannot be reached (later)") != 1 {
			t.Errorf("%d calls, %v: %s", calls, err, said.String())
		}
		begun := time.Now()
		if err := c.retryWhileUnreachable(t.Context(), gone); !unreachable(err) || time.Since(begun) < maxUnreachable || time.Since(begun) > 2*maxUnreachable {
			t.Errorf("it waits %s for what never comes: %v", time.Since(begun), err)
		}
		want := &client.Problem{Problem: wire.Problem{Status: http.StatusForbidden}}
		if err := c.retryWhileUnreachable(t.Context(), func() error { return want }); !errors.Is(err, want) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.retryWhileUnreachable(ctx, gone); err == nil {
			t.Error("it waits though nobody does")
		}
	})
}
