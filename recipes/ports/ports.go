// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package ports is the folder of the recipes that the project ships, one
// folder a port. They are data: there is no code here, only the test that
// keeps them sound. recipes/parse reads them, recipes/source fetches what they
// name.
package ports
