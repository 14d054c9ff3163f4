// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package jsontext

import (
	"bytes"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "JSON document", Is: Is, Document: true, Fields: []format.Field{{Name: "json:", Gravity: format.Ordinary}}}
}

// Is reports whether head may begin a document: an object or an array.
func Is(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	return len(head) > 0 && (head[0] == '{' || head[0] == '[')
}
