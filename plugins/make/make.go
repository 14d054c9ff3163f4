// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package make is the plugin for ports with a plain Makefile: it makes,
// installs into the stage, and runs a test target.
//
// [Suite] runs a test suite with make and reads its results, for
// plugins/autotools as well. plugins/suite reads what a suite prints.
package make

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// New returns the plugin at the farm's version.
func New(version string) plugins.Plugin {
	return plugins.Plugin{
		Description: plugins.Description{Name: "make", Version: version, Builder: builderSchema(), Tester: testerSchema()},
		Builder:     builder{},
		Tester:      tester{},
	}
}

func builderSchema() *plugins.Schema {
	return &plugins.Schema{Attributes: []plugins.Attribute{
		{Name: "target", Type: "string", Doc: `The target that builds; "all" if not given.`},
		{Name: "install_target", Type: "string", Doc: `The target that installs; "install" if not given.`},
		{Name: "vars", Type: "map(string)", Doc: "Variables of make, given on its command line when building and installing."},
		{Name: "prefix_var", Type: "string", Doc: `The variable that takes the prefix; "PREFIX" if not given, "" for none.`},
		{Name: "destdir_var", Type: "string", Doc: `The variable that takes the stage; "DESTDIR" if not given. With "" the Makefile has none, and the stage goes before the prefix when installing.`},
		{Name: "dir", Type: "string", Doc: "The folder of the Makefile, below the source folder."},
	}}
}

func testerSchema() *plugins.Schema {
	return &plugins.Schema{Attributes: []plugins.Attribute{
		{Name: "target", Type: "string", Doc: `The target that runs the tests; "check" if not given.`},
		{Name: "vars", Type: "map(string)", Doc: "Variables of make, given on its command line."},
		{Name: "dir", Type: "string", Doc: "The folder of the Makefile, below the source folder."},
	}}
}

// block is the builder's block, with its defaults.
type block struct {
	Target        string            `json:"target"`
	InstallTarget string            `json:"install_target"`
	Vars          map[string]string `json:"vars"`
	PrefixVar     string            `json:"prefix_var"`
	DestdirVar    string            `json:"destdir_var"`
	Dir           string            `json:"dir"`
}

func parse(raw json.RawMessage) (block, error) {
	b := block{Target: "all", InstallTarget: "install", PrefixVar: "PREFIX", DestdirVar: "DESTDIR"}
	return b, Decode(raw, &b)
}

// Decode reads a block into a struct that holds the defaults. Attributes that
// the struct does not have are an error.
func Decode(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("reading the block: %w", err)
	}
	return nil
}

type builder struct{}

// Check complains about names that make cannot take.
func (builder) Check(raw json.RawMessage) []plugins.Complaint {
	b, err := parse(raw)
	if err != nil {
		return []plugins.Complaint{{Message: err.Error()}}
	}
	complaints := slices.Concat(CheckTarget("target", b.Target), CheckTarget("install_target", b.InstallTarget),
		checkVars(b.Vars), checkDir(b.Dir))
	for attribute, name := range map[string]string{"destdir_var": b.DestdirVar, "prefix_var": b.PrefixVar} {
		if name != "" && !validVar(name) {
			complaints = append(complaints, plugins.Complaint{Attribute: attribute, Message: wantVar(name)})
		}
	}
	if b.PrefixVar == "" && b.DestdirVar == "" {
		complaints = append(complaints, plugins.Complaint{Attribute: "destdir_var",
			Message: "name the variable for the stage or the one for the prefix: without both make would install into this machine"})
	}
	sort.SliceStable(complaints, func(i, j int) bool { return complaints[i].Attribute < complaints[j].Attribute })
	return complaints
}

// CheckTarget complains about a value of an attribute that cannot be a single
// target.
func CheckTarget(attribute, target string) []plugins.Complaint {
	if target == "" || strings.HasPrefix(target, "-") || strings.ContainsAny(target, "= \t\n\x00") {
		return []plugins.Complaint{{Attribute: attribute, Message: fmt.Sprintf("%q cannot be a target: name one target of the Makefile", target)}}
	}
	return nil
}

func checkVars(vars map[string]string) []plugins.Complaint {
	var complaints []plugins.Complaint
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		switch {
		case !validVar(name):
			complaints = append(complaints, plugins.Complaint{Attribute: "vars", Message: wantVar(name)})
		case strings.ContainsAny(vars[name], "\n\x00"):
			complaints = append(complaints, plugins.Complaint{Attribute: "vars", Message: "value of " + name + ": want one line"})
		}
	}
	return complaints
}

func checkDir(dir string) []plugins.Complaint {
	if _, err := workers.CleanName(dir); err != nil {
		return []plugins.Complaint{{Attribute: "dir", Message: "name a folder below the source folder"}}
	}
	return nil
}

func wantVar(name string) string {
	return fmt.Sprintf("%q cannot be a variable of make: use letters, digits, dots, dashes and underscores", name)
}

func validVar(s string) bool {
	if s == "" || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("._-", c) < 0 {
			return false
		}
	}
	return true
}

