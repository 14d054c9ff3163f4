// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package autotools is the plugin for ports with a configure script made by
// GNU Autoconf: configure, make, make install into the stage, make check.
//
// It builds in the source folder, whose files keep their times from the
// archive, so that make does not regenerate generated files. plugins/make runs
// the suite and reads its results.
package autotools

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/plugins"
	maker "github.com/zfarm/zfarm/plugins/make"
	"github.com/zfarm/zfarm/workers"
)

// New returns the plugin at the farm's version.
func New(version string) plugins.Plugin {
	return plugins.Plugin{
		Description: plugins.Description{Name: "autotools", Version: version, Builder: builderSchema(), Tester: testerSchema()},
		Builder:     builder{},
		Tester:      tester{},
	}
}

func builderSchema() *plugins.Schema {
	return &plugins.Schema{Attributes: []plugins.Attribute{
		{Name: "configure", Type: "list(string)", Doc: "Arguments of configure, after --prefix."},
		{Name: "env", Type: "map(string)", Doc: "Variables of the environment, such as CFLAGS, of each step."},
		{Name: "make", Type: "list(string)", Doc: "Arguments of make when building."},
		{Name: "install", Type: "list(string)", Doc: "Arguments of make install."},
	}}
}

func testerSchema() *plugins.Schema {
	return &plugins.Schema{Attributes: []plugins.Attribute{
		{Name: "target", Type: "string", Doc: `The target that runs the tests; "check" if not given.`},
		{Name: "make", Type: "list(string)", Doc: "Arguments of make when testing."},
		{Name: "env", Type: "map(string)", Doc: "Variables of the environment when testing."},
	}}
}

// block is the builder's block.
type block struct {
	Configure []string          `json:"configure"`
	Env       map[string]string `json:"env"`
	Make      []string          `json:"make"`
	Install   []string          `json:"install"`
}

type builder struct{}

// Check complains about values that no shell could take.
func (builder) Check(raw json.RawMessage) []plugins.Complaint {
	var b block
	if err := maker.Decode(raw, &b); err != nil {
		return []plugins.Complaint{{Message: err.Error()}}
	}
	complaints := slices.Concat(checkArgs("configure", b.Configure), checkEnv(b.Env), checkArgs("install", b.Install), checkArgs("make", b.Make))
	for _, a := range b.Configure {
		if strings.HasPrefix(a, "--prefix=") {
			complaints = append(complaints, plugins.Complaint{Attribute: "configure",
				Message: "leave --prefix out: the prefix is that of the package block"})
		}
	}
	return complaints
}

func checkArgs(attribute string, args []string) []plugins.Complaint {
	for _, a := range args {
		if strings.Contains(a, "\x00") {
			return []plugins.Complaint{{Attribute: attribute, Message: "an argument cannot have a NUL in it"}}
		}
	}
	return nil
}

func checkEnv(env map[string]string) []plugins.Complaint {
	var complaints []plugins.Complaint
	for _, name := range sortedKeys(env) {
		if !workers.ValidEnvName(name) {
			complaints = append(complaints, plugins.Complaint{Attribute: "env",
				Message: fmt.Sprintf("%q cannot be a variable: use letters, digits and underscores, and not ZFARM_ROOT", name)})
		}
	}
	return complaints
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Build configures, makes and installs.
func (bd builder) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	if err := plugins.Refuse(bd.Check(c.Block)); err != nil {
		return nil, err
	}
	var b block
	if err := maker.Decode(c.Block, &b); err != nil {
		return nil, err
	}
	if err := configure(ctx, ws, c, b); err != nil {
		return nil, err
	}
	words := append([]string{maker.Command(c.Facts, c.Jobs)}, maker.Words(b.Make)...)
	step := workers.Step{Name: "make", Dir: c.Source, Env: b.Env, Script: strings.Join(words, " ") + "\n"}
	if err := plugins.Run(ctx, ws, step, nil); err != nil {
		return nil, err
	}
	words = append([]string{maker.Command(c.Facts, 1), "install", "DESTDIR=" + maker.StagePath(c)}, maker.Words(b.Install)...)
	if err := maker.Install(ctx, ws, c, c.Source, strings.Join(words, " "), b.Env); err != nil {
		return nil, err
	}
	return []plugins.Output{{Dir: c.Stage}}, nil
}

// logLines is how many lines of config.log are shown.
const logLines = 60

// configure runs the script. If it fails, configure shows the end of
// config.log as the log of a separate step.
func configure(ctx context.Context, ws plugins.Workspace, c plugins.Config, b block) error {
	words := append([]string{"./configure", workers.Quote("--prefix=" + c.Prefix)}, maker.Words(b.Configure)...)
	var log tail
	step := workers.Step{Name: "configure", Dir: c.Source, Env: b.Env, Script: strings.Join(words, " ") + "\n"}
	err := plugins.Run(ctx, ws, step, &log)
	failed, ok := plugins.AsStepError(err)
	if !ok || failed.Status.State != workers.Exited {
		return err
	}
	if failed.Status.Code == 126 || failed.Status.Code == 127 {
		failed.Hint = "there is no configure script that can be executed in " + path.Clean(c.Source) +
			"; if upstream ships none, choose another plugin"
		return failed
	}
	show := workers.Step{Name: "configure-log", Dir: c.Source, Env: b.Env, Script: fmt.Sprintf("tail -n %d config.log\n", logLines)}
	st, err := ws.Run(ctx, show, nil)
	if err != nil {
		return err
	}
	failed.Hint = log.complaint()
	if st.OK() {
		failed.Hint += "; the end of config.log is the log of step " + show.Name
	}
	failed.Hint = strings.TrimPrefix(failed.Hint, "; ")
	return failed
}

// tail keeps the end of a log.
type tail struct{ buf []byte }

// maxTail is the most bytes kept; the last messages of configure fit in it.
const maxTail = 8 << 10

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p[max(0, len(p)-maxTail):]...)
	if len(t.buf) > maxTail {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxTail:]...)
	}
	return len(p), nil
}

// complaint returns the last line that begins with "configure: error:"; "" if
// there is none.
func (t *tail) complaint() string {
	found := ""
	for line := range strings.SplitSeq(string(t.buf), "\n") {
		if _, rest, ok := strings.Cut(line, "configure: error: "); ok {
			found = plugins.Line(rest, 500)
		}
	}
	return found
}

// testBlock is the tester's block, with its defaults.
type testBlock struct {
	Target string            `json:"target"`
	Make   []string          `json:"make"`
	Env    map[string]string `json:"env"`
}

type tester struct{}

// Check complains about values that no shell could take.
func (tester) Check(raw json.RawMessage) []plugins.Complaint {
	b := testBlock{Target: "check"}
	if err := maker.Decode(raw, &b); err != nil {
		return []plugins.Complaint{{Message: err.Error()}}
	}
	return slices.Concat(checkEnv(b.Env), checkArgs("make", b.Make), maker.CheckTarget("target", b.Target))
}

// Test runs make -k check and names the tests.
func (t tester) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	if err := plugins.Refuse(t.Check(c.Block)); err != nil {
		return plugins.Report{}, err
	}
	b := testBlock{Target: "check"}
	if err := maker.Decode(c.Block, &b); err != nil {
		return plugins.Report{}, err
	}
	return maker.Suite{Dir: c.Source, Target: b.Target, Args: maker.Words(b.Make), Env: b.Env}.Test(ctx, ws, c)
}
