// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/recipes/schema"
)

// recipeDir returns the folder of a recipe that was named by folder or file.
func recipeDir(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", exit{usageError, fmt.Errorf("looking for the recipe: %w", err)}
	case info.IsDir():
		return name, nil
	case filepath.Base(name) != parse.FileName:
		return "", exit{usageError, fmt.Errorf("%s: a recipe is a file %s in a folder of its own, beside its patches and keys", name, parse.FileName)}
	default:
		return filepath.Dir(name), nil
	}
}

// loadRecipe reads a recipe. Faults are written to errs.
func loadRecipe(ctx context.Context, name string, catalog *pluginCatalog, errs io.Writer) (*recipes.Recipe, error) {
	dir, err := recipeDir(name)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, exit{usageError, fmt.Errorf("opening the recipe's folder: %w", err)}
	}
	defer root.Close()
	r, diags := parse.Dir(root.FS(), schemas{ctx, catalog})
	if err := diags.WriteText(errs, width(errs), false); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, exit{usageError, fmt.Errorf("%s is faulty", filepath.Join(dir, parse.FileName))}
	}
	return r, nil
}

// width is how many columns a person sees.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 40 {
			return columns
		}
	}
	return 100
}

// schemas asks plugins what their blocks take.
type schemas struct {
	ctx     context.Context //nolint:containedctx // parse is pure and has no context; this lives as long as one call of it
	catalog *pluginCatalog
}

// Plugins returns the names of the plugins of a kind.
func (s schemas) Plugins(kind string) []string {
	var names []string
	for _, name := range s.catalog.Names() {
		if d, err := s.catalog.Describe(s.ctx, name); err == nil && block(d, kind) != nil {
			names = append(names, name)
		}
	}
	return names
}

// Schema returns the attributes of a plugin's block.
func (s schemas) Schema(kind, plugin string) ([]schema.Attribute, error) {
	d, err := s.catalog.Describe(s.ctx, plugin)
	if err != nil {
		return nil, err
	}
	described := block(d, kind)
	if described == nil {
		return nil, fmt.Errorf("plugin %s takes no %s block", plugin, kind)
	}
	attrs := make([]schema.Attribute, len(described.Attributes))
	for i, a := range described.Attributes {
		attrs[i] = schema.Attribute{Name: a.Name, Type: a.Type, Required: a.Required, Doc: a.Doc}
	}
	return attrs, nil
}

// Check asks the plugin what is wrong with a block.
func (s schemas) Check(kind, plugin string, text json.RawMessage) []parse.Complaint {
	p, err := s.catalog.Catalog.Start(s.ctx, plugin)
	if err != nil {
		return []parse.Complaint{{Message: err.Error()}}
	}
	defer p.Close() //nolint:errcheck // the process ends either way
	check := p.CheckBuilder
	if kind == parse.KindTest {
		check = p.CheckTester
	}
	found, err := check(s.ctx, text)
	if err != nil {
		return []parse.Complaint{{Message: err.Error()}}
	}
	complaints := make([]parse.Complaint, len(found))
	for i, c := range found {
		complaints[i] = parse.Complaint{Attribute: c.Attribute, Message: c.Message}
	}
	return complaints
}

func block(d plugins.Description, kind string) *plugins.Schema {
	if kind == parse.KindBuild {
		return d.Builder
	}
	return d.Tester
}

func recipeCommand() *cobra.Command {
	c := &cobra.Command{Use: "recipe", Short: "Work on recipes without building them"}
	c.AddCommand(recipeFmt(),
		recipeReader("validate RECIPE ...", "Check recipes", func(_ io.Writer, _ *recipes.Recipe) error { return nil }),
		recipeReader("digest RECIPE ...", "Show the digest of a recipe: the same for the same meaning", func(out io.Writer, r *recipes.Recipe) error {
			d, err := r.Digest()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "%s  %s %s\n", d, r.Port, r.Version)
			return err
		}),
		recipeReader("explain RECIPE ...", "Show everything a recipe means, defaults included", func(out io.Writer, r *recipes.Recipe) error {
			return recipes.Explain(r, out)
		}))
	return c
}

// recipeReader is a command that reads recipes and shows something of each.
func recipeReader(use, short string, show func(io.Writer, *recipes.Recipe) error) *cobra.Command {
	var flags pluginFlags
	c := &cobra.Command{Use: use, Short: short, Args: cobra.MinimumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
		catalog, err := flags.catalog()
		if err != nil {
			return err
		}
		defer catalog.Close() //nolint:errcheck // temporary folders only
		var faults []error
		for _, name := range args {
			r, err := loadRecipe(c.Context(), name, catalog, c.ErrOrStderr())
			if err != nil {
				faults = append(faults, err)
				continue
			}
			if err := show(c.OutOrStdout(), r); err != nil {
				return err
			}
		}
		return errors.Join(faults...)
	}}
	flags.add(c)
	return c
}

func recipeFmt() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "fmt RECIPE ...",
		Short: "Write recipes in the usual form",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				if err := formatRecipe(name, check, c.OutOrStdout(), c.ErrOrStderr()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing, and fail if a recipe is not in the usual form")
	return c
}

func formatRecipe(name string, check bool, out, errs io.Writer) error {
	dir, err := recipeDir(name)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, parse.FileName)
	src, err := os.ReadFile(file)
	if err != nil {
		return exit{usageError, err}
	}
	formatted, diags := parse.Format(src)
	if err := diags.WriteText(errs, width(errs), false); err != nil {
		return err
	}
	switch {
	case diags.HasErrors():
		return exit{usageError, fmt.Errorf("%s is faulty", file)}
	case bytes.Equal(src, formatted):
		return nil
	case check:
		return exit{usageError, fmt.Errorf("%s is not in the usual form; zfarm recipe fmt %s writes it", file, name)}
	}
	if err := os.WriteFile(file, formatted, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, file)
	return err
}
