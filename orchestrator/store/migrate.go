// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/zfarm/zfarm/orchestrator/store/query"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the tables, ours and the queue's, to the schema of this program. Doing
// it twice, or from two processes at once, is the same as once. For a database newer
// than the program it returns ErrSchema.
func (s *Store) Migrate(ctx context.Context) error {
	provider, err := s.provider()
	if err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	err = s.exclusively(ctx, func(ctx context.Context) error {
		if have, wanted, err := s.versions(ctx, provider); err != nil {
			return err
		} else if have > wanted {
			return newer(have, wanted)
		}
		if _, err := s.queueSchema(ctx, true); err != nil {
			return fmt.Errorf("migrating the queue: %w", err)
		}
		// Our tables come last: if they exist, so do the queue's.
		_, err := provider.Up(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrating the database: %w", wrap(err))
	}
	return nil
}

func (s *Store) provider() (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	dialect := goose.DialectPostgres
	if s.kind() == "sqlite" {
		dialect = goose.DialectSQLite3
	}
	return goose.NewProvider(dialect, s.db, dir, goose.WithSlog(silent()), goose.WithDisableGlobalRegistry(true))
}

// versions reads without changing anything: a database that was never migrated
// has version 0.
func (s *Store) versions(ctx context.Context, p *goose.Provider) (have, wanted int64, err error) {
	for _, source := range p.ListSources() {
		wanted = max(wanted, source.Version)
	}
	err = retry(ctx, func() error {
		return s.db.QueryRowContext(ctx, "SELECT COALESCE(max(version_id), 0) FROM "+goose.DefaultTablename+" WHERE is_applied").Scan(&have)
	})
	if errors.Is(err, ErrSchema) { // there is no such table
		return 0, wanted, nil
	}
	return have, wanted, err
}

func newer(have, wanted int64) error {
	return fmt.Errorf("%w: it has version %d, which is newer than this program's %d; use the program that migrated it, or a later one", ErrSchema, have, wanted)
}

// Check returns ErrSchema, with what to do, if the schema of the database is not the
// program's.
func (s *Store) Check(ctx context.Context) error {
	provider, err := s.provider()
	if err != nil {
		return fmt.Errorf("checking the database: %w", err)
	}
	have, wanted, err := s.versions(ctx, provider)
	if err != nil {
		return fmt.Errorf("checking the database: %w", err)
	}
	switch {
	case have > wanted:
		return newer(have, wanted)
	case have < wanted:
		return fmt.Errorf("%w: it has version %d, and this program wants %d; run \"zfarm db migrate\"", ErrSchema, have, wanted)
	}
	fits, err := s.queueSchema(ctx, false)
	if err != nil {
		return fmt.Errorf("checking the queue: %w", wrap(err))
	}
	if !fits {
		return fmt.Errorf("%w: its queue is older than this program; run \"zfarm db migrate\"", ErrSchema)
	}
	return nil
}

func queueSchema[TTx any](ctx context.Context, m *rivermigrate.Migrator[TTx], migrate bool) (bool, error) {
	if migrate {
		_, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err == nil, err
	}
	found, err := m.Validate(ctx, nil)
	if err != nil {
		return false, err
	}
	return found.OK, nil
}

// Status describes the database itself, migrated or not.
func (s *Store) Status(ctx context.Context) (Status, error) {
	status := Status{Kind: s.kind()}
	provider, err := s.provider()
	if err == nil {
		status.Schema, status.Wanted, err = s.versions(ctx, provider)
	}
	if err != nil {
		return Status{}, fmt.Errorf("reading the state of the database: %w", err)
	}
	if status.Schema == 0 {
		return status, nil
	}
	err = s.read(ctx, "counting builds", func(q *query.Queries) error {
		status.Builds, err = q.CountBuilds(ctx)
		return err
	})
	if err != nil {
		return Status{}, err
	}
	err = s.read(ctx, "counting wake-ups", func(*query.Queries) error {
		return s.db.QueryRowContext(ctx, "SELECT count(*) FROM river_job WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled')").Scan(&status.Waiting)
	})
	return status, err
}

// Backup writes the whole database to file, as it is at one moment, replacing any old
// content. SQLite only; PostgreSQL has its own tools.
func (s *Store) Backup(ctx context.Context, file string) error { return s.backup(ctx, file) }

// silent returns a logger for libraries that log: this one returns errors instead.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
