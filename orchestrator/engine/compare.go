// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/orchestrator/plan"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
)

// compare packages the output of every repeat in its released form and compares each
// package with the baseline's. The verdict is a value: a build that did not reproduce
// passes this stage, so that its failure is signed too.
func (c *stageContext) compare(ctx context.Context) outcome {
	rules, err := RulesOf(c.recipe)
	if err != nil {
		return failed(orchestrator.FaultyRecipe, err.Error())
	}
	var out stagevalue.Compared
	for _, r := range c.records() {
		a, info, err := c.packageRepeat(ctx, r)
		if errors.Is(err, packaging.ErrRefused) {
			return failed(orchestrator.FailedStep, fmt.Sprintf("packaging what %s staged: %v", r.Name, err))
		}
		if err != nil {
			return outcome{err: err}
		}
		out.Packages, out.Info = append(out.Packages, a), append(out.Info, info)
	}
	if err := c.compareWithBaseline(ctx, &out, rules); err != nil {
		return outcome{err: err}
	}
	var keep []digest.Digest
	for _, a := range out.Packages {
		keep = append(keep, a.Digest)
	}
	result := c.save(ctx, out, keep...)
	result.change = func(b *store.Build) { b.Verdict = out.Verdict.String() }
	return result
}

// compareWithBaseline compares each package with the baseline's. The worst verdict becomes the
// build's; whatever was masked in any comparison is masked in the build.
func (c *stageContext) compareWithBaseline(ctx context.Context, out *stagevalue.Compared, rules []compare.Rule) error {
	out.Agreeing = 1
	for i := 1; i < len(out.Packages); i++ {
		v, err := compare.Archives(ctx, c.input(ctx, out.Packages[0]), c.input(ctx, out.Packages[i]),
			compare.Options{Allowed: allowed(c.recipe), Known: compare.Known{A: c.knownConditions(0), B: c.knownConditions(i)}, Rules: rules, Workdir: c.Temp})
		if err != nil {
			return fmt.Errorf("comparing %s with %s: %w", out.Packages[0].Repeat, out.Packages[i].Repeat, err)
		}
		c.note(fmt.Sprintf("%s and %s: %s", out.Packages[0].Repeat, out.Packages[i].Repeat, v))
		if releasable(v) {
			out.Agreeing++
			out.Masked = largerCounts(out.Masked, v.Fields)
		}
		if i == 1 || severity(v) > severity(out.Verdict) {
			out.Verdict = v
		}
	}
	return nil
}

// largerCounts returns the larger of two counts for each field.
func largerCounts(all, more []compare.FieldCount) []compare.FieldCount {
	for _, f := range more {
		i := slices.IndexFunc(all, func(x compare.FieldCount) bool { return x.Field == f.Field && x.Tier == f.Tier })
		if i < 0 {
			all = append(all, f)
			continue
		}
		all[i].Findings = max(all[i].Findings, f.Findings)
	}
	slices.SortFunc(all, func(a, b compare.FieldCount) int {
		return cmp.Or(cmp.Compare(b.Tier, a.Tier), strings.Compare(a.Field, b.Field))
	})
	return all
}

func (c *stageContext) packageRepeat(ctx context.Context, r orchestrator.Record) (stagevalue.Artifact, packaging.Info, error) {
	none := packaging.Info{}
	raw, err := c.Artifacts.Open(ctx, r.Output)
	if err != nil {
		return stagevalue.Artifact{}, none, err
	}
	defer raw.Close()
	var info packaging.Info
	sum, err := c.Artifacts.Fill(ctx, func(w io.Writer) error {
		var err error
		info, err = packaging.Write(ctx, raw, w, c.spec(r))
		return err
	})
	if err != nil {
		return stagevalue.Artifact{}, none, err
	}
	if info.Digest != sum {
		return stagevalue.Artifact{}, none, fmt.Errorf("packaging %s: %s was written and %s was stored", r.Name, info.Digest, sum)
	}
	c.noteContents(r.Name, info)
	name := packaging.FileName(c.recipe.Port, c.recipe.Version, r.Facts.System)
	return stagevalue.Artifact{Repeat: r.Name, Name: name, Digest: sum, Size: info.Bytes, Pax: info.PaxDigest}, info, nil
}

