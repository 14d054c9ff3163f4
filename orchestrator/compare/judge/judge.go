// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package judge explains the differences between two files: by a known value of the
// builds, a time within a build, a rule of the recipe, or a field whose form the
// format fixes. A difference without an explanation is of tier X.
//
// It reads only the two files that it is given, and decides nothing about releases.
// orchestrator/compare/tree finds the files; the packages below
// orchestrator/compare/format describe their layouts.
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

// New returns a Judge that uses the known values of both builds and the rules of
// the recipe.
func New(k Known, rules []Rule) *Judge {
	winA, winB := windowOf(k.A), windowOf(k.B)
	return &Judge{known: knownValues(k), rules: newRuleSet(rules), stamps: stamp.NewFinder(winA, winB), winA: winA, winB: winB, formats: registry.New()}
}

func windowOf(c Conditions) stamp.Window { return stamp.NewWindow(c.Begun, c.Ended, c.Zone) }

// fixedCause returns the cause of a difference in a field that must be the same in
// both files.
func (j *Judge) fixedCause(name string) string {
	return cmp.Or(j.formats.Field(name).Cause, "it must be the same in both")
}

// Findings receives the findings of a Judge.
type Findings interface {
	Add(verdict.Finding)
	// Full reports whether no further finding of that tier will be shown, so that
	// the caller need not render its surroundings.
	Full(verdict.Tier) bool
}

// File is the content of one member.
type File struct {
	R    io.ReaderAt
	Size int64
	Tag  string // value of ZOS.taginfo, "" if there is none
}

// Faults are the errors for which A or B cannot be read as the format it looks
// like.
type Faults struct{ A, B error }

// Text returns the faults as evidence, after the words in what.
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
	got, _ := f.R.ReadAt(buf, 0) // a read error shows up again when the file is compared
	return buf[:got]
}
