// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"fmt"
	"os"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
)

// Signer signs, and returns the public key that verifies its signatures.
type Signer interface {
	attest.Signer
	// PublicKey is in PEM.
	PublicKey() []byte
}

// OpenKey opens the key file of a signing block. Its password comes from the
// file that the block names, else from the environment, else from more.
func OpenKey(ctx context.Context, s farmfile.Signing, more ...keys.Source) (Signer, error) {
	signer, err := openKey(ctx, s, more)
	if err != nil {
		return nil, kind(ErrSigning, err)
	}
	return signer, nil
}

func openKey(ctx context.Context, s farmfile.Signing, more []keys.Source) (*cosign.Signer, error) {
	private, err := keys.ReadPrivate(s.Key.Path)
	if err != nil {
		return nil, err
	}
	password, err := Password(ctx, s, more...)
	if err != nil {
		return nil, err
	}
	return cosign.NewSigner(private, password)
}

// Password returns the password of the key of a signing block.
func Password(ctx context.Context, s farmfile.Signing, more ...keys.Source) ([]byte, error) {
	lookup := os.LookupEnv
	if s.PasswordEnv != "" {
		lookup = func(string) (string, bool) { return os.LookupEnv(s.PasswordEnv) }
	}
	return keys.Password(ctx, append([]keys.Source{keys.File(s.PasswordFile), keys.Env(lookup)}, more...)...)
}

// sign gives the engine the key that the file names, if any.
func (f *Farm) sign(ctx context.Context, deps *engine.Deps) error {
	s := f.file.Signing
	if s == nil {
		return nil
	}
	signer, err := f.deps.OpenKey(ctx, *s)
	if err != nil {
		return err
	}
	if s.Public != "" {
		if err := samePublic(s.Public, signer.PublicKey()); err != nil {
			return kind(ErrSigning, err)
		}
	}
	deps.Signer, deps.VerificationMaterial = signer, verificationMaterial(signer)
	deps.BuilderID = statement.StrongestClaim(statement.Evidence{Registered: true, Signer: statement.KeyFile, Isolation: statement.Shared, Attempts: 1}).BuilderID
	return nil
}

// verificationMaterial returns what stock verifiers need beside the bundles.
func verificationMaterial(s Signer) engine.VerificationMaterial {
	return engine.VerificationMaterial{PublicKey: s.PublicKey(), TrustedRoot: cosign.TrustedRoot()}
}

// samePublic checks that the public key in a file is that of the signing key: with
// another one nobody could verify the signatures.
func samePublic(path string, signing []byte) error {
	given, err := keys.ReadPublic(path)
	if err != nil {
		return err
	}
	want, err := keys.ParsePublic(given)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	have, err := keys.ParsePublic(signing)
	if err != nil {
		return err
	}
	if !have.Equal(want) {
		return fmt.Errorf("%s is not the public half of the key that signs; name that one in the signing block of the farm's file, or leave public out", path)
	}
	return nil
}
