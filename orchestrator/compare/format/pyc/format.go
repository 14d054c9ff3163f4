// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pyc

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "compiled Python", Is: Is, Spans: Spans, Fields: []format.Field{
		{Name: "pyc.", Text: "header or code of compiled Python", Cause: "how Python loads it differs", Gravity: format.Ordinary},
		{Name: "pyc.magic", Text: "header or code of compiled Python", Cause: format.MadeBy("the interpreter"), Gravity: format.Tools},
	}}
}
