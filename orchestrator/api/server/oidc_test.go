// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// issuer is an OpenID Connect issuer over HTTP.
type issuer struct {
	*httptest.Server
	key         *ecdsa.PrivateKey
	discoveries atomic.Int64
	fetches     atomic.Int64
	down        atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.down.Load() {
			http.Error(w, "gone", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			i.discoveries.Add(1)
			json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth", //nolint:errcheck // a test server
				"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"}})
		case "/keys":
			i.fetches.Add(1)
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}) //nolint:errcheck // a test server
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestOIDC(t *testing.T) {
	i := newIssuer(t)
	now := time.Now()
	claims := func(change map[string]any) map[string]any {
		all := map[string]any{"iss": i.URL, "aud": []string{"zfarm", "other"}, "sub": "repo:team/ports:ref:refs/heads/main", "groups": []string{"dev", "zos-ports"},
			"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix()}
		for k, v := range change {
			if all[k] = v; v == nil {
				delete(all, k)
			}
		}
		return all
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(jose.JSONWebKey{Key: i.key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	good := sign(t, jose.ES256, i.key, claims(nil))
	parts := strings.Split(good, ".")
	forged := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "team", "evil", 1))) + "." + parts[2]
	tests := []struct {
		name, token, want string
	}{
		{"good", good, ""},
		{"audience as a text", sign(t, jose.ES256, i.key, claims(map[string]any{"aud": "zfarm"})), ""},
		{"within the skew", sign(t, jose.ES256, i.key, claims(map[string]any{"exp": now.Add(-30 * time.Second).Unix()})), ""},
		{"wrong audience", sign(t, jose.ES256, i.key, claims(map[string]any{"aud": "elsewhere"})), "audience"},
		{"no audience", sign(t, jose.ES256, i.key, claims(map[string]any{"aud": nil})), "audience"},
		{"expired", sign(t, jose.ES256, i.key, claims(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()})), "expired at"},
		{"no expiry", sign(t, jose.ES256, i.key, claims(map[string]any{"exp": nil})), "no expiry"},
		{"wrong issuer", sign(t, jose.ES256, i.key, claims(map[string]any{"iss": "https://evil.example"})), "different provider"},
		{"not yet valid", sign(t, jose.ES256, i.key, claims(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()})), "not valid before"},
		{"issued in the future", sign(t, jose.ES256, i.key, claims(map[string]any{"iat": now.Add(time.Hour).Unix()})), "not valid before"},
		{"no subject", sign(t, jose.ES256, i.key, claims(map[string]any{"sub": nil})), "no claim sub"},
		{"another key", sign(t, jose.ES256, other, claims(nil)), "signature"},
		{"the public key as a secret", sign(t, jose.HS256, public, claims(nil)), "signature algorithm"},
		{"alg none", none, "signature algorithm"},
		{"changed claims", forged, "signature"},
		{"no token", "a.b.c", "malformed"},
	}
	o, err := NewOIDC(Issuer{URL: i.URL, Audience: "zfarm", Rules: []ClaimRule{
		{Claims: map[string]string{"sub": "repo:team/ports:ref:refs/heads/*", "groups": "zos-*"}, Roles: []wire.Role{wire.Maintainer}, Ports: []string{"gzip"}},
		{Claims: map[string]string{"groups": "admins"}, Roles: []wire.Role{wire.Admin}},
		{Claims: map[string]string{"missing": "*"}, Roles: []wire.Role{wire.Admin}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(i.URL, "http://")
	want := Principal{Name: "repo:team/ports:ref:refs/heads/main@" + host, Roles: []wire.Role{wire.Maintainer}, Ports: []string{"gzip"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have, err := o.Authenticate(t.Context(), tt.token)
			if tt.want == "" {
				if diff := cmp.Diff(want, have); diff != "" || err != nil {
					t.Errorf("%v (-want +have):\n%s", err, diff)
				}
				return
			}
			if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("have %v, want %q", err, tt.want)
			}
		})
	}
	if i.discoveries.Load() != 1 || i.fetches.Load() > 6 {
		t.Errorf("%d discoveries, %d fetches of keys", i.discoveries.Load(), i.fetches.Load())
	}
	for _, foreign := range []string{"zft_x", "a.b", strings.Repeat("x", maxToken) + ".b.c"} {
		if _, err := o.Authenticate(t.Context(), foreign); !errors.Is(err, ErrForeign) {
			t.Errorf("%.20s: %v", foreign, err)
		}
	}
}

// TestOIDCOverHTTP: a token of an issuer beside tokens of the farm.
func TestOIDCOverHTTP(t *testing.T) {
	i := newIssuer(t)
	f := newFarm()
	now := time.Now()
	o, err := NewOIDC(Issuer{URL: i.URL, Audience: "zfarm", Name: "email", Now: func() time.Time { return now },
		Rules: []ClaimRule{{Claims: map[string]string{"email": "*@example.org"}, Roles: []wire.Role{wire.Reader}}}})
	if err != nil {
		t.Fatal(err)
	}
	options := f.options()
	options.Authenticators = append(options.Authenticators, o)
	base, _ := serve(t, options)
	token := func(email string) string {
		return sign(t, jose.ES256, i.key, map[string]any{"iss": i.URL, "aud": "zfarm", "sub": "1", "email": email, "exp": now.Add(time.Hour).Unix()})
	}
	i.down.Store(true)
	if a := ask(t, "GET", base+"/v1/whoami", token("anna@example.org"), nil); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("the issuer is down: %d %s", a.status, a.body)
	}
	i.down.Store(false)
	if a := ask(t, "GET", base+"/v1/whoami", token("anna@example.org"), nil); a.status != 503 {
		t.Errorf("asked again at once: %d %s", a.status, a.body)
	}
	now = now.Add(issuerPause)
	if a := ask(t, "GET", base+"/v1/whoami", token("anna@example.org"), nil); a.status != 200 || !strings.Contains(a.body, `"name":"anna@example.org@127.0.0.1`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := ask(t, "GET", base+"/v1/whoami", token("eve@example.com"), nil); a.status != 403 || !strings.Contains(a.body, "lacks the role reader") {
		t.Errorf("without a role: %d %s", a.status, a.body)
	}
	if a := ask(t, "GET", base+"/v1/whoami", token("anna@example.org")+"x", nil); a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("forged: %d %s", a.status, a.body)
	}
	if a := ask(t, "GET", base+"/v1/whoami", f.token("ro", wire.Reader), nil); a.status != 200 {
		t.Errorf("a token of the farm: %d %s", a.status, a.body)
	}
}

func TestIssuersThatAreNotTrusted(t *testing.T) {
	rule := []ClaimRule{{Claims: map[string]string{"sub": "x"}, Roles: []wire.Role{wire.Reader}}}
	for want, i := range map[string]Issuer{
		"no URL":             {URL: "issuer", Audience: "a", Rules: rule},
		"must be https":      {URL: "http://issuer.example.org", Audience: "a", Rules: rule},
		"for which audience": {URL: "https://issuer.example.org", Rules: rule},
		"without a rule":     {URL: "https://issuer.example.org", Audience: "a"},
		"fit every token":    {URL: "https://issuer.example.org", Audience: "a", Rules: []ClaimRule{{Roles: []wire.Role{wire.Admin}}}},
		"is no pattern":      {URL: "https://issuer.example.org", Audience: "a", Rules: []ClaimRule{{Claims: map[string]string{"sub": "["}, Roles: []wire.Role{wire.Admin}}}},
		"there is no role":   {URL: "https://issuer.example.org", Audience: "a", Rules: []ClaimRule{{Claims: map[string]string{"sub": "x"}}}},
	} {
		if _, err := NewOIDC(i); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %v", want, err)
		}
	}
}
