// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare/report"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

// buildFlags are the flags of "zfarm build".
type buildFlags struct {
	connect connectFlags
	fetch   fetchFlags
	plugins pluginFlags
	key     keyFlags
	state   string
	db      string
	out     string
	uri     string
	force   bool
	keep    bool
	asJSON  bool
	members int
}

// fetchFlags say where to get sources from.
type fetchFlags struct {
	mirrors []string
	offline bool
}

func (f *fetchFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.mirrors, "mirror", nil, "folder or URL prefix to ask for sources first; repeatable (default $ZFARM_MIRROR)")
	c.Flags().BoolVar(&f.offline, "offline", false, "fetch nothing over the network")
}

func buildCommand() *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "build RECIPE [RECIPE ...] --worker ADDRESS [--worker ADDRESS ...]",
		Short: "Build a recipe repeatedly, compare the repeats, and sign what was reproduced",
		Long: `Build a recipe repeatedly, compare the repeats, and sign what was reproduced.

RECIPE is a recipe.hcl or its folder. It says how often the port is built and what is
varied between the repeats. If one recipe needs another, the other is built first and
its package is put into the workspaces of the one. Give as many workers as should take
part. With --key, zfarm signs the statements and writes them with the artifacts into
--out; without it, it only shows the verdict.`,
		Example: `  zfarm build gzip --worker ssh://ann@lpar1/u/zfarm --worker ssh://ann@lpar2/u/zfarm --key zfarm.key
  zfarm build hello --worker local:one --worker local:two`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.build(c.Context(), args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.connect.add(c)
	f.fetch.add(c)
	f.plugins.add(c)
	f.key.add(c)
	c.Flags().StringVar(&f.state, "state", "", "folder for fetched sources, logs and outputs (default: zfarm in the user's cache folder)")
	c.Flags().StringVar(&f.out, "out", "", "new folder for artifacts and bundles (default with --key: PORT-VERSION here);\nwith several recipes it gets a folder for each")
	c.Flags().StringVar(&f.db, "db", "", "database that remembers builds, sqlite:FILE or postgres://...; what it remembers is not built again (default: none)")
	c.Flags().BoolVar(&f.force, "force", false, "build also what --db remembers")
	c.Flags().StringVar(&f.uri, "recipe-uri", "", "address of the recipe for the provenance, e.g. git+https://example.org/ports@COMMIT")
	c.Flags().BoolVar(&f.keep, "keep", false, "keep the workspaces on the workers")
	c.Flags().BoolVar(&f.asJSON, "json", false, "write progress and conclusion as JSON, one object a line")
	c.Flags().IntVar(&f.members, "members", 20, "number of differing members to show")
	return c
}

func (f *buildFlags) build(ctx context.Context, paths []string, out, errs io.Writer) error {
	plugins, err := f.plugins.open()
	if err != nil {
		return err
	}
	defer plugins.Close() //nolint:errcheck // temporary folders only
	submission, err := f.submission(ctx, paths, plugins, errs)
	if err != nil {
		return err
	}
	signer, err := f.key.signer(ctx)
	if err != nil {
		return err
	}
	if err := f.checkOutputFolders(submission, signer != nil); err != nil { // before the build, which may take days
		return err
	}
	all, err := f.connect.open(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	shown := newDisplay(out, f.asJSON)
	watch := shown.Show
	if len(paths) > 1 && !f.asJSON {
		watch = labelled(watch, submission)
	}
	local, err := f.local(ctx, all, plugins, signer, watch)
	if err != nil {
		shown.Close()
		return err
	}
	defer local.Close() //nolint:errcheck // everything that counts is committed
	conclusions, err := local.Build(ctx, submission)
	shown.Close()
	if err != nil {
		return err
	}
	return f.conclude(ctx, local, conclusions, out)
}

func (f *buildFlags) submission(ctx context.Context, paths []string, plugins *farm.Plugins, errs io.Writer) (engine.Submission, error) {
	s := engine.Submission{Owner: "local", Force: f.force}
	if f.uri != "" && len(paths) > 1 {
		return s, exit{usageError, errors.New("--recipe-uri names one recipe, and there are several")}
	}
	for _, path := range paths {
		r, err := loadRecipe(ctx, path, plugins, errs)
		if err != nil {
			return s, err
		}
		one := engine.Submitted{Recipe: r, URI: f.uri, Path: parse.FileName}
		if one.URI == "" {
			one.URI = fmt.Sprintf("urn:zfarm:recipe:%s:%s", r.Port, r.Version)
		}
		s.Recipes = append(s.Recipes, one)
	}
	return s, nil
}

// labelled adds the name of the port before the stage.
func labelled(watch orchestrator.Watch, s engine.Submission) orchestrator.Watch {
	ports := map[string]string{}
	for _, r := range s.Recipes {
		if sum, err := r.Recipe.Digest(); err == nil {
			ports[sum.Short()] = r.Recipe.Port
		}
	}
	return func(p orchestrator.Progress) {
		short, _, _ := strings.Cut(p.Build, "-") // the id of a build begins with its recipe's digest
		if port := ports[short]; port != "" {
			p.Stage = strings.TrimSpace(port + " " + p.Stage)
		}
		watch(p)
	}
}

// folder returns the folder for the files of a port: --out itself for one recipe, a
// subfolder of it for several.
func (f *buildFlags) folder(port, version string, several bool) string {
	name := port + "-" + version
	switch {
	case f.out == "":
		return name
	case several:
		return filepath.Join(f.out, name)
	default:
		return f.out
	}
}

// checkOutputFolders refuses output folders that are not empty.
func (f *buildFlags) checkOutputFolders(s engine.Submission, signed bool) error {
	if !signed {
		if f.out != "" {
			return exit{usageError, errors.New("--out needs --key: only signed builds are written there; make a key with zfarm key generate")}
		}
		return nil
	}
	for _, r := range s.Recipes {
		dir := f.folder(r.Recipe.Port, r.Recipe.Version, len(s.Recipes) > 1)
		if err := kit.CheckEmpty(dir); err != nil {
			return exit{usageError, fmt.Errorf("--out %s: %w", dir, err)}
		}
	}
	return nil
}

// places returns the mirrors, with folders as absolute paths.
func (f *fetchFlags) places() ([]string, error) {
	mirrors := slices.Clone(f.mirrors)
	if env := os.Getenv("ZFARM_MIRROR"); len(mirrors) == 0 && env != "" {
		mirrors = []string{env}
	}
	for i, m := range mirrors {
		if m == "" || strings.Contains(m, "://") {
			continue
		}
		var err error
		if mirrors[i], err = filepath.Abs(m); err != nil {
			return nil, fmt.Errorf("mirror %s: %w", m, err)
		}
	}
	return mirrors, nil
}

// local opens the farm that builds in this process.
func (f *buildFlags) local(ctx context.Context, all []workers.Worker, plugins *farm.Plugins, signer farm.Signer, watch orchestrator.Watch) (*farm.Local, error) {
	state := f.state
	if state == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, exit{usageError, fmt.Errorf("looking for the cache folder: %w; say --state FOLDER", err)}
		}
		state = filepath.Join(dir, "zfarm")
	}
	mirrors, err := f.fetch.places()
	if err != nil {
		return nil, exit{usageError, err}
	}
	return farm.OpenLocal(ctx, farm.LocalOptions{Version: version(), State: state, Database: f.db, Mirrors: mirrors, Offline: f.fetch.offline,
		Workers: all, Patience: f.connect.lease / 4, Plugins: plugins, Signer: signer, KeepWorkspaces: f.keep, Watch: watch})
}

