// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package compare explains how two artifacts differ: every difference is a
// finding with a place, a field, a tier and, where the evidence allows it, a
// cause; the findings together are a verdict.
//
// It is the front of the packages below it, and what others import: tree finds
// the members that differ, judge explains how, format has a package for each
// format, and report shows the verdict. It reads what it is given and decides
// nothing about releases beyond the tiers it is told. It neither builds nor signs;
// orchestrator/engine hands its verdict on.
package compare

import (
	"context"
	"io/fs"

	"github.com/zfarm/zfarm/orchestrator/compare/judge"
	"github.com/zfarm/zfarm/orchestrator/compare/tree"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// The values of a comparison. They live where they are made, below this package,
// so that no package there has to import this one.
type (
	// Verdict is what a comparison says.
	Verdict = verdict.Verdict
	// Finding is one named difference.
	Finding = verdict.Finding
	// FieldCount is how many findings there are about one field.
	FieldCount = verdict.FieldCount
	// Tier is how grave a difference is (docs/verdicts.md).
	Tier = verdict.Tier
	// Outcome is the word of a verdict.
	Outcome = verdict.Outcome
	// Known is what is known of the two repeats.
	Known = judge.Known
	// Conditions are those of one repeat.
	Conditions = judge.Conditions
	// Rule is what a recipe says of one difference that its port is known to have.
	Rule = judge.Rule
	// Input is one artifact.
	Input = tree.Input
)

// The tiers, in order.
const (
	Container = verdict.Container
	Header    = verdict.Header
	Stamp     = verdict.Stamp
	Forbidden = verdict.Forbidden
)

// The outcomes.
const (
	Identical    = verdict.Identical
	Equivalent   = verdict.Equivalent
	Different    = verdict.Different
	Incomparable = verdict.Incomparable
)

// Options are the conditions of a comparison.
type Options struct {
	// Allowed are the tiers that an equivalent verdict may have.
	Allowed []Tier
	// Known is what is known of the two repeats.
	Known Known
	// Rules are those of the recipe.
	Rules []Rule
	// MaxFindings bounds the findings of a verdict; default 1000. Those of
	// higher tiers are kept rather than others.
	MaxFindings int
	// MaxBytes bounds what lies inside one artifact, unpacked; default 64 GiB.
	// As much again may lie inside its members: one that holds more is compared as it is.
	MaxBytes int64
	// MaxMembers bounds the members of one artifact; default 2 million.
	MaxMembers int
	// Workdir is a folder with room for what lies inside both artifacts; ""
	// is that of the system for temporary files.
	Workdir string
}

func (o Options) withDefaults() Options {
	if o.MaxFindings <= 0 {
		o.MaxFindings = 1000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 30
	}
	if o.MaxMembers <= 0 {
		o.MaxMembers = 2_000_000
	}
	return o
}

// Archives compares two artifacts: pax or tar archives, possibly compressed
// (.Z, gzip), or single files. Equal bytes are identical without being opened,
// so that the verdict counts no members then; where their digests say that
// they are equal, they are not even read.
//
// Whatever the bytes are, the answer is a verdict; an error means that reading
// or ctx ended it.
func Archives(ctx context.Context, a, b Input, o Options) (Verdict, error) {
	o = o.withDefaults()
	v := Verdict{Allowed: o.Allowed, Findings: []Finding{}}
	if !a.Digest.IsZero() && a.Digest == b.Digest {
		v.Outcome = Identical
		return v, nil
	}
	found := verdict.NewCollector(o.MaxFindings)
	limits := tree.Limits{Bytes: o.MaxBytes, Members: o.MaxMembers, Workdir: o.Workdir}
	r, err := tree.Compare(ctx, a, b, limits, judge.New(o.Known, o.Rules), found)
	if err != nil {
		return Verdict{}, err
	}
	v.Bytes, v.Reason = r.Bytes, r.Incomparable
	switch {
	case r.Identical:
		v.Outcome = Identical
		return v, nil
	case r.Incomparable != "":
		v.Outcome = Incomparable
		return v, nil
	}
	v.Members, v.Differing = r.Members, r.Differing
	v.Findings, v.Omitted = found.Take()
	v.Fields = found.Counts()
	v.Outcome, v.Tier = verdict.Decide(found.Tiers(), o.Allowed)
	return v, nil
}

// Folder is a folder as an artifact: what lies in it, packed in the order of
// names, with modes, times, owners and links as the file system tells them.
// Sockets are left out: no archive could hold them.
func Folder(name string, fsys fs.FS) Input { return tree.Folder(name, fsys) }
