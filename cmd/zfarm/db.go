// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/store"
)

func dbCommand() *cobra.Command {
	c := &cobra.Command{Use: "db", Short: "Show, copy and migrate the database of a farm"}
	var url string
	open := func(ctx context.Context, use func(*store.Store) error) error {
		if url == "" {
			return exit{usageError, errors.New("no database named; say --db sqlite:FILE or --db postgres://HOST/DATABASE")}
		}
		if file, ok := strings.CutPrefix(url, "sqlite:"); ok { // opening would create it
			if _, err := os.Stat(file); err != nil {
				return exit{usageError, fmt.Errorf("looking for the database: %w", err)}
			}
		}
		db, err := store.Open(ctx, url, store.Options{Shared: true})
		if err != nil {
			return err
		}
		return errors.Join(use(db), db.Close())
	}
	migrate := &cobra.Command{
		Use: "migrate", Short: "Bring the database to the schema of this program", Args: cobra.NoArgs,
		Long: `Bring the database to the schema of this program. It is safe to repeat. Stop the
servers of the farm and make a copy of the database first.`,
		Example: "  zfarm db migrate --db sqlite:farm.db",
		RunE: func(c *cobra.Command, _ []string) error {
			return open(c.Context(), func(db *store.Store) error {
				if err := db.Migrate(c.Context()); err != nil {
					return err
				}
				s, err := db.Status(c.Context())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "the database is at schema %d\n", s.Schema)
				return err
			})
		},
	}
	status := &cobra.Command{
		Use: "status", Short: "Show the schema of the database and the number of its rows", Args: cobra.NoArgs,
		Example: "  zfarm db status --db postgres://zfarm@db.example.com/zfarm",
		RunE: func(c *cobra.Command, _ []string) error {
			return open(c.Context(), func(db *store.Store) error {
				s, err := db.Status(c.Context())
				if err != nil {
					return err
				}
				return writeJSON(c.OutOrStdout(), s)
			})
		},
	}
	backup := &cobra.Command{
		Use: "backup FILE", Short: "Copy a SQLite database to a file, also while the farm is served", Args: cobra.ExactArgs(1),
		Example: "  zfarm db backup --db sqlite:farm.db farm-copy.db",
		RunE: func(c *cobra.Command, args []string) error {
			return open(c.Context(), func(db *store.Store) error {
				if err := db.Backup(c.Context(), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "wrote %s\n", args[0])
				return err
			})
		},
	}
	c.PersistentFlags().StringVar(&url, "db", "", "database, sqlite:FILE or postgres://...")
	c.AddCommand(migrate, status, backup)
	return c
}
