// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import "syscall"

// ownGroup is a process group of its own, which dies with this process.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// ownSession is what sshd gives a command.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}
