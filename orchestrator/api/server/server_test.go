// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// TestCurl submits, watches and collects with raw requests, as the description
// says.
func TestCurl(t *testing.T) {
	f := newFarm()
	secret := f.token("anna", wire.Maintainer, "gzip", "lib*")
	base, _ := serve(t, f.options())
	a := ask(t, "POST", base+"/v1/submissions?priority=3", secret, submission(t, map[string]string{"gzip": "port gzip", "libz": "port libz"}), "X-Request-Id", "nightly-0001")
	if a.status != http.StatusAccepted || !strings.Contains(a.body, `"fresh":true`) {
		t.Fatalf("submitting: %d %s", a.status, a.body)
	}
	if len(f.asked) != 1 || f.asked[0].Owner != "anna" || f.asked[0].Priority != 3 || f.asked[0].Force || len(f.asked[0].Recipes) != 2 {
		t.Fatalf("the engine was asked %+v", f.asked)
	}
	r := f.asked[0].Recipes[0]
	if r.Path != "gzip/recipe.hcl" || !strings.HasPrefix(r.URI, "urn:zfarm:submission:") || r.Recipe.Port != "gzip" {
		t.Errorf("the recipe came from %q, %q", r.URI, r.Path)
	}
	have := f.lastAudit(t)
	if have.Who != "anna" || have.What != "submit" || have.Subject != "gzip 1.0, libz 1.0" || have.Request != "nightly-0001" || have.Refused {
		t.Errorf("audited %+v", have)
	}
	if a := ask(t, "GET", base+"/v1/builds?port=gzip", secret, nil); a.status != 200 || !strings.Contains(a.body, `"id":"gzip-0"`) || strings.Contains(a.body, "libz") {
		t.Errorf("listing: %d %s", a.status, a.body)
	}
	f.publish("gzip-0", "gzip.pax.Z", "artifact")
	if a := ask(t, "GET", base+"/v1/builds/gzip-0/files/gzip.pax.Z", secret, nil); a.status != 200 || a.body != "artifact" {
		t.Errorf("collecting: %d %s", a.status, a.body)
	}
}

