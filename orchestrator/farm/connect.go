// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/ssh"
)

// Connector connects to workers, over SSH or on this machine.
type Connector struct {
	// AgentSocket is the socket of the ssh-agent; "" for none.
	AgentSocket string
	// Passphrase returns the passphrase of an encrypted identity; nil knows none.
	Passphrase func(file string) ([]byte, error)
}

// Connect connects to the worker. Its error wraps [ErrConfig] if the worker does not
// match its configuration, and [ErrKnownHosts] if nothing pins its key.
func (c Connector) Connect(ctx context.Context, w farmfile.Worker) (workers.Worker, error) {
	connect := c.overSSH
	if w.Local {
		connect = c.local
	}
	connected, err := connect(ctx, w)
	if err != nil { // a nil *runner.Worker in the interface would not be nil
		return nil, err
	}
	return connected, nil
}

func (c Connector) local(_ context.Context, w farmfile.Worker) (*runner.Worker, error) {
	root := w.Root
	if root == "" {
		root = filepath.Join(os.TempDir(), fmt.Sprintf("zfarm-%d-%s", os.Getuid(), w.Name))
	}
	return local.New(w.Name, options(w, root))
}

func (c Connector) overSSH(ctx context.Context, w farmfile.Worker) (*runner.Worker, error) {
	address, err := workers.ParseAddress(w.Address)
	if err != nil {
		return nil, kind(ErrConfig, err)
	}
	pinned := w.HostKeys
	if len(pinned) == 0 {
		known := w.KnownHosts
		if known == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, kind(ErrConfig, fmt.Errorf("looking for known hosts: %w; name a file of known hosts", err))
			}
			known = filepath.Join(home, ".ssh", "known_hosts")
		}
		if pinned, err = ssh.KnownHosts(known, address.HostPort()); err != nil {
			return nil, kind(ErrKnownHosts, err)
		}
	}
	return ssh.New(ctx, w.Name, ssh.Config{User: address.User, Address: address.HostPort(), HostKeys: pinned,
		IdentityFiles: w.Identity, AgentSocket: c.AgentSocket, Passphrase: c.Passphrase}, options(w, address.Dir))
}

func options(w farmfile.Worker, root string) runner.Options {
	return runner.Options{Root: root, Shell: w.Shell, Path: w.Path, Lease: w.Lease}
}
