// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/attest"
)

// BuildType identifies the meaning of the farm's parameters
// (docs/buildtype-v1.md).
const BuildType = "https://zfarm.dev/build/v1"

// RecipeName is the name of the recipe among the resolved dependencies of a
// provenance.
const RecipeName = "recipe"

// Provenance says how artifacts were made: SLSA provenance v1 of build type
// [BuildType]. The orchestrator composes or checks every field; what workers
// report belongs in Byproducts.
type Provenance struct {
	// Subjects are the artifacts.
	Subjects []attest.Subject
	External ExternalParameters
	Internal InternalParameters
	// Dependencies are the inputs, each pinned. One has the name [RecipeName]
	// and the URI of External.Recipe.
	Dependencies []Resource
	Builder      Builder
	// InvocationID is the id of the build; all its statements have it.
	InvocationID string
	StartedOn    time.Time
	FinishedOn   time.Time
	// Byproducts are logs, reports and facts that workers reported, by digest.
	Byproducts []Resource
}

// ExternalParameters is everything that the requester of the build could
// choose. Verifiers refuse parameters that they do not know.
type ExternalParameters struct {
	Recipe  RecipeRef `json:"recipe"`
	Port    string    `json:"port"`
	Version string    `json:"version"`
	// Overrides are settings of the recipe that were replaced for this build.
	Overrides map[string]string `json:"overrides,omitempty"`
}

// RecipeRef says where the recipe came from.
type RecipeRef struct {
	// URI is a repository, e.g. "git+https://example.org/ports", or another
	// URI of the recipe's place.
	URI string `json:"uri"`
	// Path is the recipe's file below it.
	Path string `json:"path,omitempty"`
}

// InternalParameters is what the farm chose.
type InternalParameters struct {
	// Repeats is how many repeats were made and compared before signing.
	Repeats int `json:"repeats"`
	// Baseline is the repeat whose outputs are the subjects.
	Baseline string `json:"baseline"`
	// TestSuites names the suites that have a test result.
	TestSuites []string `json:"testSuites,omitempty"`
	// Conditions are the conditions of the baseline.
	Conditions map[string]string `json:"conditions,omitempty"`
}

// Builder names who built, at which versions.
type Builder struct {
	// ID is one of the Builder constants, or the URI of a page that describes
	// another farm.
	ID string `json:"id"`
	// Version maps components ("zfarm", plugins) to versions.
	Version map[string]string `json:"version,omitempty"`
}

