// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/autotools"
	"github.com/zfarm/zfarm/plugins/host"
	"github.com/zfarm/zfarm/plugins/make"
	"github.com/zfarm/zfarm/plugins/script"
	"github.com/zfarm/zfarm/plugins/serve"
)

// shipped returns the plugins built into this program.
func shipped() []plugins.Plugin {
	return []plugins.Plugin{autotools.New(version()), make.New(version()), script.New(version())}
}

// pluginFlags name further plugins.
type pluginFlags struct {
	more []string
}

func (f *pluginFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.more, "plugin", nil, "another plugin, NAME=FILE@sha256:DIGITS; repeatable")
}

// open returns the built-in and the named plugins, pinned by digest. The caller closes
// them.
func (f *pluginFlags) open() (*farm.Plugins, error) {
	entries, err := shippedEntries()
	if err != nil {
		return nil, err
	}
	for _, more := range f.more {
		e, err := parsePlugin(more)
		if err != nil {
			return nil, exit{usageError, err}
		}
		entries = append(entries, e)
	}
	return farm.OpenPlugins(entries)
}

// shippedEntries returns the catalog entries of the built-in plugins.
func shippedEntries() ([]host.Entry, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for this program: %w", err)
	}
	sum, err := fileDigest(self)
	if err != nil {
		return nil, err
	}
	var entries []host.Entry
	for _, p := range shipped() {
		name := p.Description.Name
		entries = append(entries, host.Entry{Name: name, Path: self, Args: []string{"plugin", "serve", name}, SHA256: sum})
	}
	return entries, nil
}

func parsePlugin(s string) (host.Entry, error) {
	name, rest, ok := strings.Cut(s, "=")
	at := strings.LastIndex(rest, "@")
	if !ok || at < 0 {
		return host.Entry{}, fmt.Errorf("--plugin %s: write NAME=FILE@sha256:DIGITS", s)
	}
	sum, err := digest.Parse(rest[at+1:])
	if err != nil {
		return host.Entry{}, fmt.Errorf("--plugin %s: %w", s, err)
	}
	path, err := filepath.Abs(rest[:at])
	if err != nil {
		return host.Entry{}, fmt.Errorf("--plugin %s: %w", s, err)
	}
	return host.Entry{Name: name, Path: path, SHA256: sum}, nil
}

func fileDigest(path string) (digest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	sum, _, err := digest.OfReader(f)
	return sum, err
}

func pluginCommand() *cobra.Command {
	c := &cobra.Command{Use: "plugin", Short: "List the plugins that build and test"}
	var flags pluginFlags
	list := &cobra.Command{
		Use:   "list",
		Short: "List the plugins with the settings of their blocks",
		Long: `List the plugins with the settings that their build and test blocks take. Each is
started once to ask it.`,
		Example: "  zfarm plugin list",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			catalog, err := flags.open()
			if err != nil {
				return err
			}
			defer catalog.Close() //nolint:errcheck // temporary folders only
			for _, name := range catalog.Names() {
				d, err := catalog.Describe(c.Context(), name)
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%s %s\n", d.Name, d.Version) //nolint:errcheck // nowhere left to say it
				writeSchema(c, "build", d.Builder)
				writeSchema(c, "test", d.Tester)
			}
			return nil
		},
	}
	flags.add(list)
	served := &cobra.Command{
		Use: "serve NAME", Short: "Be the plugin of that name; zfarm starts this", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, p := range shipped() {
				if p.Description.Name == args[0] {
					return serve.Serve(p)
				}
			}
			return exit{usageError, fmt.Errorf("this program has no plugin %q", args[0])}
		},
	}
	c.AddCommand(list, served)
	return c
}

func writeSchema(c *cobra.Command, kind string, s *plugins.Schema) {
	if s == nil {
		return
	}
	fmt.Fprintf(c.OutOrStdout(), "  %s\n", kind) //nolint:errcheck // nowhere left to say it
	for _, a := range s.Attributes {
		required := ""
		if a.Required {
			required = ", required"
		}
		fmt.Fprintf(c.OutOrStdout(), "    %-16s %s%s: %s\n", a.Name, a.Type, required, a.Doc) //nolint:errcheck // nowhere left to say it
	}
}
