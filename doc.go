// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package zfarm holds no code: it is the roof under which the tests stand that
// keep the rules of the house (who may import whom, what every package and
// file must say about itself). docs/architecture.md is the plan of the house.
package zfarm
