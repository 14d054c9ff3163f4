// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/zfarm/zfarm/workers/codepage"
)

// How often and how long a client tries what it may try again.
const (
	tries      = 5
	firstPause = 200 * time.Millisecond
	maxPause   = 10 * time.Second
	maxWait    = time.Minute // of what a server may ask for
	maxAnswer  = 64 << 20    // bytes of a JSON answer
)

// Client asks a farm. It is safe for concurrent use. Requests that change
// nothing are tried again when the way there fails; changes never are.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	calls table
	fault error
}

// NewClient returns a client of the farm at base, such as
// https://farm.example.org. The token is sent over TLS and to loopback
// addresses only. hc may be nil; with [Transport] it reaches a server in this
// process. What is wrong with base every call says.
func NewClient(base, token string, hc *http.Client) *Client {
	if hc == nil {
		hc = &http.Client{}
	}
	c := &Client{token: token, http: hc, calls: operations()}
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

// Check says what is wrong with the address; nil if it can be asked.
func (c *Client) Check() error { return c.fault }

// Problem is what a farm says when it does not do what was asked (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what happened and what to do.
	Detail string `json:"detail"`
	// Instance names the request, for the farm's admin.
	Instance string  `json:"instance"`
	Faults   []Fault `json:"errors"`

	wait time.Duration
}

// Fault is one of several things that are wrong with a request or a recipe.
type Fault struct {
	Message string `json:"message"`
	// Location is a parameter or a place in the body as "body.name", or a
	// place in a recipe as "gzip/recipe.hcl:12,3".
	Location string `json:"location"`
}

// Error is the detail, with the faults where it does not tell them itself, in
// text that is safe for a terminal.
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

// request makes the request of a call: the same tags say where each field goes
// as by which the server reads it.
func (c *Client) request(ctx context.Context, d definition, in any) (*http.Request, error) {
	if c.fault != nil {
		return nil, c.fault
	}
	e := &encoder{path: d.path, raw: d.path, query: url.Values{}, header: http.Header{}}
	if err := e.fields(reflect.ValueOf(in).Elem()); err != nil {
		return nil, err
	}
	u := *c.base
	u.Path, u.RawPath = c.base.Path+e.path, c.base.EscapedPath()+e.raw
	u.RawQuery = e.query.Encode()
	r, err := http.NewRequestWithContext(ctx, d.method, u.String(), e.body)
	if err != nil {
		return nil, err
	}
	r.Header = e.header
	r.Header.Set("User-Agent", "zfarm")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// encoder takes an input apart.
type encoder struct {
	path, raw string
	query     url.Values
	header    http.Header
	body      io.Reader
}

func (e *encoder) fields(v reflect.Value) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case !f.IsExported():
			continue
		case f.Anonymous:
			if err := e.fields(v.Field(i)); err != nil {
				return err
			}
			continue
		case f.Name == "Body":
			b, err := json.Marshal(v.Field(i).Interface())
			if err != nil {
				return fmt.Errorf("writing the request: %w", err)
			}
			e.body = bytes.NewReader(b)
			e.header.Set("Content-Type", "application/json")
			continue
		}
		if err := e.parameter(f, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// parameter writes a field; fields that are zero are left out, as nothing has
// a default but zero.
func (e *encoder) parameter(f reflect.StructField, v reflect.Value) error {
	text, err := parameterText(v)
	if err != nil {
		return err
	}
	if name := f.Tag.Get("path"); name != "" {
		if text == "" || text == "." || text == ".." {
			return fmt.Errorf("%q cannot be the %s of anything", text, name)
		}
		e.path = strings.Replace(e.path, "{"+name+"}", text, 1)
		e.raw = strings.Replace(e.raw, "{"+name+"}", url.PathEscape(text), 1)
		return nil
	}
	if v.IsZero() {
		return nil
	}
	if name := f.Tag.Get("query"); name != "" {
		e.query.Set(name, text)
	}
	if name := f.Tag.Get("header"); name != "" {
		e.header.Set(name, text)
	}
	return nil
}

func parameterText(v reflect.Value) (string, error) {
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := t.MarshalText()
		return string(b), err
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	}
	return "", fmt.Errorf("a parameter cannot be a %s", v.Type())
}

// send makes a call that is answered in JSON.
func send[I, O any](ctx context.Context, c *Client, call call[I, O], in *I) (*O, error) {
	return sendWith(ctx, c, call, in, nil)
}

func sendWith[I, O any](ctx context.Context, c *Client, call call[I, O], in *I, edit func(*http.Request)) (*O, error) {
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

// open makes a call and returns its answer, which has succeeded. Calls that
// change nothing are tried again. edit may add to each request.
func open[I, O any](ctx context.Context, c *Client, call call[I, O], in *I, edit func(*http.Request)) (*http.Response, error) {
	for try := 1; ; try++ {
		r, err := c.request(ctx, call.definition, in)
		if err != nil {
			return nil, fmt.Errorf("asking for %s: %w", call.id, err)
		}
		if edit != nil {
			edit(r)
		}
		resp, err := c.once(r)
		if err == nil {
			return resp, nil
		}
		if call.change() || try >= tries || !passing(ctx, err) {
			return nil, err
		}
		if err := pause(ctx, try, err); err != nil {
			return nil, err
		}
	}
}

// once asks once. A status that is no success is a *Problem.
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
	if err != nil || json.Unmarshal(text, p) != nil {
		*p = Problem{} // from something between here and the farm
	}
	p.Status, p.Title = resp.StatusCode, http.StatusText(resp.StatusCode)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.wait = time.Duration(min(seconds, int(maxWait/time.Second))) * time.Second
	}
	return nil, p
}

// passing reports whether another try may go better.
func passing(ctx context.Context, err error) bool {
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

// pause waits longer after each try, and not all clients equally long.
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