type provenanceJSON struct {
	BuildDefinition struct {
		BuildType            string          `json:"buildType"`
		ExternalParameters   json.RawMessage `json:"externalParameters"`
		InternalParameters   json.RawMessage `json:"internalParameters,omitempty"`
		ResolvedDependencies []Resource      `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder  Builder `json:"builder"`
		Metadata struct {
			InvocationID string    `json:"invocationId"`
			StartedOn    time.Time `json:"startedOn"`
			FinishedOn   time.Time `json:"finishedOn"`
		} `json:"metadata"`
		Byproducts []Resource `json:"byproducts,omitempty"`
	} `json:"runDetails"`
}

// Statement checks p and returns its bytes.
func (p Provenance) Statement() (attest.Statement, error) {
	if err := p.check(); err != nil {
		return attest.Statement{}, fmt.Errorf("composing provenance: %w", err)
	}
	external, err := encode(p.External)
	if err != nil {
		return attest.Statement{}, fmt.Errorf("composing provenance: %w", err)
	}
	internal, err := encode(p.Internal)
	if err != nil {
		return attest.Statement{}, fmt.Errorf("composing provenance: %w", err)
	}
	var w provenanceJSON
	w.BuildDefinition.BuildType = BuildType
	w.BuildDefinition.ExternalParameters = external
	w.BuildDefinition.InternalParameters = internal
	w.BuildDefinition.ResolvedDependencies = p.Dependencies
	w.RunDetails.Builder = p.Builder
	w.RunDetails.Metadata.InvocationID = p.InvocationID
	w.RunDetails.Metadata.StartedOn = p.StartedOn.UTC().Truncate(time.Second)
	w.RunDetails.Metadata.FinishedOn = p.FinishedOn.UTC().Truncate(time.Second)
	w.RunDetails.Byproducts = p.Byproducts
	return compose(attest.TypeProvenance, p.Subjects, w)
}

// DecodeProvenance reads the provenance in s. It returns an error that wraps
// attest.ErrNotVerified for another build type, an unknown external parameter,
// or anything that [Provenance.Statement] refuses.
func DecodeProvenance(s attest.Statement) (Provenance, error) {
	var w provenanceJSON
	subjects, err := decode(s, attest.TypeProvenance, &w)
	if err != nil {
		return Provenance{}, err
	}
	p := Provenance{
		Subjects: subjects, Dependencies: w.BuildDefinition.ResolvedDependencies, Builder: w.RunDetails.Builder,
		InvocationID: w.RunDetails.Metadata.InvocationID,
		StartedOn:    w.RunDetails.Metadata.StartedOn, FinishedOn: w.RunDetails.Metadata.FinishedOn,
		Byproducts: w.RunDetails.Byproducts,
	}
	if err := p.decodeParameters(w); err != nil {
		return Provenance{}, fmt.Errorf("reading provenance: %w: %w", attest.ErrNotVerified, err)
	}
	return p, nil
}

func (p *Provenance) decodeParameters(w provenanceJSON) error {
	if got := w.BuildDefinition.BuildType; got != BuildType {
		return fmt.Errorf("its build type is %q, want %q", got, BuildType)
	}
	// An unknown external parameter may change what was built.
	dec := json.NewDecoder(bytes.NewReader(w.BuildDefinition.ExternalParameters))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p.External); err != nil {
		return fmt.Errorf("external parameters: %w", err)
	}
	if err := json.Unmarshal(w.BuildDefinition.InternalParameters, &p.Internal); err != nil {
		return fmt.Errorf("internal parameters: %w", err)
	}
	return p.check()
}

// Recipe returns the recipe among the dependencies.
func (p Provenance) Recipe() (Resource, bool) { return named(p.Dependencies, RecipeName) }

// named returns the first resource with the name.
func named(list []Resource, name string) (Resource, bool) {
	for _, r := range list {
		if r.Name == name {
			return r, true
		}
	}
	return Resource{}, false
}

func (p Provenance) check() error {
	return errors.Join(
		checkSubjects(p.Subjects),
		checkURI("builder's id", p.Builder.ID),
		checkMap("builder's version", p.Builder.Version),
		checkWord("invocation id", p.InvocationID),
		checkWindow(p.StartedOn, p.FinishedOn),
		p.External.check(),
		p.Internal.check(),
		checkResources("dependencies", p.Dependencies),
		p.checkRecipe(),
		checkResources("byproducts", p.Byproducts),
	)
}

func (p Provenance) checkRecipe() error {
	var found []Resource
	for _, d := range p.Dependencies {
		if d.Name == RecipeName {
			found = append(found, d)
		}
	}
	switch {
	case len(found) != 1:
		return fmt.Errorf("%d dependencies have the name %q, want exactly one", len(found), RecipeName)
	case found[0].URI != p.External.Recipe.URI:
		return fmt.Errorf("the recipe came from %q, but its dependency says %q", p.External.Recipe.URI, found[0].URI)
	case found[0].Digest.IsZero():
		return errors.New("the recipe has no digest")
	}
	return nil
}

func (e ExternalParameters) check() error {
	return errors.Join(
		checkURI("recipe's uri", e.Recipe.URI),
		checkText("recipe's path", e.Recipe.Path),
		checkWord("port", e.Port),
		checkWord("version", e.Version),
		checkMap("override", e.Overrides),
	)
}

func (i InternalParameters) check() error {
	var few error
	if i.Repeats < 1 {
		few = fmt.Errorf("%d repeats, want at least 1", i.Repeats)
	}
	return errors.Join(few,
		checkWord("baseline", i.Baseline),
		checkTexts("test suites", maxEntries, i.TestSuites),
		checkMap("condition", i.Conditions),
	)
}

func checkResources(what string, list []Resource) error {
	if len(list) > maxEntries {
		return fmt.Errorf("%d %s, the most is %d", len(list), what, maxEntries)
	}
	for _, r := range list {
		if err := r.check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
