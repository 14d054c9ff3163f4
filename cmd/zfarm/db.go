// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/store"
)

func dbCommand() *cobra.Command {
	c := &cobra.Command{Use: "db", Short: "Look after the database of a farm"}
	var url string
	open := func(ctx context.Context, use func(*store.Store) error) error {
		if url == "" {
			return exit{usageError, errors.New("no database named; say --db sqlite:FILE, or --db with the address of a PostgreSQL database")}
		}
		db, err := store.Open(ctx, url, store.Options{Shared: true})
		if err != nil {
			return err
		}
		return errors.Join(use(db), db.Close())
	}
	migrate := &cobra.Command{
		Use: "migrate", Short: "Bring the database to the schema of this program; safe to repeat", Args: cobra.NoArgs,
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
		Use: "status", Short: "Show the schema of the database and how much is in it", Args: cobra.NoArgs,
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
		Use: "backup FILE", Short: "Write a copy of a SQLite database, also while it is served", Args: cobra.ExactArgs(1),
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
	c.PersistentFlags().StringVar(&url, "db", "", "the database, sqlite:FILE or postgres://...")
	c.AddCommand(migrate, status, backup)
	return c
}
