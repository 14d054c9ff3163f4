// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/orchestrator/api/server"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// Serve builds submissions and answers over HTTP until ctx ends, which stops nothing on
// any worker. It calls listening once, with the address of the server
// ("http://127.0.0.1:8473"); listening may be nil.
func (f *Farm) Serve(ctx context.Context, listening func(address string)) error {
	if err := f.schema(ctx); err != nil {
		return err
	}
	options := server.Options{Proxied: f.file.Insecure}
	var err error
	if options.Authenticators, err = f.authenticators(); err != nil {
		return err
	}
	scheme := "http"
	if f.file.TLS != nil {
		options.TLS, scheme = &server.TLSFiles{Cert: f.file.TLS.Cert, Key: f.file.TLS.Key}, "https"
	}
	api, err := f.server(options)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.file.Listen)
	if err != nil {
		return kind(ErrConfig, fmt.Errorf("listening: %w", err))
	}
	if err := f.Engine.Register(ctx, f.roster.registered()); err != nil {
		return errors.Join(err, l.Close())
	}
	if listening != nil {
		listening(scheme + "://" + l.Addr().String())
	}
	g, serving := errgroup.WithContext(ctx)
	g.Go(func() error { return api.Serve(serving, l) })
	g.Go(func() error { return f.Engine.Run(serving) })
	return g.Wait()
}

// Embedded returns the farm's API for this process alone, in which every caller acts as
// that principal. The caller closes it before the farm.
func (f *Farm) Embedded(who server.Principal) (*server.Server, error) {
	return f.server(server.Options{Embedded: &who})
}

// schema creates the tables in a new database, and refuses an old one: an administrator
// should make a copy before migrating it.
func (f *Farm) schema(ctx context.Context) error {
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

// server returns the HTTP server of the farm.
func (f *Farm) server(o server.Options) (*server.Server, error) {
	o.Store, o.Blobs, o.Engine, o.Version, o.Log = server.Stored{Store: f.db}, f.artifacts, f.Engine, f.deps.Version, f.deps.Log
	o.Parse = f.ReadRecipe
	rate := server.Rate{PerSecond: f.file.Limits.Requests, Burst: f.file.Limits.Burst}
	o.Limits = server.Limits{Body: f.file.Limits.Upload, PerPrincipal: rate, PerAddress: rate}
	return server.New(o)
}

// authenticators identify callers: by the farm's tokens, then by each OIDC issuer.
func (f *Farm) authenticators() ([]server.Authenticator, error) {
	all := []server.Authenticator{server.NewFarmTokens(server.Stored{Store: f.db}, nil)}
	for _, o := range f.file.OIDC {
		issuer := server.Issuer{URL: o.Issuer, Audience: o.Audience, Name: o.Name}
		for _, r := range o.Rules {
			rule := server.ClaimRule{Claims: r.Claims, Ports: r.Ports}
			for _, role := range r.Roles {
				rule.Roles = append(rule.Roles, wire.Role(role))
			}
			issuer.Rules = append(issuer.Rules, rule)
		}
		checked, err := server.NewOIDC(issuer)
		if err != nil {
			return nil, kind(ErrConfig, err)
		}
		all = append(all, checked)
	}
	return all, nil
}
