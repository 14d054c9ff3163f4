// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package statement composes the exact bytes of in-toto statements from typed
// values, and reads them back: SLSA provenance, test results, and the farm's
// own reproducibility predicate (docs/reproducibility-v1.md). It also computes
// which SLSA level the evidence supports.
//
// A statement that contradicts itself can be neither composed nor read: both
// go through the same checks. The package signs nothing (attest/cosign does)
// and decides nothing about releases (attest/kit and policies do).
package statement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
)

// Types of the envelope's content and of its statement (in-toto attestation
// framework v1).
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
)

// MaxSize is the most bytes a statement may have. Signed and in base64 it
// still fits the 16 MiB that a bundle may have.
const MaxSize = 11 << 20

// Bounds on the content of a statement.
const (
	maxText    = 4096    // bytes of one text
	maxEntries = 10_000  // dependencies, repeats, masked fields, entries of a map
	maxTests   = 500_000 // names in one list of tests
)

// Resource is a resource descriptor of the in-toto framework, as far as the
// farm uses it. It is written as {"uri","digest":{"sha256","gitCommit"},
// "name","mediaType","annotations"}, without empty fields.
type Resource struct {
	URI    string
	Name   string
	Digest digest.Digest
	// Commit is a git commit in hexadecimal; "" if there is none.
	Commit      string
	MediaType   string
	Annotations map[string]string
}

type resourceJSON struct {
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Name        string            `json:"name,omitempty"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Names of digests in a digest set.
const (
	setSHA256 = "sha256"
	setCommit = "gitCommit"
)

// MarshalJSON writes the descriptor.
func (r Resource) MarshalJSON() ([]byte, error) {
	w := resourceJSON{URI: r.URI, Name: r.Name, MediaType: r.MediaType, Annotations: r.Annotations}
	set := map[string]string{}
	if !r.Digest.IsZero() {
		set[setSHA256] = r.Digest.Hex()
	}
	if r.Commit != "" {
		set[setCommit] = r.Commit
	}
	if len(set) > 0 {
		w.Digest = set
	}
	return encode(w)
}

// UnmarshalJSON reads what MarshalJSON wrote. It refuses digests of other
// kinds, because nothing here would check them.
func (r *Resource) UnmarshalJSON(b []byte) error {
	var w resourceJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	out := Resource{URI: w.URI, Name: w.Name, MediaType: w.MediaType, Annotations: w.Annotations}
	for _, name := range slices.Sorted(maps.Keys(w.Digest)) {
		value := w.Digest[name]
		switch name {
		case setSHA256:
			d, err := digest.Parse(value)
			if err != nil {
				return err
			}
			if d.Hex() != value || d.IsZero() {
				return fmt.Errorf("digest %q is not 64 lower-case hexadecimal digits of a file", value)
			}
			out.Digest = d
		case setCommit:
			out.Commit = value
		default:
			return fmt.Errorf("digest of unknown kind %q", name)
		}
	}
	*r = out
	return nil
}

// check returns what is wrong with r, which must be pinned by a digest or
// commit.
func (r Resource) check() error {
	var errs []error
	if r.URI == "" && r.Name == "" {
		errs = append(errs, errors.New("has neither uri nor name"))
	}
	if r.URI != "" {
		errs = append(errs, checkURI("uri", r.URI))
	}
	if r.Name != "" {
		errs = append(errs, checkWord("name", r.Name))
	}
	if r.Commit != "" && !isHex(r.Commit, 40) && !isHex(r.Commit, 64) {
		errs = append(errs, fmt.Errorf("commit %q: want 40 or 64 lower-case hexadecimal digits", r.Commit))
	}
	if r.Digest.IsZero() && r.Commit == "" {
		errs = append(errs, errors.New("is pinned by neither digest nor commit"))
	}
	errs = append(errs, checkText("media type", r.MediaType), checkMap("annotation", r.Annotations))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("resource %q: %w", first(r.Name, r.URI), err)
	}
	return nil
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

type statementJSON struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     any        `json:"predicate"`
}

// compose returns a statement with the predicate and the subjects.
func compose(predicateType string, subjects []attest.Subject, predicate any) (attest.Statement, error) {
	w := statementJSON{Type: StatementType, PredicateType: predicateType, Predicate: predicate}
	for _, s := range subjects {
		w.Subject = append(w.Subject, Resource{Name: s.Name, Digest: s.Digest})
	}
	b, err := encode(w)
	if err != nil {
		return attest.Statement{}, fmt.Errorf("writing statement: %w", err)
	}
	if len(b) > MaxSize {
		return attest.Statement{}, fmt.Errorf("statement has %d bytes, the most is %d: say less in it, or split its subjects", len(b), MaxSize)
	}
	return attest.Statement{PredicateType: predicateType, Subjects: append([]attest.Subject(nil), subjects...), JSON: b}, nil
}

// encode writes v as JSON without optional space and without escaping <, > and
// &.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// checkSubjects returns what is wrong with the subjects of a statement.
func checkSubjects(subjects []attest.Subject) error {
	if len(subjects) == 0 {
		return errors.New("statement has no subject")
	}
	if len(subjects) > attest.MaxSubjects {
		return fmt.Errorf("statement has %d subjects, the most is %d: split it", len(subjects), attest.MaxSubjects)
	}
	seen := make(map[string]bool, len(subjects))
	for _, s := range subjects {
		if err := checkWord("subject's name", s.Name); err != nil {
			return err
		}
		if s.Digest.IsZero() {
			return fmt.Errorf("subject %q has no digest", s.Name)
		}
		if seen[s.Name] {
			return fmt.Errorf("two subjects have the name %q", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

// checkWord checks a required text without control characters.
func checkWord(what, s string) error {
	if s == "" {
		return fmt.Errorf("%s is missing", what)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%s %q has control characters", what, s)
	}
	return checkText(what, s)
}

// checkText checks a text of bounded length. It refuses bytes that are not
// UTF-8, because the encoder would silently change them.
func checkText(what, s string) error {
	if len(s) > maxText {
		return fmt.Errorf("%s has %d bytes, the most is %d", what, len(s), maxText)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s %q is not UTF-8", what, s)
	}
	return nil
}

func checkTexts(what string, most int, texts []string) error {
	if len(texts) > most {
		return fmt.Errorf("%d of %s, the most is %d", len(texts), what, most)
	}
	for _, s := range texts {
		if s == "" {
			return fmt.Errorf("one of %s is empty", what)
		}
		if err := checkText("one of "+what, s); err != nil {
			return err
		}
	}
	return nil
}

func checkMap[K ~string](what string, m map[K]string) error {
	if len(m) > maxEntries {
		return fmt.Errorf("%d entries of %s, the most is %d", len(m), what, maxEntries)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if err := errors.Join(checkWord("name of "+what, string(k)), checkText(what+" "+string(k), m[k])); err != nil {
			return err
		}
	}
	return nil
}

func checkURI(what, s string) error {
	if err := checkWord(what, s); err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if u.Scheme == "" || strings.Contains(s, " ") {
		return fmt.Errorf("%s %q is not an absolute URI", what, s)
	}
	return nil
}

func checkWindow(started, finished time.Time) error {
	switch {
	case started.IsZero() || finished.IsZero():
		return errors.New("startedOn or finishedOn is missing")
	case finished.Before(started):
		return fmt.Errorf("finishedOn %s lies before startedOn %s", stamp(finished), stamp(started))
	}
	return nil
}

// stamp formats a time for statements: RFC 3339, UTC, whole seconds.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
