// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes gives the plugin a session of its own, away from the farm's
// terminal, and ends it with the thread that started it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// waitAndEndGroup returns when the process ended and its group is gone. The
// group is ended before the process is reaped, while its number is taken.
func waitAndEndGroup(cmd *exec.Cmd) {
	for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		continue
	}
	killGroup(cmd.Process.Pid)
	_ = cmd.Wait() // how it ended is told by its calls
}
