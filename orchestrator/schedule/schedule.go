// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package schedule decides which ready repeat gets which slot of which worker.
//
// It is pure: stages, workers and a time in, assignments out; no I/O, no clock,
// no goroutine. What repeats are is orchestrator/plan's, what follows from an
// assignment orchestrator/engine's.
package schedule
