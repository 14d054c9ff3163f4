// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package kit is the folder that a release job collects: artifacts, the
// bundles about each of them, the public key, and the commands with which
// anyone can check it all offline with the stock cosign program. It writes
// such folders and verifies them. A build that did not reproduce gets a folder
// that says so and holds no artifact.
//
// It signs nothing and knows no signature format: callers pass in an
// attest.Verifier, such as that of attest/cosign. attest/statement knows what
// the statements mean.
package kit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/statement"
)

// Names of files in the folder. The bundles of the artifact F are
// F.provenance.sigstore.json, F.reproducibility.sigstore.json and
// F.test-result.sigstore.json; where there are several test results the names
// are F.test-result-1.sigstore.json and so on.
const (
	TrustedRootFile     = "trusted_root.json"
	PublicKeyFile       = "zfarm.pub"
	CommandsFile        = "verify.txt"
	NotReproducibleFile = "NOT-REPRODUCIBLE.txt"
	FindingsFile        = "findings.reproducibility.sigstore.json"

	bundleSuffix          = ".sigstore.json"
	provenanceSuffix      = ".provenance" + bundleSuffix
	reproducibilitySuffix = ".reproducibility" + bundleSuffix
)

// Bounds on what is read from a folder.
const (
	maxEntries  = 20_000
	maxBundle   = 16 << 20
	maxSmall    = 4 << 20  // keys, roots, generated texts
	maxArtifact = 64 << 30 // bytes of one artifact
)

// ExtraNames lists the names that extra files may have. Extra files are not
// signed.
func ExtraNames() []string {
	return []string{"metadata.json", "report.html", "report.json", "report.txt", "verdict.json"}
}

// Artifact is one file to release, with the bundles about it.
type Artifact struct {
	// Name is the name of the file, and of the subject in each statement:
	// letters, digits and . _ + ~ - only.
	Name   string
	Digest digest.Digest
	// Open returns the file's bytes from the start. They are copied, not
	// linked: an edit in the folder must not change the store.
	Open            func() (io.ReadCloser, error)
	Provenance      attest.Bundle
	Reproducibility attest.Bundle
	// TestResults has one bundle for each suite that the provenance names.
	TestResults []attest.Bundle
}

// FromFile returns an Artifact.Open that reads the file.
func FromFile(path string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(path) }
}

// Extra is an unsigned file in the folder.
type Extra struct {
	// Name is one of [ExtraNames].
	Name string
	Data []byte
}

// Contents is what Write writes for a build that reproduced.
type Contents struct {
	Artifacts []Artifact
	// PublicKey, in PEM, verifies the bundles. TrustedRoot is the file that
	// cosign takes with --trusted-root.
	PublicKey   []byte
	TrustedRoot []byte
	Extra       []Extra
}

// Findings is what WriteFindings writes for a build that did not reproduce.
type Findings struct {
	// Reproducibility has all outputs of all repeats as its subjects.
	Reproducibility attest.Bundle
	PublicKey       []byte
	TrustedRoot     []byte
	Extra           []Extra
}

// checkName refuses names that a command line could not hold unquoted, and
// names with another meaning in the folder.
func checkName(name string) error {
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,150}$`).MatchString(name):
		return fmt.Errorf("name %q: want letters, digits and . _ + ~ - only, a letter or digit first, at most 151 bytes", name)
	case strings.HasSuffix(name, bundleSuffix), slices.Contains(reserved(), name), slices.Contains(ExtraNames(), name):
		return fmt.Errorf("name %q has another meaning in this folder", name)
	}
	return nil
}

func reserved() []string {
	return []string{TrustedRootFile, PublicKeyFile, CommandsFile, NotReproducibleFile}
}

// testResultName returns the name of the i-th of n test results about F.
func testResultName(f string, i, n int) string {
	if n == 1 {
		return f + ".test-result" + bundleSuffix
	}
	return fmt.Sprintf("%s.test-result-%d%s", f, i+1, bundleSuffix)
}

// isTestResult reports whether testResultName can return the name.
func isTestResult(f, name string) bool {
	middle, ok := strings.CutPrefix(name, f+".test-result")
	return ok && regexp.MustCompile(`^(-[1-9][0-9]{0,3})?\.sigstore\.json$`).MatchString(middle)
}

// peek returns the statement in a bundle without verifying anything.
func peek(b attest.Bundle) (attest.Statement, error) {
	var envelope struct {
		DsseEnvelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	if len(b) == 0 {
		return attest.Statement{}, errors.New("there is no bundle")
	}
	if len(b) > maxBundle {
		return attest.Statement{}, fmt.Errorf("the bundle has %d bytes, the most is %d", len(b), maxBundle)
	}
	if err := json.Unmarshal(b, &envelope); err != nil {
		return attest.Statement{}, fmt.Errorf("reading bundle: %w", err)
	}
	return statement.Parse(envelope.DsseEnvelope.Payload)
}
