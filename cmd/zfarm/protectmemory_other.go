// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

// protectMemory does nothing: the system itself keeps processes of the same user from
// reading each other's memory.
func protectMemory() error { return nil }
