// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/statement"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
)

// attest signs the statements that the verdict allows: all of them for a build that was
// reproduced, only the bare result for one that was not. The farm composes every field
// from what it observed itself; what workers reported appears as attributes of the
// worker and as a byproduct, by name and digest.
func (c *stageContext) attest(ctx context.Context) outcome {
	if c.Signer == nil {
		c.note("nothing is signed: no key was given")
		return c.save(ctx, stagevalue.Attested{})
	}
	var out stagevalue.Attested
	var keep []digest.Digest
	sign := func(compose func() (attest.Statement, error)) (digest.Digest, *outcome) {
		bundle, err := c.sign(ctx, compose)
		if err != nil {
			e := failed(orchestrator.NotSigned, err.Error())
			return digest.Digest{}, &e
		}
		sum, err := c.put(ctx, bundle)
		if err != nil {
			return digest.Digest{}, &outcome{err: err}
		}
		keep = append(keep, sum)
		return sum, nil
	}
	var broken *outcome
	if out.Reproducibility, broken = sign(c.reproducibility().Statement); broken != nil {
		return *broken
	}
	if c.refusal() == nil {
		provenance, records, err := c.provenance(ctx)
		if err != nil {
			return outcome{err: err}
		}
		keep = append(keep, records...)
		if out.Provenance, broken = sign(provenance.Statement); broken != nil {
			return *broken
		}
		for i, suite := range c.repeats[0].Record.Suites {
			sum, broken := sign(c.testResult(i, suite).Statement)
			if broken != nil {
				return *broken
			}
			out.Tests = append(out.Tests, sum)
		}
	}
	return c.save(ctx, out, keep...)
}

func (c *stageContext) sign(ctx context.Context, compose func() (attest.Statement, error)) (attest.Bundle, error) {
	st, err := compose()
	if err != nil {
		return nil, err
	}
	return c.Signer.Sign(ctx, st)
}

func (c *stageContext) subjects() []attest.Subject {
	return []attest.Subject{{Name: c.compared.Packages[0].Name, Digest: c.compared.Packages[0].Digest}}
}

func (c *stageContext) recipeResource() statement.Resource {
	return statement.Resource{URI: c.build.URI, Name: statement.RecipeName, Digest: c.resolved.Inputs.Recipe}
}

// provenance also stores the records and returns their digests.
func (c *stageContext) provenance(ctx context.Context) (statement.Provenance, []digest.Digest, error) {
	byproducts, records, err := c.byproducts(ctx)
	if err != nil {
		return statement.Provenance{}, nil, err
	}
	begun, err := c.firstBegun(ctx)
	if err != nil {
		return statement.Provenance{}, nil, fmt.Errorf("%w: %w", errTemporary, err)
	}
	versions := map[string]string{"zfarm": c.Version}
	for name, d := range c.resolved.Plugins {
		versions["plugin "+name] = d.Version
	}
	p := statement.Provenance{
		Subjects: c.subjects(),
		External: statement.ExternalParameters{Recipe: statement.RecipeRef{URI: c.build.URI, Path: c.build.Path}, Port: c.recipe.Port, Version: c.recipe.Version},
		Internal: statement.InternalParameters{Repeats: len(c.repeats), Baseline: c.repeats[0].Record.Name, TestSuites: c.suiteNames(),
			Conditions: conditions(c.repeats[0].Record, c.resolved.Inputs.Epoch)},
		Dependencies: c.dependencies(),
		Builder:      statement.Builder{ID: c.BuilderID, Version: versions},
		InvocationID: c.build.ID, StartedOn: begun, FinishedOn: monotonic(begun, c.now)(), Byproducts: byproducts,
	}
	return p, records, nil
}

// conditions returns every condition that a repeat was built under, varied or not.
func conditions(r orchestrator.Record, epoch int64) map[string]string {
	all := map[string]string{"SOURCE_DATE_EPOCH": strconv.FormatInt(epoch, 10)}
	for v, value := range r.Vary {
		all[string(v)] = value
	}
	return all
}

// varied returns the conditions of a repeat that the recipe varies.
func varied(r orchestrator.Record, vary []recipes.Variation) map[recipes.Variation]string {
	all := maps.Clone(r.Vary)
	maps.DeleteFunc(all, func(v recipes.Variation, _ string) bool { return !slices.Contains(vary, v) })
	return all
}

func (c *stageContext) dependencies() []statement.Resource {
	all := []statement.Resource{c.recipeResource()}
	for _, in := range c.resolved.Inputs.Sources {
		r := statement.Resource{URI: in.URI, Name: in.Name, Digest: in.Digest}
		if in.Note != "" {
			r.Annotations = map[string]string{"upstream_signature": in.Note}
		}
		all = append(all, r)
	}
	for _, in := range c.resolved.Inputs.Files {
		all = append(all, statement.Resource{Name: "recipe file " + in.Name, Digest: in.Digest})
	}
	for _, in := range c.resolved.Inputs.Needs {
		all = append(all, statement.Resource{URI: in.URI, Name: "need " + in.Name, Digest: in.Digest})
	}
	for _, in := range c.resolved.Inputs.Plugins {
		all = append(all, statement.Resource{Name: "plugin " + in.Name, Digest: in.Digest})
	}
	return all
}

