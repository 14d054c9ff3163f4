// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package script is a plugin for ports that use neither autotools nor a plain
// Makefile: the recipe gives the commands. It builds, installs, and reads the
// tests that a script prints.
//
// Like any plugin it is written against package plugins; plugins/suite reads
// what tests print.
package script

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/suite"
	"github.com/zfarm/zfarm/workers"
)

// New returns the plugin, at the version of the program that it is part of.
func New(version string) plugins.Plugin {
	env := plugins.Attribute{Name: "env", Type: "map(string)", Doc: "Variables to add to the environment of each script."}
	return plugins.Plugin{
		Description: plugins.Description{
			Name:    "script",
			Version: version,
			Builder: &plugins.Schema{Attributes: []plugins.Attribute{
				{Name: "script", Type: "string", Required: true, Doc: "Shell commands that build, in the source folder; CC, JOBS and PREFIX are set."},
				{Name: "install", Type: "string", Required: true, Doc: "Shell commands that install below $DESTDIR$PREFIX."},
				env,
			}},
			Tester: &plugins.Schema{Attributes: []plugins.Attribute{
				{Name: "script", Type: "string", Required: true, Doc: "Shell commands that test and print TAP or lines such as PASS: name."},
				env,
			}},
		},
		Builder: builder{},
		Tester:  tester{},
	}
}

// block is the block of both builder and tester.
type block struct {
	Script  string            `json:"script"`
	Install string            `json:"install"`
	Env     map[string]string `json:"env"`
}

type builder struct{}

// Build builds and installs. It stages under umask 022 everywhere, so that the
// output does not depend on the umask of the repeat.
func (builder) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	b, env, err := prepare(c)
	if err != nil {
		return nil, err
	}
	build := workers.Step{Name: "build", Dir: c.Source, Script: b.Script, Env: env}
	install := workers.Step{Name: "install", Dir: c.Source, Script: b.Install, Env: env, Umask: 0o022}
	for _, step := range []workers.Step{build, install} {
		if err := plugins.Run(ctx, ws, step, nil); err != nil {
			return nil, err
		}
	}
	return []plugins.Output{{Dir: c.Stage}}, nil
}

type tester struct{}

// Test runs the script and reads its tests.
func (tester) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	b, env, err := prepare(c)
	if err != nil {
		return plugins.Report{}, err
	}
	log := suite.NewLog()
	st, err := ws.Run(ctx, workers.Step{Name: "check", Dir: c.Source, Script: b.Script, Env: env}, log)
	if err != nil {
		return plugins.Report{}, err
	}
	if st.State != workers.Exited {
		return plugins.Report{}, &plugins.StepError{Step: "check", Status: st}
	}
	cases, format, err := log.End()
	if err != nil {
		return plugins.Report{}, fmt.Errorf("reading what the tests printed: %w", err)
	}
	return report(cases, format, st.Code), nil
}

// report combines the named tests with the exit status of the script. A script
// that fails without a failed test adds a failed test; a script that names no
// test is the only test itself.
func report(cases []plugins.Case, format string, code int) plugins.Report {
	script := plugins.Case{Name: "check", Outcome: plugins.Passed}
	if code != 0 {
		script.Outcome = plugins.Failed
		script.Detail = fmt.Sprintf("the script exited with %d", code)
	}
	switch {
	case len(cases) == 0:
		return plugins.Report{Format: "make", Cases: []plugins.Case{script}}
	case code != 0 && !suite.AnyBad(cases):
		script.Detail += ", although no test that it named failed"
		cases = append(cases, script)
	}
	return plugins.Report{Format: format, Cases: cases}
}

// prepare reads the block and composes the environment.
func prepare(c plugins.Config) (block, map[string]string, error) {
	var b block
	if err := json.Unmarshal(c.Block, &b); err != nil {
		return b, nil, fmt.Errorf("reading the block: %w", err)
	}
	env := map[string]string{
		"CC":      compiler(c.Facts),
		"JOBS":    fmt.Sprint(c.Jobs),
		"PREFIX":  c.Prefix,
		"DESTDIR": "${ZFARM_ROOT}/" + c.Stage,
	}
	maps.Copy(env, b.Env)
	return b, env, nil
}

// compiler returns the worker's C compiler, found by its usual names.
func compiler(f workers.Facts) string {
	for _, name := range []string{"cc", "gcc", "clang", "ibm-clang64", "xlclang", "c99"} {
		if t, ok := f.Tools[name]; ok && strings.HasPrefix(t.Path, "/") {
			return t.Path
		}
	}
	return "cc"
}