// TestRefusals sends everything that must be refused, each with its reason.
func TestRefusals(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	f.workers = []store.Worker{{Name: "zos1", Slots: 1, Registered: true}}
	reader, anna := f.token("ro", wire.Reader), f.token("anna", wire.Maintainer, "zlib")
	release := f.token("release", wire.Collector)
	admin := f.token("root", wire.Admin)
	expired, revoked := f.token("old", wire.Admin), f.token("gone", wire.Admin)
	f.tokens[4].Expires, f.tokens[5].Revoked = time.Now().Add(-time.Minute), true
	f.publish("gz", "gzip.pax.Z", "artifact")
	base, _ := serve(t, f.options())
	slip := func() io.Reader {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range []string{"recipe.hcl", "../../etc/cron.d/x"} {
			w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 9}) //nolint:errcheck // a buffer
			io.WriteString(w, "port zlib")                                         //nolint:errcheck // a buffer
		}
		w.Close() //nolint:errcheck // a buffer
		return &b
	}
	zlib := func() io.Reader { return submission(t, map[string]string{"zlib": "port zlib"}) }
	tests := []struct {
		name, method, path, token string
		body                      io.Reader
		status                    int
		want                      string
		audited                   string // the audit's What, for changes
	}{
		{"no token", "GET", "/v1/builds", "", nil, 401, "needs a token", ""},
		{"expired token", "POST", "/v1/submissions", expired, zlib(), 401, "expired at", "submit"},
		{"revoked token", "GET", "/v1/builds", revoked, nil, 401, "was revoked", ""},
		{"unknown token", "GET", "/v1/builds", SecretPrefix + "AAAA", nil, 401, "not known to this farm", ""},
		{"no token at all", "GET", "/v1/builds", "hunter2", nil, 401, "no kind that this farm takes", ""},
		{"reader submits", "POST", "/v1/submissions", reader, zlib(), 403, "lacks the role maintainer", "submit"},
		{"reader cancels", "POST", "/v1/builds/gz/cancel", reader, nil, 403, "lacks the role maintainer", "cancel"},
		{"another team's port", "POST", "/v1/submissions", anna, submission(t, map[string]string{"zlib": "port zlib", "gzip": "port gzip"}), 403, "does not own the port gzip; its token is for zlib", "submit"},
		{"another team's build", "POST", "/v1/builds/gz/cancel", anna, nil, 403, "does not own the port gzip", "cancel"},
		{"another team's priority", "PATCH", "/v1/builds/gz", anna, strings.NewReader(`{"paused":true}`), 403, "does not own the port gzip", "change-build"},
		{"another team's artifact", "GET", "/v1/builds/gz/files/gzip.pax.Z", anna, nil, 403, "lacks the role release", ""},
		{"reader collects", "GET", "/v1/builds/gz/files/gzip.pax.Z", reader, nil, 403, "lacks the role release", ""},
		{"release submits", "POST", "/v1/submissions", release, zlib(), 403, "lacks the role maintainer", "submit"},
		{"maintainer drains", "PATCH", "/v1/workers/zos1", anna, strings.NewReader(`{"draining":true}`), 403, "lacks the role admin", "change-worker"},
		{"maintainer makes tokens", "POST", "/v1/tokens", anna, strings.NewReader(`{"name":"x","roles":["admin"]}`), 403, "lacks the role admin", "add-token"},
		{"maintainer reads the audit", "GET", "/v1/audit", anna, nil, 403, "lacks the role admin", ""},
		{"zip slip", "POST", "/v1/submissions", anna, slip(), 422, `member "../../etc/cron.d/x" has a name that is not allowed`, "submit"},
		{"no archive", "POST", "/v1/submissions", anna, strings.NewReader(strings.Repeat("hello ", 200)), 422, "not a whole tar", "submit"},
		{"faulty recipe", "POST", "/v1/submissions", anna, submission(t, map[string]string{"zlib": "colour = 1"}), 422, "on recipe.hcl line 7", "submit"},
		{"needs that cannot be met", "POST", "/v1/submissions", admin, submission(t, map[string]string{"n": "port needy"}), 422, "needs zlib", "submit"},
		{"one port twice", "POST", "/v1/submissions", anna, submission(t, map[string]string{"a": "port zlib", "b": "port zlib"}), 422, "one version at a time", "submit"},
		{"unknown build", "GET", "/v1/builds/nope", reader, nil, 404, "not known to this farm", ""},
		{"unknown build to cancel", "POST", "/v1/builds/nope/cancel", admin, nil, 404, "not known to this farm", "cancel"},
		{"unknown worker", "POST", "/v1/workers/nope/probe", admin, nil, 404, "not known to this farm", "probe"},
		{"unknown token to revoke", "DELETE", "/v1/tokens/nope", admin, nil, 404, "not known to this farm", "revoke-token"},
		{"unknown place", "GET", "/v2/everything", reader, nil, 404, "/openapi.json", ""},
		{"wrong method", "PUT", "/v1/builds/gz", admin, nil, 405, "possible: GET, HEAD, PATCH", ""},
		{"unknown parameter", "GET", "/v1/builds?ports=gzip", reader, nil, 422, "validation failed", ""},
		{"bad state", "GET", "/v1/builds?state=happy", reader, nil, 422, "validation failed", ""},
		{"bad limit", "GET", "/v1/builds?limit=100000", reader, nil, 422, "validation failed", ""},
		{"change of nothing", "PATCH", "/v1/builds/gz", admin, strings.NewReader(`{}`), 422, "nothing is to be changed", "change-build"},
		{"change of something else", "PATCH", "/v1/builds/gz", admin, strings.NewReader(`{"owner":"me"}`), 422, "validation failed", "change-build"},
		{"no JSON", "PATCH", "/v1/builds/gz", admin, strings.NewReader(`{"paused":`), 400, "unexpected end", "change-build"},
		{"role that there is not", "POST", "/v1/tokens", admin, strings.NewReader(`{"name":"x","roles":["god"]}`), 422, "validation failed", "add-token"},
		{"maintainer of nothing", "POST", "/v1/tokens", admin, strings.NewReader(`{"name":"x","roles":["maintainer"]}`), 422, "patterns of the ports", "add-token"},
		{"pattern that is none", "POST", "/v1/tokens", admin, strings.NewReader(`{"name":"x","roles":["maintainer"],"ports":["["]}`), 422, "no pattern", "add-token"},
		{"token for the past", "POST", "/v1/tokens", admin, strings.NewReader(`{"name":"x","roles":["reader"],"expires":"2001-01-01T00:00:00Z"}`), 422, "has passed", "add-token"},
		{"name that is none", "POST", "/v1/tokens", admin, strings.NewReader(`{"name":"x\u001b[31m","roles":["reader"]}`), 422, "validation failed", "add-token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(f.audits)
			a := ask(t, tt.method, base+tt.path, tt.token, tt.body)
			p := a.problem(t)
			if a.status != tt.status || !strings.Contains((&client.Problem{Problem: p}).Error(), tt.want) && !strings.Contains(p.Detail, tt.want) {
				t.Errorf("have %d %s, want %d %q", a.status, a.body, tt.status, tt.want)
			}
			if challenge := a.header.Get("WWW-Authenticate"); (a.status == 401) != strings.HasPrefix(challenge, `Bearer realm="zfarm"`) {
				t.Errorf("%d with the challenge %q", a.status, challenge)
			}
			if tt.audited == "" {
				if len(f.audits) != before {
					t.Errorf("audited %+v", f.lastAudit(t))
				}
				return
			}
			if len(f.audits) == before {
				t.Fatal("it was not audited")
			}
			have := f.lastAudit(t)
			if have.What != tt.audited || !have.Refused || have.Detail == "" || have.Request != a.header.Get("X-Request-Id") || have.Who == "" {
				t.Errorf("audited %+v", have)
			}
		})
	}
	if len(f.builds) != 1 || f.workers[0].Draining || len(f.tokens) != 6 {
		t.Errorf("something was changed: %d builds, %d tokens, %+v", len(f.builds), len(f.tokens), f.workers)
	}
}

