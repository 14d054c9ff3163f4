// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package zip

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format is what the comparator knows of it.
func Format() format.Format {
	return format.Format{Name: "zip archive", Is: Is, Open: Open, Fields: []format.Field{
		{Name: "zip.", Text: "header of a zip archive", Gravity: format.Ordinary},
		{Name: "zip.mode", Text: "header of a zip archive", Gravity: format.Authority},
	}}
}
