// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package host

import (
	"os/exec"
	"syscall"
)

// attributes gives the plugin a session of its own. There is no parent-death
// signal here: the plugin watches its parent itself and ends with the farm.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}

// waitAndEndGroup returns when the process has ended and its group is gone.
func waitAndEndGroup(cmd *exec.Cmd) {
	_ = cmd.Wait() // the plugin's calls report how it ended
	killGroup(cmd.Process.Pid)
}
