// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package strictjson reads JSON that the farm wrote for itself, perhaps with another
// version. What this version does not know is an error, since without it the rest may
// mean something else.
//
// It knows no format: orchestrator/store reads columns with it and
// orchestrator/stagevalue the values of stages. JSON from others is read where it
// arrives.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// Decode reads exactly one JSON value into v. An unknown field is an error, and so is
// anything behind the value.
func Decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}
