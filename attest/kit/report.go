// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/statement"
)

// Report is what Verify found: what was checked and holds, what nobody
// checked, and what is wrong.
type Report struct {
	// Releasable: everything that was checked holds, and the build reproduced.
	Releasable bool `json:"releasable"`
	// KeyHint is the key that the bundles were verified with; KeyPinned tells
	// that it was given, and not taken from the folder.
	KeyHint   string           `json:"keyHint"`
	KeyPinned bool             `json:"keyPinned"`
	Artifacts []ArtifactReport `json:"artifacts"`
	// Checked, NotChecked and Faults are sentences for people, without control
	// characters.
	Checked    []string `json:"checked"`
	NotChecked []string `json:"notChecked"`
	Faults     []string `json:"faults"`
}

// ArtifactReport is what the verified statements say about one artifact.
// Fields of statements that did not verify are empty.
type ArtifactReport struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// Port and Version, Recipe and Builder are those of the provenance.
	Port    string            `json:"port"`
	Version string            `json:"version"`
	Recipe  digest.Digest     `json:"recipe"`
	Builder string            `json:"builder"`
	Verdict statement.Verdict `json:"verdict"`
	Tier    statement.Tier    `json:"tier,omitempty"`
	// Repeats agreed, made on that many Workers.
	Repeats int           `json:"repeats"`
	Workers int           `json:"workers"`
	Suites  []SuiteReport `json:"suites"`
}

// SuiteReport counts the tests of one suite.
type SuiteReport struct {
	Name             string `json:"name"`
	Result           string `json:"result"`
	Passed           int    `json:"passed"`
	Warned           int    `json:"warned"`
	Failed           int    `json:"failed"`
	Skipped          int    `json:"skipped"`
	ExpectedFailures int    `json:"expectedFailures"`
}

func suiteReport(r statement.TestResult) SuiteReport {
	return SuiteReport{
		Name: r.Suite, Result: r.Result(), Passed: len(r.Passed), Warned: len(r.Warned), Failed: len(r.Failed),
		Skipped: len(r.Skipped), ExpectedFailures: len(r.Expected),
	}
}

func (r *Report) checked(format string, args ...any) {
	r.Checked = append(r.Checked, printable(fmt.Sprintf(format, args...)))
}

func (r *Report) notChecked(format string, args ...any) {
	r.NotChecked = append(r.NotChecked, printable(fmt.Sprintf(format, args...)))
}

func (r *Report) fault(errs ...error) {
	for _, err := range errs {
		if err != nil {
			r.Faults = append(r.Faults, printable(err.Error()))
		}
	}
}

// printable escapes what could steer a terminal, and line ends.
func printable(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch quoted := fmt.Sprintf("%+q", c); {
		case c < 0x7f && c >= 0x20:
			b.WriteRune(c)
		default:
			b.WriteString(strings.Trim(quoted, "'"))
		}
	}
	return b.String()
}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	verdict := "NOT RELEASABLE"
	if r.Releasable {
		verdict = "Releasable"
	}
	fmt.Fprintf(&b, "%s: %d checks hold, %d faults\n", verdict, len(r.Checked), len(r.Faults))
	for _, part := range []struct {
		title string
		lines []string
	}{{"Faults", r.Faults}, {"Checked", r.Checked}, {"Not checked", r.NotChecked}} {
		if len(part.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", part.title)
		for _, line := range part.lines {
			fmt.Fprintf(&b, "  - %s\n", line)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteJSON writes the report for programs: one object and a newline.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
