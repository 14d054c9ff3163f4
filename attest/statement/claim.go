// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement

import (
	"fmt"
	"strings"
)

// The builder ids of the farm: one for each way of keeping attempts apart,
// described in docs/builders.md. A consumer accepts pairs of key and id.
const (
	// BuilderShared: attempts share a user of the worker. Claims L2.
	BuilderShared = "https://zfarm.dev/builder/shared/v1"
	// BuilderSlot: each slot has a user of its own, and attempts follow each
	// other on it. Claims L2.
	BuilderSlot = "https://zfarm.dev/builder/slot/v1"
	// BuilderEphemeral: each attempt has a system made for it and destroyed
	// after it. Claims L2, and L3 where an assessment says so.
	BuilderEphemeral = "https://zfarm.dev/builder/ephemeral/v1"
	// BuilderLocal: somebody built with a command on a machine of their own, on
	// workers that no admin registered. Claims L1.
	BuilderLocal = "https://zfarm.dev/builder/local/v1"
)

// Builders returns the builder ids of farms: those above but BuilderLocal,
// which a consumer accepts only on purpose.
func Builders() []string { return []string{BuilderShared, BuilderSlot, BuilderEphemeral} }

// ClaimedLevel returns the SLSA build level that the page of a builder id
// claims; 0 for ids that are not the project's.
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

// SignerKind is where the signing key lives.
type SignerKind string

// The kinds of signer.
const (
	Unsigned SignerKind = ""
	KeyFile  SignerKind = "file"
	HSM      SignerKind = "hsm"
	KMS      SignerKind = "kms"
	Keyless  SignerKind = "keyless"
)

// Evidence is what is known about how a build was made, over all its attempts.
type Evidence struct {
	// Registered: an admin registered every worker that was used.
	Registered bool
	Signer     SignerKind
	// Isolation is the weakest that any attempt had.
	Isolation Isolation
	// Attempts is how many were made, Fresh how many of them ran on a system
	// for which there is evidence that it was provisioned for them alone.
	Attempts, Fresh int
	// ClaimedLevel is what an admin claims for the farm after the assessment
	// at that URI; 0 is no claim.
	ClaimedLevel int
	Assessment   string
}

// Claim is the strongest that can honestly be said.
type Claim struct {
	// Level is the SLSA build level, 0 to 3.
	Level int
	// BuilderID fits the evidence; "" where nothing is signed that could carry it.
	BuilderID string
	// Reasons say what keeps the claim from being higher.
	Reasons []string
}

// StrongestClaim computes the claim: the lowest of what each piece of evidence
// allows. Level 3 is never reached by evidence alone, an admin must have
// claimed it too.
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

// builderID returns the id of the mode that e has evidence for; systems made
// for one attempt, but without evidence of it, count as shared.
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

// CheckClaim refuses a level above what the evidence carries.
func CheckClaim(e Evidence, level int) error {
	c := StrongestClaim(e)
	if level > c.Level {
		return fmt.Errorf("claiming SLSA build level %d: the evidence carries %d: %s", level, c.Level, strings.Join(c.Reasons, "; "))
	}
	return nil
}
