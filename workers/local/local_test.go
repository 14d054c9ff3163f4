// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/workertest"
)

// needShell skips the test if no shell can run steps.
func needShell(t *testing.T) {
	t.Helper()
	for _, s := range []string{"bash", "mksh", "ksh"} {
		if _, err := exec.LookPath(s); err == nil {
			return
		}
	}
	t.Skip("no shell with job control; install bash, mksh or ksh to run this test")
}

func open(t *testing.T, o runner.Options) *runner.Worker {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	w, err := local.New("here", o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestPutBrokenOff: an error that wraps io.EOF is no end of the file.
func TestPutBrokenOff(t *testing.T) {
	dir := t.TempDir()
	broken := fmt.Errorf("connection ended: %w", io.EOF)
	r := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))
	if d, err := (local.Host{}).Put(t.Context(), filepath.Join(dir, "f"), 0o600, r); !errors.Is(err, broken) {
		t.Errorf("digest %v, error %v; want the reader's error", d, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestWorker(t *testing.T) {
	needShell(t)
	workertest.Test(t, func(t *testing.T, lease time.Duration) workers.Worker {
		return open(t, runner.Options{Lease: lease})
	})
}
