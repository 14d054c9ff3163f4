// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package stagevalue defines what the farm writes and later reads again, perhaps with
// another version of itself: the submitted recipe, what a build wants of a worker, and
// what each stage saves for later ones.
//
// Every value is JSON in an envelope that names its format and version. Reading is
// strict: an unknown format, version or field is an error, never a guess. Golden files
// pin the formats. The package neither stores nor decides anything: orchestrator/engine
// does.
package stagevalue

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/strictjson"
)

// ErrFormat: the bytes are not a value of the wanted format in a version that this
// program knows.
var ErrFormat = errors.New("unknown format")

// Value is one of the types of this package.
type Value interface {
	// format returns the name of its format and the version that Encode writes.
	format() (name string, version int)
}

// envelope is the written form of a value.
type envelope struct {
	// Format is e.g. "zfarm.resolved/1".
	Format string          `json:"format"`
	Value  json.RawMessage `json:"value"`
}

// Encode returns the bytes of a value.
func Encode(v Value) ([]byte, error) {
	name, version := v.format()
	inner, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing a %s: %w", name, err)
	}
	text, err := json.Marshal(envelope{Format: fmt.Sprintf("%s/%d", name, version), Value: inner})
	if err != nil {
		return nil, fmt.Errorf("writing a %s: %w", name, err)
	}
	return text, nil
}

// Decode reads a value written by Encode, of this version of the program or of one
// whose formats it knows. Anything else is ErrFormat.
func Decode[T Value](text []byte) (T, error) {
	var v T
	name, version := v.format()
	var e envelope
	if err := strictjson.Decode(text, &e); err != nil {
		return v, fmt.Errorf("reading a %s: %w: it was not written by this version of zfarm or a later one: submit the build again (%w)", name, ErrFormat, err)
	}
	have, number, _ := strings.Cut(e.Format, "/")
	n, err := strconv.Atoi(number)
	switch {
	case have != name || err != nil:
		return v, fmt.Errorf("reading a %s: %w %q: this is another kind of value; the database or the artifacts were changed by hand", name, ErrFormat, e.Format)
	case n != version:
		return v, fmt.Errorf("reading a %s: %w %q, this zfarm reads version %d: another version of zfarm wrote it; go on with that one, or see docs/upgrading.md", name, ErrFormat, e.Format, version)
	}
	if err := strictjson.Decode(e.Value, &v); err != nil {
		return v, fmt.Errorf("reading a %s: %w", e.Format, errors.Join(ErrFormat, err))
	}
	return v, nil
}
