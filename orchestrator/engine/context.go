// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/orchestrator/plan"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
)

// What stages save for those after them, as JSON in the artifact store.
type (
	resolved struct {
		Inputs  orchestrator.Inputs            `json:"inputs"`
		Sources []attempt.Source               `json:"sources"`
		Needs   []attempt.Need                 `json:"needs,omitempty"`
		Plugins map[string]plugins.Description `json:"plugins"`
	}
	repeated struct {
		Record orchestrator.Record `json:"record"`
		// Root is the absolute path of the workspace on its worker.
		Root string `json:"root,omitempty"`
	}
	compared struct {
		Packages []Artifact       `json:"packages"`
		Info     []packaging.Info `json:"info"`
		Verdict  compare.Verdict  `json:"verdict"`
		Agreeing int              `json:"agreeing"`
		// Masked are the fields that differ in some repeat, each as often as in
		// the repeat in which it does most.
		Masked []compare.FieldCount `json:"masked,omitempty"`
	}
	attested struct {
		Provenance      digest.Digest   `json:"provenance,omitzero"`
		Tests           []digest.Digest `json:"tests,omitempty"`
		Reproducibility digest.Digest   `json:"reproducibility,omitzero"`
	}
)

// Artifact is a package made of the output of one repeat.
type Artifact struct {
	Repeat string        `json:"repeat"`
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// Pax is the digest of the archive inside.
	Pax digest.Digest `json:"pax"`
}

// stageContext is a build seen from one of its stages: its recipe, and what
// earlier stages saved.
type stageContext struct {
	*Engine
	build      store.Build
	stage      orchestrator.Stage
	recipe     *recipes.Recipe
	forced     bool
	conditions []plan.Conditions

	pins    resolved
	repeats []repeated
	judged  compared
	signed  attested
}

// maxOutput bounds the value that one stage saves for another.
const maxOutput = 256 << 20

// stageContext reads everything that the stage needs.
func (e *Engine) stageContext(ctx context.Context, b store.Build, s orchestrator.Stage) (*stageContext, error) {
	c := &stageContext{Engine: e, build: b, stage: s}
	var d document
	if err := e.read(ctx, b.Document, &d); err != nil {
		return nil, fmt.Errorf("reading the recipe of build %s: %w", b.ID, err)
	}
	if err := e.loadFiles(ctx, d.Recipe); err != nil {
		return nil, err
	}
	c.recipe, c.forced = d.Recipe, d.Forced
	c.conditions = plan.Repeats(c.recipe)
	c.repeats = make([]repeated, len(c.conditions))
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

func (c *stageContext) load(ctx context.Context, s orchestrator.Stage) error {
	switch s.Kind {
	case orchestrator.Resolve:
		return c.read(ctx, s.Output, &c.pins)
	case orchestrator.Repeat:
		return c.read(ctx, s.Output, &c.repeats[s.Repeat])
	case orchestrator.Compare:
		return c.read(ctx, s.Output, &c.judged)
	case orchestrator.Attest:
		return c.read(ctx, s.Output, &c.signed)
	default:
		return nil
	}
}

func (e *Engine) read(ctx context.Context, d digest.Digest, v any) error {
	r, err := e.Artifacts.Open(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	return json.NewDecoder(io.LimitReader(r, maxOutput)).Decode(v)
}

// loadFiles gives the files of a recipe their bytes.
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

// save ends a stage with the value that it saves for later ones.
func (c *stageContext) save(ctx context.Context, v any, keep ...digest.Digest) outcome {
	text, err := json.Marshal(v)
	if err != nil {
		return outcome{err: fmt.Errorf("writing the result of %s: %w", c.stage.ID, err)}
	}
	sum, err := c.put(ctx, text)
	return outcome{err: err, output: sum, keep: keep}
}

func (c *stageContext) note(text string) {
	c.Engine.note(c.build.ID, c.stage.ID, c.stage.Worker, text)
}

// failed is the outcome of a stage that failed for a reason that lies in the port.
func failed(kind orchestrator.FailureKind, message string) outcome {
	return outcome{failure: &orchestrator.Failure{Kind: kind, Message: message}}
}

// records are those of the repeats that have ended.
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
	Artifacts []Artifact `json:"artifacts,omitempty"`
	// Verdict is that of the baseline against the repeat that differs most.
	Verdict *compare.Verdict `json:"verdict,omitempty"`
	// Agreeing counts the repeats whose verdict against the baseline is
	// within the tiers allowed, the baseline included.
	Agreeing int `json:"agreeing,omitempty"`
	// Signed says that statements were signed, Files what was published.
	Signed bool         `json:"signed"`
	Files  []store.File `json:"files,omitempty"`
	// Failure is nil when the build may be released.
	Failure *orchestrator.Failure `json:"failure,omitempty"`
}

// Conclusion returns the result of a build, or as much as there is of it. For a
// build that another one stands for, it is that one's.
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
	all := Conclusion{Build: b, Inputs: c.pins.Inputs, Artifacts: c.judged.Packages, Agreeing: c.judged.Agreeing,
		Signed: !c.signed.Reproducibility.IsZero(), Failure: b.Failure()}
	for _, s := range b.Stages {
		if s.Kind == orchestrator.Repeat && !s.Output.IsZero() {
			all.Records = append(all.Records, c.repeats[s.Repeat].Record)
		}
	}
	if len(c.judged.Packages) > 0 {
		all.Verdict = &c.judged.Verdict
	}
	all.Files, err = e.Store.Files(ctx, id)
	return all, err
}

// standsFor returns the build whose outcome counts for b.
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

// begun is when the build's first attempt began.
func (c *stageContext) begun(ctx context.Context) (time.Time, error) {
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
