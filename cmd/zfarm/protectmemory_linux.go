// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "golang.org/x/sys/unix"

// protectMemory keeps other processes of the same user, plugins among them, from
// reading this one's memory and environment, which may contain a key.
func protectMemory() error {
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
