// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stagevalue

import (
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
)

// Document is the stored form of a submitted recipe. The files of the recipe are in the
// artifact store under their own digests.
type Document struct {
	Recipe *recipes.Recipe `json:"recipe"`
	// Forced: the build does not reuse other builds with the same inputs.
	Forced bool `json:"forced,omitempty"`
}

// Wants is what the repeats of a build want of a worker.
type Wants struct {
	schedule.Wants
}

// Resolved is what resolve saves: every input, pinned and ready for the workers.
type Resolved struct {
	Inputs  orchestrator.Inputs            `json:"inputs"`
	Sources []attempt.Source               `json:"sources"`
	Needs   []attempt.Need                 `json:"needs,omitempty"`
	Plugins map[string]plugins.Description `json:"plugins"`
}

// Repeated is what a repeat saves.
type Repeated struct {
	Record orchestrator.Record `json:"record"`
	// Root is the absolute path of the workspace on its worker.
	Root string `json:"root,omitempty"`
}

// Compared is what compare saves.
type Compared struct {
	Packages []Artifact       `json:"packages"`
	Info     []packaging.Info `json:"info"`
	// Verdict compares the baseline with the repeat that differs most from it.
	Verdict compare.Verdict `json:"verdict"`
	// Agreeing counts the repeats within the allowed tiers, the baseline included.
	Agreeing int `json:"agreeing"`
	// Masked are the fields that differ in some repeat, each with its largest count in
	// any repeat.
	Masked []compare.FieldCount `json:"masked,omitempty"`
}

// Artifact is a package made of the output of one repeat.
type Artifact struct {
	Repeat string        `json:"repeat"`
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// Pax is the digest of the archive inside.
	Pax digest.Digest `json:"pax"`
}

// Attested is what attest saves: the digests of signed bundles, zero where
// nothing was signed.
type Attested struct {
	Provenance      digest.Digest   `json:"provenance,omitzero"`
	Tests           []digest.Digest `json:"tests,omitempty"`
	Reproducibility digest.Digest   `json:"reproducibility,omitzero"`
}

// Published is what publish saves: the files of the release folder.
type Published struct {
	Files []File `json:"files"`
}

// File is one published file.
type File struct {
	Name      string        `json:"name"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	MediaType string        `json:"media_type"`
}

func (Document) format() (string, int)  { return "zfarm.document", 1 }
func (Wants) format() (string, int)     { return "zfarm.wants", 1 }
func (Resolved) format() (string, int)  { return "zfarm.resolved", 1 }
func (Repeated) format() (string, int)  { return "zfarm.repeated", 1 }
func (Compared) format() (string, int)  { return "zfarm.compared", 1 }
func (Attested) format() (string, int)  { return "zfarm.attested", 1 }
func (Published) format() (string, int) { return "zfarm.published", 1 }
