// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package ports is the folder of the recipes that the project ships, one
// folder for each port. They are data: the only code here is the test that
// checks them. recipes/parse reads them, recipes/source fetches their sources.
package ports
