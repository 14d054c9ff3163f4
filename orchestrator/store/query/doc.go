// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package query is the SQL of orchestrator/store, made by sqlc from its folders
// migrations and queries. It decides nothing and is not for anybody else.
package query
