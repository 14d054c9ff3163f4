// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package store remembers builds, attempts, leases, events, logs and releases
// in a database, SQLite or PostgreSQL, and wakes those up who must act on them.
//
// It decides nothing: orchestrator's pure functions say what follows what,
// orchestrator/schedule who gets which slot, orchestrator/engine acts. SQL and
// the queue's library are known here only.
package store
