// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/recipes"
)

// compare packages the output of every repeat as it would be released and
// compares each package with the baseline's. The verdict is a value: a build
// that did not reproduce passes this stage, so that the failure is signed too.
func (c *course) compare(ctx context.Context, s orchestrator.Stage) end {
	artifacts := make([]Artifact, len(c.Records))
	for i, r := range c.Records {
		a, err := c.pack(ctx, r)
		if errors.Is(err, packaging.ErrRefused) {
			return failed(s, orchestrator.FailedStep, fmt.Sprintf("packaging what %s staged: %v", r.Name, err))
		}
		if err != nil {
			return end{stage: s, err: err}
		}
		artifacts[i] = a
	}
	worst, agreeing := compare.Verdict{}, 1
	for i := 1; i < len(artifacts); i++ {
		v, err := compare.Archives(ctx, c.input(artifacts[0]), c.input(artifacts[i]),
			compare.Options{Allowed: allowed(c.Recipe), Known: compare.Known{A: c.known(0), B: c.known(i)}})
		if err != nil {
			return end{stage: s, err: fmt.Errorf("comparing %s with %s: %w", artifacts[0].Repeat, artifacts[i].Repeat, err)}
		}
		c.note(s.ID, "", fmt.Sprintf("%s and %s: %s", artifacts[0].Repeat, artifacts[i].Repeat, v))
		if releasable(v) {
			agreeing++
		}
		if i == 1 || gravity(v) > gravity(worst) {
			worst = v
		}
	}
	return end{stage: s, keep: func() {
		c.Artifacts, c.Verdict, c.Agreeing = artifacts, &worst, agreeing
	}}
}

func (c *course) pack(ctx context.Context, r orchestrator.Record) (Artifact, error) {
	raw, err := c.Store.Open(ctx, r.Output)
	if err != nil {
		return Artifact{}, err
	}
	defer raw.Close()
	var info packaging.Info
	sum, err := c.Store.Fill(ctx, func(w io.Writer) error {
		var err error
		info, err = packaging.Write(ctx, raw, w, c.spec(r))
		return err
	})
	if err != nil {
		return Artifact{}, err
	}
	if info.Digest != sum {
		return Artifact{}, fmt.Errorf("packaging %s: %s was written and %s was stored", r.Name, info.Digest, sum)
	}
	c.noteContents("compare", r.Name, info)
	name := packaging.FileName(c.Recipe.Port, c.Recipe.Version, r.Facts.System)
	return Artifact{Repeat: r.Name, Name: name, Digest: sum, Size: info.Bytes, Pax: info.PaxDigest, info: info}, nil
}

// noteContents tells what a package does not carry and what leads out of it.
func (c *course) noteContents(stage, repeat string, info packaging.Info) {
	if len(info.Dropped) > 0 {
		c.note(stage, "", fmt.Sprintf("%s: the package does not carry %s", repeat, strings.Join(info.Dropped, ", ")))
	}
	for _, l := range info.Outside {
		c.note(stage, "", fmt.Sprintf("%s: the link %s leads out of the prefix, to %s", repeat, l.Name, l.Target))
	}
}

func (c *course) spec(r orchestrator.Record) packaging.Spec {
	spec := packaging.Spec{
		Port: c.Recipe.Port, Version: c.Recipe.Version, Summary: c.Recipe.Summary, Licence: c.Recipe.Licence,
		Homepage: c.Recipe.Homepage, Categories: c.Recipe.Categories,
		Prefix: c.Recipe.Package.Prefix, Include: c.Recipe.Package.Include, Exclude: c.Recipe.Package.Exclude,
		Epoch: time.Unix(c.Inputs.Epoch, 0).UTC(), Recipe: c.Inputs.Recipe, System: r.Facts.System, Temp: c.Temp,
	}
	for _, n := range c.Recipe.Needs {
		if slices.Contains(n.At, "run") {
			spec.RunNeeds = append(spec.RunNeeds, packaging.Need{Name: n.Port, Version: string(n.Version)})
		}
	}
	for _, in := range c.Inputs.Sources {
		spec.Sources = append(spec.Sources, packaging.Source{URL: in.URI, Digest: in.Digest})
	}
	return spec
}

func (c *course) input(a Artifact) compare.Input {
	return compare.Input{Name: a.Name, Open: func() (io.ReadCloser, error) {
		return c.Store.Open(context.Background(), a.Digest)
	}}
}

// known is what the comparison may find of a repeat in its output. Numbers of
// a digit or three (jobs, umask) are left out: they would be found everywhere.
func (c *course) known(repeat int) compare.Conditions {
	r := c.Records[repeat]
	values := maps.Clone(r.Vary)
	delete(values, "jobs")
	delete(values, "umask")
	delete(values, "HOME")
	if root := c.roots[repeat]; root != "" {
		values["build path"] = root
		values["HOME"] = path.Join(root, r.Vary["HOME"])
	}
	return compare.Conditions{Values: values, Begun: r.Begun, Ended: r.Ended, Zone: r.Vary["time zone"]}
}

func allowed(r *recipes.Recipe) []compare.Tier {
	tiers := make([]compare.Tier, len(r.Reproduce.Tiers))
	for i, t := range r.Reproduce.Tiers {
		tiers[i] = compare.Tier(t)
	}
	return tiers
}

// releasable reports whether the verdict lies within the tiers allowed.
func releasable(v compare.Verdict) bool {
	return v.Outcome == compare.Identical || v.Outcome == compare.Equivalent
}

// gravity orders verdicts: the worst speaks for the build.
func gravity(v compare.Verdict) int {
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