func TestFaultyRecipesAreShownWithTheirPlaces(t *testing.T) {
	f := newFarm()
	secret := f.token("anna", wire.Maintainer, "*")
	base, _ := serve(t, f.options())
	p := ask(t, "POST", base+"/v1/submissions", secret, submission(t, map[string]string{"bad": "colour = 1", "good": "port good"})).problem(t)
	want := []wire.Fault{{Message: "error: Unknown argument; There is no colour.", Location: "bad/recipe.hcl:7,3"}}
	if diff := cmp.Diff(want, p.Faults); diff != "" {
		t.Errorf("faults (-want +have):\n%s", diff)
	}
	if !strings.Contains(p.Detail, "In bad:\nError: Unknown argument\n\n  on recipe.hcl line 7:\n   7: colour = 1\n") {
		t.Errorf("the text is %q", p.Detail)
	}
	if len(f.asked) != 0 {
		t.Errorf("the engine was asked %+v", f.asked)
	}
}

// TestTooLarge sends a body declared as 10 GB, and one that only turns out to be too
// large: the server refuses the first before it reads a byte, the second at the limit,
// and closes the connection.
func TestTooLarge(t *testing.T) {
	f := newFarm()
	secret := f.token("anna", wire.Maintainer, "*")
	o := f.options()
	o.Limits.Body = 1 << 20
	base, _ := serve(t, o)
	send := func(header string, body io.Reader) string {
		c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // only a bound
		if _, err := fmt.Fprintf(c, "POST /v1/submissions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", secret, header); err != nil {
			t.Fatal(err)
		}
		go io.Copy(c, body)        //nolint:errcheck // the server closes it in the middle
		answer, _ := io.ReadAll(c) // it ends because the server closes, whatever it ends with
		return string(answer)
	}
	for _, announced := range []string{"Content-Length: 10000000000", "Content-Length: 10000000000\r\nExpect: 100-continue"} {
		if a := send(announced, strings.NewReader("")); !strings.HasPrefix(a, "HTTP/1.1 413 ") || !strings.Contains(a, "larger than 1048576 bytes") || !strings.Contains(a, "Connection: close") {
			t.Errorf("%s: %q", announced, a)
		}
	}
	var chunks bytes.Buffer
	whole := submission(t, map[string]string{"a": "port a"}).Bytes()
	for range 40 {
		whole = append(whole, make([]byte, 64<<10)...)
	}
	for len(whole) > 0 {
		n := min(len(whole), 64<<10)
		fmt.Fprintf(&chunks, "%x\r\n%s\r\n", n, whole[:n])
		whole = whole[n:]
	}
	if a := send("Transfer-Encoding: chunked", &chunks); !strings.HasPrefix(a, "HTTP/1.1 413 ") || !strings.Contains(a, "larger than 1048576 bytes") {
		t.Errorf("chunked: %.400q", a)
	}
	if a := ask(t, "PATCH", base+"/v1/builds/x", secret, strings.NewReader(`{"x":"`+strings.Repeat("x", 2<<20)+`"}`)); a.status != 413 {
		t.Errorf("JSON: %d %s", a.status, a.body)
	}
	if have := f.lastAudit(t); !have.Refused {
		t.Errorf("audited %+v", have)
	}
}

