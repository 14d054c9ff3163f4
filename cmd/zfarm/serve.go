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
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
)

func serveCommand() *cobra.Command {
	var file, node, logs string
	var check bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve a farm: take submissions, build them, answer over HTTP",
		Long: `Serve the farm of a farm.hcl: take submissions, build them on its workers, and answer
over HTTP. Ctrl-C and SIGTERM stop the server and nothing on the workers: the next
start, or another server on the same PostgreSQL database, continues the builds. On
SIGHUP the server reads the workers of its file again. --check only reads the file.`,
		Example: `  zfarm serve --farm /etc/zfarm/farm.hcl --log json
  zfarm serve --farm farm.hcl --check`,
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
			return serveFarm(c.Context(), file, farm.Deps{Node: node, Log: log.With("node", node)}, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&file, "farm", farmfile.FileName, "file of the farm")
	c.Flags().StringVar(&node, "node", "", "name of this server, unique in the database (default: name of this machine and a random part)")
	c.Flags().BoolVar(&check, "check", false, "only check the file of the farm")
	c.Flags().StringVar(&logs, "log", "text", "format of the log on standard error: text or json")
	return c
}

// nodeName is unique to this process: the holds of an earlier process must not look
// like its own.
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
		return nil, exit{usageError, fmt.Errorf("--log %s: give text or json", form)}
	}
}

// serveFarm serves the farm of that file until ctx ends.
func serveFarm(ctx context.Context, path string, deps farm.Deps, out, errs io.Writer) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	file, err := loadFarm(path, errs)
	if err != nil {
		return err
	}
	f, err := openFarm(ctx, file, deps)
	if err != nil {
		return err
	}
	defer f.Close()
	listening := make(chan struct{})
	serving, stop := context.WithCancel(ctx)
	var reloading sync.WaitGroup
	reloading.Go(func() {
		select {
		case <-listening:
			reloadOnHangup(serving, f, path, hangups, deps.Log)
		case <-serving.Done():
		}
	})
	err = f.Serve(ctx, func(address string) {
		fmt.Fprintf(out, "farm %s: listening on %s\n", file.Name, address) //nolint:errcheck // nowhere left to say it
		close(listening)
	})
	stop()
	reloading.Wait()
	if ctx.Err() != nil {
		return stopped{err}
	}
	return err
}

// reloadOnHangup reads the farm's file again on each SIGHUP, until ctx ends.
func reloadOnHangup(ctx context.Context, f *farm.Farm, path string, hangups <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-hangups:
			reload(ctx, f, path, log.With("file", path))
		case <-ctx.Done():
			return
		}
	}
}

// reload has the farm take over the workers of its file, and logs the outcome.
// A faulty file changes nothing.
func reload(ctx context.Context, f *farm.Farm, path string, log *slog.Logger) {
	var diagnostics strings.Builder
	file, err := loadFarm(path, &diagnostics)
	if err != nil {
		log.Error("farm file is faulty, nothing was changed", "diagnostics", diagnostics.String())
		return
	}
	changed, err := f.Reload(ctx, file)
	switch {
	case errors.Is(err, farm.ErrConfig):
		log.Error("farm file was not taken over", "error", err)
	case err != nil:
		log.Error("farm file was read, and its workers could not be registered; try again", "error", err)
	default:
		log.Info("farm file was read", slog.Group("workers", "added", changed.Added, "changed", changed.Changed, "removed", changed.Removed))
	}
	if changed.Restart {
		log.Warn("farm file says more that is new: start the server again for all but workers")
	}
}

// checkFarm reports whether the farm's file is valid.
func checkFarm(path string, out, errs io.Writer) error {
	file, err := loadFarm(path, errs)
	if err != nil {
		return err
	}
	names := make([]string, len(file.Workers))
	for i, w := range file.Workers {
		names[i] = w.Name
	}
	_, err = fmt.Fprintf(out, "%s is sound: farm %s with workers %s\n", path, file.Name, strings.Join(names, ", "))
	return err
}

// stopped is the error of a server that was asked to stop.
type stopped struct{ error }

// Error returns the server's error, "" if it stopped cleanly.
func (s stopped) Error() string {
	if s.error == nil {
		return ""
	}
	return s.error.Error()
}
