// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

// shut has nothing to do where the system asks for more than the same user.
func shut() error { return nil }
