// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/workers/codepage"
)

// Report is the result of Verify: what was checked and holds, what was not
// checked, and what is wrong.
type Report struct {
	// Releasable means that every check passed and the build reproduced.
	Releasable bool `json:"releasable"`
	// KeyHint names the key that verified the bundles. KeyPinned means that
	// the caller gave that key; otherwise it came from the folder.
	KeyHint   string           `json:"keyHint"`
	KeyPinned bool             `json:"keyPinned"`
	Artifacts []ArtifactReport `json:"artifacts"`
	// Checked, Trusted, NotChecked and Faults are sentences for people,
	// without control characters. Trusted names the fields in which the
	// repeats differ, and says who declares these differences harmless.
	Checked    []string `json:"checked"`
	Trusted    []string `json:"trusted"`
	NotChecked []string `json:"notChecked"`
	Faults     []string `json:"faults"`
}

// ArtifactReport is what the verified statements say about one artifact.
// Fields of statements that did not verify are empty.
type ArtifactReport struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// Port, Version, Recipe and Builder are from the provenance.
	Port    string            `json:"port"`
	Version string            `json:"version"`
	Recipe  digest.Digest     `json:"recipe"`
	Builder string            `json:"builder"`
	Verdict statement.Verdict `json:"verdict"`
	Tier    statement.Tier    `json:"tier,omitempty"`
	// Repeats is how many repeats agreed, Workers how many workers made them.
	Repeats int `json:"repeats"`
	Workers int `json:"workers"`
	// Masked are the fields in which the repeats differ.
	Masked []MaskedReport `json:"masked"`
	Suites []SuiteReport  `json:"suites"`
}

// MaskedReport is a field in which the repeats of a build differ.
type MaskedReport struct {
	Field string         `json:"field"`
	Tier  statement.Tier `json:"tier"`
	Count int            `json:"count"`
	// Rule is the recipe's rule that accepts the differences; nil if the farm
	// itself accepts the field.
	Rule *statement.Rule `json:"rule,omitempty"`
}

func maskedReport(r statement.Reproducibility) []MaskedReport {
	all := []MaskedReport{}
	for _, m := range r.Masked {
		report := MaskedReport{Field: m.Field, Tier: m.Tier, Count: m.Count}
		if rule, ok := r.RuleOf(m.Field); ok {
			report.Rule = &rule
		}
		all = append(all, report)
	}
	return all
}

// String describes the field in one sentence.
func (m MaskedReport) String() string {
	differences := fmt.Sprintf("%d differences of tier %s", m.Count, m.Tier)
	if m.Count == 1 {
		differences = "1 difference of tier " + string(m.Tier)
	}
	if m.Rule == nil {
		return fmt.Sprintf("%s in the field %s, which the farm knows", differences, m.Field)
	}
	return fmt.Sprintf("%s accepted by rule %s: %s (%s)", differences, m.Rule.Name, m.Rule.Reason, where(*m.Rule))
}

// where says which files, and what in them, a rule covers.
func where(r statement.Rule) string {
	text := r.Format
	if r.Path != "" {
		text += " in " + r.Path
	}
	if r.Field != "" {
		text += ", the value " + r.Field
	}
	if r.Pattern != "" {
		text += ", the group in " + r.Pattern
	}
	return text
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
	r.Checked = append(r.Checked, codepage.ASCII(fmt.Sprintf(format, args...)))
}

func (r *Report) trusted(format string, args ...any) {
	r.Trusted = append(r.Trusted, codepage.ASCII(fmt.Sprintf(format, args...)))
}

func (r *Report) notChecked(format string, args ...any) {
	r.NotChecked = append(r.NotChecked, codepage.ASCII(fmt.Sprintf(format, args...)))
}

func (r *Report) fault(errs ...error) {
	for _, err := range errs {
		if err != nil {
			r.Faults = append(r.Faults, codepage.ASCII(err.Error()))
		}
	}
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
	}{{"Faults", r.Faults}, {"Checked", r.Checked}, {"Trusted, because the farm or the recipe says so", r.Trusted}, {"Not checked", r.NotChecked}} {
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
