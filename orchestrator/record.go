// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package orchestrator

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// Inputs is everything a build is made of, by digest. Equal inputs make the same build.
type Inputs struct {
	Recipe  digest.Digest `json:"recipe"`
	Sources []Input       `json:"sources"`
	Files   []Input       `json:"files,omitempty"` // patches and upstream keys of the recipe
	Plugins []Input       `json:"plugins"`
	// Needs are the packages of other ports that are unpacked in the workspace, by the
	// digest of their release.
	Needs []Input `json:"needs,omitempty"`
	// Epoch is the newest time in the sources, in seconds: SOURCE_DATE_EPOCH.
	Epoch int64 `json:"epoch"`
}

// Input is one input of a build.
type Input struct {
	Name   string        `json:"name"`
	URI    string        `json:"uri,omitempty"`
	Digest digest.Digest `json:"digest"`
	// Note is a remark for people, e.g. whose signature was checked.
	Note string `json:"note,omitempty"`
}

// Digest identifies the inputs as a whole. Databases keep it to find builds with the
// same inputs, so the JSON of the same inputs must never change.
func (in Inputs) Digest() (digest.Digest, error) {
	in.Sources, in.Files = withoutNotes(in.Sources), withoutNotes(in.Files)
	in.Plugins, in.Needs = withoutNotes(in.Plugins), withoutNotes(in.Needs)
	b, err := json.Marshal(in)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("writing inputs: %w", err)
	}
	return digest.Of(b), nil
}

// withoutNotes drops the notes: they may change while the inputs do not.
func withoutNotes(inputs []Input) []Input {
	bare := make([]Input, len(inputs))
	for i, in := range inputs {
		bare[i] = Input{Name: in.Name, URI: in.URI, Digest: in.Digest}
	}
	return bare
}

// Record is what the orchestrator itself observed of one repeat. What the worker
// reported about itself is kept apart, in Facts.
type Record struct {
	Repeat  int       `json:"repeat"`
	Name    string    `json:"name"`
	Worker  string    `json:"worker"`
	Attempt int       `json:"attempt"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	// Vary has the value of each variation, varied or not. A variation that adds
	// nothing to this repeat is absent.
	Vary  map[recipes.Variation]string `json:"conditions"`
	Steps []StepRecord                 `json:"steps"`
	// Output is the raw pax of the staged folder.
	Output digest.Digest `json:"output,omitzero"`
	Suites []Suite       `json:"suites,omitempty"`
	Facts  workers.Facts `json:"facts"`
}

// StepRecord is one step as the orchestrator observed it.
type StepRecord struct {
	Name   string         `json:"name"`
	Script digest.Digest  `json:"script"`
	Status workers.Status `json:"status"`
	Begun  time.Time      `json:"begun"`
	Took   time.Duration  `json:"took"`
	Log    digest.Digest  `json:"log,omitzero"`
}

// Suite is one test block of the recipe and the report of its suite.
type Suite struct {
	Plugin string         `json:"plugin"`
	Report plugins.Report `json:"report"`
	Tally  Tally          `json:"tally"`
}

// Tally compares a suite's report with what the recipe expects.
type Tally struct {
	Total   int `json:"total"`
	Passed  int `json:"passed"`
	Skipped int `json:"skipped"`
	// Expected counts failures that upstream or the recipe expects.
	Expected int `json:"expected"`
	// Failed names the unexpected failures.
	Failed []string `json:"failed,omitempty"`
	// UnexpectedlyPassed names known failures that passed, and tests that passed
	// although upstream expects them to fail: the recipe or the port can be tidied.
	UnexpectedlyPassed []string `json:"unexpectedly_passed,omitempty"`
	// Missing names known failures that the suite did not run.
	Missing []string `json:"missing,omitempty"`
	// Shrunk says that fewer tests ran than the recipe's min_tests.
	Shrunk   bool `json:"shrunk,omitempty"`
	MinTests int  `json:"min_tests"`
}

// OK reports whether the suite is as good as the recipe demands.
func (t Tally) OK() bool { return len(t.Failed) == 0 && !t.Shrunk }

// String returns the tally on one line.
func (t Tally) String() string {
	s := fmt.Sprintf("%d tests: %d passed, %d skipped, %d expected failures, %d failed", t.Total, t.Passed, t.Skipped, t.Expected, len(t.Failed))
	if t.Shrunk {
		s += fmt.Sprintf("; the suite shrank: the recipe wants at least %d", t.MinTests)
	}
	return s
}

// TallyUp compares a report with the test block of the recipe.
func TallyUp(r plugins.Report, t recipes.Test) Tally {
	known := map[string]bool{}
	for _, k := range t.KnownFailures {
		known[k.Name] = true
	}
	tally := Tally{Total: len(r.Cases), MinTests: t.MinTests, Shrunk: len(r.Cases) < t.MinTests}
	seen := map[string]bool{}
	for _, c := range r.Cases {
		seen[c.Name] = true
		tally.count(c, known[c.Name])
	}
	for _, k := range t.KnownFailures {
		if !seen[k.Name] {
			tally.Missing = append(tally.Missing, k.Name)
		}
	}
	return tally
}

func (t *Tally) count(c plugins.Case, known bool) {
	switch c.Outcome {
	case plugins.Passed:
		t.Passed++
		if known {
			t.UnexpectedlyPassed = append(t.UnexpectedlyPassed, c.Name)
		}
	case plugins.Skipped:
		t.Skipped++
	case plugins.ExpectedFail:
		t.Expected++
	case plugins.UnexpectedPass:
		t.Passed++
		t.UnexpectedlyPassed = append(t.UnexpectedlyPassed, c.Name)
	default:
		if known {
			t.Expected++
			return
		}
		t.Failed = append(t.Failed, c.Name)
	}
}
