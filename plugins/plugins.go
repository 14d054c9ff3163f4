// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package plugins is what the author of a plugin writes against: a Builder
// makes a port's files in a staged folder, a Tester runs its suite and returns
// named tests.
//
// A plugin is a program of its own, started once for each attempt, that is
// handed a Workspace: never an address, a connection or a key. It may be
// killed and started again from the top at any moment; steps that ended are
// recalled by name, so straight-line code is all it takes.
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
// workspace itself. What is larger is an input, which the farm puts there.
const MaxPut = 8 << 20

// MaxGet is the largest file, in bytes, that a plugin may get.
const MaxGet = 64 << 20

// Bounds of what a plugin may answer. Names and texts are counted in bytes.
const (
	MaxOutputs    = 64
	MaxCases      = 100_000
	MaxName       = 1 << 10
	MaxDetail     = 4 << 10
	MaxComplaints = 100
	MaxAttributes = 100
	MaxBlock      = 1 << 20
)

// Workspace is the attempt's place on the worker, as far as a plugin is let
// in. The contract of each method is that of workers.Workspace; in addition
// the farm lays the conditions of the repeat (time zone, locale, HOME, umask,
// search path ...) over the environment of each step, and a step's limit
// never exceeds that of the recipe.
type Workspace interface {
	Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error)
	Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error)
	List(ctx context.Context, dir string) ([]workers.Entry, error)
	Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error)
}

// Config is what a Builder or Tester is told.
type Config struct {
	// Block is the recipe's block for this plugin, decoded against its
	// Schema; optional attributes that were not given are absent.
	Block   json.RawMessage `json:"block"`
	Port    string          `json:"port"`
	Version string          `json:"version"`
	// Source and Stage are folders of the workspace: the unpacked and patched
	// source, and the folder to install into as if it were the root of the
	// file system (DESTDIR).
	Source string `json:"source"`
	Stage  string `json:"stage"`
	// Prefix is the absolute folder to configure for.
	Prefix string `json:"prefix"`
	// Jobs is how many processes the repeat should use at once; at least 1.
	Jobs int `json:"jobs"`
	// Facts is what the worker says of itself.
	Facts workers.Facts `json:"facts"`
}

// Output is one staged folder that a Builder made.
type Output struct {
	// Name tells the outputs of one build apart and satisfies
	// [workers.ValidID]; "" is the usual, only one.
	Name string
	// Dir is a folder of the workspace.
	Dir string
}

// Builder makes outputs. A step that failed is returned as a *StepError;
// any other error means that the plugin or the farm is at fault.
type Builder interface {
	Build(ctx context.Context, ws Workspace, c Config) ([]Output, error)
}

// Tester runs the test suite after the build, in the same workspace. Tests
// that fail are part of the report, not an error; a suite that could not be
// started, or ended without being complete, is a *StepError.
type Tester interface {
	Test(ctx context.Context, ws Workspace, c Config) (Report, error)
}

// Checker is optional: a Builder or Tester that finds fault with a block
// before anything is built. A complaint names the attribute. The farm has
// checked the types already.
type Checker interface {
	Check(block json.RawMessage) []Complaint
}

// Complaint is one fault of a block.
type Complaint struct {
	// Attribute is the argument at fault; "" blames the block as a whole.
	Attribute string
	// Message is one sentence that says what to do.
	Message string
}

// Refuse returns the first complaint as an error, nil if there is none: for a
// Builder or Tester that is given a block which it has not checked.
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
	ExpectedFail   Outcome = "expected-failure" // failed, and upstream says so
	UnexpectedPass Outcome = "unexpected-pass"  // passed, though upstream said it would fail
	Errored        Outcome = "errored"          // could not be judged
)

// Case is one named test.
type Case struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	// Detail is why it failed or was skipped; one line, or a short excerpt of
	// its log.
	Detail string `json:"detail,omitempty"`
}

// Report is what a Tester found, in the order of the suite.
type Report struct {
	// Format says what was read: "automake", "tap" or "make".
	Format string `json:"format"`
	Cases  []Case `json:"cases"`
}

// StepError says that a step did not end well. The farm believes the status
// it saw itself; the name tells which step the plugin gave up at.
type StepError struct {
	Step   string
	Status workers.Status
	// Hint is the plugin's own advice, "" if it has none.
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

// Run runs a step and returns a *StepError unless it exited with 0. log may be
// nil.
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

// Schema describes the block of a plugin: attributes only, flat.
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

// Description is what a plugin says of itself. Builder and Tester are the
// schemas of the blocks it takes; nil where it is not one.
type Description struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Builder *Schema `json:"builder,omitempty"`
	Tester  *Schema `json:"tester,omitempty"`
}

// Plugin is what an author hands to serve.Serve. Builder and Tester are nil
// where the description has no schema for them.
type Plugin struct {
	Description Description
	Builder     Builder
	Tester      Tester
}
