// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/zfarm/zfarm/workers/codepage"
)

// Time limits of a connection.
const (
	writeStall = 30 * time.Second // for the peer to take a piece of the answer
	readLimit  = 5 * time.Minute  // for a submission to arrive
)

// exchange is one request with its answer, for the log, the metrics and the audit.
type exchange struct {
	id        string
	operation string
	// who is set once the caller is known.
	who *Principal
	// change: the operation may change something. audited: that was recorded already.
	change, audited bool
	subject         string
	// detail is the text of a problem.
	detail string
	// stream: the answer is a stream, whose duration means nothing.
	stream bool
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a context, or an empty one for a context without
// any.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// named notes the operation of a request that is not in the table.
func named(r *http.Request, operation string) { exchangeOf(r.Context()).operation = operation }

// Handler returns the whole server as a handler. A caller that listens with it must
// bound headers and connections; [Server.Serve] does.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.enter) }

// enter handles every request first.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	x := &exchange{id: requestID(r.Header.Get("X-Request-Id"))}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w)}
	h := a.Header()
	h.Set("X-Request-Id", x.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	begun := s.Now()
	defer func() {
		fault := recover()
		if err, _ := fault.(error); fault != nil && !errors.Is(err, http.ErrAbortHandler) {
			s.Log.ErrorContext(r.Context(), "request panicked", "request", x.id, "operation", x.operation, "panic", fmt.Sprint(fault))
			if a.status == 0 {
				s.refuse(a, r, fmt.Errorf("panic: %v", fault))
				fault = nil
			}
		}
		s.logged(r, a, s.Now().Sub(begun))
		if fault != nil {
			panic(http.ErrAbortHandler) // cut the connection: the client must notice
		}
	}()
	if err := s.allowed(r); err != nil {
		s.refuse(a, r, err)
		return
	}
	s.route(a, r)
}

// allowed refuses callers before their request reaches an operation.
func (s *Server) allowed(r *http.Request) error {
	if s.Embedded != nil {
		return localOnly(r)
	}
	if wait := s.addresses.allow(s.address(r)); wait > 0 {
		return later(http.StatusTooManyRequests, wait, "too many requests from this address; wait as long as Retry-After says")
	}
	return nil
}

// localOnly keeps web pages from using an embedded server through its user's browser:
// by a name that resolves to this machine, or by a form.
func localOnly(r *http.Request) error {
	if r.Context().Value(http.LocalAddrContextKey) == nil {
		return nil // not from a network
	}
	host := r.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	if !loopbackHost(strings.Trim(host, "[]")) {
		return problem(http.StatusForbidden, "this farm answers to its own machine only; ask for it as localhost, or set up tokens and TLS")
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return problem(http.StatusForbidden, "a web page of another origin asked for this; use the command line")
	}
	return nil
}

// route finds the operation; for an unknown one it answers with a problem, too.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	found := &discarded{header: http.Header{}}
	h.ServeHTTP(found, r)
	if allow := found.header.Get("Allow"); found.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		s.refuse(w, r, problem(found.status, "%s is not possible here; possible: %s", codepage.Line(r.Method, maxShown), allow))
		return
	}
	s.refuse(w, r, problem(http.StatusNotFound, "there is nothing at %s; /openapi.json lists the operations", codepage.Line(r.URL.Path, maxShown)))
}

// discarded keeps status and header of an answer and drops its body.
type discarded struct {
	header http.Header
	status int
}

// Header returns the header.
func (u *discarded) Header() http.Header { return u.header }

// WriteHeader keeps the status.
func (u *discarded) WriteHeader(status int) { u.status = status }

// Write drops the body.
func (u *discarded) Write(p []byte) (int, error) { return len(p), nil }

// logged logs how a request ended.
func (s *Server) logged(r *http.Request, a *answer, took time.Duration) {
	x := exchangeOf(r.Context())
	code := a.status
	if code == 0 {
		code = http.StatusOK
	}
	s.metrics.answered(x, code, took)
	who := ""
	if x.who != nil {
		who = x.who.Name
	}
	s.Log.InfoContext(r.Context(), "request", "request", x.id, "operation", x.operation, "method", codepage.Line(r.Method, maxShown), "path", codepage.Line(r.URL.Path, maxShown),
		"code", code, "bytes", a.bytes, "took", took, "who", who, "from", s.address(r), "detail", x.detail)
}

// requestID accepts the caller's id if it has 8 to 64 letters, digits, dots, dashes and
// underscores and begins with a letter or digit.
func requestID(given string) string {
	sane := len(given) >= 8 && len(given) <= 64 && strings.IndexByte("._-", given[0]) < 0
	for _, c := range []byte(given) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		sane = sane && (letter || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0)
	}
	if sane {
		return given
	}
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// address returns the address that a request is limited under. Behind a proxy that is
// the last one, which the proxy itself added; a client can forge those before it.
func (s *Server) address(r *http.Request) string {
	if named := r.Header.Values("X-Forwarded-For"); s.Proxied && len(named) > 0 {
		last := named[len(named)-1]
		last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		if ip, err := netip.ParseAddr(last); err == nil {
			return addressKey(netip.AddrPortFrom(ip, 0).String())
		}
	}
	return addressKey(r.RemoteAddr)
}

// answer counts what is written, and has each piece taken within a time: no
// bound on the whole, so that large files and long logs pass over slow lines.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	bytes   int64
}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.extend()
	a.ResponseWriter.WriteHeader(status)
}

// Write writes and counts.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.extend()
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Unwrap supports http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) extend() {
	err := a.control.SetWriteDeadline(time.Now().Add(writeStall))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return // the connection is gone; the write will fail
	}
}

// maxShown bounds the text of a client in a message, in bytes.
const maxShown = 200
