// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zfarm/zfarm/attest"
)

// maxDepth is how deep objects and arrays of a statement may nest, maxNested
// how many of them it may have. A few bytes of JSON can cost hundreds in
// memory.
const (
	maxDepth  = 16
	maxNested = 200_000
)

// Parse reads the bytes of a statement, whatever its predicate. It is strict,
// so that no two readers can see different statements in the same bytes: one
// value, no key twice (not even in another case), exactly the four fields.
// Every error wraps attest.ErrNotVerified.
func Parse(b []byte) (attest.Statement, error) {
	s, _, err := parse(b)
	if err != nil {
		return attest.Statement{}, fmt.Errorf("reading statement: %w: %w", attest.ErrNotVerified, err)
	}
	return s, nil
}

func parse(b []byte) (attest.Statement, json.RawMessage, error) {
	var none attest.Statement
	if err := scan(b); err != nil {
		return none, nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return none, nil, err
	}
	var w struct {
		Type          string
		PredicateType string
		Subject       []Resource
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		var err error
		switch name {
		case "_type":
			err = json.Unmarshal(value, &w.Type)
		case "predicateType":
			err = json.Unmarshal(value, &w.PredicateType)
		case "subject":
			err = json.Unmarshal(value, &w.Subject)
		case "predicate":
		default:
			err = errors.New("a statement has no such field")
		}
		if err != nil {
			return none, nil, fmt.Errorf("field %q: %w", name, err)
		}
	}
	if w.Type != StatementType {
		return none, nil, fmt.Errorf("_type is %q, want %q", w.Type, StatementType)
	}
	if err := checkURI("predicateType", w.PredicateType); err != nil {
		return none, nil, err
	}
	s := attest.Statement{PredicateType: w.PredicateType, JSON: b}
	for _, r := range w.Subject {
		if r.Commit != "" || r.URI != "" {
			return none, nil, fmt.Errorf("subject %q is more than a name and a sha256", r.Name)
		}
		s.Subjects = append(s.Subjects, attest.Subject{Name: r.Name, Digest: r.Digest})
	}
	return s, fields["predicate"], checkSubjects(s.Subjects)
}

// decode reads the predicate of s into v. It refuses other predicate types.
func decode(s attest.Statement, predicateType string, v any) ([]attest.Subject, error) {
	read, predicate, err := parse(s.JSON)
	if err != nil {
		return nil, fmt.Errorf("reading statement: %w: %w", attest.ErrNotVerified, err)
	}
	if read.PredicateType != predicateType {
		return nil, fmt.Errorf("reading statement: %w: its predicate type is %s, want %s", attest.ErrNotVerified, read.PredicateType, predicateType)
	}
	if len(predicate) == 0 || predicate[0] != '{' {
		return nil, fmt.Errorf("reading statement: %w: it has no predicate", attest.ErrNotVerified)
	}
	if err := json.Unmarshal(predicate, v); err != nil {
		return nil, fmt.Errorf("reading predicate: %w: %w", attest.ErrNotVerified, err)
	}
	return read.Subjects, nil
}

// scan reads b as one JSON value and refuses what readers may interpret
// differently.
func scan(b []byte) error {
	if len(b) > MaxSize {
		return fmt.Errorf("%d bytes, the most is %d", len(b), MaxSize)
	}
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var open []map[string]bool // keys seen in each open object; nil for an array
	atKey, nested := false, 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case json.Delim:
			if nested++; nested > 2*maxNested { // each counts when opened and when closed
				return fmt.Errorf("more than %d objects and arrays", maxNested)
			}
			if open, err = nest(open, t); err != nil {
				return err
			}
		case string:
			if !atKey {
				break
			}
			key := strings.ToLower(strings.ToUpper(t)) // folds case as encoding/json does
			if open[len(open)-1][key] {
				return fmt.Errorf("key %q occurs twice in one object", t)
			}
			open[len(open)-1][key] = true
			atKey = false
			continue
		}
		atKey = len(open) > 0 && open[len(open)-1] != nil
		if len(open) == 0 {
			break
		}
	}
	if dec.InputOffset() != int64(len(bytes.TrimRight(b, " \t\r\n"))) {
		return errors.New("bytes after the statement")
	}
	return nil
}

// nest tracks the objects and arrays that are open.
func nest(open []map[string]bool, delim json.Delim) ([]map[string]bool, error) {
	switch delim {
	case '{', '[':
		if len(open) == maxDepth {
			return nil, fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if delim == '[' {
			return append(open, nil), nil
		}
		return append(open, map[string]bool{}), nil
	default:
		return open[:len(open)-1], nil
	}
}
