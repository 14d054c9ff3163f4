// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/zfarm/zfarm/orchestrator/store/query"
)

const (
	postgresConnections = 16
	// migrationLock is the advisory lock that a migrating process holds; the
	// digits spell "zfarm".
	migrationLock = 0x7a6661726d
	// ending bounds a rollback, which must happen even when the context has ended.
	ending = 5 * time.Second
	// session sets up each connection. Every statement here is short, and JIT
	// compilation takes longer than running it. A transition locks a row that all
	// others wait for: if its process stops or its connection breaks, the server ends
	// it before the others take the farm for dead. A process that was only slow tries
	// again.
	session = "SET jit = off; SET idle_in_transaction_session_timeout = '5s'"
)

type postgresBackend struct {
	options *Options
	pgx     *pgxpool.Pool
	db      *sql.DB
	river   *river.Client[pgx.Tx]
}

func openPostgres(ctx context.Context, url string, o *Options) (*postgresBackend, error) {
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the database: %w", err)
	}
	config.MaxConns = max(config.MaxConns, postgresConnections)
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, session)
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	// The pgx pool below keeps idle connections; one kept here would be missing there.
	db.SetMaxIdleConns(0)
	b := &postgresBackend{options: o, pgx: pool, db: db}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s on %s: %w", config.ConnConfig.Database, config.ConnConfig.Host, err), b.close())
	}
	if b.river, err = river.NewClient(riverpgxv5.New(pool), inserting()); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the queue: %w", err), b.close())
	}
	return b, nil
}

func (b *postgresBackend) kind() string  { return "postgres" }
func (b *postgresBackend) pool() *sql.DB { return b.db }

func (b *postgresBackend) close() error {
	err := b.db.Close()
	b.pgx.Close()
	return err
}

// begin opens one transaction on one connection for two clients: our queries, which use
// database/sql, and the queue, which uses pgx.
func (b *postgresBackend) begin(ctx context.Context) (transaction, error) {
	conn, err := b.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &postgresTx{Conn: conn, river: b.river}
	err = conn.Raw(func(c any) (err error) {
		t.tx, err = c.(*stdlib.Conn).Conn().BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		return err
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return t, nil
}

func (b *postgresBackend) exclusively(ctx context.Context, fn func(ctx context.Context) error) (err error) {
	conn, err := b.pgx.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
		defer cancel()
		_, unlock := conn.Exec(end, "SELECT pg_advisory_unlock($1)", int64(migrationLock))
		err = errors.Join(err, unlock)
	}()
	return fn(ctx)
}

func (b *postgresBackend) queueSchema(ctx context.Context, migrate bool) (bool, error) {
	m, err := rivermigrate.New(riverpgxv5.New(b.pgx), &rivermigrate.Config{Logger: silent()})
	if err != nil {
		return false, err
	}
	return queueSchema(ctx, m, migrate)
}

func (b *postgresBackend) backup(context.Context, string) error {
	return errors.New("a PostgreSQL database is backed up with PostgreSQL's own pg_dump or pg_basebackup")
}

func (b *postgresBackend) work(ctx context.Context, w Work) error {
	client, err := river.NewClient(riverpgxv5.New(b.pgx), working(b.options, w, ctx.Done()))
	if err != nil {
		return fmt.Errorf("preparing the queue: %w", err)
	}
	return serve(ctx, client)
}

type postgresTx struct {
	*sql.Conn
	tx    pgx.Tx
	river *river.Client[pgx.Tx]
}

func (t *postgresTx) counter(ctx context.Context) (query.Counter, error) {
	return query.New(t).Lock(ctx)
}

// own runs fn while the transaction still owns the connection: database/sql takes a
// broken one away at once.
func (t *postgresTx) own(fn func() error) error {
	err := t.Raw(func(any) error { return fn() })
	if errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("%w: %w", driver.ErrBadConn, err)
	}
	return err
}

func (t *postgresTx) wake(ctx context.Context, wakes []Wake) error {
	return t.own(func() error {
		_, err := t.river.InsertManyTx(ctx, t.tx, entries(wakes))
		return err
	})
}

// commit distinguishes a refusal by PostgreSQL from a lost connection.
func (t *postgresTx) commit(ctx context.Context) error {
	return t.own(func() error {
		err := t.tx.Commit(ctx)
		if err == nil || postgresCode(err) != "" || errors.Is(err, pgx.ErrTxCommitRollback) {
			return err
		}
		return fmt.Errorf("%w (%w)", ErrUncertain, err)
	})
}

func (t *postgresTx) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), ending)
	defer cancel()
	_ = t.own(func() error { return t.tx.Rollback(ctx) }) // after a commit, or on a broken connection, there is nothing to undo
	_ = t.Close()
}
