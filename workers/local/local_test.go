// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/workertest"
)

// needShell skips where no shell can run steps.
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

func TestWorker(t *testing.T) {
	needShell(t)
	workertest.Test(t, func(t *testing.T) workers.Worker {
		return open(t, runner.Options{Lease: 3 * time.Second})
	})
}
