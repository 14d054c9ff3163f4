// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// Issuer is an OpenID Connect issuer whose tokens the farm accepts.
type Issuer struct {
	// URL is the issuer as in its tokens; https, or http on loopback.
	URL string
	// Audience must be among the token's audiences.
	Audience string
	// Name is the claim that names the principal; "" means "sub".
	Name  string
	Rules []ClaimRule
	// Client fetches discovery document and keys; nil means one with bounds.
	Client *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ClaimRule gives roles and ports to tokens whose claims all match.
type ClaimRule struct {
	// Claims maps the name of a claim to a pattern (path.Match: * does not match a
	// slash). If a claim is a list, one element must match.
	Claims map[string]string
	Roles  []wire.Role
	Ports  []string
}

// Bounds on an issuer's tokens and answers.
const (
	maxToken     = 16 << 10         // bytes of a token
	maxDiscovery = 1 << 20          // bytes of one answer of the issuer
	issuerPause  = 10 * time.Second // between two tries to reach it
	clockSkew    = time.Minute      // between its clock and ours
)

// algorithms lists those with a public key: with a shared secret, everyone who can
// verify a token could make one.
func algorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}
}

// OIDC authenticates by tokens of an issuer. It discovers the issuer at the first
// token, and retries after a pause while that fails; it caches the keys.
type OIDC struct {
	issuer   Issuer
	host     string
	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	tried    time.Time
	failed   error
}

// NewOIDC checks the configuration; it does not contact the issuer yet.
func NewOIDC(i Issuer) (*OIDC, error) {
	u, err := url.Parse(i.URL)
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("trusting issuer %q: it is no URL", i.URL)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())):
		return nil, fmt.Errorf("trusting issuer %q: it must be https", i.URL)
	case i.Audience == "":
		return nil, fmt.Errorf("trusting issuer %q: say for which audience its tokens must be", i.URL)
	case len(i.Rules) == 0:
		return nil, fmt.Errorf("trusting issuer %q: without a rule no token of it would have a role", i.URL)
	}
	for _, r := range i.Rules {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("trusting issuer %q: %w", i.URL, err)
		}
	}
	if i.Name == "" {
		i.Name = "sub"
	}
	if i.Now == nil {
		i.Now = time.Now
	}
	if i.Client == nil {
		i.Client = &http.Client{Timeout: 10 * time.Second, Transport: &bounded{next: http.DefaultTransport, most: maxDiscovery}}
	}
	return &OIDC{issuer: i, host: u.Host}, nil
}

func (r ClaimRule) check() error {
	if len(r.Claims) == 0 {
		return errors.New("a rule without claims would fit every token")
	}
	for _, claim := range slices.Sorted(maps.Keys(r.Claims)) {
		if _, err := path.Match(r.Claims[claim], ""); err != nil {
			return fmt.Errorf("the pattern %q of claim %s is no pattern", r.Claims[claim], claim)
		}
	}
	return wire.CheckRoles(r.Roles, r.Ports)
}

// Authenticate checks signature, issuer, audience and times of a token, and
// applies the rules to its claims.
func (o *OIDC) Authenticate(ctx context.Context, token string) (Principal, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return Principal{}, ErrForeign
	}
	verifier, err := o.ready(ctx)
	if err != nil {
		return Principal{}, err
	}
	parsed, err := verifier.Verify(oidc.ClientContext(ctx, o.issuer.Client), token)
	if err != nil && strings.Contains(err.Error(), "fetching keys") { // the library has no typed error for it
		return Principal{}, fmt.Errorf("fetching the keys of issuer %s: %w", o.issuer.URL, err)
	}
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	var claims map[string]any
	if err := parsed.Claims(&claims); err != nil {
		return Principal{}, fmt.Errorf("%w: its claims cannot be read: %w", ErrToken, err)
	}
	if err := o.times(claims); err != nil {
		return Principal{}, err
	}
	name, ok := claims[o.issuer.Name].(string)
	if !ok || name == "" {
		return Principal{}, fmt.Errorf("%w: it has no claim %s", ErrToken, o.issuer.Name)
	}
	// The host distinguishes such names from those of the farm's own tokens.
	p := Principal{Name: name + "@" + o.host}
	for _, r := range o.issuer.Rules {
		if r.fits(claims) {
			p.Roles = append(p.Roles, r.Roles...)
			p.Ports = append(p.Ports, r.Ports...)
		}
	}
	return p, nil
}

// times checks the token against the clock, with the same small skew both ways.
func (o *OIDC) times(claims map[string]any) error {
	now := o.issuer.Now()
	at := func(claim string) (time.Time, bool) {
		seconds, ok := claims[claim].(float64)
		return time.Unix(int64(seconds), 0), ok
	}
	expires, ok := at("exp")
	switch {
	case !ok:
		return fmt.Errorf("%w: it has no expiry", ErrToken)
	case !now.Before(expires.Add(clockSkew)):
		return fmt.Errorf("%w: it expired at %s; get a new one from %s", ErrToken, expires.UTC().Format(time.RFC3339), o.host)
	}
	for _, claim := range []string{"nbf", "iat"} {
		if begin, ok := at(claim); ok && now.Add(clockSkew).Before(begin) {
			return fmt.Errorf("%w: it is not valid before %s; compare the clocks of issuer and farm", ErrToken, begin.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

func (r ClaimRule) fits(claims map[string]any) bool {
	for claim, pattern := range r.Claims {
		if !slices.ContainsFunc(texts(claims[claim]), func(s string) bool {
			ok, err := path.Match(pattern, s)
			return err == nil && ok
		}) {
			return false
		}
	}
	return true
}

// texts returns a claim as a list.
func texts(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{fmt.Sprint(v)}
	case []any:
		var all []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// ready fetches the issuer's description once.
func (o *OIDC) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.verifier != nil {
		return o.verifier, nil
	}
	now := o.issuer.Now()
	if o.failed != nil && now.Sub(o.tried) < issuerPause {
		return nil, o.failed
	}
	o.tried = now
	// The key set keeps this context for later fetches; a request's context would end.
	lasting := oidc.ClientContext(context.WithoutCancel(ctx), o.issuer.Client)
	provider, err := oidc.NewProvider(lasting, o.issuer.URL)
	if err != nil {
		o.failed = fmt.Errorf("looking up issuer %s: %w", o.issuer.URL, err)
		return nil, o.failed
	}
	o.verifier = provider.VerifierContext(lasting, &oidc.Config{
		ClientID: o.issuer.Audience, SupportedSigningAlgs: algorithms(),
		SkipExpiryCheck: true, // times checks it, with its own skew
	})
	return o.verifier, nil
}

// bounded fails on answers that are longer than any honest one.
type bounded struct {
	next http.RoundTripper
	most int64
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, b.most), resp.Body}
	return resp, nil
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