// conclude writes the files of the builds, shows their conclusions, and returns the
// exit code of the first that is not released.
func (f *buildFlags) conclude(ctx context.Context, local *farm.Local, all []engine.Conclusion, out io.Writer) error {
	code := 0
	for _, c := range all {
		dir := ""
		if c.Signed && len(c.Files) > 0 {
			dir = f.folder(c.Build.Port, c.Build.Version, len(all) > 1)
			if err := local.Collect(ctx, dir, c.Files); err != nil {
				return err
			}
		}
		if err := f.show(out, c, dir, len(all) > 1); err != nil {
			return err
		}
		if c.Failure != nil && code == 0 {
			code = failureCode(c.Failure.Kind)
		}
	}
	if code != 0 {
		return exit{code, errShown}
	}
	return nil
}

func (f *buildFlags) show(out io.Writer, c engine.Conclusion, dir string, several bool) error {
	if f.asJSON {
		return writeJSONLine(out, struct {
			Conclusion engine.Conclusion `json:"conclusion"`
			Out        string            `json:"out,omitempty"`
		}{c, dir})
	}
	if several {
		fmt.Fprintf(out, "\n%s %s\n", c.Build.Port, c.Build.Version) //nolint:errcheck // nowhere left to say it
	}
	writeConclusion(out, c, dir, f.members)
	return nil
}

func writeConclusion(out io.Writer, c engine.Conclusion, dir string, most int) {
	var b strings.Builder
	for _, r := range c.Records {
		for _, s := range r.Suites {
			writeSuite(&b, r, s)
		}
	}
	if v := c.Verdict; v != nil {
		fmt.Fprintf(&b, "\n")
		report.Text(&b, *v, report.Options{Hunks: true, MaxMembers: most}) //nolint:errcheck // a strings.Builder takes everything
	}
	switch {
	case c.Failure != nil:
		fmt.Fprintf(&b, "\nnot released (%s): %s\n", c.Failure.Kind, codepage.PrintableString(c.Failure.Message))
	case c.Signed:
		fmt.Fprintf(&b, "\nreleased to %s: check it with zfarm verify %s\n", dir, dir)
	default:
		fmt.Fprintf(&b, "\nmay be released: give --key to sign it\n")
	}
	io.WriteString(out, b.String()) //nolint:errcheck // nowhere left to say it
}

func writeSuite(b *strings.Builder, r orchestrator.Record, s orchestrator.Suite) {
	fmt.Fprintf(b, "%s, suite %s: %s\n", r.Name, s.Plugin, s.Tally)
	for _, list := range []struct {
		what  string
		names []string
	}{
		{"known failures that passed, to be taken off the list", s.Tally.UnexpectedlyPassed},
		{"known failures that are not in the suite", s.Tally.Missing},
	} {
		if len(list.names) > 0 {
			fmt.Fprintf(b, "  %s: %s\n", list.what, codepage.PrintableString(strings.Join(list.names, ", ")))
		}
	}
}
