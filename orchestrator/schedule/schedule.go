// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package schedule decides which ready repeat gets which slot of which worker.
//
// It is pure: stages, workers and a time in, assignments out; no I/O, no clock, no
// goroutine. orchestrator/plan decides which repeats there are, orchestrator/engine
// acts on the assignments.
package schedule
