// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package compare explains how two artifacts differ: every difference is a
// finding with a place, a field, a tier and, where the evidence allows it, a
// cause; the findings together are a verdict.
//
// It is pure: it reads what it is given and decides nothing about releases
// beyond the tiers it is told. Each format is a package below it. It neither
// builds nor signs; orchestrator/engine hands its verdict on.
package compare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
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

// Known is what is known of the two repeats and may be found again in their
// outputs: the oracle of the comparison.
type Known struct {
	A, B Conditions
}

// Conditions are those of one repeat.
type Conditions struct {
	// Values maps what a value is ("build path", "user", "host", "time zone",
	// "locale", "HOME", "jobs") to the text it had.
	Values map[string]string
	// Begun and Ended are the window in which a build stamp must lie, by the
	// orchestrator's clock; Zone is the repeat's offset in POSIX TZ notation.
	Begun, Ended time.Time
	Zone         string
}

// decide computes the outcome of findings of those tiers.
func decide(found, allowed []Tier) (Outcome, Tier) {
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

// printable returns s with everything that could steer a terminal escaped,
// and cut to at most limit bytes, the mark of the cut included.
func printable(s string, limit int) string {
	const cut = "..."
	var out strings.Builder
	fits := 0 // what can be kept if the rest does not fit
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		text := s[i : i+n]
		switch {
		case r == '\\':
			text = `\\`
		case r == utf8.RuneError && n == 1, !strconv.IsPrint(r):
			quoted := strconv.Quote(text)
			text = quoted[1 : len(quoted)-1]
		}
		if out.Len() <= limit-len(cut) {
			fits = out.Len()
		}
		if out.Len()+len(text) > limit {
			return out.String()[:fits] + cut
		}
		out.WriteString(text)
		i += n
	}
	return out.String()
}
