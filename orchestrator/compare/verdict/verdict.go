// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package verdict defines the values of a comparison: findings with their tiers,
// and the verdict that follows from them.
//
// It imports nothing of orchestrator/compare: tree and judge make findings, report
// reads verdicts, and neither needs the other. Outside callers use these values
// through orchestrator/compare.
package verdict

import (
	"fmt"
	"slices"
)

// Tier is how grave a difference is (docs/verdicts.md).
type Tier int8

// The tiers, in order.
const (
	Container Tier = 0 // container order, padding, compression
	Header    Tier = 1 // times and owners in container headers
	Stamp     Tier = 2 // embedded build stamps in named, typed fields
	Forbidden Tier = 9 // tier X: never masked
)

// String returns "0", "1", "2" or "X".
func (t Tier) String() string {
	if t == Forbidden {
		return "X"
	}
	return fmt.Sprint(int8(t))
}

// MarshalText encodes t as String does.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText decodes "0", "1", "2" or "X".
func (t *Tier) UnmarshalText(b []byte) error {
	switch s := string(b); s {
	case "0", "1", "2":
		*t = Tier(s[0] - '0')
	case "X":
		*t = Forbidden
	default:
		return fmt.Errorf("tier %q: want 0, 1, 2 or X", s)
	}
	return nil
}

// Outcome is the word that sums up a verdict.
type Outcome string

// The outcomes.
const (
	Identical    Outcome = "identical"
	Equivalent   Outcome = "equivalent"
	Different    Outcome = "different"
	Incomparable Outcome = "incomparable"
)

// Finding is one named difference.
type Finding struct {
	// Path leads through the containers to the member, e.g. "gzip-1.12/bin/gzip".
	Path string `json:"path"`
	// Field is the name of what differs, e.g. "mode", "zos.taginfo", "content",
	// "elf.note.gnu.build-id".
	Field string `json:"field"`
	// A and B are the two values, readable and bounded; "" where absent.
	A string `json:"a"`
	B string `json:"b"`
	// Offset is where the difference begins in the member's bytes; -1 for metadata.
	Offset int64 `json:"offset"`
	Tier   Tier  `json:"tier"`
	// Cause is the likely cause in plain words, Evidence the facts that support it.
	Cause    string `json:"cause,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	// Hunk shows the surroundings as text lines or hex, bounded.
	Hunk string `json:"hunk,omitempty"`
}

// Verdict is the result of a comparison.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Tier is the highest tier among the findings of an equivalent verdict.
	Tier Tier `json:"tier"`
	// Allowed are the tiers that were allowed.
	Allowed  []Tier    `json:"allowed"`
	Findings []Finding `json:"findings"`
	// Omitted counts the findings left out by the bound on their number.
	Omitted int `json:"omitted,omitempty"`
	// Fields counts all findings by tier and field, the omitted ones too, so it
	// always lists everything that was masked.
	Fields []FieldCount `json:"fields,omitempty"`
	// Members counts the members in either artifact, Differing those that differ,
	// and Bytes the bytes read of both artifacts.
	Members   int   `json:"members"`
	Differing int   `json:"differing"`
	Bytes     int64 `json:"bytes"`
	// Reason says why the artifacts are incomparable.
	Reason string `json:"reason,omitempty"`
}

// FieldCount counts the findings about one field.
type FieldCount struct {
	Tier     Tier   `json:"tier"`
	Field    string `json:"field"`
	Findings int    `json:"findings"`
}

// String returns the outcome, with the tier of an equivalent verdict.
func (v Verdict) String() string {
	if v.Outcome == Equivalent {
		return fmt.Sprintf("equivalent (tier %s)", v.Tier)
	}
	return string(v.Outcome)
}

// Decide computes the outcome of findings of those tiers.
func Decide(found, allowed []Tier) (Outcome, Tier) {
	if len(found) == 0 {
		return Identical, Container
	}
	for _, t := range found {
		if t == Forbidden || !slices.Contains(allowed, t) {
			return Different, slices.Max(found)
		}
	}
	return Equivalent, slices.Max(found)
}

// Allows reports whether v allowed differences of that tier.
func (v Verdict) Allows(t Tier) bool { return t != Forbidden && slices.Contains(v.Allowed, t) }
