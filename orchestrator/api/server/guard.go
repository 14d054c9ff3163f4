// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers/codepage"
)

// authorise decides whether a caller reaches an operation. It runs before any of the body
// is read.
func (s *Server) authorise(ctx huma.Context, next func(huma.Context)) {
	d, ok := ctx.Operation().Metadata[operationKey].(wire.Operation)
	r, w := humago.Unwrap(ctx)
	x := exchangeOf(r.Context())
	if !ok {
		s.refuse(w, r, errors.New("an operation without a row in the table"))
		return
	}
	x.operation, x.change, x.stream = d.ID, d.Changes(), d.Stream
	x.subject = codepage.Line(r.PathValue("id")+r.PathValue("name")+r.PathValue("token"), maxShown)
	defer s.auditRefusal(r)
	if err := s.admitted(r, d); err != nil {
		s.refuse(w, r, err)
		return
	}
	next(ctx)
}

func (s *Server) admitted(r *http.Request, d wire.Operation) error {
	if d.Role == "" {
		return nil
	}
	p, err := s.principal(r)
	if err != nil {
		return err
	}
	exchangeOf(r.Context()).who = &p
	if s.Embedded == nil {
		if wait := s.principals.allow(p.Name); wait > 0 {
			return later(http.StatusTooManyRequests, wait, "too many requests of %s; wait as long as Retry-After says", p.Name)
		}
	}
	if !p.Has(d.Role) && (!d.Owned || !p.Has(wire.Maintainer)) {
		return problem(http.StatusForbidden, "%s lacks the role %s for this; ask an admin for a token with it", p.Name, d.Role)
	}
	if !d.Archive && r.ContentLength > maxJSON {
		return tooLarge(maxJSON)
	}
	return nil
}

// principal authenticates the caller.
func (s *Server) principal(r *http.Request) (Principal, error) {
	if s.Embedded != nil {
		return *s.Embedded, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, bearer) || token == "" {
		return Principal{}, unauthorized("", "this needs a token; send it as Authorization: Bearer TOKEN")
	}
	for _, a := range s.Authenticators {
		p, err := a.Authenticate(r.Context(), token)
		switch {
		case err == nil:
			return p, nil
		case errors.Is(err, ErrForeign):
		case errors.Is(err, ErrToken):
			return Principal{}, unauthorized("invalid_token", codepage.Line(err.Error(), maxShown))
		default:
			s.Log.ErrorContext(r.Context(), "token could not be checked", "request", exchangeOf(r.Context()).id, "error", err.Error())
			return Principal{}, later(http.StatusServiceUnavailable, 10*time.Second, "the token cannot be checked now; try again later")
		}
	}
	return Principal{}, unauthorized("invalid_token", "the token is of no kind that this farm takes")
}

// unauthorized returns 401 with the challenge of RFC 6750.
func unauthorized(code, text string) error {
	challenge := `Bearer realm="zfarm"`
	if code != "" {
		challenge += fmt.Sprintf(`, error=%q, error_description=%s`, code, strconv.QuoteToASCII(text))
	}
	return huma.ErrorWithHeaders(problem(http.StatusUnauthorized, "%s", text), http.Header{"Www-Authenticate": {challenge}})
}

// who returns the caller of an operation that requires a role.
func (s *Server) who(ctx context.Context) Principal {
	if p := exchangeOf(ctx).who; p != nil {
		return *p
	}
	return Principal{}
}

// owned refuses callers that may not change builds of a port.
func (s *Server) owned(ctx context.Context, port string) error {
	if p := s.who(ctx); !p.Owns(port) {
		return problem(http.StatusForbidden, "%s does not own the port %s; its token is for %s", p.Name, port, patterns(p.Ports))
	}
	return nil
}

// collectable refuses callers that may not download files of a port.
func (s *Server) collectable(ctx context.Context, port string) error {
	if p := s.who(ctx); !p.Has(wire.Collector) && !p.Owns(port) {
		return problem(http.StatusForbidden, "%s lacks the role %s and does not own the port %s; its token is for %s", p.Name, wire.Collector, port, patterns(p.Ports))
	}
	return nil
}

func patterns(ports []string) string {
	if len(ports) == 0 {
		return "no port"
	}
	return strings.Join(ports, ", ")
}

// audited records a change before making it, so that none goes unrecorded, and also
// records that it was refused or failed.
func (s *Server) audited(ctx context.Context, subject, detail string, act func() error) error {
	x := exchangeOf(ctx)
	x.subject = subject
	entry := s.entry(x, detail)
	if err := s.Store.Audit(ctx, entry); err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	x.audited = true
	err := act()
	if err == nil {
		return nil
	}
	entry = s.entry(x, err.Error())
	entry.Refused = true
	// The caller may have gone; record the outcome all the same.
	if failed := s.Store.Audit(context.WithoutCancel(ctx), entry); failed != nil {
		err = errors.Join(err, fmt.Errorf("writing the audit: %w", failed))
	}
	return err
}

func (s *Server) entry(x *exchange, detail string) store.Audit {
	a := store.Audit{At: s.Now(), What: x.operation, Subject: x.subject, Detail: detail, Request: x.id}
	if x.who != nil {
		a.Who = x.who.Name
	}
	return a
}

// auditRefusal records changes that were refused before they reached audited. The
// entries of unauthenticated callers are bounded, or they could fill the disk.
func (s *Server) auditRefusal(r *http.Request) {
	x := exchangeOf(r.Context())
	if !x.change || x.audited {
		return
	}
	entry := s.entry(x, x.detail)
	entry.Refused = true
	if x.who == nil {
		entry.Who = "from " + s.address(r)
		if s.anonymous.allow("") > 0 {
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()
	if err := s.Store.Audit(ctx, entry); err != nil {
		s.Log.ErrorContext(ctx, "refusal not audited", "request", x.id, "error", err.Error())
	}
}
