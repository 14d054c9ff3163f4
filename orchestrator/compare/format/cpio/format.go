// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "cpio archive", Is: Is, Open: Open, Fields: []format.Field{
		{Name: "cpio.", Text: "header of a cpio archive", Gravity: format.Ordinary},
		{Name: "cpio.mode", Text: "header of a cpio archive", Gravity: format.Authority},
	}}
}
