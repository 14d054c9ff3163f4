// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package attest defines what the farm claims about artifacts: subjects,
// statements about them, and the bundles that hold signed statements.
//
// It has only these types and two interfaces. attest/statement composes the
// exact bytes, attest/cosign signs and verifies them, and attest/kit writes
// artifacts and bundles into a folder that anyone can check offline.
package attest

import (
	"context"
	"errors"

	"github.com/zfarm/zfarm/attest/digest"
)

// ErrNotVerified means that a bundle, its statement or the artifact it covers
// failed verification. Errors that wrap it say which and how.
var ErrNotVerified = errors.New("not verified")

// MaxSubjects is the most subjects one statement may have. Verifiers in use
// refuse more than 1024.
const MaxSubjects = 1000

// Predicate types of the farm's statements.
const (
	TypeProvenance      = "https://slsa.dev/provenance/v1"
	TypeTestResult      = "https://in-toto.io/attestation/test-result/v0.1"
	TypeReproducibility = "https://zfarm.dev/reproducibility/v1"
)

// Subject is an artifact, by name and digest.
type Subject struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
}

// Statement is an in-toto statement v1: a predicate about subjects. JSON holds
// the exact bytes to sign, with everything in them; the other fields repeat a
// part of it.
type Statement struct {
	PredicateType string
	Subjects      []Subject
	JSON          []byte
}

// Bundle is a Sigstore bundle v0.3 with one signed statement, in JSON.
type Bundle []byte

// Signer signs statements.
type Signer interface {
	Sign(ctx context.Context, s Statement) (Bundle, error)
}

// Verifier checks a bundle against what it trusts and returns the bundle's
// statement, if one of the subjects has the given digest. In every other case
// it returns an error that wraps ErrNotVerified.
type Verifier interface {
	Verify(ctx context.Context, b Bundle, artifact digest.Digest) (Statement, error)
}
