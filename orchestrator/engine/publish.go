// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/packaging"
)

// publish lays out what was signed. Here, at the last gate, a build that did
// not reproduce fails.
func (c *course) publish(ctx context.Context, s orchestrator.Stage) end {
	laid := false
	if c.Signed && c.Request.Out != "" {
		if err := c.layOut(ctx); err != nil {
			return end{stage: s, err: err}
		}
		laid = true
	}
	e := end{stage: s, keep: func() {
		if laid {
			c.Conclusion.Out = c.Request.Out
		}
	}}
	e.failure = refusal(c.Verdict)
	return e
}

// refusal is why a verdict keeps a build from being released, or nil.
func refusal(v *compare.Verdict) *orchestrator.Failure {
	switch {
	case releasable(*v):
		return nil
	case v.Outcome == compare.Incomparable:
		return &orchestrator.Failure{Kind: orchestrator.NotComparable, Message: "the outputs cannot be compared: " + v.Reason}
	default:
		return &orchestrator.Failure{Kind: orchestrator.NotReproduced,
			Message: fmt.Sprintf("the repeats differ in %d of %d members by more than the recipe allows; mend what the findings name, or allow their tier in the recipe if it is 0, 1 or 2", v.Differing, v.Members)}
	}
}

func (c *course) layOut(ctx context.Context) error {
	extra, err := c.extras()
	if err != nil {
		return err
	}
	if !releasable(*c.Verdict) {
		return kit.WriteFindings(ctx, c.Request.Out, kit.Findings{Reproducibility: c.bundles.reproducibility,
			PublicKey: c.PublicKey, TrustedRoot: c.TrustedRoot, Extra: extra})
	}
	meta, err := c.metadata()
	if err != nil {
		return err
	}
	a := c.Artifacts[0]
	return kit.Write(ctx, c.Request.Out, kit.Contents{
		Artifacts: []kit.Artifact{{
			Name: a.Name, Digest: a.Digest,
			Open:       func() (io.ReadCloser, error) { return c.Store.Open(ctx, a.Digest) },
			Provenance: c.bundles.provenance, Reproducibility: c.bundles.reproducibility, TestResults: c.bundles.tests,
		}},
		PublicKey: c.PublicKey, TrustedRoot: c.TrustedRoot,
		Extra: append(extra, kit.Extra{Name: "metadata.json", Data: meta}),
	})
}

// extras are the verdict for programs and the report for people.
func (c *course) extras() ([]kit.Extra, error) {
	verdict, err := json.MarshalIndent(c.Verdict, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the verdict: %w", err)
	}
	var report bytes.Buffer
	if err := c.Verdict.WriteText(&report, compare.ReportOptions{Hunks: true}); err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	return []kit.Extra{{Name: "verdict.json", Data: append(verdict, '\n')}, {Name: "report.txt", Data: report.Bytes()}}, nil
}

// metadata is the description that installers of z/OS open tools read.
func (c *course) metadata() ([]byte, error) {
	var tests packaging.Tests
	for _, s := range c.Records[0].Suites {
		tests.Total += s.Tally.Total
		tests.Passed += s.Tally.Passed
	}
	return packaging.Metadata(c.spec(c.Records[0]), c.Artifacts[0].info, tests)
}
