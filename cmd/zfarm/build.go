// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/cas"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/recipes/source"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

// buildFlags are those of "zfarm build".
type buildFlags struct {
	connect connectFlags
	fetch   fetchFlags
	plugins pluginFlags
	key     keyFlags
	state   string
	out     string
	uri     string
	keep    bool
	asJSON  bool
	members int
}

// fetchFlags say where sources come from.
type fetchFlags struct {
	mirrors []string
	offline bool
}

func (f *fetchFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.mirrors, "mirror", nil, "folder or URL prefix to look for sources in first; may be given again (default $ZFARM_MIRROR)")
	c.Flags().BoolVar(&f.offline, "offline", false, "fetch nothing over the network")
}

func buildCommand() *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "build RECIPE --worker ADDRESS [--worker ADDRESS ...]",
		Short: "Build a recipe repeatedly, compare the repeats, and sign what was reproduced",
		Long: `Build a recipe repeatedly, compare the repeats, and sign what was reproduced.

RECIPE is a recipe.hcl or the folder it lies in. The recipe says how often it is
built and what is varied between the repeats; give as many workers as should take
part. With --key the statements are signed and laid out in --out; without it the
verdict is shown and nothing is signed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.build(c.Context(), args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.connect.add(c)
	f.fetch.add(c)
	f.plugins.add(c)
	f.key.add(c)
	c.Flags().StringVar(&f.state, "state", "", "folder for fetched sources, logs and outputs (default: zfarm in the user's cache folder)")
	c.Flags().StringVar(&f.out, "out", "", "folder to lay artifacts and bundles out in; it must not be there yet (default PORT-VERSION here, with --key)")
	c.Flags().StringVar(&f.uri, "recipe-uri", "", "where the recipe is kept, for the provenance, e.g. git+https://example.org/ports@COMMIT")
	c.Flags().BoolVar(&f.keep, "keep", false, "leave the workspaces on the workers")
	c.Flags().BoolVar(&f.asJSON, "json", false, "progress and conclusion as JSON, one object a line")
	c.Flags().IntVar(&f.members, "members", 20, "how many differing members to show")
	return c
}

func (f *buildFlags) build(ctx context.Context, recipe string, out, errs io.Writer) error {
	catalog, err := f.plugins.catalog()
	if err != nil {
		return err
	}
	defer catalog.Close() //nolint:errcheck // temporary folders only
	r, err := loadRecipe(ctx, recipe, catalog, errs)
	if err != nil {
		return err
	}
	signer, public, err := f.key.signer(ctx)
	if err != nil {
		return err
	}
	request := engine.Request{Recipe: r, URI: f.uri, Path: parse.FileName, Keep: f.keep, PublicKey: public}
	if request.URI == "" {
		request.URI = fmt.Sprintf("urn:zfarm:recipe:%s:%s", r.Port, r.Version)
	}
	if signer != nil {
		request.Out, request.TrustedRoot = f.out, trustedRoot()
		if request.Out == "" {
			request.Out = r.Port + "-" + r.Version
		}
		if err := kit.Vacant(request.Out); err != nil { // before the build, which may take days
			return exit{usageError, fmt.Errorf("--out %s: %w", request.Out, err)}
		}
	} else if f.out != "" {
		return exit{usageError, errors.New("--out needs --key: only what is signed is laid out; make a key with zfarm key generate")}
	}
	all, err := f.connect.open(ctx)
	if err != nil {
		return err
	}
	defer closeAll(all)
	shown := newDisplay(out, f.asJSON)
	parts, err := f.parts(all, catalog, signer, shown.Show)
	if err != nil {
		shown.Close()
		return err
	}
	conclusion, err := engine.New(parts).Build(ctx, request)
	shown.Close()
	if err != nil {
		return err
	}
	return f.conclude(conclusion, out)
}

func (f *buildFlags) parts(all []workers.Worker, catalog *pluginCatalog, signer signer, watch orchestrator.Watch) (engine.Parts, error) {
	state := f.state
	if state == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return engine.Parts{}, exit{usageError, fmt.Errorf("looking for the cache folder: %w; say --state FOLDER", err)}
		}
		state = filepath.Join(dir, "zfarm")
	}
	store, err := cas.Open(filepath.Join(state, "store"))
	if err != nil {
		return engine.Parts{}, err
	}
	mirrors := f.fetch.mirrors
	if env := os.Getenv("ZFARM_MIRROR"); len(mirrors) == 0 && env != "" {
		mirrors = []string{env}
	}
	sources, err := source.New(source.Options{Cache: filepath.Join(state, "sources"), Mirrors: mirrors, Offline: f.fetch.offline,
		Progress: func(p source.Progress) {
			watch(orchestrator.Progress{At: time.Now(), Kind: orchestrator.Fetching, Stage: "resolve", Text: p.URL, Done: p.Done, Total: p.Total})
		}})
	if err != nil {
		return engine.Parts{}, exit{usageError, err}
	}
	// Workers named on a command line are registered by nobody.
	claim := statement.StrongestClaim(statement.Evidence{Signer: statement.KeyFile, Isolation: statement.Shared, Attempts: 1})
	parts := engine.Parts{Workers: all, Sources: sources, Plugins: catalog, Store: store, Watch: watch,
		Version: version(), BuilderID: claim.BuilderID}
	if signer != nil { // a nil *cosign.Signer in the interface would not be nil
		parts.Signer = signer
	}
	return parts, nil
}

// conclude shows what came of the build and turns it into an exit code.
func (f *buildFlags) conclude(c engine.Conclusion, out io.Writer) error {
	if f.asJSON {
		if err := json.NewEncoder(out).Encode(struct {
			Conclusion engine.Conclusion `json:"conclusion"`
		}{c}); err != nil {
			return err
		}
	} else {
		writeConclusion(out, c, f.members)
	}
	if c.Failure == nil {
		return nil
	}
	return exit{failureCode(c.Failure.Kind), errSaid}
}

func writeConclusion(out io.Writer, c engine.Conclusion, most int) {
	var b strings.Builder
	for _, r := range c.Records {
		for _, s := range r.Suites {
			writeSuite(&b, r, s)
		}
	}
	if v := c.Verdict; v != nil {
		fmt.Fprintf(&b, "\n")
		v.WriteText(&b, compare.ReportOptions{Hunks: true, MaxMembers: most}) //nolint:errcheck // a strings.Builder takes everything
	}
	switch {
	case c.Failure != nil:
		fmt.Fprintf(&b, "\nnot released (%s): %s\n", c.Failure.Kind, codepage.PrintableString(c.Failure.Message))
	case c.Signed:
		fmt.Fprintf(&b, "\nreleased to %s: check it with zfarm verify %s\n", c.Out, c.Out)
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
		{"known failures that passed, to be taken off the list", s.Tally.Mended},
		{"known failures that are not in the suite", s.Tally.Missing},
	} {
		if len(list.names) > 0 {
			fmt.Fprintf(b, "  %s: %s\n", list.what, codepage.PrintableString(strings.Join(list.names, ", ")))
		}
	}
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
