// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package sshtest

import "syscall"

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
