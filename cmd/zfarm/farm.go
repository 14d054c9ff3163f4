// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/orchestrator/api"
	"github.com/zfarm/zfarm/orchestrator/cas"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/recipes/source"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/local"
	"github.com/zfarm/zfarm/workers/pool"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/ssh"
)

// serverFlags say which farm a command is about: one that is served somewhere,
// or the one of a file on this machine.
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

// client returns a client of the farm. It must be closed.
func (f *serverFlags) client(ctx context.Context, errs io.Writer) (*api.Client, func(), error) {
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
		c := api.NewClient(server, token, nil)
		if err := c.Check(); err != nil {
			return nil, nil, exit{usageError, err}
		}
		return c, func() {}, nil
	case f.file == "":
		return nil, nil, exit{usageError, errors.New("which farm? Say --server https://HOST, or --farm farm.hcl on the machine that serves it")}
	}
	farm, err := openFarm(ctx, farmOptions{file: f.file, shared: true}, errs)
	if err != nil {
		return nil, nil, err
	}
	me := api.Principal{Name: "local", Roles: []api.Role{api.Admin}}
	if u, err := user.Current(); err == nil {
		me.Name = u.Username
	}
	here, err := farm.server(api.Options{Embedded: &me})
	if err != nil {
		farm.Close()
		return nil, nil, err
	}
	hc := &http.Client{Transport: api.Transport(here.Handler())}
	return api.NewClient("http://localhost", "", hc), func() {
		here.Close()
		farm.Close()
	}, nil
}

// token reads the token for the server: from the file, else from the environment.
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

// farmOptions say how a farm is opened.
type farmOptions struct {
	file string
	// shared: beside another process that serves it. Nothing is built here.
	shared bool
	node   string
	log    *slog.Logger
}

// farm is what a farm's file makes.
type farm struct {
	*engine.Engine
	file      *farmfile.Farm
	db        *store.Store
	artifacts *cas.Folder
	catalog   *pluginCatalog
	pool      *pool.Pool
	roster    *roster
	log       *slog.Logger
}