func TestChanges(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	f.workers = []store.Worker{{Name: "zos1", Address: "ssh://zos1", Slots: 2, Registered: true}}
	base, _ := serve(t, f.options())
	c := client.New(base, f.token("root", wire.Admin), nil)
	ctx := t.Context()
	yes, eight := true, 8
	if b, err := c.Change(ctx, "gz", wire.BuildChange{Priority: &eight, Paused: &yes}); err != nil || b.Priority != 8 || !b.Paused {
		t.Errorf("changing: %+v, %v", b, err)
	}
	if w, err := c.ChangeWorker(ctx, "zos1", wire.WorkerChange{Draining: &yes}); err != nil || !w.Draining {
		t.Errorf("draining: %+v, %v", w, err)
	}
	if _, err := c.ProbeWorker(ctx, "zos1"); err != nil || len(f.probed) != 1 {
		t.Errorf("probing: %v, %v", f.probed, err)
	}
	if b, err := c.Cancel(ctx, "gz"); err != nil || b.State != wire.BuildCancelled {
		t.Errorf("cancelling: %v, %v", b.State, err)
	}
	made, err := c.AddToken(ctx, wire.NewToken{Name: "ci", Roles: []wire.Role{wire.Maintainer}, Ports: []string{"gzip"}})
	if err != nil {
		t.Fatal(err)
	}
	if life := made.Token.Expires.Sub(made.Token.Created); life != tokenLife {
		t.Errorf("the token lives %s", life)
	}
	ci := client.New(base, made.Secret, nil)
	if p, err := ci.Whoami(ctx); err != nil || !Principal(p).Owns("gzip") || Principal(p).Owns("zlib") || p.Name != "ci" {
		t.Errorf("whoami: %+v, %v", p, err)
	}
	if all, err := c.Tokens(ctx); err != nil || len(all) != 2 {
		t.Errorf("tokens: %+v, %v", all, err)
	}
	if err := c.RevokeToken(ctx, made.Token.ID); err != nil {
		t.Error(err)
	}
	if _, err := ci.Whoami(ctx); err == nil || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("revoked: %v", err)
	}
	var have []string
	audits, err := c.Audit(ctx, 0, 100)
	for _, a := range audits {
		have = append(have, fmt.Sprintf("%s %s %s: %s", a.Who, a.What, a.Subject, a.Detail))
		if strings.Contains(a.Detail, made.Secret) {
			t.Error("the audit holds a secret")
		}
	}
	want := []string{"root change-build gz: gzip 1.0: priority 8 paused true", "root change-worker zos1: draining true", "root probe zos1: ", "root cancel gz: gzip 1.0",
		"root add-token " + made.Token.ID + ": ci: roles maintainer, ports gzip, until " + made.Token.Expires.Format(time.RFC3339), "root revoke-token " + made.Token.ID + ": ci"}
	if diff := cmp.Diff(want, have); diff != "" || err != nil {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
}

