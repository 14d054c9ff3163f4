// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package host

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// identify returns the identity of a file. The second result is false if it cannot tell.
func identify(path string) (fileIdentity, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fileIdentity{}, false
	}
	return fileIdentity{
		device: uint64(st.Dev), inode: uint64(st.Ino), size: st.Size,
		modified: st.Mtim.Nano(), changed: st.Ctim.Nano(),
	}, true
}

// killGroup ends every process of the group.
func killGroup(pgid int) {
	_ = syscall.Kill(-pgid, syscall.SIGKILL) // the group is usually empty
}

// alive reports whether there is a process with that number.
func alive(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
