// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import "syscall"

// ownGroup puts a process in its own group, which dies with this process.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// ownSession puts a command in its own session, as sshd does.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}