// TestNothingIsChangedUnseen: a change that cannot be audited is not made.
func TestNothingIsChangedUnseen(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	secret := f.token("root", wire.Admin)
	j := &journal{}
	o := f.options()
	o.Log = j.logger()
	base, stop := serve(t, o)
	f.unwritable = errDisk
	a := ask(t, "POST", base+"/v1/builds/gz/cancel", secret, nil)
	if a.status != 500 || strings.Contains(a.body, "secret-path") || f.builds[0].Cancelled {
		t.Errorf("%d %s, cancelled: %v", a.status, a.body, f.builds[0].Cancelled)
	}
	a.problem(t)
	ready := ask(t, "GET", base+"/readyz", "", nil)
	if ready.status != 503 || strings.Contains(ready.body, "secret-path") || ready.header.Get("Retry-After") == "" {
		t.Errorf("ready: %d %s", ready.status, ready.body)
	}
	if a := ask(t, "GET", base+"/healthz", "", nil); a.status != 200 || !strings.Contains(a.body, `"version":"test"`) {
		t.Errorf("health: %d %s", a.status, a.body)
	}
	stop()
	if !strings.Contains(j.String(), "secret-path") || strings.Contains(j.String(), secret) {
		t.Errorf("the log has the secret, or not the reason:\n%s", j)
	}
}

func TestRequestIDs(t *testing.T) {
	f := newFarm()
	base, _ := serve(t, f.options())
	for given, kept := range map[string]bool{"build-42_x.y": true, "short": false, "": false, "has space in it": false, strings.Repeat("x", 65): false, "-leading-dash": false} {
		a := ask(t, "GET", base+"/healthz", "", nil, "X-Request-Id", given)
		if have := a.header.Get("X-Request-Id"); (have == given) != kept || len(have) < 8 {
			t.Errorf("%q became %q", given, have)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Error("browsers may guess")
		}
	}
}

func TestRates(t *testing.T) {
	f := newFarm()
	one, two := f.token("one", wire.Reader), f.token("two", wire.Reader)
	now := time.Now()
	o := f.options()
	o.Now = func() time.Time { return now }
	o.Limits.PerPrincipal = Rate{PerSecond: 0.5, Burst: 3}
	o.Limits.PerAddress = Rate{PerSecond: 1, Burst: 10}
	base, _ := serve(t, o)
	for i := range 4 {
		a := ask(t, "GET", base+"/v1/builds", one, nil)
		if want := 200; i < 3 && a.status != want {
			t.Errorf("request %d: %d", i, a.status)
		}
		if i == 3 && (a.status != 429 || a.header.Get("Retry-After") != "2" || !strings.Contains(a.problem(t).Detail, "requests of one")) {
			t.Errorf("request %d: %d after %q: %s", i, a.status, a.header.Get("Retry-After"), a.body)
		}
	}
	if a := ask(t, "GET", base+"/v1/builds", two, nil); a.status != 200 {
		t.Errorf("another principal: %d %s", a.status, a.body)
	}
	for range 5 {
		ask(t, "GET", base+"/healthz", "", nil)
	}
	if a := ask(t, "GET", base+"/healthz", "", nil); a.status != 429 || !strings.Contains(a.problem(t).Detail, "this address") {
		t.Errorf("the address: %d %s", a.status, a.body)
	}
}

func TestAddressesCountAsNetworks(t *testing.T) {
	for remote, want := range map[string]string{"192.0.2.7:1234": "192.0.2.7", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64", "[::ffff:192.0.2.7]:1": "192.0.2.7", "in-process": "in-process"} {
		if have := addressKey(remote); have != want {
			t.Errorf("%s counts as %s, want %s", remote, have, want)
		}
	}
	f := newFarm()
	o := f.options()
	for _, tt := range []struct {
		proxied     bool
		given, want string
	}{{false, "203.0.113.9", "192.0.2.7"}, {true, "203.0.113.9", "203.0.113.9"}, {true, "198.51.100.1, 203.0.113.9", "203.0.113.9"},
		{true, "nonsense", "192.0.2.7"}, {true, "", "192.0.2.7"}, {true, "2001:db8::1", "2001:db8::/64"}} {
		o.Proxied = tt.proxied
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{RemoteAddr: "192.0.2.7:1234", Header: http.Header{"X-Forwarded-For": {"192.0.2.1", tt.given}}}
		if have := s.address(r); have != tt.want {
			t.Errorf("%+v counts as %s", tt, have)
		}
	}
	l := newLimiters(Rate{PerSecond: 1, Burst: 1}, time.Now)
	for i := range maxLimiters + 10 {
		l.allow(fmt.Sprint(i))
	}
	if len(l.all) > maxLimiters {
		t.Errorf("%d addresses are remembered", len(l.all))
	}
}