// noteContents reports what a package leaves out and which of its links point outside
// it.
func (c *stageContext) noteContents(repeat string, info packaging.Info) {
	if len(info.Dropped) > 0 {
		c.note(fmt.Sprintf("%s: the package does not carry %s", repeat, strings.Join(info.Dropped, ", ")))
	}
	for _, l := range info.Outside {
		c.note(fmt.Sprintf("%s: the link %s leads out of the prefix, to %s", repeat, l.Name, l.Target))
	}
}

func (c *stageContext) spec(r orchestrator.Record) packaging.Spec {
	spec := packaging.Spec{
		Port: c.recipe.Port, Version: c.recipe.Version, Summary: c.recipe.Summary, Licence: c.recipe.Licence,
		Homepage: c.recipe.Homepage, Categories: c.recipe.Categories,
		Prefix: c.recipe.Package.Prefix, Include: c.recipe.Package.Include, Exclude: c.recipe.Package.Exclude,
		Epoch: time.Unix(c.resolved.Inputs.Epoch, 0).UTC(), Recipe: c.resolved.Inputs.Recipe, System: r.Facts.System, Temp: c.Temp,
	}
	for _, n := range c.recipe.Needs {
		if slices.Contains(n.At, "run") {
			spec.RunNeeds = append(spec.RunNeeds, packaging.Need{Name: n.Port, Version: string(n.Version)})
		}
	}
	for _, in := range c.resolved.Inputs.Sources {
		spec.Sources = append(spec.Sources, packaging.Source{URL: in.URI, Digest: in.Digest})
	}
	return spec
}

func (c *stageContext) input(ctx context.Context, a stagevalue.Artifact) compare.Input {
	return compare.Input{Name: a.Name, Digest: a.Digest, Open: func() (io.ReadCloser, error) {
		return c.Artifacts.Open(ctx, a.Digest)
	}}
}

// knownConditions returns the conditions of a repeat that the comparison may find in its output.
func (c *stageContext) knownConditions(repeat int) compare.Conditions {
	r := c.repeats[repeat].Record
	return compare.Conditions{Values: plan.Embedded(r.Vary, c.repeats[repeat].Root, r.Facts),
		Begun: r.Begun, Ended: r.Ended, Zone: r.Vary[recipes.VaryTimezone]}
}

func allowed(r *recipes.Recipe) []compare.Tier {
	tiers := make([]compare.Tier, len(r.Reproduce.Tiers))
	for i, t := range r.Reproduce.Tiers {
		tiers[i] = compare.Tier(t)
	}
	return tiers
}

// RulesOf returns the differences that the recipe declares for its port. The patterns
// were checked when the recipe was read.
func RulesOf(r *recipes.Recipe) ([]compare.Rule, error) {
	var all []compare.Rule
	for _, x := range r.Reproduce.Rules {
		rule := compare.Rule{Name: x.Name, Format: x.Format, Path: x.Path, Field: x.Field, Tier: compare.Tier(x.Tier), Reason: x.Reason}
		if x.Pattern != "" {
			var err error
			if rule.Pattern, err = regexp.Compile(x.Pattern); err != nil {
				return nil, fmt.Errorf("rule %s of the recipe: %w", x.Name, err)
			}
		}
		all = append(all, rule)
	}
	return all, nil
}

// releasable reports whether the verdict lies within the allowed tiers.
func releasable(v compare.Verdict) bool {
	return v.Outcome == compare.Identical || v.Outcome == compare.Equivalent
}

// severity orders verdicts: the worst becomes the build's.
func severity(v compare.Verdict) int {
	switch v.Outcome {
	case compare.Identical:
		return 0
	case compare.Equivalent:
		return 1 + int(v.Tier)
	case compare.Different:
		return 100
	default:
		return 101
	}
}
