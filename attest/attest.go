// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package attest says what is claimed about artifacts: subjects, statements
// over them, and the bundles that carry statements signed.
//
// It holds the words and the two interfaces. attest/statement composes exact
// bytes, attest/cosign signs and verifies them, attest/kit lays artifacts and
// bundles out in a folder that anyone can check offline.
package attest

import (
	"context"
	"errors"

	"github.com/zfarm/zfarm/attest/digest"
)

// ErrNotVerified: a bundle, its statement or the artifact under it is not what
// it should be. Errors that wrap it say which and how.
var ErrNotVerified = errors.New("not verified")

// MaxSubjects is the most subjects one statement may have; verifiers in the
// field refuse more than 1024.
const MaxSubjects = 1000

// Predicate types of the statements that the farm makes.
const (
	TypeProvenance      = "https://slsa.dev/provenance/v1"
	TypeTestResult      = "https://in-toto.io/attestation/test-result/v0.1"
	TypeReproducibility = "https://zfarm.dev/reproducibility/v1"
)

// Subject is an artifact by name and digest.
type Subject struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
}

// Statement is an in-toto statement v1: something said about subjects. JSON
// is the exact bytes to sign, which hold everything; the other fields are a
// view of it.
type Statement struct {
	PredicateType string
	Subjects      []Subject
	JSON          []byte
}

// Bundle is a Sigstore bundle v0.3 that carries one signed statement: its JSON.
type Bundle []byte

// Signer signs statements.
type Signer interface {
	Sign(ctx context.Context, s Statement) (Bundle, error)
}

// Verifier checks a bundle against what it trusts and returns the statement
// in it, if one of the subjects has the digest given. Anything else is an
// error that wraps ErrNotVerified.
type Verifier interface {
	Verify(ctx context.Context, b Bundle, artifact digest.Digest) (Statement, error)
}
