// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zfarm/zfarm/attest/digest"
)

// asProgram makes the test binary act as zfarm, for tests that kill it.
const asProgram = "ZFARM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	// The farm starts its own program as plugins, with an environment of its
	// own making.
	if os.Getenv(asProgram) != "" || len(os.Args) == 4 && os.Args[1] == "plugin" && os.Args[2] == "serve" {
		main()
	}
	// Most tests wait for processes most of the time; -parallel on the command
	// line says otherwise.
	testing.Init()
	if err := flag.Set("test.parallel", strconv.Itoa(max(8, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"zfarm": main})
}

// long skips a test that takes minutes, unless it is asked for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("ZFARM_LONG") == "" {
		t.Skip("takes minutes: set ZFARM_LONG=1, or run task long")
	}
}

// TestScripts runs testdata/*.txtar, which are the manual of the command line.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() { // the others run the same code in other orders
		files = []string{"testdata/build.txtar", "testdata/farm.txtar"}
	}
	testscript.Run(t, testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("GORACE", "atexit_sleep_ms=0") // or each program lasts a second longer under the race detector
			serving(e)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"pin":     pin,
			"flip":    flip,
			"farm":    farmOf,
			"until":   until,
			"capture": capture,
		},
		Condition: func(cond string) (bool, error) {
			return cond == "cc" && needCompiler(exec.LookPath) == nil, nil
		},
	})
}

// exits CODE COMMAND... runs a command and requires that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	have := "exit status 0"
	if err != nil {
		have = err.Error()
	}
	if have != "exit status "+args[0] {
		ts.Fatalf("%v: %s, want %s", args[1:], have, args[0])
	}
}

// pin RECIPE TAR DIR packs a folder as TAR and replaces, in the recipe, SHA256 by its
// digest and WORKDIR by the folder of the script.
func pin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: pin RECIPE TAR DIR")
	}
	dir := ts.MkAbs(args[2])
	entries, err := os.ReadDir(dir)
	ts.Check(err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		ts.Check(err)
		ts.Check(w.WriteHeader(&tar.Header{Name: filepath.Base(dir) + "/" + e.Name(), Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(1767225600, 0)}))
		_, err = w.Write(content)
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[1])), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
	recipe, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	pinned := strings.NewReplacer("SHA256", digest.Of(b.Bytes()).Hex(), "WORKDIR", ts.Getenv("WORK")).Replace(string(recipe))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(pinned), 0o644))
}

// flip FILE changes a bit in the middle of a file.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	content, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	content[len(content)/2] ^= 1
	ts.Check(os.Remove(ts.MkAbs(args[0])))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o644))
}

// tarOf returns a tar of those files and its digest in hexadecimal.
func tarOf(t *testing.T, files map[string]string) (content, sum string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(1767225600, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), digest.Of(b.Bytes()).Hex()
}
