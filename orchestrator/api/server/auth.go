// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// Errors of authenticators.
var (
	// ErrForeign: the token is of a kind that this authenticator does not handle.
	ErrForeign = errors.New("a token of another kind")
	// ErrToken: the token is refused; the text says why, and is safe to show.
	ErrToken = errors.New("the token is refused")
)

// Authenticator identifies the holder of a token. Errors that are neither ErrForeign
// nor ErrToken mean that it cannot find out now.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Principal, error)
}

// SecretPrefix begins the secrets of a farm's own tokens, so that scanners for leaked
// secrets recognize them.
const SecretPrefix = "zft_"

// NewSecret generates the secret of a token, and the digest to store: 32 random bytes
// need no salt and no slow hash.
func NewSecret() (secret string, hash digest.Digest) {
	var b [32]byte
	rand.Read(b[:])
	secret = SecretPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return secret, digest.Of([]byte(secret))
}

// FarmTokens authenticates by the tokens of the farm itself.
type FarmTokens struct {
	tokens Tokens
	now    func() time.Time
}

// NewFarmTokens returns an authenticator over stored tokens; now may be nil.
func NewFarmTokens(tokens Tokens, now func() time.Time) *FarmTokens {
	if now == nil {
		now = time.Now
	}
	return &FarmTokens{tokens: tokens, now: now}
}

// Authenticate finds the token by its digest: it compares digests, so its duration
// reveals nothing about secrets.
func (f *FarmTokens) Authenticate(ctx context.Context, token string) (Principal, error) {
	if !strings.HasPrefix(token, SecretPrefix) {
		return Principal{}, ErrForeign
	}
	t, err := f.tokens.Token(ctx, digest.Of([]byte(token)))
	switch {
	case errors.Is(err, store.ErrUnknown):
		return Principal{}, fmt.Errorf("%w: it is not known to this farm; check that it was copied whole", ErrToken)
	case err != nil:
		return Principal{}, fmt.Errorf("looking a token up: %w", err)
	case t.Revoked:
		return Principal{}, fmt.Errorf("%w: %q was revoked; ask an admin for a new one", ErrToken, t.Name)
	case !t.Expires.IsZero() && !f.now().Before(t.Expires):
		return Principal{}, fmt.Errorf("%w: %q expired at %s; ask an admin for a new one", ErrToken, t.Name, t.Expires.UTC().Format(time.RFC3339))
	}
	return Principal{Name: t.Name, Roles: roles(t.Roles), Ports: t.Ports}, nil
}

func roles(names []string) []wire.Role {
	return each(names, func(n string) wire.Role { return wire.Role(n) })
}
