// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/orchestrator/api"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/orchestrator/store"
)

func serveCommand() *cobra.Command {
	var file, node, logs string
	var check bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve a farm: take submissions, build them, answer over HTTP",
		Long: `Serve the farm of a farm.hcl: take submissions, build them on its workers, answer
over HTTP. Ctrl-C and SIGTERM stop it without stopping anything on the workers; the
next start, or another server on the same PostgreSQL database, goes on with it.
SIGHUP makes it read the workers of its file again. --check only reads the file.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if check {
				return checkFarm(file, c.OutOrStdout(), c.ErrOrStderr())
			}
			log, err := newLog(c.ErrOrStderr(), logs)
			if err != nil {
				return err
			}
			if node == "" {
				node = nodeName()
			}
			return serveFarm(c.Context(), farmOptions{file: file, node: node, log: log.With("node", node)}, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&file, "farm", farmfile.FileName, "the farm's file")
	c.Flags().StringVar(&node, "node", "", "name of this server among those of one database (default: this machine's, with something random)")
	c.Flags().BoolVar(&check, "check", false, "say whether the farm's file is sound, and serve nothing")
	c.Flags().StringVar(&logs, "log", "text", "form of the log on standard error: text or json")
	return c
}

// nodeName is never that of a process before: what another one holds under its
// own name must not look like ours.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "farm"
	}
	return host + "-" + strings.ToLower(rand.Text()[:8])
}

func newLog(w io.Writer, form string) (*slog.Logger, error) {
	switch form {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	default:
		return nil, exit{usageError, fmt.Errorf("--log %s: want text or json", form)}
	}
}

func serveFarm(ctx context.Context, o farmOptions, out, errs io.Writer) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	f, err := openFarm(ctx, o, errs)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.schema(ctx); err != nil {
		return err
	}
	options := api.Options{Proxied: f.file.Insecure}
	if options.Authenticators, err = f.authenticators(); err != nil {
		return err
	}
	if f.file.TLS != nil {
		options.TLS = &api.TLSFiles{Cert: f.file.TLS.Cert, Key: f.file.TLS.Key}
	}
	server, err := f.server(options)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.file.Listen)
	if err != nil {
		return exit{usageError, fmt.Errorf("listening: %w", err)}
	}
	if err := f.Register(ctx, f.roster.registered()); err != nil {
		return err
	}
	scheme := "http"
	if options.TLS != nil {
		scheme = "https"
	}
	fmt.Fprintf(out, "farm %s: listening on %s://%s\n", f.file.Name, scheme, l.Addr()) //nolint:errcheck // nowhere left to say it
	g, serving := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(serving, l) })
	g.Go(func() error { return f.Run(serving) })
	g.Go(func() error {
		f.heed(serving, hangups, o.file)
		return nil
	})
	err = g.Wait()
	if ctx.Err() != nil {
		return stopped{err}
	}
	return err
}

// heed reads the farm's file again whenever SIGHUP asks for it.
func (f *farm) heed(ctx context.Context, hangups <-chan os.Signal, path string) {
	for {
		select {
		case <-hangups:
			f.reload(ctx, path)
		case <-ctx.Done():
			return
		}
	}
}

// stopped is the end of a server that was asked to stop.
type stopped struct{ error }

// Error is that of the server, "" if it stopped well.
func (s stopped) Error() string {
	if s.error == nil {
		return ""
	}
	return s.error.Error()
}

// schema makes a new database the farm's, and refuses an old one: whoever
// brings it to another schema should have a copy.
func (f *farm) schema(ctx context.Context) error {
	err := f.db.Check(ctx)
	if !errors.Is(err, store.ErrSchema) {
		return err
	}
	status, statusErr := f.db.Status(ctx)
	if statusErr == nil && status.Schema == 0 {
		return f.db.Migrate(ctx)
	}
	return err
}
