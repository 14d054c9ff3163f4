// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/plan"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
)

// stageContext is what one stage of a build works with: the recipe, and what earlier
// stages saved.
type stageContext struct {
	*Engine
	build      store.Build
	stage      orchestrator.Stage
	recipe     *recipes.Recipe
	forced     bool
	conditions []plan.Conditions

	// What earlier stages saved.
	resolved stagevalue.Resolved
	repeats  []stagevalue.Repeated
	compared stagevalue.Compared
	attested stagevalue.Attested
}

// maxOutput bounds the value that one stage saves for another.
const maxOutput = 256 << 20

// stageContext reads everything the stage needs.
func (e *Engine) stageContext(ctx context.Context, b store.Build, s orchestrator.Stage) (*stageContext, error) {
	c := &stageContext{Engine: e, build: b, stage: s}
	d, err := readValue[stagevalue.Document](ctx, e, b.Document)
	if err != nil {
		return nil, fmt.Errorf("reading the recipe of build %s: %w", b.ID, err)
	}
	if err := e.loadFiles(ctx, d.Recipe); err != nil {
		return nil, err
	}
	c.recipe, c.forced = d.Recipe, d.Forced
	c.conditions = plan.Repeats(c.recipe)
	c.repeats = make([]stagevalue.Repeated, len(c.conditions))
	for _, before := range b.Stages {
		if before.Output.IsZero() || before.ID == s.ID {
			continue
		}
		if err := c.load(ctx, before); err != nil {
			return nil, fmt.Errorf("reading the result of %s of build %s: %w", before.ID, b.ID, err)
		}
	}
	return c, nil
}

func (c *stageContext) load(ctx context.Context, s orchestrator.Stage) (err error) {
	switch s.Kind {
	case orchestrator.Resolve:
		c.resolved, err = readValue[stagevalue.Resolved](ctx, c.Engine, s.Output)
	case orchestrator.Repeat:
		c.repeats[s.Repeat], err = readValue[stagevalue.Repeated](ctx, c.Engine, s.Output)
	case orchestrator.Compare:
		c.compared, err = readValue[stagevalue.Compared](ctx, c.Engine, s.Output)
	case orchestrator.Attest:
		c.attested, err = readValue[stagevalue.Attested](ctx, c.Engine, s.Output)
	default: // nothing comes after publish
	}
	return err
}

// readValue reads a value that a stage, or the submission, saved.
func readValue[T stagevalue.Value](ctx context.Context, e *Engine, d digest.Digest) (T, error) {
	var none T
	r, err := e.Artifacts.Open(ctx, d)
	if err != nil {
		return none, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxOutput))
	if err != nil {
		return none, err
	}
	return stagevalue.Decode[T](text)
}

// loadFiles reads the contents of a recipe's files.
func (e *Engine) loadFiles(ctx context.Context, r *recipes.Recipe) error {
	load := func(f *recipes.File) error {
		in, err := e.Artifacts.Open(ctx, f.Digest)
		if err != nil {
			return fmt.Errorf("reading %s of the recipe: %w", f.Name, err)
		}
		defer in.Close()
		f.Data, err = io.ReadAll(in)
		return err
	}
	for i := range r.Sources {
		s := &r.Sources[i]
		if s.Signature != nil {
			if err := load(&s.Signature.Key); err != nil {
				return err
			}
		}
		for j := range s.Patches {
			if err := load(&s.Patches[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// save ends a stage and stores its value for later ones.
func (c *stageContext) save(ctx context.Context, v stagevalue.Value, keep ...digest.Digest) outcome {
	text, err := stagevalue.Encode(v)
	if err != nil {
		return outcome{err: fmt.Errorf("writing the result of %s: %w", c.stage.ID, err)}
	}
	sum, err := c.put(ctx, text)
	return outcome{err: err, output: sum, keep: keep}
}

func (c *stageContext) note(text string) {
	c.Engine.note(c.build.ID, c.stage.ID, c.stage.Worker, text)
}

// failed is the outcome of a stage that failed because of the port.
func failed(kind orchestrator.FailureKind, message string) outcome {
	return outcome{failure: &orchestrator.Failure{Kind: kind, Message: message}}
}

// records returns the records of the repeats that have ended.
func (c *stageContext) records() []orchestrator.Record {
	all := make([]orchestrator.Record, len(c.repeats))
	for i, r := range c.repeats {
		all[i] = r.Record
	}
	return all
}

// Conclusion is the result of a build.
type Conclusion struct {
	Build   store.Build           `json:"build"`
	Inputs  orchestrator.Inputs   `json:"inputs"`
	Records []orchestrator.Record `json:"records"`
	// Artifacts are the packages of the repeats, the baseline's first.
	Artifacts []stagevalue.Artifact `json:"artifacts,omitempty"`
	// Verdict compares the baseline with the repeat that differs most from it.
	Verdict *compare.Verdict `json:"verdict,omitempty"`
	// Agreeing counts the repeats, baseline included, whose verdict against the
	// baseline lies within the allowed tiers.
	Agreeing int `json:"agreeing,omitempty"`
	// Signed reports whether statements were signed; Files are the published files.
	Signed bool         `json:"signed"`
	Files  []store.File `json:"files,omitempty"`
	// Failure is nil when the build may be released.
	Failure *orchestrator.Failure `json:"failure,omitempty"`
}

// Conclusion returns the result of a build, as far as it is known. A build that reuses
// another one has that one's result.
func (e *Engine) Conclusion(ctx context.Context, id string) (Conclusion, error) {
	b, err := e.Store.Build(ctx, id)
	if err != nil {
		return Conclusion{}, err
	}
	if b.SameAs != "" {
		return e.Conclusion(ctx, b.SameAs)
	}
	c, err := e.stageContext(ctx, b, orchestrator.Stage{})
	if err != nil {
		return Conclusion{}, err
	}
	all := Conclusion{Build: b, Inputs: c.resolved.Inputs, Artifacts: c.compared.Packages, Agreeing: c.compared.Agreeing,
		Signed: !c.attested.Reproducibility.IsZero(), Failure: b.Failure()}
	for _, s := range b.Stages {
		if s.Kind == orchestrator.Repeat && !s.Output.IsZero() {
			all.Records = append(all.Records, c.repeats[s.Repeat].Record)
		}
	}
	if len(c.compared.Packages) > 0 {
		all.Verdict = &c.compared.Verdict
	}
	all.Files, err = e.Store.Files(ctx, id)
	return all, err
}

// standsFor returns the build whose outcome counts for the build of that id.
func (e *Engine) standsFor(ctx context.Context, id string) (store.Build, error) {
	seen := []string{}
	for {
		b, err := e.Store.Build(ctx, id)
		if err != nil || b.SameAs == "" || slices.Contains(seen, id) {
			return b, err
		}
		seen = append(seen, id)
		id = b.SameAs
	}
}

// firstBegun returns when the build's first attempt began.
func (c *stageContext) firstBegun(ctx context.Context) (time.Time, error) {
	all, err := c.Store.Attempts(ctx, c.build.ID)
	if err != nil || len(all) == 0 {
		return c.build.Submitted, err
	}
	first := all[0].Begun
	for _, a := range all {
		if a.Begun.Before(first) {
			first = a.Begun
		}
	}
	return first, nil
}
