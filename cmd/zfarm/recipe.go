// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/parse"
)

// recipeDir returns the folder of a recipe, given the folder or its file.
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

// loadRecipe reads a recipe. It writes errors in the recipe to errs.
func loadRecipe(ctx context.Context, name string, catalog *farm.Plugins, errs io.Writer) (*recipes.Recipe, error) {
	dir, err := recipeDir(name)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, exit{usageError, fmt.Errorf("opening the recipe's folder: %w", err)}
	}
	defer root.Close()
	r, diags := catalog.Read(ctx, root.FS())
	if err := diags.WriteText(errs, width(errs), false); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, exit{usageError, fmt.Errorf("%s is faulty", filepath.Join(dir, parse.FileName))}
	}
	return r, nil
}

// width is the number of columns of a terminal.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 40 {
			return columns
		}
	}
	return 100
}

func recipeCommand() *cobra.Command {
	c := &cobra.Command{Use: "recipe", Short: "Check, format and explain recipes"}
	c.AddCommand(recipeFmt(),
		recipeReader("validate RECIPE ...", "Check recipes and report every fault", func(_ io.Writer, _ *recipes.Recipe) error { return nil }),
		recipeReader("digest RECIPE ...", "Show the digest of a recipe, which is the same for the same meaning", func(out io.Writer, r *recipes.Recipe) error {
			d, err := r.Digest()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "%s  %s %s\n", d, r.Port, r.Version)
			return err
		}),
		recipeReader("explain RECIPE ...", "Show a recipe with every default", func(out io.Writer, r *recipes.Recipe) error {
			return recipes.Explain(r, out)
		}))
	return c
}

// recipeReader makes a command that reads recipes and shows something of each.
func recipeReader(use, short string, show func(io.Writer, *recipes.Recipe) error) *cobra.Command {
	var flags pluginFlags
	c := &cobra.Command{Use: use, Short: short, Args: cobra.MinimumNArgs(1), Example: "  zfarm recipe " + strings.Replace(use, "RECIPE ...", "ports/gzip", 1), RunE: func(c *cobra.Command, args []string) error {
		catalog, err := flags.open()
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
		Short: "Format recipes",
		Example: `  zfarm recipe fmt ports/gzip
  zfarm recipe fmt --check ports/*`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				if err := formatRecipe(name, check, c.OutOrStdout(), c.ErrOrStderr()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing, and fail if a recipe is not formatted")
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
		return exit{usageError, fmt.Errorf("%s is not formatted; zfarm recipe fmt %s writes it", file, name)}
	}
	if err := os.WriteFile(file, formatted, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, file)
	return err
}