// Build makes and installs.
func (bd builder) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	if err := plugins.Refuse(bd.Check(c.Block)); err != nil {
		return nil, err
	}
	b, err := parse(c.Block)
	if err != nil {
		return nil, err
	}
	dir := path.Join(c.Source, b.Dir)
	vars := Vars(b.Vars)
	build := []string{Command(c.Facts, c.Jobs)}
	if b.PrefixVar != "" {
		build = append(build, workers.Quote(b.PrefixVar+"="+c.Prefix))
	}
	build = append(append(build, vars...), workers.Quote(b.Target))
	if err := plugins.Run(ctx, ws, workers.Step{Name: "make", Dir: dir, Script: strings.Join(build, " ") + "\n"}, nil); err != nil {
		return nil, explain(err)
	}
	install := []string{Command(c.Facts, 1)}
	install = append(append(append(install, b.staged(c)...), vars...), workers.Quote(b.InstallTarget))
	if err := Install(ctx, ws, c, dir, strings.Join(install, " "), nil); err != nil {
		return nil, explain(err)
	}
	return []plugins.Output{{Dir: c.Stage}}, nil
}

// staged returns the variables that make an installation go to the stage.
func (b block) staged(c plugins.Config) []string {
	stage := StagePath(c)
	if b.DestdirVar == "" {
		return []string{workers.Quote(b.PrefixVar+"=") + stage + workers.Quote(c.Prefix)}
	}
	vars := []string{workers.Quote(b.DestdirVar+"=") + stage}
	if b.PrefixVar != "" {
		vars = append(vars, workers.Quote(b.PrefixVar+"="+c.Prefix))
	}
	return vars
}

// Install makes the stage and runs the command that installs, as the step
// "install". It runs under umask 022, so that new folders have the same modes
// whatever the umask of the repeat. An empty stage afterwards is a
// *plugins.StepError, too.
func Install(ctx context.Context, ws plugins.Workspace, c plugins.Config, dir, command string, env map[string]string) error {
	step := workers.Step{Name: "install", Dir: dir, Env: env,
		Script: "umask 022\nmkdir -p " + StagePath(c) + " || exit\n" + command + "\n"}
	st, err := ws.Run(ctx, step, nil)
	if err != nil {
		return err
	}
	if !st.OK() {
		return &plugins.StepError{Step: step.Name, Status: st}
	}
	entries, err := ws.List(ctx, c.Stage)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) == 0 {
		return &plugins.StepError{Step: step.Name, Status: st,
			Hint: "it put nothing into the stage; say how this port's Makefile takes the folder to install into"}
	}
	return nil
}

// StagePath returns the absolute path of the stage, quoted for a script.
func StagePath(c plugins.Config) string { return `"$ZFARM_ROOT"/` + workers.Quote(c.Stage) }

// Vars returns the variables as sorted words of a command line. Those that say
// where needs are (see [Words]) extend the environment's value.
func Vars(vars map[string]string) []string {
	words := make([]string, 0, len(vars))
	for name, value := range vars {
		words = append(words, name+"="+value)
	}
	sort.Strings(words)
	return Words(words)
}

// Words quotes each argument for a command line. An argument such as
// CPPFLAGS=-DX would hide the environment's CPPFLAGS, in which the farm says
// where needs are. So Words makes it the environment's value, followed by its
// own.
func Words(args []string) []string {
	words := make([]string, len(args))
	for i, a := range args {
		name, value, _ := strings.Cut(a, "=")
		if sep := between(name); sep != "" && len(a) > len(name) {
			words[i] = `"` + name + "=${" + name + ":+$" + name + sep + `}"` + workers.Quote(value)
		} else {
			words[i] = workers.Quote(a)
		}
	}
	return words
}

// between returns the separator of a variable in which the farm says where
// needs are; "" for any other variable.
func between(name string) string {
	switch name {
	case "CPPFLAGS", "LDFLAGS":
		return " "
	case "PATH", "LD_LIBRARY_PATH", "LIBPATH", "PKG_CONFIG_PATH", "ACLOCAL_PATH":
		return ":"
	}
	return ""
}

// Command returns the words that call the worker's make with that many jobs.
// It prefers GNU make, under either name, and passes no number of jobs to a
// make that is known not to be GNU make.
func Command(f workers.Facts, jobs int) string {
	program, gnu := "make", true
	for _, name := range []string{"make", "gmake"} {
		t, ok := f.Tools[name]
		if !ok || t.Path == "" {
			continue
		}
		is := strings.Contains(t.Banner, "GNU Make")
		if program == "make" || is && !gnu {
			program, gnu = t.Path, is || t.Banner == ""
		}
	}
	if !gnu || jobs < 2 {
		return workers.Quote(program)
	}
	return workers.Quote(program) + " -j" + strconv.Itoa(jobs)
}

// explain adds a hint for people to the error of a step.
func explain(err error) error {
	if e, ok := plugins.AsStepError(err); ok && e.Hint == "" && e.Status.State == workers.Exited && e.Status.Code == 127 {
		e.Hint = "the worker has no make in its search path; install GNU make there"
	}
	return err
}
