// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/registry"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/humanize"
)

// summary describes a verdict in words. The text report and the page share it.
type summary struct {
	// Text is the meaning of the verdict, Advice what to check first; "" if there
	// is nothing to say.
	Text, Advice string
	// Deciding are the fields that keep the verdict from being a better one,
	// gravest first. Masked are the fields whose differences are allowed.
	Deciding, Masked []group
	// Tiers are all four tiers, the gravest first.
	Tiers []tierCount
	// WouldAllow are the further tiers to allow for an equivalent verdict; nil if
	// allowing tiers does not help.
	WouldAllow []verdict.Tier
}

// group counts the findings of one field and tier.
type group struct {
	Tier  verdict.Tier
	Field string
	// About describes the field, "" if its name says it all.
	About string
	Count int
	// First is an example, the first of the most urgent findings; nil if none was
	// kept.
	First *verdict.Finding
	rank  int
}

// tierCount counts the findings of one tier.
type tierCount struct {
	Tier    verdict.Tier
	Means   string
	Count   int
	Allowed bool
}

// State says whether differences of the tier are allowed.
func (t tierCount) State() string {
	switch {
	case t.Tier == verdict.Forbidden:
		return "never allowed"
	case t.Allowed:
		return "allowed here"
	}
	return "not allowed here"
}

// summarise computes the summary of v.
func summarise(v verdict.Verdict, fields *registry.Registry) summary {
	s := summary{}
	for _, g := range groups(v, fields) {
		if v.Allows(g.Tier) {
			s.Masked = append(s.Masked, g)
		} else {
			s.Deciding = append(s.Deciding, g)
		}
	}
	slices.SortStableFunc(s.Deciding, func(a, b group) int { return cmp.Compare(a.rank, b.rank) })
	s.Tiers = []tierCount{
		{Tier: verdict.Forbidden, Means: "authority, modes, tags, links, the set of files, content nothing explains"},
		{Tier: verdict.Stamp, Means: "embedded build stamps in named fields"},
		{Tier: verdict.Header, Means: "times and owners in container headers"},
		{Tier: verdict.Container, Means: "order, padding, compression"},
	}
	for i := range s.Tiers {
		t := &s.Tiers[i]
		t.Allowed = v.Allows(t.Tier)
		for _, g := range append(s.Deciding[:len(s.Deciding):len(s.Deciding)], s.Masked...) {
			if g.Tier == t.Tier {
				t.Count += g.Count
			}
		}
		if t.Count > 0 && !t.Allowed {
			s.WouldAllow = append(s.WouldAllow, t.Tier)
		}
	}
	slices.Reverse(s.WouldAllow)
	if slices.Contains(s.WouldAllow, verdict.Forbidden) {
		s.WouldAllow = nil
	}
	s.Text, s.Advice = text(v, s), advice(v, s)
	return s
}

// groups groups the findings by tier and field.
func groups(v verdict.Verdict, fields *registry.Registry) []group {
	counts := v.Fields
	if len(counts) == 0 { // a verdict written before fields were counted
		counts = verdict.CountFields(v.Findings)
	}
	first := map[tierField]*verdict.Finding{}
	for i := range v.Findings {
		f := &v.Findings[i]
		key := tierField{f.Tier, f.Field}
		if best := first[key]; best == nil || rank(*f, fields.Field(f.Field).Gravity) < rank(*best, fields.Field(f.Field).Gravity) {
			first[key] = f
		}
	}
	out := make([]group, 0, len(counts))
	for _, n := range counts {
		of := fields.Field(n.Field)
		g := group{Tier: n.Tier, Field: n.Field, Count: n.Findings, About: of.Text, First: first[tierField{n.Tier, n.Field}]}
		g.rank = rank(verdict.Finding{Tier: n.Tier, Field: n.Field}, of.Gravity)
		if g.First != nil {
			g.rank = rank(*g.First, of.Gravity)
		}
		out = append(out, g)
	}
	return out
}

// tierField is one field of one tier.
type tierField struct {
	tier  verdict.Tier
	field string
}

// The ranks order findings for a reader, the most urgent first. Tiers that could be
// allowed come last, the higher ones first.
const (
	rankAuthority = iota
	rankTools     // the tools that could have changed it
	rankPresence  // added and removed files, links, hidden bytes
	rankUnknown   // without an explanation
	rankExplained // never allowed, but with a known cause
	rankAllowable
)

// rank returns how early a reader should see a finding. Fields that are not known, as
// those of a later version, are as grave as their tier.
func rank(f verdict.Finding, of format.Gravity) int {
	switch {
	case f.Tier != verdict.Forbidden:
		return rankAllowable + int(verdict.Forbidden-f.Tier)
	case of == format.Authority:
		return rankAuthority
	case of == format.Tools:
		return rankTools
	case of == format.Presence:
		return rankPresence
	case f.Cause == "":
		return rankUnknown
	}
	return rankExplained
}

// text states the verdict as a sentence.
func text(v verdict.Verdict, s summary) string {
	total := 0
	for _, t := range s.Tiers {
		total += t.Count
	}
	switch v.Outcome {
	case verdict.Identical:
		return "Both are the same, byte for byte."
	case verdict.Incomparable:
		return v.Reason
	case verdict.Equivalent:
		return fmt.Sprintf("They differ only in named fields in which they may: %s, each told below.", humanize.Count(total, "difference"))
	}
	switch never := s.Tiers[0].Count; {
	case len(s.WouldAllow) > 0:
		return fmt.Sprintf("Nothing of tier X differs, but differences of tier %s were not allowed.", tiersText(s.WouldAllow))
	case never > 0 && total > never:
		return fmt.Sprintf("%s of tier X, which nothing can allow, and %s of other tiers.", humanize.Count(never, "difference"), humanize.Number(total-never))
	case never > 0:
		return fmt.Sprintf("%s of tier X, which nothing can allow.", humanize.Count(never, "difference"))
	}
	return "They differ."
}

// advice says what to check first.
func advice(v verdict.Verdict, s summary) string {
	switch {
	case v.Outcome == verdict.Incomparable:
		return "Nothing is known of what they have in common: take neither for the other."
	case v.Outcome != verdict.Different || len(s.Deciding) == 0:
		return ""
	case len(s.WouldAllow) > 0:
		return fmt.Sprintf("With tier %s allowed as well, they would be equivalent.", tiersText(s.WouldAllow))
	}
	switch s.Deciding[0].rank {
	case rankAuthority:
		return "What a file may do on the system differs (mode, setuid, APF, program control). Use neither before that is explained."
	case rankTools:
		return "The tools that made it differ, or it was changed after it was bound. Find out which is the right one before you use either."
	case rankPresence:
		return "One has files, links, tags or hidden bytes that the other has not."
	case rankUnknown:
		return "Nothing known explains this content: it may be another source, another compiler, or tampering."
	}
	return "Each has a likely cause, told below, but none that a release may carry: the build itself has to be changed."
}

func tiersText(tiers []verdict.Tier) string {
	if len(tiers) == 0 {
		return "none"
	}
	var out []string
	for _, t := range tiers {
		out = append(out, t.String())
	}
	return strings.Join(out, ", ")
}
