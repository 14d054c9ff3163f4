// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package host

import (
	"errors"
	"syscall"
)

// killGroup ends every process of the group.
func killGroup(pgid int) {
	_ = syscall.Kill(-pgid, syscall.SIGKILL) // the group is usually empty
}

// alive reports whether there is a process with that number.
func alive(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
