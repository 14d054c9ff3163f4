// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package compare explains how two artifacts differ: every difference is a finding
// with a place, a field, a tier and, where there is evidence, a cause. The findings
// together make a verdict.
//
// It is the front of the packages below it, and the one that others import: tree
// finds the members that differ, judge explains how, format has a package for each
// format, and report shows the verdict. It reads the artifacts it is given and
// decides nothing about releases beyond the tiers that its caller allows. It
// neither builds nor signs; orchestrator/engine passes its verdict on.
package compare

import (
	"context"
	"io/fs"

	"github.com/zfarm/zfarm/orchestrator/compare/judge"
	"github.com/zfarm/zfarm/orchestrator/compare/tree"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// The values of a comparison. They are declared in the packages below, so that none
// of those has to import this one.
type (
	// Verdict is the result of a comparison.
	Verdict = verdict.Verdict
	// Finding is one named difference.
	Finding = verdict.Finding
	// FieldCount counts the findings about one field.
	FieldCount = verdict.FieldCount
	// Tier is how grave a difference is (docs/verdicts.md).
	Tier = verdict.Tier
	// Outcome is the word that sums up a verdict.
	Outcome = verdict.Outcome
	// Known is what the farm knows of the two repeats.
	Known = judge.Known
	// Conditions describe one repeat.
	Conditions = judge.Conditions
	// Rule declares one difference that a port is known to have.
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

// Options are the settings of a comparison.
type Options struct {
	// Allowed are the tiers that an equivalent verdict may contain.
	Allowed []Tier
	// Known is what the farm knows of the two repeats.
	Known Known
	// Rules are the rules of the recipe.
	Rules []Rule
	// MaxFindings bounds the findings of a verdict; default 1000. Findings of
	// higher tiers are kept first.
	MaxFindings int
	// MaxBytes bounds the unpacked content of one artifact in bytes; default 64
	// GiB. Unpacking the members of an artifact has a further bound of the same
	// size; a member beyond it is compared as bytes.
	MaxBytes int64
	// MaxMembers bounds the members of one artifact; default 2 million.
	MaxMembers int
	// Workdir is a folder with room for the unpacked content of both artifacts; ""
	// is the system's folder for temporary files.
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

// Archives compares two artifacts: pax or tar archives, possibly compressed (.Z,
// gzip), or single files. If the bytes are equal it opens neither, so the verdict
// counts no members; if the digests are equal it does not even read them.
//
// Any content gives a verdict. An error means that a read failed or that ctx ended.
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

// Folder returns a folder as an artifact. Its files are packed in the order of
// their names, with the modes, times, owners and links of the file system. Sockets
// are left out, since no archive can hold them.
func Folder(name string, fsys fs.FS) Input { return tree.Folder(name, fsys) }
