// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelp: every command has a one-line summary and an example that runs it, and is
// listed in docs/cli.md.
func TestHelp(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its line is %q", c.CommandPath(), c.Short)
		}
		if c.Runnable() {
			if !strings.Contains(c.Example, c.CommandPath()) {
				t.Errorf("%s: its example is %q", c.CommandPath(), c.Example)
			}
			if !strings.Contains(string(page), "`"+c.CommandPath()) && !strings.Contains(string(page), "`"+c.Name()) {
				t.Errorf("%s is not in docs/cli.md", c.CommandPath())
			}
		}
		for _, below := range c.Commands() {
			check(below)
		}
	}
	check(rootCommand())
}
