// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package client calls a farm over HTTP, or in this process through [Transport].
//
// It imports orchestrator/api/wire and no other package of the farm: a program that
// uses it links neither the database nor the engine. It retries what may be retried,
// resumes a file, a log or a stream of events that was cut off, and checks the digests
// of files; its caller decides what to do with them.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers/codepage"
)

// Bounds on the retries of a client.
const (
	tries      = 5
	firstPause = 200 * time.Millisecond
	maxPause   = 10 * time.Second
	maxWait    = time.Minute // that a server may ask for
	maxAnswer  = 64 << 20    // bytes of a JSON answer
)

// Client calls a farm. It is safe for concurrent use. It retries requests that change
// nothing when the connection fails; changes never.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	calls wire.Operations
	fault error
}

// New returns a client of the farm at base, such as https://farm.example.org. It sends
// the token only over TLS and to loopback addresses. hc may be nil; with [Transport] it
// reaches a server in this process. Every call returns an error if base is wrong.
func New(base, token string, hc *http.Client) *Client {
	if hc == nil {
		hc = &http.Client{}
	}
	c := &Client{token: token, http: hc, calls: wire.NewOperations()}
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		c.fault = fmt.Errorf("the address of the farm %q is no URL; write it like https://farm.example.org", base)
	case token != "" && u.Scheme == "http" && !loopbackHost(u.Hostname()):
		c.fault = fmt.Errorf("the token would pass in the clear to %s; use its https address", base)
	}
	c.base = u
	return c
}

// Check returns what is wrong with the address, or nil.
func (c *Client) Check() error { return c.fault }

// Problem is a farm's answer to a request that it refuses or cannot fulfil.
type Problem struct {
	wire.Problem
	wait time.Duration // how long the farm asks to wait
}

// Error returns the detail, with those faults that it does not mention itself, in text
// that is safe for a terminal.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = fmt.Sprintf("the farm answered %d %s", p.Status, p.Title)
	}
	for _, f := range p.Faults {
		if !strings.Contains(text, "\n") {
			text += fmt.Sprintf("; %s: %s", f.Location, f.Message)
		}
	}
	return codepage.PrintableString(text)
}

// request makes the HTTP request of a call.
func (c *Client) request(ctx context.Context, o wire.Operation, in any) (*http.Request, error) {
	if c.fault != nil {
		return nil, c.fault
	}
	r, err := wire.NewRequest(ctx, c.base, o, in)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "zfarm")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// send makes a call whose answer is JSON.
func send[I, O any](ctx context.Context, c *Client, call wire.Call[I, O], in *I) (*O, error) {
	return sendWith(ctx, c, call, in, nil)
}

func sendWith[I, O any](ctx context.Context, c *Client, call wire.Call[I, O], in *I, edit func(*http.Request)) (*O, error) {
	resp, err := open(ctx, c, call, in, edit)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := new(O)
	body := reflect.ValueOf(out).Elem().FieldByName("Body")
	if !body.IsValid() {
		return out, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(body.Addr().Interface()); err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", c.base.Redacted(), err)
	}
	return out, nil
}

// open makes a call and returns its successful answer. It retries calls that change
// nothing. edit may add to each request.
func open[I, O any](ctx context.Context, c *Client, call wire.Call[I, O], in *I, edit func(*http.Request)) (*http.Response, error) {
	for try := 1; ; try++ {
		r, err := c.request(ctx, call.Operation, in)
		if err != nil {
			return nil, fmt.Errorf("asking for %s: %w", call.ID, err)
		}
		if edit != nil {
			edit(r)
		}
		resp, err := c.once(r)
		if err == nil {
			return resp, nil
		}
		if call.Changes() || try >= tries || !temporary(ctx, err) {
			return nil, err
		}
		if err := pause(ctx, try, err); err != nil {
			return nil, err
		}
	}
}

// once sends one request. An unsuccessful status is a *Problem.
func (c *Client) once(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the farm: %w", err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	p := &Problem{}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(text, &p.Problem) != nil {
		p.Problem = wire.Problem{} // from something between here and the farm
	}
	p.Status, p.Title = resp.StatusCode, http.StatusText(resp.StatusCode)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.wait = time.Duration(min(seconds, int(maxWait/time.Second))) * time.Second
	}
	return nil, p
}

// temporary reports whether another try may succeed.
func temporary(ctx context.Context, err error) bool {
	var p *Problem
	switch {
	case ctx.Err() != nil:
		return false
	case errors.As(err, &p):
		return p.Status == http.StatusTooManyRequests || p.Status == http.StatusBadGateway ||
			p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout
	}
	return true
}

// pause waits longer after each try, with jitter so that clients do not retry in step.
func pause(ctx context.Context, try int, err error) error {
	wait := min(firstPause<<min(try-1, 10), maxPause)
	wait = wait/2 + rand.N(wait) //nolint:gosec // not a secret
	var p *Problem
	if errors.As(err, &p) {
		wait = max(wait, p.wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
