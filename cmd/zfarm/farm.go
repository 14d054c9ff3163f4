// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/server"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
)

// serverFlags select the farm of a command: one that is served somewhere, or the one of
// a file on this machine.
type serverFlags struct {
	server    string
	tokenFile string
	file      string
}

func (f *serverFlags) add(c *cobra.Command) {
	c.PersistentFlags().StringVar(&f.server, "server", "", "address of the farm's server (default $ZFARM_SERVER)")
	c.PersistentFlags().StringVar(&f.tokenFile, "token-file", "", "file with the token for the server (default $ZFARM_TOKEN)")
	c.PersistentFlags().StringVar(&f.file, "farm", "", "work on the database of this farm.hcl instead of asking a server")
}

// client returns a client of the farm. The caller closes it.
func (f *serverFlags) client(ctx context.Context, errs io.Writer) (*client.Client, func(), error) {
	server := f.server
	if server == "" && f.file == "" {
		server = os.Getenv("ZFARM_SERVER")
	}
	switch {
	case f.server != "" && f.file != "":
		return nil, nil, exit{usageError, errors.New("say --server or --farm, not both")}
	case server != "":
		token, err := f.token()
		if err != nil {
			return nil, nil, err
		}
		c := client.New(server, token, nil)
		if err := c.Check(); err != nil {
			return nil, nil, exit{usageError, err}
		}
		return c, func() {}, nil
	case f.file == "":
		return nil, nil, exit{usageError, errors.New("which farm? Say --server https://HOST, or --farm farm.hcl on the machine that serves it")}
	}
	return embeddedClient(ctx, f.file, errs)
}

// embeddedClient returns a client of the farm of that file, opened beside the process
// that serves it. The caller closes it.
func embeddedClient(ctx context.Context, path string, errs io.Writer) (*client.Client, func(), error) {
	file, err := loadFarm(path, errs)
	if err != nil {
		return nil, nil, err
	}
	f, err := openFarm(ctx, file, farm.Deps{Shared: true})
	if err != nil {
		return nil, nil, err
	}
	me := server.Principal{Name: "local", Roles: []wire.Role{wire.Admin}}
	if u, err := user.Current(); err == nil {
		me.Name = u.Username
	}
	here, err := f.Embedded(me)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	hc := &http.Client{Transport: client.Transport(here.Handler())}
	return client.New("http://localhost", "", hc), func() {
		here.Close()
		f.Close()
	}, nil
}

// token reads the token for the server from the file, else from the environment.
func (f *serverFlags) token() (string, error) {
	if f.tokenFile == "" {
		return os.Getenv("ZFARM_TOKEN"), nil
	}
	b, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return "", exit{usageError, fmt.Errorf("reading the token: %w", err)}
	}
	return string(trimNewline(b)), nil
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// openFarm opens the farm of that file with the built-in plugins.
func openFarm(ctx context.Context, file *farmfile.Farm, deps farm.Deps) (_ *farm.Farm, err error) {
	if deps.Plugins, err = shippedEntries(); err != nil {
		return nil, err
	}
	deps.Version = version()
	deps.Connect = farm.Connector{AgentSocket: os.Getenv("SSH_AUTH_SOCK")}.Connect
	deps.OpenKey = openKey
	return farm.Open(ctx, file, deps)
}

// loadFarm reads the farm's file and reports what is wrong with it.
func loadFarm(path string, errs io.Writer) (*farmfile.Farm, error) {
	file, diags := farmfile.Load(path)
	if err := diags.WriteText(errs, width(errs), false); err != nil {
		return nil, err
	}
	if file == nil {
		return nil, exit{usageError, fmt.Errorf("%s is faulty", path)}
	}
	return file, nil
}
