// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package cosign makes key pairs, signs statements and verifies bundles with
// cosign v2 and sigstore-go. The stock cosign program can verify what it
// signs, and the other way round.
//
// It is the only importer of Sigstore modules. It uses no network, no
// transparency log and no timestamp authority, reads no environment and prints
// nothing. attest/keys finds the key to use; attest/kit knows which bundles a
// release needs.
package cosign

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/statement"
)

// MediaType is the media type of the bundles made here.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// MaxBundle is the most bytes a bundle may have.
const MaxBundle = 16 << 20

// TrustedRoot returns the trusted root to pass to the stock cosign program
// with --trusted-root. It trusts nobody: the key is passed beside it. Without
// a trusted root, cosign asks a public server.
func TrustedRoot() []byte {
	return []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}` + "\n")
}

// GenerateKey makes an ECDSA P-256 key pair and returns both halves in PEM.
// The private key is encrypted with the password in cosign's format.
func GenerateKey(password []byte) (private, public []byte, err error) {
	if len(password) == 0 {
		return nil, nil, errors.New("making key pair: the password is empty, so that anyone who reads the file could sign; choose one")
	}
	pair, err := cosign.GenerateKeyPair(func(bool) ([]byte, error) { return password, nil })
	if err != nil {
		return nil, nil, fmt.Errorf("making key pair: %w", err)
	}
	return pair.PrivateBytes, pair.PublicBytes, nil
}

// Signer signs statements with one key. It is safe for concurrent use.
type Signer struct {
	keypair keypair
}

// NewSigner opens an encrypted private key in PEM, made here or by cosign.
func NewSigner(keyPEM, password []byte) (*Signer, error) {
	if len(keyPEM) > keys.MaxFile {
		return nil, fmt.Errorf("opening private key: it has %d bytes, the most is %d", len(keyPEM), keys.MaxFile)
	}
	key, err := cosign.LoadPrivateKey(keyPEM, password, nil)
	if err != nil {
		return nil, fmt.Errorf("opening private key: %w; check the password, and that the file is an encrypted zfarm or cosign key", err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("opening private key: %w", err)
	}
	publicPEM, err := cryptoutils.MarshalPublicKeyToPEM(public)
	if err != nil {
		return nil, fmt.Errorf("opening private key: %w", err)
	}
	hint, err := keys.Hint(publicPEM)
	if err != nil {
		return nil, fmt.Errorf("opening private key: its public half: %w", err)
	}
	return &Signer{keypair{key: key, public: public, publicPEM: publicPEM, hint: hint}}, nil
}

// PublicKey returns the public half of the key, in PEM.
func (s *Signer) PublicKey() []byte { return bytes.Clone(s.keypair.publicPEM) }

// Hint returns the hint by which bundles name the key.
func (s *Signer) Hint() string { return s.keypair.hint }

// Sign signs st.JSON. It refuses bytes that are no statement, or that differ
// from the other fields of st.
func (s *Signer) Sign(ctx context.Context, st attest.Statement) (attest.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("signing statement: %w", err)
	}
	if err := consistent(st); err != nil {
		return nil, fmt.Errorf("signing statement: %w", err)
	}
	return s.sign(ctx, statement.PayloadType, st.JSON)
}

func (s *Signer) sign(ctx context.Context, payloadType string, payload []byte) (attest.Bundle, error) {
	content := &sign.DSSEData{Data: payload, PayloadType: payloadType}
	bundle, err := sign.Bundle(content, s.keypair, sign.BundleOptions{Context: ctx})
	if err != nil {
		return nil, fmt.Errorf("signing statement: %w", err)
	}
	loose, err := protojson.Marshal(bundle)
	if err != nil {
		return nil, fmt.Errorf("writing bundle: %w", err)
	}
	var b bytes.Buffer // protojson inserts spaces at random
	if err := json.Compact(&b, loose); err != nil {
		return nil, fmt.Errorf("writing bundle: %w", err)
	}
	if b.Len() > MaxBundle {
		return nil, fmt.Errorf("writing bundle: it has %d bytes, the most is %d", b.Len(), MaxBundle)
	}
	return b.Bytes(), nil
}

// consistent reports an error unless the fields of st match the bytes to sign.
func consistent(st attest.Statement) error {
	read, err := statement.Parse(st.JSON)
	if err != nil {
		return err
	}
	if read.PredicateType != st.PredicateType || len(read.Subjects) != len(st.Subjects) {
		return fmt.Errorf("its bytes have predicate type %q and %d subjects, its fields %q and %d",
			read.PredicateType, len(read.Subjects), st.PredicateType, len(st.Subjects))
	}
	for i, subject := range read.Subjects {
		if subject != st.Subjects[i] {
			return fmt.Errorf("its bytes name the subject %q (%s), its fields %q (%s)", subject.Name, subject.Digest, st.Subjects[i].Name, st.Subjects[i].Digest)
		}
	}
	return nil
}

// keypair lets sigstore-go sign with a key that cosign decrypted: ECDSA P-256,
// SHA-256.
type keypair struct {
	key       signature.SignerVerifier
	public    crypto.PublicKey
	publicPEM []byte
	hint      string
}

func (k keypair) GetHashAlgorithm() protocommon.HashAlgorithm {
	return protocommon.HashAlgorithm_SHA2_256
}

func (k keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
}

func (k keypair) GetHint() []byte                  { return []byte(k.hint) }
func (k keypair) GetKeyAlgorithm() string          { return "ECDSA" }
func (k keypair) GetPublicKey() crypto.PublicKey   { return k.public }
func (k keypair) GetPublicKeyPem() (string, error) { return string(k.publicPEM), nil }

// SignData returns the signature over data, and the digest that was signed.
func (k keypair) SignData(_ context.Context, data []byte) ([]byte, []byte, error) {
	sig, err := k.key.SignMessage(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	h := crypto.SHA256.New()
	h.Write(data)
	return sig, h.Sum(nil), nil
}
