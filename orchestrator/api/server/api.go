// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package server serves a farm over HTTP and describes its API (OpenAPI 3.1), both from
// the table of operations in orchestrator/api/wire.
//
// It decides who may do what, bounds requests, records every change, and passes the
// rest on: orchestrator/engine submits and cancels, orchestrator/store keeps state,
// orchestrator/artifacts has the bytes. It converts its answers to the types of wire,
// in one file per noun. It serves no pages for people and reads no recipes itself; the
// caller passes in the parser.
package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/singleflight"

	"github.com/zfarm/zfarm/orchestrator/api/intake"
	"github.com/zfarm/zfarm/recipes"
)

// Options configure a server.
type Options struct {
	Store  Store
	Blobs  Blobs
	Engine Engine
	// Parse reads the recipe in a folder. If its error has the methods
	// WriteText(io.Writer, int, bool) error and MarshalJSON of a list of diagnostics,
	// the answer shows the lines of source.
	Parse func(ctx context.Context, folder fs.FS) (*recipes.Recipe, error)
	// Authenticators are tried in turn to identify the holder of a token.
	Authenticators []Authenticator
	// Embedded makes every caller this principal. Such a server is for this process
	// only, or for loopback addresses.
	Embedded *Principal
	// Log receives requests and faults; nil discards them.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Version is the program's, for the description.
	Version string
	Limits  Limits
	// TLS names certificate and key; nil serves loopback addresses only, unless Proxied
	// is set: then a proxy in front terminates TLS and names its clients in
	// X-Forwarded-For.
	TLS     *TLSFiles
	Proxied bool
	// Heartbeat is how often a quiet stream sends a comment; 0 means 15 s.
	Heartbeat time.Duration
}

// Limits bound the load that one caller can cause. Zero fields take the defaults in
// brackets.
type Limits struct {
	// Body bounds a submission, in bytes as sent [64 MiB].
	Body int64
	// Archive bounds the expanded archive [intake.DefaultLimits].
	Archive intake.Limits
	// Submissions is how many are read at once [4].
	Submissions int
	// PerAddress and PerPrincipal bound requests [50 a second, 500 at once].
	PerAddress, PerPrincipal Rate
	// Streams bounds the logs and events that one principal follows at once [1000].
	Streams int
}

// Rate is a number of requests a second, and of requests at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

func (l Limits) complete() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if l.Body == 0 {
		l.Body = 64 << 20
	}
	if l.Archive == (intake.Limits{}) {
		l.Archive = intake.DefaultLimits()
	}
	def(&l.Submissions, 4)
	def(&l.Streams, 1000)
	for _, r := range []*Rate{&l.PerAddress, &l.PerPrincipal} {
		if *r == (Rate{}) {
			*r = Rate{PerSecond: 50, Burst: 500}
		}
	}
	return l
}

// Server serves a farm. It is safe for concurrent use.
type Server struct {
	Options
	mux        *http.ServeMux
	api        huma.API
	metrics    *metrics
	addresses  *limiters
	principals *limiters
	anonymous  *limiters // bounds the audit entries of unauthenticated callers
	shared     *singleflight.Group
	streams    *counts
	submitting chan struct{}
	heartbeat  time.Duration
	closeOnce  sync.Once
	closing    chan struct{} // closed to end all streams
}

// New returns a server; see [Server.Serve] and [Server.Handler].
func New(o Options) (*Server, error) {
	switch {
	case o.Store == nil || o.Blobs == nil || o.Engine == nil || o.Parse == nil:
		return nil, errors.New("making a server: Store, Blobs, Engine and Parse are needed")
	case o.Embedded == nil && len(o.Authenticators) == 0:
		return nil, errors.New("making a server: no caller could authenticate; configure tokens or OIDC")
	case o.Embedded != nil && len(o.Authenticators) > 0:
		return nil, errors.New("making a server: it is either embedded or authenticates its callers, not both")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = o.Limits.complete()
	s := &Server{
		Options: o, mux: http.NewServeMux(), metrics: newMetrics(o.Store),
		addresses: newLimiters(o.Limits.PerAddress, o.Now), principals: newLimiters(o.Limits.PerPrincipal, o.Now),
		anonymous: newLimiters(Rate{PerSecond: 1, Burst: 100}, o.Now), shared: &singleflight.Group{},
		streams: newCounts(o.Limits.Streams), submitting: make(chan struct{}, o.Limits.Submissions),
		heartbeat: o.Heartbeat, closing: make(chan struct{}),
	}
	if s.heartbeat == 0 {
		s.heartbeat = 15 * time.Second
	}
	s.api = humago.New(s.mux, s.config())
	s.api.UseMiddleware(s.authorise)
	s.bindAll()
	if err := s.describe(); err != nil {
		return nil, err
	}
	return s, nil
}

// config leaves out what huma would serve by itself: its pages load scripts from other
// sites, and it generates its description at first use, without a lock.
func (s *Server) config() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "zfarm", Version: s.Version, Description: description,
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: newRegistry(),
				SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {
					Type: "http", Scheme: "bearer", Description: "A token of the farm (zft_...), or an OIDC token whose issuer the farm trusts."}},
			},
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{s.stamp},
	}
}

const bearer = "bearer"

const description = `The farm: submit recipes, watch builds, collect what they made.

Every answer has the header X-Request-Id. Faults are problem documents (RFC 9457) that say what to do. Times are RFC 3339, digests "sha256:" and 64 hexadecimal digits.`

// describe generates the description once, for all requests.
func (s *Server) describe() error {
	asJSON, err := json.MarshalIndent(s.api.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("describing the API: %w", err)
	}
	asYAML, err := s.api.OpenAPI().YAML()
	if err != nil {
		return fmt.Errorf("describing the API: %w", err)
	}
	serve := func(path, media string, text []byte) {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			named(r, "openapi")
			w.Header().Set("Content-Type", media)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
		})
	}
	serve("/openapi.json", "application/openapi+json", append(asJSON, '\n'))
	serve("/openapi.yaml", "application/openapi+yaml", asYAML)
	return nil
}

// Close ends all streams; other requests go on.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closing) })
}