// openFarm opens everything that the farm's file names.
func openFarm(ctx context.Context, o farmOptions, errs io.Writer) (*farm, error) {
	file, err := loadFarm(o.file, errs)
	if err != nil {
		return nil, err
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	f := &farm{file: file, roster: &roster{}, log: o.log}
	f.roster.replace(file.Workers)
	if err := f.open(ctx, o); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *farm) open(ctx context.Context, o farmOptions) (err error) {
	named := pluginFlags{}
	for _, p := range f.file.Plugins {
		named.more = append(named.more, fmt.Sprintf("%s=%s@%s", p.Name, p.Path, p.SHA256))
	}
	if f.catalog, err = named.catalog(); err != nil {
		return err
	}
	if f.artifacts, err = cas.Open(f.file.Store); err != nil {
		return err
	}
	if f.db, err = store.Open(ctx, f.file.Database, store.Options{Node: o.node, Shared: o.shared}); err != nil {
		return err
	}
	f.pool = pool.New(f.openWorker, pool.Options{})
	sources, err := source.New(source.Options{Cache: f.file.Sources, Mirrors: f.file.Mirrors, Offline: f.file.Offline})
	if err != nil {
		return exit{usageError, err}
	}
	parts := engine.Deps{Store: f.db, Artifacts: f.artifacts, Workers: f.pool, Sources: sources, Plugins: f.catalog, Log: f.log,
		Version: version(), Health: f.health, Settings: f.settings(), Rebuilds: f.rebuilds()}
	if !o.shared {
		if err := f.sign(ctx, &parts); err != nil {
			return err
		}
	}
	f.Engine = engine.New(parts)
	return nil
}

// Close lets go of everything that was opened.
func (f *farm) Close() {
	if f.pool != nil {
		f.pool.Close() //nolint:errcheck // the connections end either way
	}
	if f.db != nil {
		f.db.Close() //nolint:errcheck // everything that counts is committed
	}
	if f.catalog != nil {
		f.catalog.Close() //nolint:errcheck // temporary folders only
	}
}

func (f *farm) settings() engine.Settings {
	return engine.Settings{Policy: f.file.Policy, Patience: f.file.Patience, Probe: f.file.Probe.Every,
		Retain: f.file.Retention.Builds, Logs: f.file.Retention.Logs, Grace: f.file.Retention.Grace}
}

func (f *farm) rebuilds() []engine.Rebuild {
	var all []engine.Rebuild
	for _, r := range f.file.Rebuilds {
		all = append(all, engine.Rebuild{Name: r.Name, Ports: r.Ports, Priority: r.Priority, Next: r.Next})
	}
	return all
}

func (f *farm) health(was, now *workers.Facts, err error) string {
	return pool.Health(was, now, err, pool.Limits{FreeBytes: f.file.Probe.Free, Clock: f.file.Probe.Clock})
}

// sign opens the key of the farm's file, if it names one.
func (f *farm) sign(ctx context.Context, parts *engine.Deps) error {
	s := f.file.Signing
	if s == nil {
		return nil
	}
	key := keyFlags{key: s.Key.String(), passwordFile: s.PasswordFile, passwordEnv: s.PasswordEnv}
	signer, public, err := key.signer(ctx)
	if err != nil {
		return err
	}
	if s.Public != "" {
		if err := samePublic(s.Public, public); err != nil {
			return exit{notSigned, err}
		}
	}
	claim := statement.StrongestClaim(statement.Evidence{Registered: true, Signer: statement.KeyFile, Isolation: statement.Shared, Attempts: 1})
	parts.Signer, parts.VerificationMaterial = signer, engine.VerificationMaterial{PublicKey: public, TrustedRoot: trustedRoot()}
	parts.BuilderID = claim.BuilderID
	return nil
}

// samePublic holds the public key in a file against that of the signing key:
// with another one nobody could verify what is signed.
func samePublic(path string, signing []byte) error {
	given, err := keys.ReadPublic(path)
	if err != nil {
		return err
	}
	want, err := keys.ParsePublic(given)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	have, err := keys.ParsePublic(signing)
	if err != nil {
		return err
	}
	if !have.Equal(want) {
		return fmt.Errorf("%s is not the public half of the key that signs; name that one in the signing block of the farm's file, or leave public out", path)
	}
	return nil
}

// openWorker connects to a worker of the farm's file.
func (f *farm) openWorker(ctx context.Context, name string) (workers.Worker, error) {
	w, ok := f.roster.worker(name)
	if !ok {
		return nil, fmt.Errorf("the farm's file names no worker %s: %w", name, workers.ErrUnreachable)
	}
	options := runner.Options{Root: w.Root, Shell: w.Shell, Path: w.Path, Lease: w.Lease}
	if w.Local {
		if options.Root == "" {
			options.Root = filepath.Join(os.TempDir(), fmt.Sprintf("zfarm-%d-%s", os.Getuid(), name))
		}
		return opened(local.New(name, options))
	}
	u, err := ssh.ParseURL(w.Address)
	if err != nil {
		return nil, err
	}
	options.Root = u.Dir
	keys := w.HostKeys
	if len(keys) == 0 {
		known := w.KnownHosts
		if known == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("looking for known hosts: %w", err)
			}
			known = filepath.Join(home, ".ssh", "known_hosts")
		}
		if keys, err = ssh.KnownHosts(known, u.Address); err != nil {
			return nil, err
		}
	}
	return opened(ssh.New(ctx, name, ssh.Config{User: u.User, Address: u.Address, HostKeys: keys,
		IdentityFiles: w.Identity, AgentSocket: os.Getenv("SSH_AUTH_SOCK")}, options))
}

// opened keeps a nil worker from becoming an interface that is not nil.
func opened(w *runner.Worker, err error) (workers.Worker, error) {
	if err != nil {
		return nil, err
	}
	return w, nil
}

// server is the farm over HTTP.
func (f *farm) server(o api.Options) (*api.Server, error) {
	o.Store, o.Blobs, o.Engine, o.Version, o.Log = api.Stored{Store: f.db}, f.artifacts, f.Engine, version(), f.log
	o.Parse = f.parse
	o.Limits = api.Limits{Body: f.file.Limits.Upload,
		PerPrincipal: api.Rate{PerSecond: f.file.Limits.Requests, Burst: f.file.Limits.Burst},
		PerAddress:   api.Rate{PerSecond: f.file.Limits.Requests, Burst: f.file.Limits.Burst}}
	return api.New(o)
}

// parse reads a submitted recipe.
func (f *farm) parse(ctx context.Context, folder fs.FS) (*recipes.Recipe, error) {
	r, diags := parse.Dir(folder, schemas{ctx, f.catalog})
	if r == nil {
		return nil, diags
	}
	return r, nil
}

// authenticators are who may say who asks.
func (f *farm) authenticators() ([]api.Authenticator, error) {
	all := []api.Authenticator{api.NewFarmTokens(api.Stored{Store: f.db}, nil)}
	for _, o := range f.file.OIDC {
		issuer := api.Issuer{URL: o.Issuer, Audience: o.Audience, Name: o.Name}
		for _, r := range o.Rules {
			rule := api.ClaimRule{Claims: r.Claims, Ports: r.Ports}
			for _, role := range r.Roles {
				rule.Roles = append(rule.Roles, api.Role(role))
			}
			issuer.Rules = append(issuer.Rules, rule)
		}
		checked, err := api.NewOIDC(issuer)
		if err != nil {
			return nil, exit{usageError, err}
		}
		all = append(all, checked)
	}
	return all, nil
}
