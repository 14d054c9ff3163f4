// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/workers"
)

// connectFlags say how to reach workers.
type connectFlags struct {
	workers    []string
	knownHosts string
	identities []string
	lease      time.Duration
}

func (f *connectFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.workers, "worker", nil,
		"worker, ssh://user@host[:port]/folder or local:NAME (this machine); repeatable.\nA query adds settings: ?name=lpar1&shell=/bin/bash&path=/usr/lpp/tools/bin&identity=FILE")
	c.Flags().StringVar(&f.knownHosts, "known-hosts", "", "file of pinned host keys (default ~/.ssh/known_hosts)")
	c.Flags().StringArrayVar(&f.identities, "identity", nil, "private key to log in with; repeatable (default: the ssh-agent)")
	c.Flags().DurationVar(&f.lease, "lease", time.Minute, "how long a worker continues a step after zfarm is gone")
}

// open connects to every worker named. The caller closes them.
func (f *connectFlags) open(ctx context.Context) ([]workers.Worker, error) {
	if len(f.workers) == 0 {
		return nil, exit{usageError, errors.New("no worker named; say --worker ssh://user@host/folder, twice for two workers")}
	}
	if f.lease < 2*time.Second {
		return nil, exit{usageError, fmt.Errorf("--lease %s: at least 2s", f.lease)}
	}
	all := make([]workers.Worker, len(f.workers))
	g, opening := errgroup.WithContext(ctx)
	for i, address := range f.workers {
		g.Go(func() error {
			w, err := f.openOne(opening, address)
			all[i] = w
			return err
		})
	}
	if err := g.Wait(); err != nil {
		closeAll(all)
		return nil, err
	}
	names := map[string]bool{}
	for _, w := range all {
		if names[w.Name()] {
			closeAll(all)
			return nil, exit{usageError, fmt.Errorf("two workers are called %s; give them names: ssh://...?name=lpar1", w.Name())}
		}
		names[w.Name()] = true
	}
	return all, nil
}

func closeAll(all []workers.Worker) {
	for _, w := range all {
		if w != nil {
			w.Close() //nolint:errcheck // the connection ends either way
		}
	}
}

func (f *connectFlags) openOne(ctx context.Context, address string) (workers.Worker, error) {
	described, err := f.describe(address)
	if err != nil {
		return nil, exit{usageError, err}
	}
	c := farm.Connector{AgentSocket: os.Getenv("SSH_AUTH_SOCK"), Passphrase: passphrases(ctx)}
	w, err := c.Connect(ctx, described)
	if err != nil && !described.Local && codeOf(ctx, err) == otherError { // the error came before the worker was contacted
		err = exit{usageError, err}
	}
	return w, err
}

// describe parses the address of a worker, with the settings in its query.
func (f *connectFlags) describe(address string) (farmfile.Worker, error) {
	a, err := workers.ParseAddress(address)
	if err != nil {
		return farmfile.Worker{}, err
	}
	q := a.Settings
	w := farmfile.Worker{KnownHosts: f.knownHosts, Shell: q.Get("shell"), Path: q["path"], Lease: f.lease, Local: a.Kind == workers.KindLocal}
	known := []string{"name", "shell", "path", "identity"}
	if w.Local {
		if w.Name = a.Local; w.Name == "" {
			return w, fmt.Errorf("worker %s: write local:NAME or local:NAME?root=/folder", address)
		}
		w.Root = q.Get("root")
		known = append(known, "root")
	} else {
		w.Address, _, _ = strings.Cut(address, "?")
		w.Identity = slices.Concat(q["identity"], f.identities)
		if w.Name = q.Get("name"); w.Name == "" {
			w.Name = a.User + "@" + a.HostPort()
		}
	}
	if key := a.Unknown(known...); key != "" {
		return w, fmt.Errorf("worker %s: unknown setting %q; there are name, shell, path and identity", address, key)
	}
	return w, nil
}

// passphrases prompts at the terminal.
func passphrases(ctx context.Context) func(file string) ([]byte, error) {
	return func(file string) ([]byte, error) {
		answer, ok, err := keys.Prompt(os.Stdin, "Passphrase of "+file+": ")(ctx)
		if err == nil && !ok {
			err = fmt.Errorf("%s is encrypted and there is no terminal to ask for its passphrase; use an ssh-agent", file)
		}
		return answer, err
	}
}

func workerCommand() *cobra.Command {
	c := &cobra.Command{Use: "worker", Short: "Check workers, and list, drain and resume those of a farm"}
	var flags connectFlags
	check := &cobra.Command{
		Use:   "check --worker ADDRESS ...",
		Short: "Connect to workers and show their facts",
		Long: `Connect to each worker, check that it has what the farm needs, and show its facts as
JSON: system, tools, file systems, clock. Nothing is built.`,
		Example: "  zfarm worker check --worker ssh://ann@lpar1/u/zfarm",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := flags.open(c.Context())
			if err != nil {
				return err
			}
			defer closeAll(all)
			for _, w := range all {
				facts, err := w.Facts(c.Context())
				if err != nil {
					return fmt.Errorf("probing worker %s: %w", w.Name(), err)
				}
				if err := writeJSON(c.OutOrStdout(), struct {
					Name  string        `json:"name"`
					Facts workers.Facts `json:"facts"`
				}{w.Name(), facts}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags.add(check)
	c.AddCommand(check)
	c.AddCommand(farmWorkerCommands()...)
	return c
}
