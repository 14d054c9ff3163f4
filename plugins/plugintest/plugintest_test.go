// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plugintest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/plugintest"
	"github.com/zfarm/zfarm/workers"
)

func TestStepsReallyRun(t *testing.T) {
	s := plugintest.Workspace(t)
	t.Setenv("LEAK", "yes")
	step := workers.Step{Name: "say", Env: map[string]string{"A": "${ZFARM_ROOT}/a b", "TZ": "Mars"}, Umask: 0o027,
		Script: `echo "$A" "$TZ" "${LEAK-none}"; umask; pwd; echo x >>count; exit 5`}
	var log bytes.Buffer
	for range 2 {
		log.Reset()
		st, err := s.Run(t.Context(), step, &log)
		if err != nil || st.State != workers.Exited || st.Code != 5 {
			t.Fatalf("%+v, %v", st, err)
		}
	}
	if want := s.Root + "/a b UTC0 none\n0027\n" + s.Root + "\n"; log.String() != want {
		t.Errorf("log %q, want %q", log.String(), want)
	}
	var count bytes.Buffer
	if _, err := s.Get(t.Context(), "count", &count); err != nil || count.String() != "x\n" {
		t.Errorf("executed %q, %v", count.String(), err)
	}
	step.Script += "\n"
	if _, err := s.Run(t.Context(), step, nil); !errors.Is(err, workers.ErrStepChanged) {
		t.Errorf("other contents: %v", err)
	}
}

func TestStepsEnd(t *testing.T) {
	s := plugintest.Workspace(t)
	st, err := s.Run(t.Context(), workers.Step{Name: "long", Script: "sleep 600 & sleep 600", Limit: 10 * time.Millisecond}, nil)
	if err != nil || st.State != workers.Limit || st.Code != 0 {
		t.Errorf("limit: %+v, %v", st, err)
	}
	st, err = s.Run(t.Context(), workers.Step{Name: "signal", Script: "kill -TERM $$"}, nil)
	if err != nil || st.Code != 143 {
		t.Errorf("signal: %+v, %v", st, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Run(ctx, workers.Step{Name: "watched", Script: "sleep 600"}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("watching: %v", err)
	}
}

func TestFilesStayInside(t *testing.T) {
	s := plugintest.Workspace(t)
	for _, name := range []string{"../x", "/etc/passwd", "a/../../x"} {
		if _, err := s.Put(t.Context(), name, 0o644, strings.NewReader("x")); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("put %s: %v", name, err)
		}
		if _, err := s.Get(t.Context(), name, io.Discard); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("get %s: %v", name, err)
		}
	}
	if err := os.Symlink("/etc", s.Root+"/out"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "out/passwd", io.Discard); err == nil {
		t.Error("got a file through a link that leaves the workspace")
	}
	if _, err := s.Get(t.Context(), "missing", io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	broken := io.MultiReader(strings.NewReader("half"), failingReader{})
	if _, err := s.Put(t.Context(), "half", 0o644, broken); err == nil {
		t.Error("put a broken file")
	}
	entries, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, "half") {
			t.Errorf("left %s", e.Name)
		}
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// faulty is a plugin that does not replay.
type faulty struct{ how string }

func (f faulty) Build(ctx context.Context, ws plugins.Workspace, _ plugins.Config) ([]plugins.Output, error) {
	outputs := []plugins.Output{{Dir: "stage"}}
	step := workers.Step{Name: "make", Script: "true"}
	switch f.how {
	case "name":
		step.Name = fmt.Sprintf("make-%d", time.Now().UnixNano())
	case "script":
		step.Script = fmt.Sprintf("true %d", time.Now().UnixNano())
	case "answer":
		outputs[0].Dir = fmt.Sprintf("stage-%d", time.Now().UnixNano())
	case "no step":
		return outputs, nil
	case "cancel":
		ctx = context.WithoutCancel(ctx)
	case "outside":
		outputs[0].Dir = "/"
	}
	return outputs, plugins.Run(ctx, ws, step, nil)
}

// howEnv makes TestFaulty try a faulty plugin.
const howEnv = "PLUGINTEST_FAULTY"

func TestFaulty(t *testing.T) {
	how := os.Getenv(howEnv)
	if how == "" {
		t.Skip("started by TestFaultsAreCaught")
	}
	plugintest.Test(t, plugins.Plugin{
		Description: plugins.Description{Name: "faulty", Version: "1", Builder: &plugins.Schema{}},
		Builder:     faulty{how},
	}, plugintest.Example{})
}

func TestFaultsAreCaught(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for how, caught := range map[string]bool{"none": false, "name": true, "script": true, "answer": true, "no step": true, "cancel": true, "outside": true} {
		cmd := exec.Command(exe, "-test.run=^TestFaulty$")
		cmd.Env = append(os.Environ(), howEnv+"="+how)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if (err != nil) != caught {
			t.Errorf("fault %q: caught %v\n%s", how, err != nil, out)
		}
	}
}
