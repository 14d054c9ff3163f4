// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package plugins is the interface for authors of plugins: a Builder makes a
// port's files in a staged folder, a Tester runs its test suite and returns
// named tests.
//
// A plugin is a separate program, started once for each attempt. It gets a
// Workspace: never an address, a connection or a key. It may be killed and
// started again from the top at any moment; steps that ended are recalled by
// name, so straight-line code is enough.
//
// Authors need this package and plugins/serve, which is their main function.
// plugins/wire is the protocol below, plugins/host the farm's side of it, and
// plugins/plugintest runs a plugin in a test.
package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
)

// MaxPut is the largest file, in bytes, that a plugin may put into a
// workspace. A larger file must be an input, which the farm puts there.
const MaxPut = 8 << 20

// MaxGet is the largest file, in bytes, that a plugin may get.
const MaxGet = 64 << 20

// Bounds on a plugin's answers. Names and texts are counted in bytes.
const (
	MaxOutputs    = 64
	MaxCases      = 100_000
	MaxName       = 1 << 10
	MaxDetail     = 4 << 10
	MaxComplaints = 100
	MaxAttributes = 100
	MaxBlock      = 1 << 20
)

// Workspace is the part of the attempt's workspace on the worker that a plugin
// may use. Each method has the contract of the one in workers.Workspace. In
// addition the farm overrides the environment of each step with the conditions
// of the repeat (time zone, locale, HOME, umask, search path ...), and a
// step's limit never exceeds that of the recipe.
type Workspace interface {
	Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error)
	Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error)
	List(ctx context.Context, dir string) ([]workers.Entry, error)
	Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error)
}

// Config is the input of a Builder or Tester.
type Config struct {
	// Block is the recipe's block for this plugin, decoded against its Schema.
	// Optional attributes that were not given are absent.
	Block   json.RawMessage `json:"block"`
	Port    string          `json:"port"`
	Version string          `json:"version"`
	// Source is the folder with the unpacked and patched source, Stage the
	// folder to install into as if it were the root of the file system
	// (DESTDIR). Both are folders of the workspace.
	Source string `json:"source"`
	Stage  string `json:"stage"`
	// Prefix is the absolute folder to configure for.
	Prefix string `json:"prefix"`
	// Jobs is how many processes the repeat should use at once; at least 1.
	Jobs int `json:"jobs"`
	// Facts are what a probe read from the worker.
	Facts workers.Facts `json:"facts"`
}

// Output is one staged folder that a Builder made.
type Output struct {
	// Name distinguishes the outputs of one build and satisfies
	// [workers.ValidID]; usually there is one output, with the name "".
	Name string
	// Dir is a folder of the workspace.
	Dir string
}

// Builder makes outputs. It returns a *StepError if a step failed; any other
// error means that the plugin or the farm is at fault.
type Builder interface {
	Build(ctx context.Context, ws Workspace, c Config) ([]Output, error)
}

// Tester runs the test suite after the build, in the same workspace. Failed
// tests are part of the report, not an error. A suite that could not be
// started, or did not run to its end, is a *StepError.
type Tester interface {
	Test(ctx context.Context, ws Workspace, c Config) (Report, error)
}

// Checker is an optional interface of a Builder or Tester. It finds faults in
// a block before anything is built. The farm has already checked the types.
type Checker interface {
	Check(block json.RawMessage) []Complaint
}

// Complaint is one fault of a block.
type Complaint struct {
	// Attribute is the attribute at fault; "" means the block as a whole.
	Attribute string
	// Message is one sentence that says what to do.
	Message string
}

// Refuse returns the first complaint as an error; nil if there is none. It is
// for a Builder or Tester whose block was not checked before.
func Refuse(complaints []Complaint) error {
	switch {
	case len(complaints) == 0:
		return nil
	case complaints[0].Attribute == "":
		return errors.New(complaints[0].Message)
	}
	return fmt.Errorf("attribute %s: %s", complaints[0].Attribute, complaints[0].Message)
}

// Outcome says how one test ended.
type Outcome string

// The outcomes, as automake and TAP know them.
const (
	Passed         Outcome = "passed"
	Failed         Outcome = "failed"
	Skipped        Outcome = "skipped"
	ExpectedFail   Outcome = "expected-failure" // failed, as upstream says it would
	UnexpectedPass Outcome = "unexpected-pass"  // passed, although upstream says it would fail
	Errored        Outcome = "errored"          // could not be judged
)

// Case is one named test.
type Case struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	// Detail says why the test failed or was skipped: one line, or a short
	// excerpt of its log.
	Detail string `json:"detail,omitempty"`
}

// Report is the result of a Tester, in the order of the suite.
type Report struct {
	// Format says what the tester read: "automake", "tap" or "make".
	Format string `json:"format"`
	Cases  []Case `json:"cases"`
}

// StepError means that a step failed. The farm uses the status that it saw
// itself; the plugin's answer only names the step.
type StepError struct {
	Step   string
	Status workers.Status
	// Hint is advice from the plugin; "" if it has none.
	Hint string
}

// Error names the step and how it ended.
func (e *StepError) Error() string {
	end := fmt.Sprintf("ended by %s", e.Status.State)
	if e.Status.State == workers.Exited {
		end = fmt.Sprintf("exited with %d", e.Status.Code)
	}
	if e.Hint != "" {
		end += ": " + e.Hint
	}
	return fmt.Sprintf("step %s %s", e.Step, end)
}

// AsStepError returns the StepError in err, if there is one.
func AsStepError(err error) (*StepError, bool) {
	var e *StepError
	ok := errors.As(err, &e)
	return e, ok
}

// Run runs a step and returns a *StepError unless the step exited with 0. log
// may be nil.
func Run(ctx context.Context, ws Workspace, s workers.Step, log io.Writer) error {
	st, err := ws.Run(ctx, s, log)
	if err != nil {
		return err
	}
	if !st.OK() {
		return &StepError{Step: s.Name, Status: st}
	}
	return nil
}

// Schema describes the block of a plugin. It has only attributes, no nested
// blocks.
type Schema struct {
	Attributes []Attribute `json:"attributes"`
}

// Attribute is one argument of a block.
type Attribute struct {
	Name string `json:"name"`
	// Type is an HCL type expression: string, number, bool, list(string),
	// map(string) and their compositions.
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	// Doc is one sentence for people.
	Doc string `json:"doc"`
}

// Description is how a plugin describes itself. Builder and Tester are the
// schemas of its blocks; nil if it cannot build or test.
type Description struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Builder *Schema `json:"builder,omitempty"`
	Tester  *Schema `json:"tester,omitempty"`
}

// Plugin is what an author passes to serve.Serve. Builder and Tester are nil
// if the description has no schema for them.
type Plugin struct {
	Description Description
	Builder     Builder
	Tester      Tester
}
