// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/zfarm/zfarm/workers/codepage"
)

// writeJSON writes a value as JSON, indented for people.
func writeJSON(w io.Writer, v any) error { return encodeJSON(w, v, "  ") }

// writeJSONLine writes a value as JSON on a line of its own.
func writeJSONLine(w io.Writer, v any) error { return encodeJSON(w, v, "") }

// encodeJSON is the only place of the command that writes JSON: it may end on a
// terminal, and encoding/json leaves characters of foreign texts as they are that a
// terminal obeys.
func encodeJSON(w io.Writer, v any, indent string) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(codepage.JSON(text.Bytes()))
	return err
}
