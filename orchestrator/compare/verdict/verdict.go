// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package verdict has the values of a comparison: findings with their tiers, and
// the verdict that they come to.
//
// It is the ground floor of orchestrator/compare: tree and judge make findings,
// report reads verdicts, and none of them needs another for that. Callers from
// outside find these values in orchestrator/compare.
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

// MarshalText writes the form of String.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the form of String.
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

// Outcome is the word of a verdict.
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
	// Field is what differs, e.g. "mode", "zos.taginfo", "content", "elf.note.gnu.build-id".
	Field string `json:"field"`
	// A and B are the two values, readable and bounded; "" where absent.
	A string `json:"a"`
	B string `json:"b"`
	// Offset is where in the member's bytes it begins; -1 for metadata.
	Offset int64 `json:"offset"`
	Tier   Tier  `json:"tier"`
	// Cause is the likely cause in plain words and Evidence what speaks for it.
	Cause    string `json:"cause,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	// Hunk shows the surroundings: text lines or hex, bounded.
	Hunk string `json:"hunk,omitempty"`
}

// Verdict is what a comparison says.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Tier is the highest tier among the findings of an equivalent verdict.
	Tier Tier `json:"tier"`
	// Allowed are the tiers that were allowed.
	Allowed  []Tier    `json:"allowed"`
	Findings []Finding `json:"findings"`
	// Omitted counts findings beyond the bound on their number.
	Omitted int `json:"omitted,omitempty"`
	// Fields counts all findings, the omitted ones too, by tier and field: what
	// was masked is always among them.
	Fields []FieldCount `json:"fields,omitempty"`
	// Members, Differing and Bytes say what was compared: members in either
	// artifact, those that differ, and the bytes read of both.
	Members   int   `json:"members"`
	Differing int   `json:"differing"`
	Bytes     int64 `json:"bytes"`
	// Reason says why an incomparable verdict is one.
	Reason string `json:"reason,omitempty"`
}

// FieldCount is how many findings there are about one field.
type FieldCount struct {
	Tier     Tier   `json:"tier"`
	Field    string `json:"field"`
	Findings int    `json:"findings"`
}

// String returns the outcome, with its tier where it has one.
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
