// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package host

import (
	"os/exec"
	"syscall"
)

// attributes gives the plugin a session of its own. Its own watch over its
// parent ends it with the farm.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}

// waitAndEndGroup returns when the process ended and its group is gone.
func waitAndEndGroup(cmd *exec.Cmd) {
	_ = cmd.Wait() // how it ended is told by its calls
	killGroup(cmd.Process.Pid)
}
