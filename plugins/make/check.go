// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package make

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/suite"
	"github.com/zfarm/zfarm/workers"
)

// maxCollected bounds the bytes read of the files that a suite writes.
const maxCollected = 64 << 20

// testBlock is the tester's block, with its defaults.
type testBlock struct {
	Target string            `json:"target"`
	Vars   map[string]string `json:"vars"`
	Dir    string            `json:"dir"`
}

func parseTest(raw json.RawMessage) (testBlock, error) {
	b := testBlock{Target: "check"}
	return b, Decode(raw, &b)
}

type tester struct{}

// Check complains about names that make cannot take.
func (tester) Check(raw json.RawMessage) []plugins.Complaint {
	b, err := parseTest(raw)
	if err != nil {
		return []plugins.Complaint{{Message: err.Error()}}
	}
	return slices.Concat(checkDir(b.Dir), CheckTarget("target", b.Target), checkVars(b.Vars))
}

// Test runs the target and names the tests.
func (t tester) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	if err := plugins.Refuse(t.Check(c.Block)); err != nil {
		return plugins.Report{}, err
	}
	b, err := parseTest(c.Block)
	if err != nil {
		return plugins.Report{}, err
	}
	return Suite{Dir: path.Join(c.Source, b.Dir), Target: b.Target, Args: Vars(b.Vars), ByStatus: true}.Test(ctx, ws, c)
}

// Suite is a test suite that make runs.
type Suite struct {
	// Dir is the folder of the Makefile in the workspace.
	Dir    string
	Target string
	// Args are further words of the command line, already quoted.
	Args []string
	Env  map[string]string
	// ByStatus: if no test is named, the exit status of make counts as one
	// failed test. Otherwise such a failure is a *plugins.StepError.
	ByStatus bool
}

// Test runs the suite as the step "check" and collects its files as the step
// "collect". The .trs files of automake name the tests; if there are none, TAP
// or lines such as "PASS: name" in the log do; if there are none of these
// either, the target is the only test. A failure of make that no test accounts
// for is a *plugins.StepError: the suite is not complete.
func (s Suite) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	log := suite.NewLog()
	words := slices.Concat([]string{Command(c.Facts, c.Jobs), "-k"}, s.Args, []string{workers.Quote(s.Target)})
	check := workers.Step{Name: "check", Dir: s.Dir, Env: s.Env, Script: suite.TestScript(strings.Join(words, " "))}
	st, err := ws.Run(ctx, check, log)
	if err != nil {
		return plugins.Report{}, err
	}
	failed := &plugins.StepError{Step: check.Name, Status: st}
	if st.State != workers.Exited {
		return plugins.Report{}, failed
	}
	cases, format, err := log.End()
	if err != nil {
		return plugins.Report{}, err
	}
	left, err := s.collect(ctx, ws)
	if err != nil {
		return plugins.Report{}, err
	}
	if len(left) > 0 {
		cases, format = slices.Concat(left, stopped(log, left)), "automake"
	}
	switch {
	case len(cases) == 0:
		return s.unnamed(log, failed)
	case !st.OK() && !suite.AnyBad(cases):
		failed.Hint = "make failed, but every test that it named is well: part of the suite did not run; see what could not be made in the log"
		return plugins.Report{}, failed
	}
	return plugins.Report{Format: format, Cases: cases}, nil
}

// collect reads the .trs files.
func (s Suite) collect(ctx context.Context, ws plugins.Workspace) ([]plugins.Case, error) {
	var out bounded
	step := workers.Step{Name: "collect", Dir: s.Dir, Env: s.Env, Script: suite.CollectScript}
	if err := plugins.Run(ctx, ws, step, &out); err != nil {
		return nil, err
	}
	return suite.ReadCollected(&out.Buffer)
}

// bounded is a buffer that refuses more than maxCollected bytes.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxCollected {
		return 0, errors.New("the suite left more than 64 MiB of reports and logs")
	}
	return b.Buffer.Write(p)
}

// stopped returns a test for each target that could not be made, so that a
// suite does not count as complete if a part of it did not compile.
func stopped(log *suite.Log, taken []plugins.Case) []plugins.Case {
	var cases []plugins.Case
	for _, target := range log.Stops() {
		name := plugins.Line("make "+target, plugins.MaxName)
		same := func(c plugins.Case) bool { return c.Name == name }
		if !slices.ContainsFunc(taken, same) && !slices.ContainsFunc(cases, same) {
			cases = append(cases, plugins.Case{Name: name, Outcome: plugins.Errored, Detail: "make could not make it, so tests may be missing"})
		}
	}
	return cases
}

// unnamed returns the report of a suite that names no test.
func (s Suite) unnamed(log *suite.Log, failed *plugins.StepError) (plugins.Report, error) {
	only := plugins.Case{Name: plugins.Line(s.Target, plugins.MaxName), Outcome: plugins.Passed}
	switch {
	case log.NoRule(s.Target):
		failed.Hint = fmt.Sprintf("the Makefile has no target %q; name the one that runs the tests", s.Target)
		return plugins.Report{}, failed
	case failed.Status.OK():
	case failed.Status.Code >= 126 || !s.ByStatus:
		return plugins.Report{}, explain(failed)
	default:
		only.Outcome, only.Detail = plugins.Failed, fmt.Sprintf("make exited with %d", failed.Status.Code)
	}
	return plugins.Report{Format: "make", Cases: []plugins.Case{only}}, nil
}
