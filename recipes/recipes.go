// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package recipes defines what to build: the values that a recipe file
// evaluates to, their canonical form and their digest.
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

// Identity is how vulnerability databases identify the port.
type Identity struct {
	PURL     string   `json:"purl,omitempty"`     // package URL
	CPEs     []string `json:"cpes,omitempty"`     // CPE 2.3 names
	Upstream string   `json:"upstream,omitempty"` // version control repository
}

// Source is one file from upstream, pinned by digest.
type Source struct {
	// URL is where upstream publishes it: http or https. The last element is
	// its name.
	URL    string        `json:"url"`
	SHA256 digest.Digest `json:"sha256"`
	// Into is the folder below the source folder into which an archive is
	// unpacked, without its own first folder; "" is the source folder itself.
	Into      string     `json:"into,omitempty"`
	Signature *Signature `json:"signature,omitempty"`
	// Patches are applied in order with "patch -p1" in the unpacked folder.
	Patches []File `json:"patches,omitempty"`
}

// FileName returns the last element of the URL, which names the source; "" if
// the URL has none.
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

// Signature is upstream's OpenPGP signature over the source.
type Signature struct {
	URL string `json:"url"`
	// Key holds the armoured upstream keys, in a file beside the recipe.
	Key File `json:"key"`
	// Fingerprints are primary keys (upper-case hex, no spaces), one of which
	// must have signed.
	Fingerprints []string `json:"fingerprints"`
}

// File is a file beside the recipe that belongs to it.
type File struct {
	// Name is slash-separated, below the recipe's folder.
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	// Data is the content; in the canonical form the digest represents it.
	Data []byte `json:"-"`
}

// Need is another port whose package the build or the port needs.
type Need struct {
	Port    string `json:"port"`
	Version Range  `json:"version,omitempty"`
	// At says when the port is needed: "build", "run" or both, sorted.
	At []string `json:"at"`
}

// Tool is a program that the worker itself must have.
type Tool struct {
	Name    string `json:"name"`
	Version Range  `json:"version,omitempty"`
}

// Worker is what the port requires of the machine in addition to tools.
type Worker struct {
	// Labels must all be among those that the administrator gave the worker,
	// as NAME or NAME=VALUE; sorted.
	Labels []string `json:"labels,omitempty"`
	// System is what "uname -s" must print, e.g. "OS/390"; "" for any.
	System string `json:"system,omitempty"`
	// Release is the range of what "uname -r" may print.
	Release Range `json:"release,omitempty"`
}

// Build says which plugin builds the port, and how.
type Build struct {
	Plugin string `json:"plugin"`
	// Block is the plugin's own part, decoded by the plugin's schema: JSON
	// with sorted keys, without absent attributes.
	Block json.RawMessage `json:"block"`
	// Limit bounds each step of the build.
	Limit Duration `json:"limit"`
}

// Test says which plugin tests the port, and which results are acceptable.
type Test struct {
	Plugin string          `json:"plugin"`
	Block  json.RawMessage `json:"block"`
	Limit  Duration        `json:"limit"`
	// MinTests is the smallest number of tests that counts as the whole suite.
	MinTests int `json:"min_tests"`
	// KnownFailures may fail; one that passes is reported.
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
// repeats, and which tiers of difference a release may have.
type Reproduce struct {
	Repeats int         `json:"repeats"`
	Vary    []Variation `json:"vary"`
	Tiers   []int       `json:"tiers"`
	Rules   []Rule      `json:"rules,omitempty"`
}

// Rule is one difference that the port is known to have. It counts as a
// difference of Tier. It never applies to metadata, code, or to what was added
// or removed.
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
	// Tier is the tier that the difference counts as; it must be an allowed
	// one.
	Tier   int    `json:"tier"`
	Reason string `json:"reason"`
}

// Categories returns the categories that a port may be in (those of the z/OS
// open tools community).
func Categories() []string {
	return []string{"ai", "build_system", "compression", "core", "database", "development", "devops", "documentation",
		"editor", "graphics", "json", "language", "library", "math", "monitoring", "networking", "security", "shell",
		"source_control", "testing", "utilities", "webframework"}
}

// Duration is a time.Duration that is written as text, e.g. "3h30m0s".
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
// canonical form, so that digests of different forms never coincide.
const canonicalVersion = "zfarm-recipe-v1\n"

// Canonical returns the bytes that the digest of r covers: a line with the
// version of the form, then JSON without optional white space, with keys in a
// fixed order. Two files with the same meaning have the same canonical form.
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
