// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// stamp is the version that a packager sets, without a "v": go build -ldflags "-X
// main.stamp=1.2.3".
var stamp string

// unversioned is the version of a program built from unknown sources.
const unversioned = "0.0.0-devel"

// version returns the version of this program.
func version() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(stamp, info)
}

// versionOf returns the stamp, else the version of the module, else the commit and its
// time in the form of a Go pseudo-version. A modified tree has no version.
func versionOf(stamp string, info *debug.BuildInfo) string {
	if stamp != "" {
		return strings.TrimPrefix(stamp, "v")
	}
	if info == nil {
		return unversioned
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	module := info.Main.Version
	if settings["vcs.modified"] == "true" || strings.HasSuffix(module, "+dirty") {
		return unversioned
	}
	if module != "" && module != "(devel)" {
		return strings.TrimPrefix(module, "v")
	}
	at, err := time.Parse(time.RFC3339, settings["vcs.time"])
	revision := settings["vcs.revision"]
	if err != nil || len(revision) < 12 || settings["vcs.modified"] != "false" {
		return unversioned
	}
	return "0.0.0-" + at.UTC().Format("20060102150405") + "-" + revision[:12]
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Long: `Show the version of this program, which is also what the provenance names as the
version of the builder. It is that of the release or of the commit that the program
was built from; 0.0.0-devel was built from changed sources, or without git.`,
		Example: "  zfarm version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "zfarm", version())
			return err
		},
	}
}
