// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
)

// refusal returns why the build is not released, or nil. It is the only place that
// decides this: what is signed, what is published and how the build ends follow from
// it. Each rule is a function of what earlier stages saved, and a rule that cannot
// decide refuses.
func (c *stageContext) refusal() *orchestrator.Failure {
	return refusedByVerdict(&c.compared.Verdict)
}

// refusedByVerdict: the repeats must agree within the tiers that the recipe allows.
func refusedByVerdict(v *compare.Verdict) *orchestrator.Failure {
	switch {
	case releasable(*v):
		return nil
	case v.Outcome == compare.Incomparable:
		return &orchestrator.Failure{Kind: orchestrator.NotComparable, Message: "the outputs cannot be compared: " + v.Reason}
	default:
		return &orchestrator.Failure{Kind: orchestrator.NotReproduced,
			Message: fmt.Sprintf("the repeats differ in %d of %d members by more than the recipe allows; fix what the findings name, or allow their tier in the recipe if it is 0, 1 or 2", v.Differing, v.Members)}
	}
}
