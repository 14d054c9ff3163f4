// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/statement"
)

// claims holds what the statements about one artifact say.
type claims struct {
	provenance      statement.Provenance
	reproducibility statement.Reproducibility
	tests           []statement.TestResult
}

// sources has a function for each bundle about an artifact, which returns the
// bundle's statement: unverified for Write, verified for Verify.
type sources struct {
	provenance, reproducibility func() (attest.Statement, error)
	tests                       []func() (attest.Statement, error)
}

// examine reads the statements about the artifact and returns what is wrong
// with each, and with all of them together. Faults name the statement.
func examine(artifact attest.Subject, from sources) (claims, []error) {
	var c claims
	var faults []error
	note := func(what string, err error) bool {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: %w", artifact.Name, what, err))
		}
		return err == nil
	}
	var err error
	c.provenance, err = read(from.provenance, artifact, statement.DecodeProvenance)
	made := note("provenance", err)
	c.reproducibility, err = read(from.reproducibility, artifact, statement.DecodeReproducibility)
	compared := note("reproducibility", err)
	if compared {
		compared = note("reproducibility", reproduced(c.reproducibility))
	}
	if made && compared {
		note("reproducibility", sameBuild(c.provenance, c.reproducibility))
	}
	for _, source := range from.tests {
		r, err := read(source, artifact, statement.DecodeTestResult)
		if !note("test result", err) {
			continue
		}
		c.tests = append(c.tests, r)
		if r.Result() == statement.ResultFailed {
			note("test result", fmt.Errorf("suite %q failed", r.Suite))
		}
		if made {
			note("test result", sameRecipe(c.provenance, r))
		}
	}
	if made {
		note("test results", sameSuites(c.provenance.Internal.TestSuites, c.tests))
	}
	return c, faults
}

// read decodes the statement from source, which must be about the artifact
// under the artifact's name.
func read[T any](source func() (attest.Statement, error), artifact attest.Subject, decode func(attest.Statement) (T, error)) (T, error) {
	var none T
	s, err := source()
	if err != nil {
		return none, err
	}
	if !slices.Contains(s.Subjects, artifact) {
		return none, fmt.Errorf("%w: its statement is not about an artifact %s with the digest %s", attest.ErrNotVerified, artifact.Name, artifact.Digest)
	}
	return decode(s)
}

func reproduced(r statement.Reproducibility) error {
	if !r.Verdict.Reproduced() {
		return fmt.Errorf("the verdict is %q, with %d of %d repeats agreeing: this must not be released", r.Verdict, r.Agreeing, len(r.Repeats))
	}
	return nil
}

// sameBuild checks that the repeats compared are of the build in the
// provenance.
func sameBuild(p statement.Provenance, r statement.Reproducibility) error {
	recipe, _ := p.Recipe()
	switch {
	case p.InvocationID != r.InvocationID:
		return fmt.Errorf("it is about the build %q, the provenance about %q", r.InvocationID, p.InvocationID)
	case recipe.Digest != r.Recipe.Digest:
		return fmt.Errorf("it is about the recipe %s, the provenance about %s", r.Recipe.Digest, recipe.Digest)
	case p.Internal.Baseline != r.Repeats[0].Name:
		return fmt.Errorf("its baseline is %q, that of the provenance %q", r.Repeats[0].Name, p.Internal.Baseline)
	case p.Internal.Repeats != len(r.Repeats):
		return fmt.Errorf("it compares %d repeats, the provenance says %d", len(r.Repeats), p.Internal.Repeats)
	}
	return nil
}

func sameRecipe(p statement.Provenance, r statement.TestResult) error {
	want, _ := p.Recipe()
	if have, _ := r.Recipe(); have.Digest != want.Digest {
		return fmt.Errorf("suite %q is about the recipe %s, the provenance about %s", r.Suite, have.Digest, want.Digest)
	}
	return nil
}

// sameSuites checks that each wanted suite has exactly one test result, and
// that there are no others.
func sameSuites(want []string, have []statement.TestResult) error {
	var errs []error
	for _, r := range have {
		at := slices.Index(want, r.Suite)
		if at < 0 {
			errs = append(errs, fmt.Errorf("the provenance knows no suite %q, or there are two results of it", r.Suite))
			continue
		}
		want = slices.Delete(slices.Clone(want), at, at+1)
	}
	for _, suite := range want {
		errs = append(errs, fmt.Errorf("there is no good result of the suite %q, which the provenance names", suite))
	}
	return errors.Join(errs...)
}