// byproducts returns the records of all repeats and the logs of the baseline, by their
// digests in the artifact store.
func (c *stageContext) byproducts(ctx context.Context) (all []statement.Resource, records []digest.Digest, err error) {
	for _, r := range c.records() {
		text, err := json.Marshal(r)
		if err != nil {
			return nil, nil, fmt.Errorf("writing record of %s: %w", r.Name, err)
		}
		sum, err := c.put(ctx, text)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, sum)
		all = append(all, statement.Resource{Name: "record of " + r.Name, Digest: sum, MediaType: "application/json"})
	}
	for _, step := range c.repeats[0].Record.Steps {
		all = append(all, statement.Resource{Name: "log of " + step.Name, Digest: step.Log, MediaType: "text/plain"})
	}
	return all, records, nil
}

// suiteNames distinguishes suites of the same plugin by a number.
func (c *stageContext) suiteNames() []string {
	var names []string
	for i, s := range c.repeats[0].Record.Suites {
		names = append(names, suiteName(i, s))
	}
	return names
}

func suiteName(i int, s orchestrator.Suite) string {
	return fmt.Sprintf("%d-%s", i+1, s.Plugin)
}

func (c *stageContext) testResult(i int, s orchestrator.Suite) statement.TestResult {
	t := statement.TestResult{
		Subjects: c.subjects(), Suite: suiteName(i, s), MinTests: s.Tally.MinTests,
		Configuration: []statement.Resource{c.recipeResource(), {Name: "plugin " + s.Plugin, Digest: c.pluginDigest(s.Plugin)}},
	}
	surprising := map[string]bool{}
	for _, name := range s.Tally.UnexpectedlyPassed {
		surprising[name] = true
	}
	failed := map[string]bool{}
	for _, name := range s.Tally.Failed {
		failed[name] = true
	}
	for _, test := range s.Report.Cases {
		switch {
		case failed[test.Name]:
			t.Failed = append(t.Failed, test.Name)
		case surprising[test.Name]:
			t.Warned = append(t.Warned, test.Name)
		case test.Outcome == plugins.Passed:
			t.Passed = append(t.Passed, test.Name)
		case test.Outcome == plugins.Skipped:
			t.Skipped = append(t.Skipped, test.Name)
		default:
			t.Expected = append(t.Expected, test.Name)
		}
	}
	return t
}

func (c *stageContext) pluginDigest(name string) digest.Digest {
	i := slices.IndexFunc(c.resolved.Inputs.Plugins, func(in orchestrator.Input) bool { return in.Name == name })
	return c.resolved.Inputs.Plugins[i].Digest
}

func (c *stageContext) reproducibility() statement.Reproducibility {
	v := &c.compared.Verdict
	r := statement.Reproducibility{
		Subjects: c.subjects(), Verdict: statement.Verdict(v.Outcome), Agreeing: c.compared.Agreeing,
		Recipe: c.recipeResource(), InvocationID: c.build.ID, Reason: v.Reason, Findings: findings(v),
	}
	if v.Outcome == compare.Equivalent {
		r.Tier = statement.Tier(v.Tier.String())
		r.Masked = masked(c.compared.Masked)
	}
	for _, x := range c.recipe.Reproduce.Rules {
		r.Rules = append(r.Rules, statement.Rule{Name: x.Name, Format: x.Format, Path: x.Path, Field: x.Field, Pattern: x.Pattern,
			Tier: statement.Tier(compare.Tier(x.Tier).String()), Reason: x.Reason})
	}
	for _, t := range v.Allowed {
		r.AllowedTiers = append(r.AllowedTiers, statement.Tier(t.String()))
	}
	for i, record := range c.records() {
		r.Repeats = append(r.Repeats, statement.Repeat{
			Name: record.Name, Worker: statement.Worker{Name: record.Worker, Attributes: workerAttributes(record)},
			Variations: varied(record, c.recipe.Reproduce.Vary), StartedOn: record.Begun, FinishedOn: record.Ended,
			Outputs: []statement.Resource{{Name: c.compared.Packages[i].Name, Digest: c.compared.Packages[i].Digest}},
		})
	}
	if !releasable(*v) {
		r.Subjects = r.AllOutputs()
	}
	return r
}

// workerAttributes returns facts that the worker reported about itself.
func workerAttributes(r orchestrator.Record) map[string]string {
	all := map[string]string{"uname": r.Facts.Uname, "shell": r.Facts.Shell, "server": r.Facts.Server,
		"host": r.Facts.Host, "user": r.Facts.User}
	for _, name := range []string{"cc", "clang", "xlclang", "make"} {
		if t, ok := r.Facts.Tools[name]; ok {
			all[name] = t.Banner
		}
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

func findings(v *compare.Verdict) statement.Findings {
	all := statement.Findings{Total: len(v.Findings) + v.Omitted}
	for _, f := range v.Findings[:min(len(v.Findings), statement.MaxFindings)] {
		all.Listed = append(all.Listed, statement.Finding{Path: f.Path, Field: f.Field, Tier: statement.Tier(f.Tier.String()), Cause: f.Cause})
	}
	return all
}

func masked(fields []compare.FieldCount) []statement.Masked {
	var all []statement.Masked
	for _, f := range fields {
		all = append(all, statement.Masked{Field: f.Field, Tier: statement.Tier(f.Tier.String()), Count: f.Findings})
	}
	return all
}
