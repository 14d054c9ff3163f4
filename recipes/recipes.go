// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package recipes holds what to build: the values a recipe file evaluates to,
// their canonical form and their digest.
//
// It knows no syntax (recipes/parse reads HCL into these values), fetches
// nothing (recipes/source) and schedules nothing (orchestrator).
package recipes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// Recipe is one port at one version.
type Recipe struct {
	Port       string    `json:"port"`
	Version    string    `json:"version"`
	Summary    string    `json:"summary"`
	Licence    string    `json:"licence"` // SPDX expression
	Homepage   string    `json:"homepage"`
	Categories []string  `json:"categories"`
	Identity   Identity  `json:"identity"`
	Sources    []Source  `json:"sources"`
	Needs      []Need    `json:"needs,omitempty"`
	Tools      []Tool    `json:"tools,omitempty"`
	Worker     Worker    `json:"worker,omitzero"`
	Build      Build     `json:"build"`
	Tests      []Test    `json:"tests,omitempty"`
	Package    Package   `json:"package"`
	Reproduce  Reproduce `json:"reproduce"`
}

// Identity is how vulnerability data bases know the port.
type Identity struct {
	PURL     string   `json:"purl,omitempty"`     // package URL
	CPEs     []string `json:"cpes,omitempty"`     // CPE 2.3 names
	Upstream string   `json:"upstream,omitempty"` // version control repository
}

// Source is one file of upstream, pinned.
type Source struct {
	// URL is where upstream publishes it; http or https. Its last element names it.
	URL    string        `json:"url"`
	SHA256 digest.Digest `json:"sha256"`
	// Into is the folder below the source folder in which an archive is
	// unpacked, without its own first folder; "" is the source folder itself.
	Into      string     `json:"into,omitempty"`
	Signature *Signature `json:"signature,omitempty"`
	// Patches are applied in order with "patch -p1" in the unpacked folder.
	Patches []File `json:"patches,omitempty"`
}

// FileName returns the last element of the address, by which the source is
// known; "" if the address has none.
func (s Source) FileName() string {
	u, err := url.Parse(s.URL)
	if err != nil || strings.HasSuffix(u.Path, "/") {
		return ""
	}
	switch name := path.Base(u.Path); name {
	case ".", "..", "/":
		return ""
	default:
		return name
	}
}

// Signature is an OpenPGP signature of upstream over the source.
type Signature struct {
	URL string `json:"url"`
	// Key holds the armoured upstream keys, a file of the recipe.
	Key File `json:"key"`
	// Fingerprints are the primary keys (upper-case hex, no spaces) of which
	// one must have signed.
	Fingerprints []string `json:"fingerprints"`
}

// File is a file that lies beside the recipe and belongs to it.
type File struct {
	// Name is slash-separated, below the recipe's folder.
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	// Data is the content; the digest stands for it in the canonical form.
	Data []byte `json:"-"`
}

// Need is another port that must be there.
type Need struct {
	Port    string `json:"port"`
	Version Range  `json:"version,omitempty"`
	// At says when: "build", "run" or both, sorted.
	At []string `json:"at"`
}

// Tool is a program of the worker itself.
type Tool struct {
	Name    string `json:"name"`
	Version Range  `json:"version,omitempty"`
}

// Worker is what the port asks of the machine beyond its tools.
type Worker struct {
	// Labels must all be among those that the worker's administrator gave it,
	// as NAME or NAME=VALUE; sorted.
	Labels []string `json:"labels,omitempty"`
	// System is what "uname -s" must say, e.g. "OS/390"; "" for any.
	System string `json:"system,omitempty"`
	// Release is the range of what "uname -r" may say.
	Release Range `json:"release,omitempty"`
}

// Build says which plugin builds.
type Build struct {
	Plugin string `json:"plugin"`
	// Block is the plugin's own part, decoded against the plugin's schema:
	// JSON with sorted keys, absent attributes left out.
	Block json.RawMessage `json:"block"`
	// Limit bounds each step of the build.
	Limit Duration `json:"limit"`
}

// Test says which plugin tests and what is expected of it.
type Test struct {
	Plugin string          `json:"plugin"`
	Block  json.RawMessage `json:"block"`
	Limit  Duration        `json:"limit"`
	// MinTests is the smallest number of tests that counts as the whole suite.
	MinTests int `json:"min_tests"`
	// KnownFailures are allowed to fail; one that passes is told.
	KnownFailures []KnownFailure `json:"known_failures,omitempty"`
}

// KnownFailure is a test that may fail, and why.
type KnownFailure struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Package says what goes into the artifact.
type Package struct {
	// Prefix is the absolute folder for which the port is configured.
	Prefix string `json:"prefix"`
	// Include and Exclude are globs over paths below the prefix; ** crosses folders.
	Include []string `json:"include"`
	Exclude []string `json:"exclude,omitempty"`
}

// Reproduce says how often the port is built, what is varied between the
// repeats, and which tiers of difference a release may carry.
type Reproduce struct {
	Repeats int         `json:"repeats"`
	Vary    []Variation `json:"vary"`
	Tiers   []int       `json:"tiers"`
	Rules   []Rule      `json:"rules,omitempty"`
}

// Rule is one difference that the port is known to have and that may count as
// one of a tier: never metadata, code, or what was added or removed.
type Rule struct {
	Name string `json:"name"`
	// Format is "text", "json" or "bytes".
	Format string `json:"format"`
	// Path is a glob (path.Match) below the artifact's first folder; "" is
	// every member.
	Path string `json:"path,omitempty"`
	// Field is a JSON pointer, for format "json".
	Field string `json:"field,omitempty"`
	// Pattern is an RE2 expression with one group: what may differ.
	Pattern string `json:"pattern,omitempty"`
	// Tier is what the difference counts as; it is among those allowed.
	Tier   int    `json:"tier"`
	Reason string `json:"reason"`
}

// Categories lists the categories a port may be in (those of the z/OS open
// tools community).
func Categories() []string {
	return []string{"ai", "build_system", "compression", "core", "database", "development", "devops", "documentation",
		"editor", "graphics", "json", "language", "library", "math", "monitoring", "networking", "security", "shell",
		"source_control", "testing", "utilities", "webframework"}
}

// Duration is a time.Duration written as text, e.g. "3h30m0s".
type Duration time.Duration

// MarshalText writes d as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// canonicalVersion changes whenever the same recipe would get another
// canonical form, so that digests of different forms never meet.
const canonicalVersion = "zfarm-recipe-v1\n"

// Canonical returns the bytes over which the digest of r is taken: a line
// naming the form, then JSON without optional white space, keys in a fixed
// order. Two files that mean the same have the same canonical form.
func (r *Recipe) Canonical() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(canonicalVersion)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("writing canonical form of %s %s: %w", r.Port, r.Version, err)
	}
	return b.Bytes(), nil
}

// Digest returns the digest of the canonical form.
func (r *Recipe) Digest() (digest.Digest, error) {
	b, err := r.Canonical()
	if err != nil {
		return digest.Digest{}, err
	}
	return digest.Of(b), nil
}