func TestRoles(t *testing.T) {
	tests := []struct {
		roles []wire.Role
		ports []string
		has   map[wire.Role]bool
		owns  map[string]bool
	}{
		{[]wire.Role{wire.Reader}, []string{"*"}, map[wire.Role]bool{wire.Reader: true, wire.Collector: false, wire.Maintainer: false, wire.Admin: false}, map[string]bool{"gzip": false}},
		{[]wire.Role{wire.Collector}, nil, map[wire.Role]bool{wire.Reader: true, wire.Collector: true, wire.Maintainer: false}, map[string]bool{"gzip": false}},
		{[]wire.Role{wire.Maintainer}, []string{"lib*", "gzip"}, map[wire.Role]bool{wire.Reader: true, wire.Collector: false, wire.Maintainer: true, wire.Admin: false}, map[string]bool{"gzip": true, "libz": true, "gzip2": false, "": false}},
		{[]wire.Role{wire.Admin}, nil, map[wire.Role]bool{wire.Reader: true, wire.Collector: true, wire.Maintainer: true, wire.Admin: true}, map[string]bool{"gzip": true}},
		{nil, []string{"*"}, map[wire.Role]bool{wire.Reader: false, wire.Admin: false}, map[string]bool{"gzip": false}},
		{[]wire.Role{"god"}, []string{"*"}, map[wire.Role]bool{wire.Reader: false, wire.Admin: false}, map[string]bool{"gzip": false}},
	}
	for _, tt := range tests {
		p := Principal{Name: "x", Roles: tt.roles, Ports: tt.ports}
		for r, want := range tt.has {
			if p.Has(r) != want {
				t.Errorf("%v has %s: %v", tt.roles, r, !want)
			}
		}
		for port, want := range tt.owns {
			if p.Owns(port) != want {
				t.Errorf("%v for %v owns %q: %v", tt.roles, tt.ports, port, !want)
			}
		}
	}
}

func TestSecretsAreNotStored(t *testing.T) {
	secret, hash := NewSecret()
	other, _ := NewSecret()
	if !strings.HasPrefix(secret, SecretPrefix) || len(secret) != len(SecretPrefix)+43 || secret == other || hash != digest.Of([]byte(secret)) {
		t.Errorf("%q, %s", secret, hash)
	}
}

// TestEmbedded: without tokens the server answers only this machine, and no web page
// shown on it.
func TestEmbedded(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "me")
	o := f.options()
	o.Authenticators, o.Embedded = nil, &Principal{Name: "me", Roles: []wire.Role{wire.Admin}}
	base, _ := serve(t, o)
	if a := ask(t, "POST", base+"/v1/builds/gz/cancel", "", nil); a.status != 200 || f.lastAudit(t).Who != "me" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := ask(t, "POST", base+"/v1/builds/gz/cancel", "", nil, "Sec-Fetch-Site", "cross-site"); a.status != 403 {
		t.Errorf("cross site: %d %s", a.status, a.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/builds", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example.org"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a name that points here: %d", resp.StatusCode)
	}
}

