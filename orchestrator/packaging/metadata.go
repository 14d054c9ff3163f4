// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
)

// Files that "zopen install" expects at the top of a package.
const (
	metadataName = "metadata.json"
	envName      = ".env"
	setupName    = "setup.sh"
	// workName is a temporary file of setup.sh.
	workName = ".zfarm-setup"
)

// Tests counts the results of a suite, for the metadata beside the artifact.
type Tests struct {
	Total, Passed int
}

// metadata has the form of zopen's version_scheme 0.2, with digests that zopen does
// not have. Fields that would differ between repeats are only in the file beside
// the artifact.
type metadata struct {
	Scheme  string  `json:"version_scheme"`
	Product product `json:"product"`
	ZFarm   origin  `json:"zfarm"`
}

type product struct {
	Name       string      `json:"name"`
	Version    string      `json:"version"`
	Release    string      `json:"release"`
	Summary    string      `json:"summary"`
	Repo       string      `json:"repo"`
	License    string      `json:"license"`
	Categories string      `json:"categories"`
	BuildLine  string      `json:"buildline"`
	SourceType string      `json:"source_type"`
	TestStatus *testStatus `json:"test_status,omitempty"`
	Size       int64       `json:"size"`
	BuildNeeds []need      `json:"build_dependencies"`
	RunNeeds   []need      `json:"runtime_dependencies"`
	Prereqs    []string    `json:"system_prereqs"`
	Caveats    string      `json:"install_caveats"`
	Pax        string      `json:"pax,omitempty"`
	PaxSize    int64       `json:"pax_size,omitempty"`
	SHA256     string      `json:"sha256,omitempty"`
}

type testStatus struct {
	Total   int `json:"total_tests"`
	Success int `json:"total_success"`
}

type need struct {
	Name         string  `json:"name"`
	Version      string  `json:"version"`
	VersionRange *string `json:"versionRange"`
	SHA256       string  `json:"sha256"`
}

// origin describes the inputs and the content of the package.
type origin struct {
	System  string   `json:"system"`
	Prefix  string   `json:"prefix"`
	Recipe  string   `json:"recipe_sha256"`
	Sources []source `json:"sources"`
	Files   []source `json:"files,omitempty"`
}

type source struct {
	URL    string `json:"url,omitempty"`
	Name   string `json:"name,omitempty"`
	Size   *int64 `json:"size,omitempty"`
	SHA256 string `json:"sha256"`
}

func (s *Spec) metadata() metadata {
	m := metadata{Scheme: "0.2", Product: product{
		Name: s.Port, Version: s.Version, Release: s.Epoch.UTC().Format("20060102_150405"), Summary: s.Summary, Repo: s.Homepage,
		License: s.Licence, Categories: strings.Join(s.Categories, " "), BuildLine: "STABLE", SourceType: "TARBALL",
		BuildNeeds: needs(s.BuildNeeds), RunNeeds: needs(s.RunNeeds), Prereqs: []string{},
	}, ZFarm: origin{System: systemName(s.System), Prefix: s.Prefix, Recipe: hexOf(s.Recipe), Sources: []source{}}}
	for _, src := range s.Sources {
		m.ZFarm.Sources = append(m.ZFarm.Sources, source{URL: src.URL, SHA256: hexOf(src.Digest)})
	}
	return m
}

func needs(from []Need) []need {
	out := make([]need, 0, len(from))
	for _, n := range from {
		out = append(out, need{Name: n.Name, Version: n.Version, SHA256: hexOf(n.Digest)})
	}
	slices.SortFunc(out, func(a, b need) int { return strings.Compare(a.Name+"\x00"+a.Version, b.Name+"\x00"+b.Version) })
	return out
}

func hexOf(d digest.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.Hex()
}

// innerMetadata returns the metadata.json inside the package. It contains no file
// digests: with them, any file that differs would make this file differ as well.
func innerMetadata(s *Spec, members []member) ([]byte, error) {
	m := s.metadata()
	for _, f := range members {
		m.Product.Size += f.Size
	}
	return m.encode()
}

// Metadata returns the metadata.json beside the artifact: the metadata inside the
// package, with the artifact's name, size and digest, the digest of every file in
// it, and the test results.
func Metadata(s Spec, i Info, t Tests) ([]byte, error) {
	m := s.metadata()
	m.Product.TestStatus = &testStatus{t.Total, t.Passed}
	m.Product.Size = i.Content
	m.Product.Pax, m.Product.PaxSize, m.Product.SHA256 = FileName(s.Port, s.Version, s.System), i.Bytes, hexOf(i.Digest)
	for _, f := range i.Files {
		m.ZFarm.Files = append(m.ZFarm.Files, source{Name: f.Name, Size: &f.Size, SHA256: f.Digest.Hex()})
	}
	return m.encode()
}

func (m metadata) encode() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("writing %s: %w", metadataName, err)
	}
	return out.Bytes(), nil
}

// envScript returns the .env of a package.
func envScript(s *Spec) []byte {
	return fmt.Appendf(nil, `# %s: use it from the folder in which it lies, with ". ./.env"
PATH="${PWD}/bin${PATH:+:${PATH}}"
LIBPATH="${PWD}/lib${LIBPATH:+:${LIBPATH}}"
MANPATH="${PWD}/share/man${MANPATH:+:${MANPATH}}"
export PATH LIBPATH MANPATH
`, s.root())
}

// setupScript returns the setup.sh of a package. It replaces the prefix in text
// files; occurrences in binaries stay.
func setupScript(s *Spec, named []string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `#!/bin/sh
# %s: run it once in the place where the package is to stay. Text files that
# name the folder for which the port was built will name this one instead;
# binaries keep the name.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
`, s.root())
	if len(named) == 0 {
		out.WriteString(": \"${here}\" # no text file names the folder\n")
		return out.Bytes()
	}
	fmt.Fprintf(&out, `was=%s
to=$(printf '%%s\n' "${here}" | sed 's/[\\&|]/\\&/g')
work="${here}/%s"
while IFS= read -r name; do
	file="${here}/${name}"
	sed -e "s|${was}\([^A-Za-z0-9._+-]\)|${to}\1|g" -e "s|${was}\$|${to}|" "${file}" >"${work}"
	if [ -w "${file}" ]; then
		cat "${work}" >"${file}"
	else
		chmod u+w "${file}"
		cat "${work}" >"${file}"
		chmod u-w "${file}"
	fi
done <<'END'
./%s
END
rm -f "${work}"
`, shellQuote(sedPattern(s.Prefix)), workName, strings.Join(named, "\n./")) // "./" keeps names from being END
	return out.Bytes()
}

// sedPattern escapes s for a basic regular expression that is delimited by bars.
func sedPattern(s string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(`\.*[]^$|`, c) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(c)
	}
	return out.String()
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
