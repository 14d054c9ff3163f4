// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement

import (
	"fmt"
	"strings"
)

// The farm's builder ids: one for each way of keeping attempts apart
// (docs/builders.md). A consumer accepts pairs of a key and an id.
const (
	// BuilderShared: attempts share a user of the worker. Claims L2.
	BuilderShared = "https://zfarm.dev/builder/shared/v1"
	// BuilderSlot: each slot has its own user; attempts in one slot follow
	// each other. Claims L2.
	BuilderSlot = "https://zfarm.dev/builder/slot/v1"
	// BuilderEphemeral: each attempt has its own system, made before it and
	// destroyed after it. Claims L2, or L3 if an assessment says so.
	BuilderEphemeral = "https://zfarm.dev/builder/ephemeral/v1"
	// BuilderLocal: somebody ran a command on their own machine, with workers
	// that no admin registered. Claims L1.
	BuilderLocal = "https://zfarm.dev/builder/local/v1"
)

// Builders returns the builder ids of farms: all but BuilderLocal, which a
// consumer accepts only on purpose.
func Builders() []string { return []string{BuilderShared, BuilderSlot, BuilderEphemeral} }

// ClaimedLevel returns the SLSA build level that the page of a builder id
// claims; 0 if the id is not one of the project's.
func ClaimedLevel(id string) int {
	switch id {
	case BuilderShared, BuilderSlot, BuilderEphemeral:
		return 2
	case BuilderLocal:
		return 1
	default:
		return 0
	}
}

// Isolation is how attempts are kept apart on a worker.
type Isolation string

// The kinds of isolation, as in the builder ids.
const (
	Shared    Isolation = "shared"
	Slot      Isolation = "slot"
	Ephemeral Isolation = "ephemeral"
)

// SignerKind says where the signing key is kept.
type SignerKind string

// The kinds of signer.
const (
	Unsigned SignerKind = ""
	KeyFile  SignerKind = "file"
	HSM      SignerKind = "hsm"
	KMS      SignerKind = "kms"
	Keyless  SignerKind = "keyless"
)

// Evidence is what is known about how all attempts of a build were made.
type Evidence struct {
	// Registered: an admin registered every worker that was used.
	Registered bool
	Signer     SignerKind
	// Isolation is the weakest isolation of any attempt.
	Isolation Isolation
	// Attempts is how many attempts were made. Fresh is how many of them ran
	// on a system with evidence that it was provisioned for that attempt
	// alone.
	Attempts, Fresh int
	// ClaimedLevel is the level that an admin claims for the farm, after the
	// assessment at the URI Assessment; 0 means no claim.
	ClaimedLevel int
	Assessment   string
}

// Claim is the strongest claim that the evidence supports.
type Claim struct {
	// Level is the SLSA build level, 0 to 3.
	Level int
	// BuilderID matches the evidence; "" if there is no signature to support
	// it.
	BuilderID string
	// Reasons say why the level is not higher.
	Reasons []string
}

// StrongestClaim computes the claim: the lowest level that any piece of
// evidence allows. Evidence alone never reaches level 3; an admin must claim
// it, too.
func StrongestClaim(e Evidence) Claim {
	if e.Attempts < 1 {
		return Claim{Reasons: []string{"nothing was built"}}
	}
	c := Claim{Level: 3, BuilderID: e.builderID()}
	limit := func(level int, hit bool, reason string) {
		if hit {
			c.Level = min(c.Level, level)
			c.Reasons = append(c.Reasons, reason)
		}
	}
	limit(1, e.Signer == Unsigned, "the provenance is not signed")
	limit(1, !e.Registered, "a worker was not registered by an admin")
	limit(2, e.Signer == KeyFile, "the signing key is a file, not kept by an HSM, a KMS or an identity provider")
	limit(2, e.Signer != Unsigned && e.Signer != KeyFile && !e.Signer.managed(), fmt.Sprintf("signers of kind %q are unknown", e.Signer))
	limit(2, e.Isolation != Ephemeral, "attempts were not isolated from each other by systems of their own")
	limit(2, e.Fresh != e.Attempts, fmt.Sprintf("%d of %d attempts ran on a system provisioned for them alone", e.Fresh, e.Attempts))
	limit(2, e.ClaimedLevel < 3, "no admin claims level 3")
	limit(2, checkURI("assessment", e.Assessment) != nil, "there is no URI of an assessment")
	return c
}

func (k SignerKind) managed() bool { return k == HSM || k == KMS || k == Keyless }

// builderID returns the builder id that e supports. Systems made for one
// attempt count as shared if there is no evidence of that.
func (e Evidence) builderID() string {
	switch {
	case e.Signer == Unsigned:
		return ""
	case !e.Registered:
		return BuilderLocal
	case e.Isolation == Ephemeral && e.Fresh == e.Attempts:
		return BuilderEphemeral
	case e.Isolation == Slot:
		return BuilderSlot
	default:
		return BuilderShared
	}
}

// CheckClaim returns an error for a level above what the evidence supports.
func CheckClaim(e Evidence, level int) error {
	c := StrongestClaim(e)
	if level > c.Level {
		return fmt.Errorf("claiming SLSA build level %d: the evidence carries %d: %s", level, c.Level, strings.Join(c.Reasons, "; "))
	}
	return nil
}
