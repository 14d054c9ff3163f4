// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cosign

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	sgbundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/statement"
)

// Verifier checks bundles against one public key. It ignores entries of
// transparency logs and timestamps in a bundle. It is safe for concurrent use.
type Verifier struct {
	options cosign.CheckOpts
	hint    string
}

// NewVerifier returns a Verifier that trusts the public key, in PEM.
func NewVerifier(publicKeyPEM []byte) (*Verifier, error) {
	public, err := keys.ParsePublic(publicKeyPEM)
	if err != nil {
		return nil, err
	}
	hint, err := keys.Hint(publicKeyPEM)
	if err != nil {
		return nil, err
	}
	key, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("reading public key: %w", err)
	}
	trusted, err := root.NewTrustedRootFromJSON(TrustedRoot())
	if err != nil {
		return nil, fmt.Errorf("reading trusted root: %w", err)
	}
	options := cosign.CheckOpts{SigVerifier: key, TrustedMaterial: trusted, IgnoreTlog: true, Offline: true, NewBundleFormat: true}
	return &Verifier{options: options, hint: hint}, nil
}

// Hint returns the hint by which bundles name the key.
func (v *Verifier) Hint() string { return v.hint }

// Verify checks the signature of b, checks that the artifact is among the
// statement's subjects, and returns the statement. Every error wraps
// attest.ErrNotVerified, except the error of ctx.
func (v *Verifier) Verify(ctx context.Context, b attest.Bundle, artifact digest.Digest) (attest.Statement, error) {
	if err := ctx.Err(); err != nil {
		return attest.Statement{}, fmt.Errorf("verifying bundle: %w", err)
	}
	s, err := v.verify(ctx, b, artifact)
	if err != nil {
		return attest.Statement{}, fmt.Errorf("verifying bundle: %w: %w", attest.ErrNotVerified, err)
	}
	return s, nil
}

func (v *Verifier) verify(ctx context.Context, b attest.Bundle, artifact digest.Digest) (attest.Statement, error) {
	var none attest.Statement
	if artifact.IsZero() {
		return none, errors.New("no digest of an artifact was given")
	}
	if len(b) > MaxBundle {
		return none, fmt.Errorf("it has %d bytes, the most is %d", len(b), MaxBundle)
	}
	var bundle sgbundle.Bundle
	if err := bundle.UnmarshalJSON(b); err != nil {
		return none, fmt.Errorf("reading it: %w", err)
	}
	payload, err := v.open(&bundle)
	if err != nil {
		return none, err
	}
	// Parse before checking the signature, so that the verifiers below see no
	// statement beyond the bounds. Trust the result only after the check.
	s, err := statement.Parse(payload)
	if err != nil {
		return none, err
	}
	_, err = cosign.VerifyNewBundle(ctx, &v.options, verify.WithArtifactDigest("sha256", artifact[:]), &bundle)
	if err != nil {
		return none, v.explain(ctx, &bundle, s, artifact, err)
	}
	return s, nil
}

// open checks the shape of the bundle: a statement in an envelope with one
// signature by the trusted key.
func (v *Verifier) open(b *sgbundle.Bundle) ([]byte, error) {
	envelope := b.GetDsseEnvelope()
	if envelope == nil {
		return nil, errors.New("it carries no statement")
	}
	if envelope.GetPayloadType() != statement.PayloadType {
		return nil, fmt.Errorf("it carries %q, want %q", envelope.GetPayloadType(), statement.PayloadType)
	}
	if n := len(envelope.GetSignatures()); n != 1 {
		return nil, fmt.Errorf("it has %d signatures, want 1", n)
	}
	key, ok := b.GetVerificationMaterial().GetContent().(*protobundle.VerificationMaterial_PublicKey)
	if !ok {
		return nil, errors.New("signed with a certificate, not with the key that is trusted here")
	}
	if hint := key.PublicKey.GetHint(); hint != v.hint {
		return nil, fmt.Errorf("signed by another key: hint %.100q, expected %q", hint, v.hint)
	}
	return envelope.GetPayload(), nil
}

// explain says whether the signature is wrong or the statement is about
// something else.
func (v *Verifier) explain(ctx context.Context, b *sgbundle.Bundle, s attest.Statement, artifact digest.Digest, cause error) error {
	listed := slices.ContainsFunc(s.Subjects, func(subject attest.Subject) bool { return subject.Digest == artifact })
	if !listed {
		if _, err := cosign.VerifyNewBundle(ctx, &v.options, verify.WithoutArtifactUnsafe(), b); err == nil {
			first := s.Subjects[0]
			return fmt.Errorf("its statement is about %q (%s) and %d more, not about the artifact %s", first.Name, first.Digest, len(s.Subjects)-1, artifact)
		}
	}
	return fmt.Errorf("the signature does not fit: statement, signature or key hint were changed: %w", cause)
}
