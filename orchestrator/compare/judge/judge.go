// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package judge says what explains a difference between two files: a known
// value, a time of the build, a rule of the recipe, a field whose form the
// format fixes; whatever nothing explains is of tier X.
//
// It reads the two files that it is handed and nothing else, and decides nothing
// about releases. orchestrator/compare/tree finds the files, the packages below
// orchestrator/compare/format know how they are laid out.
package judge

import (
	"cmp"
	"fmt"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format/registry"
	"github.com/zfarm/zfarm/orchestrator/compare/judge/stamp"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// Judge explains the differences between files of two builds.
type Judge struct {
	known      []knownValue
	rules      *ruleSet
	stamps     *stamp.Finder
	winA, winB stamp.Window
	formats    *registry.Registry
}

// New returns a Judge who knows that of both builds, and the rules of the recipe.
func New(k Known, rules []Rule) *Judge {
	winA, winB := windowOf(k.A), windowOf(k.B)
	return &Judge{known: knownValues(k), rules: newRuleSet(rules), stamps: stamp.NewFinder(winA, winB), winA: winA, winB: winB, formats: registry.New()}
}

func windowOf(c Conditions) stamp.Window { return stamp.NewWindow(c.Begun, c.Ended, c.Zone) }

// fixedCause says what it means that a field differs which must be the same in
// both.
func (j *Judge) fixedCause(name string) string {
	return cmp.Or(j.formats.Field(name).Cause, "it must be the same in both")
}

// Findings takes what a Judge finds.
type Findings interface {
	Add(verdict.Finding)
	// Full reports whether no more finding of that tier is shown, so that its
	// surroundings need not be made.
	Full(verdict.Tier) bool
}

// File is the content of one member.
type File struct {
	R    io.ReaderAt
	Size int64
	Tag  string // its ZOS.taginfo, "" if it has none
}

// Faults are why files of either side are not read as what they look like.
type Faults struct{ A, B error }

// Text says them behind what follows from them.
func (f Faults) Text(what string) string {
	switch {
	case f.A == nil && f.B == nil:
		return ""
	case f.B == nil:
		return fmt.Sprintf("%s: A: %v", what, f.A)
	case f.A == nil:
		return fmt.Sprintf("%s: B: %v", what, f.B)
	case f.A.Error() == f.B.Error():
		return fmt.Sprintf("%s: %v", what, f.A)
	}
	return fmt.Sprintf("%s: A: %v; B: %v", what, f.A, f.B)
}

// Head returns the first bytes of a file.
func Head(f File, n int64) []byte {
	buf := make([]byte, min(n, f.Size))
	got, _ := f.R.ReadAt(buf, 0) // what cannot be read fails again where it is compared
	return buf[:got]
}
