// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/ssh"
)

// connectFlags say how workers are reached.
type connectFlags struct {
	workers    []string
	knownHosts string
	identities []string
	lease      time.Duration
}

func (f *connectFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.workers, "worker", nil,
		"a worker, ssh://user@host[:port]/folder or local:NAME (this machine); may be given again.\nA query adds settings: ?name=lpar1&shell=/bin/bash&path=/usr/lpp/tools/bin&identity=FILE")
	c.Flags().StringVar(&f.knownHosts, "known-hosts", "", "file with the pinned host keys (default ~/.ssh/known_hosts)")
	c.Flags().StringArrayVar(&f.identities, "identity", nil, "private key to log in with; may be given again (default: the ssh-agent)")
	c.Flags().DurationVar(&f.lease, "lease", time.Minute, "how long a worker goes on with a step that nobody watches")
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
			if err == nil { // a nil *runner.Worker in the interface would not be nil
				all[i] = w
			}
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

func (f *connectFlags) openOne(ctx context.Context, address string) (*runner.Worker, error) {
	if rest, ok := strings.CutPrefix(address, "local:"); ok {
		return f.openLocal(rest)
	}
	u, err := ssh.ParseURL(address)
	if err != nil {
		return nil, exit{usageError, err}
	}
	known := f.knownHosts
	if known == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, exit{usageError, fmt.Errorf("looking for known hosts: %w; say --known-hosts FILE", err)}
		}
		known = filepath.Join(home, ".ssh", "known_hosts")
	}
	keys, err := ssh.KnownHosts(known, u.Address)
	if err != nil {
		return nil, exit{workerDistrust, err}
	}
	options, err := f.options(u.Dir, u.Query)
	if err != nil {
		return nil, exit{usageError, fmt.Errorf("worker %s: %w", address, err)}
	}
	name := u.Query.Get("name")
	if name == "" {
		name = u.User + "@" + u.Address
	}
	w, err := ssh.New(ctx, name, ssh.Config{
		User: u.User, Address: u.Address, HostKeys: keys, AgentSocket: os.Getenv("SSH_AUTH_SOCK"),
		IdentityFiles: append(u.Query["identity"], f.identities...), Passphrase: passphrases(ctx),
	}, options)
	if err != nil && codeOf(ctx, err) == otherError { // it never came to the worker
		err = exit{usageError, err}
	}
	return w, err
}

func (f *connectFlags) openLocal(rest string) (*runner.Worker, error) {
	name, query, _ := strings.Cut(rest, "?")
	q, err := url.ParseQuery(query)
	if err != nil || name == "" {
		return nil, exit{usageError, fmt.Errorf("worker local:%s: write local:NAME or local:NAME?root=/folder", rest)}
	}
	root := q.Get("root")
	q.Del("root")
	if root == "" {
		root = filepath.Join(os.TempDir(), fmt.Sprintf("zfarm-%d-%s", os.Getuid(), name))
	}
	options, err := f.options(root, q)
	if err != nil {
		return nil, exit{usageError, fmt.Errorf("worker local:%s: %w", rest, err)}
	}
	return local.New(name, options)
}

// options reads the settings of a worker's query.
func (f *connectFlags) options(root string, q url.Values) (runner.Options, error) {
	for key := range q {
		switch key {
		case "name", "shell", "path", "identity":
		default:
			return runner.Options{}, fmt.Errorf("unknown setting %q; there are name, shell, path and identity", key)
		}
	}
	return runner.Options{Root: root, Shell: q.Get("shell"), Path: q["path"], Lease: f.lease}, nil
}

// passphrases asks the person at the terminal.
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
	c := &cobra.Command{Use: "worker", Short: "Look at workers, and change what a farm gives them"}
	var flags connectFlags
	check := &cobra.Command{
		Use:   "check --worker ADDRESS ...",
		Short: "Connect to workers, probe them, and show their facts",
		Args:  cobra.NoArgs,
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
