// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement

import (
	"errors"
	"fmt"
	"slices"

	"github.com/zfarm/zfarm/attest"
)

// Results of a suite (in-toto test-result v0.1).
const (
	ResultPassed = "PASSED"
	ResultWarned = "WARNED"
	ResultFailed = "FAILED"
)

// TestResult says how one test suite ended (in-toto test-result v0.1), one
// statement for each suite. Skipped tests and expected failures are in
// extension fields (zfarm_...). Ignoring these never makes a suite look
// better, since either already turns PASSED into WARNED.
type TestResult struct {
	// Subjects are the artifacts of the repeat that was tested.
	Subjects []attest.Subject
	// Suite is the suite's name, unique in a build.
	Suite string
	// Configuration is what the suite was built and configured from, each
	// pinned. The recipe is one of them, with the name [RecipeName] and its
	// digest.
	Configuration []Resource
	// URL is the address of the log; "" if there is none.
	URL string
	// Passed, Failed and Skipped are names of tests. Failed includes tests
	// that could not be judged. Warned are tests that passed although they
	// were expected to fail.
	Passed, Warned, Failed, Skipped []string
	// Expected are tests that failed as the recipe or upstream says. They are
	// among the statement's warnedTests as well.
	Expected []string
	// MinTests is the smallest number of tests that counts as the whole suite;
	// a smaller suite counts as failed.
	MinTests int
}

type testResultJSON struct {
	Result        string     `json:"result"`
	Configuration []Resource `json:"configuration"`
	URL           string     `json:"url,omitempty"`
	Passed        []string   `json:"passedTests"`
	Warned        []string   `json:"warnedTests"`
	Failed        []string   `json:"failedTests"`
	Suite         string     `json:"zfarm_suite"`
	MinTests      int        `json:"zfarm_minTests"`
	Skipped       []string   `json:"zfarm_skippedTests"`
	Expected      []string   `json:"zfarm_expectedFailures"`
}

// Count returns the number of tests in the suite.
func (r TestResult) Count() int {
	return len(r.Passed) + len(r.Warned) + len(r.Failed) + len(r.Skipped) + len(r.Expected)
}

// Result returns the result of the suite: FAILED if a test failed, none passed
// or the suite is too small; WARNED if any did not plainly pass; else PASSED.
func (r TestResult) Result() string {
	switch {
	case len(r.Failed) > 0 || len(r.Passed) == 0 || r.Count() < r.MinTests:
		return ResultFailed
	case len(r.Passed) < r.Count():
		return ResultWarned
	default:
		return ResultPassed
	}
}

// Statement checks r and returns its bytes.
func (r TestResult) Statement() (attest.Statement, error) {
	if err := r.check(); err != nil {
		return attest.Statement{}, fmt.Errorf("composing test result: %w", err)
	}
	return compose(attest.TypeTestResult, r.Subjects, testResultJSON{
		Result: r.Result(), Configuration: r.Configuration, URL: r.URL,
		Passed: list(r.Passed), Warned: list(slices.Concat(r.Warned, r.Expected)), Failed: list(r.Failed),
		Suite: r.Suite, MinTests: r.MinTests, Skipped: list(r.Skipped), Expected: list(r.Expected),
	})
}

// Recipe returns the recipe in the configuration.
func (r TestResult) Recipe() (Resource, bool) { return named(r.Configuration, RecipeName) }

// list returns names as a non-nil list, so that JSON has [] and not null.
func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// DecodeTestResult reads the test result in s. It returns an error that wraps
// attest.ErrNotVerified if the result is not the one that the tests give.
func DecodeTestResult(s attest.Statement) (TestResult, error) {
	var w testResultJSON
	subjects, err := decode(s, attest.TypeTestResult, &w)
	if err != nil {
		return TestResult{}, err
	}
	r := TestResult{
		Subjects: subjects, Suite: w.Suite, Configuration: w.Configuration, URL: w.URL,
		Passed: w.Passed, Failed: w.Failed, Skipped: w.Skipped, Expected: w.Expected, MinTests: w.MinTests,
	}
	plain := len(w.Warned) - len(w.Expected)
	if plain < 0 || !slices.Equal(w.Warned[plain:], w.Expected) {
		err = errors.New("its expected failures do not end the list of warned tests")
	} else {
		r.Warned = w.Warned[:plain]
		err = r.check()
	}
	if err == nil && w.Result != r.Result() {
		err = fmt.Errorf("it states %q, its tests amount to %s", w.Result, r.Result())
	}
	if err != nil {
		return TestResult{}, fmt.Errorf("reading test result: %w: %w", attest.ErrNotVerified, err)
	}
	return r, nil
}

func (r TestResult) check() error {
	errs := []error{
		checkSubjects(r.Subjects),
		checkWord("suite", r.Suite),
		checkResources("configuration", r.Configuration),
		checkTexts("passed tests", maxTests, r.Passed),
		checkTexts("warned tests", maxTests, r.Warned),
		checkTexts("failed tests", maxTests, r.Failed),
		checkTexts("skipped tests", maxTests, r.Skipped),
		checkTexts("expected failures", maxTests, r.Expected),
	}
	if recipe, ok := named(r.Configuration, RecipeName); !ok || recipe.Digest.IsZero() {
		errs = append(errs, fmt.Errorf("configuration names no %q with a digest", RecipeName))
	}
	if r.URL != "" {
		errs = append(errs, checkURI("url", r.URL))
	}
	if r.MinTests < 0 {
		errs = append(errs, fmt.Errorf("smallest number of tests is %d", r.MinTests))
	}
	return errors.Join(errs...)
}