func TestMayListen(t *testing.T) {
	f := newFarm()
	everywhere, local := &net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	open, proxied, secured, embedded := f.options(), f.options(), f.options(), f.options()
	proxied.Proxied, secured.TLS = true, &TLSFiles{}
	embedded.Authenticators, embedded.Embedded, embedded.Proxied = nil, &Principal{}, true
	for i, tt := range []struct {
		o    Options
		addr net.Addr
		ok   bool
	}{{open, local, true}, {open, everywhere, false}, {proxied, everywhere, true}, {secured, everywhere, true}, {embedded, local, true}, {embedded, everywhere, false},
		{open, &net.UnixAddr{Net: "unix", Name: "x"}, true}} {
		s, err := New(tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.mayListen(tt.addr); (err == nil) != tt.ok {
			t.Errorf("%d: %v", i, err)
		}
	}
	both, none := f.options(), f.options()
	both.Embedded, none.Authenticators = &Principal{}, nil
	for _, o := range []Options{both, none, {}} {
		if _, err := New(o); err == nil {
			t.Errorf("made of %+v", o)
		}
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	f := newFarm()
	secret := f.token("ro", wire.Reader)
	j := &journal{}
	o := f.options()
	o.Log = j.logger()
	o.Engine = panicking{f}
	base, stop := serve(t, o)
	a := ask(t, "GET", base+"/v1/builds/x/why", secret, nil)
	if p := a.problem(t); a.status != 500 || strings.Contains(p.Detail, "oh dear") {
		t.Errorf("%d %s", a.status, a.body)
	}
	stop()
	if !strings.Contains(j.String(), "oh dear") {
		t.Errorf("the log says %s", j)
	}
}

func TestWorkersByQuarantine(t *testing.T) {
	f := newFarm()
	f.workers = []store.Worker{
		{Name: "zos1", Registered: true},
		{Name: "zos2", Registered: true, Quarantine: &workers.Quarantine{Code: workers.QuarantineUnreachable, Detail: "gone"}},
		{Name: "zos3", Registered: true, Quarantine: &workers.Quarantine{Code: workers.QuarantineClock, Detail: "ahead"}},
	}
	base, _ := serve(t, f.options())
	c := client.New(base, f.token("ro", wire.Reader), nil)
	for code, want := range map[string][]string{
		"": {"zos1", "zos2", "zos3"}, wire.AnyQuarantine: {"zos2", "zos3"}, "unreachable": {"zos2"}, "clock": {"zos3"}, "disk-full": nil,
	} {
		all, err := c.Workers(t.Context(), code)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, w := range all {
			names = append(names, w.Name)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%q (-want +have):\n%s", code, diff)
		}
	}
	var p *client.Problem
	if _, err := c.Workers(t.Context(), "gone\x1b"); !errors.As(err, &p) || p.Status != 422 || !strings.Contains(p.Detail, `gone\x1b`) || !strings.Contains(p.Detail, "disk-full") {
		t.Errorf("an unknown code: %v", err)
	}
	if len(f.workers) != 3 {
		t.Error("the farm lost workers")
	}
}

func TestMetrics(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	f.workers = []store.Worker{{Name: "zos1", Slots: 3, Registered: true, Held: []store.Lease{{}}}, {Name: "zos2", Slots: 1, Quarantine: &workers.Quarantine{Code: workers.QuarantineUnreachable, Detail: "gone"}}}
	f.event("gz", orchestrator.Running, "zos1") // before anybody counts
	base, _ := serve(t, f.options())
	c := client.New(base, f.token("ro", wire.Reader), nil)
	if _, err := c.Builds(t.Context(), wire.BuildsInput{}); err != nil {
		t.Fatal(err)
	}
	f.event("gz", orchestrator.Running, "zos1")
	f.event("gz", orchestrator.Running, "zos2")
	f.event("gz", orchestrator.Succeeded, "zos2")
	var b bytes.Buffer
	if err := c.Metrics(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`zfarm_builds{state="waiting"} 1`, `zfarm_ready_stages 3`, `zfarm_slots_free{worker="zos1"} 2`, `zfarm_slots_held{worker="zos1"} 1`,
		`zfarm_worker_available{worker="zos1"} 1`, `zfarm_worker_available{worker="zos2"} 0`,
		`zfarm_worker_quarantined{code="unreachable",worker="zos2"} 1`, `zfarm_assignments_total{worker="zos1"} 1`, `zfarm_stage_transitions_total{to="succeeded"} 1`, `zfarm_store_up 1`,
		`zfarm_http_requests_total{code="200",operation="builds"} 1`, `zfarm_http_request_duration_seconds_count{operation="builds"} 1`, `zfarm_log_sent_bytes_total 0`} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
	f.broken = errDisk
	b.Reset()
	if err := c.Metrics(t.Context(), &b); err != nil || !strings.Contains(b.String(), "zfarm_store_up 0\n") {
		t.Errorf("with a broken store: %v\n%s", err, b.String())
	}
}
