// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

// tokenLife is the default lifetime of a token.
const tokenLife = 90 * 24 * time.Hour

func (s *Server) health(context.Context, *wire.NothingInput) (*wire.HealthOutput, error) {
	out := &wire.HealthOutput{}
	out.Body.Status, out.Body.Version = "ok", s.Version
	return out, nil
}

func (s *Server) ready(ctx context.Context, in *wire.NothingInput) (*wire.HealthOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.Store.Writable(ctx); err != nil {
		s.Log.ErrorContext(ctx, "not ready", "request", exchangeOf(ctx).id, "error", err.Error())
		return nil, later(http.StatusServiceUnavailable, 5*time.Second, "the database does not answer or takes no writes; its admin finds the reason in the log")
	}
	return s.health(ctx, in)
}

func (s *Server) whoami(ctx context.Context, _ *wire.NothingInput) (*wire.WhoOutput, error) {
	return &wire.WhoOutput{Body: wirePrincipal(s.who(ctx))}, nil
}

func (s *Server) workers(ctx context.Context, in *wire.WorkersInput) (*wire.WorkersOutput, error) {
	code := workers.QuarantineCode(in.Quarantine)
	if in.Quarantine != "" && in.Quarantine != wire.AnyQuarantine && !code.Valid() {
		return nil, problem(http.StatusUnprocessableEntity, "there is no quarantine code %s; want %s or one of %s",
			codepage.Line(in.Quarantine, maxShown), wire.AnyQuarantine, codes())
	}
	all, err := s.Store.Workers(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(w store.Worker) bool {
		switch in.Quarantine {
		case "":
			return false
		case wire.AnyQuarantine:
			return w.Quarantine == nil
		}
		return w.Quarantine == nil || w.Quarantine.Code != code
	})
	out := &wire.WorkersOutput{}
	out.Body.Workers = listed(all, wireWorker)
	return out, nil
}

// codes lists the quarantine codes for a message.
func codes() string {
	var all []string
	for _, c := range workers.QuarantineCodes() {
		all = append(all, string(c))
	}
	return strings.Join(all, ", ")
}

func (s *Server) worker(ctx context.Context, name string) (store.Worker, error) {
	all, err := s.Store.Workers(ctx)
	if err != nil {
		return store.Worker{}, err
	}
	i := slices.IndexFunc(all, func(w store.Worker) bool { return w.Name == name })
	if i < 0 {
		return store.Worker{}, fmt.Errorf("worker %s: %w", codepage.Line(name, maxShown), store.ErrUnknown)
	}
	return all[i], nil
}

func (s *Server) changeWorker(ctx context.Context, in *wire.ChangeWorkerInput) (*wire.WorkerOutput, error) {
	if in.Body.Draining == nil {
		return nil, problem(http.StatusUnprocessableEntity, "nothing is to be changed; give draining")
	}
	w, err := s.worker(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	err = s.audited(ctx, in.Name, fmt.Sprintf("draining %v", *in.Body.Draining), func() error {
		w, err = s.Store.ChangeWorker(ctx, in.Name, in.Body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wire.WorkerOutput{Body: wireWorker(w)}, nil
}

func (s *Server) probe(ctx context.Context, in *wire.WorkerInput) (*wire.WorkerOutput, error) {
	w, err := s.worker(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if err := s.audited(ctx, in.Name, "", func() error { return s.Store.ProbeWorker(ctx, in.Name) }); err != nil {
		return nil, err
	}
	return &wire.WorkerOutput{Body: wireWorker(w)}, nil
}

func (s *Server) tokens(ctx context.Context, _ *wire.NothingInput) (*wire.TokensOutput, error) {
	all, err := s.Store.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	out := &wire.TokensOutput{}
	out.Body.Tokens = listed(all, wireToken)
	return out, nil
}

func (s *Server) addToken(ctx context.Context, in *wire.AddTokenInput) (*wire.AddTokenOutput, error) {
	want, now := in.Body, s.Now().UTC()
	names := make([]string, len(want.Roles))
	for i, r := range want.Roles {
		names[i] = string(r)
	}
	if err := wire.CheckRoles(want.Roles, want.Ports); err != nil {
		return nil, problem(http.StatusUnprocessableEntity, "%s", err)
	}
	if want.Expires.IsZero() {
		want.Expires = now.Add(tokenLife)
	}
	if !want.Expires.After(now) {
		return nil, problem(http.StatusUnprocessableEntity, "the token would expire at %s, which has passed; give a later time", want.Expires.Format(time.RFC3339))
	}
	secret, hash := NewSecret()
	var id [8]byte
	rand.Read(id[:])
	t := store.Token{ID: hex.EncodeToString(id[:]), Name: want.Name, Hash: hash, Roles: names, Ports: want.Ports,
		Created: now.Truncate(time.Second), Expires: want.Expires.UTC().Truncate(time.Second)}
	detail := fmt.Sprintf("%s: roles %s, ports %s, until %s", t.Name, strings.Join(names, ", "), patterns(t.Ports), t.Expires.Format(time.RFC3339))
	if err := s.audited(ctx, t.ID, detail, func() error { return s.Store.AddToken(ctx, t) }); err != nil {
		return nil, err
	}
	return &wire.AddTokenOutput{Body: wire.MadeToken{Token: wireToken(t), Secret: secret}}, nil
}

func (s *Server) revokeToken(ctx context.Context, in *wire.TokenInput) (*wire.NothingOutput, error) {
	all, err := s.Store.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(t store.Token) bool { return t.ID == in.ID })
	if i < 0 {
		return nil, fmt.Errorf("token %s: %w", codepage.Line(in.ID, maxShown), store.ErrUnknown)
	}
	if err := s.audited(ctx, in.ID, all[i].Name, func() error { return s.Store.RevokeToken(ctx, in.ID) }); err != nil {
		return nil, err
	}
	return &wire.NothingOutput{}, nil
}

func (s *Server) audit(ctx context.Context, in *wire.AuditInput) (*wire.AuditOutput, error) {
	if in.Limit == 0 {
		in.Limit = 100
	}
	all, err := s.Store.Audits(ctx, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &wire.AuditOutput{}
	out.Body.Audit = listed(all, wireAudit)
	return out, nil
}
