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
// terminal, and a signal that ends it when the thread that started it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// waitAndEndGroup returns when the process has ended and its group is gone. It
// ends the group before it reaps the process, so that the number cannot belong
// to another group.
func waitAndEndGroup(cmd *exec.Cmd) {
	for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		continue
	}
	killGroup(cmd.Process.Pid)
	_ = cmd.Wait() // the plugin's calls report how it ended
}
