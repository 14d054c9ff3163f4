// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "compressed stream", Is: Is, Open: Open, Fields: []format.Field{
		{Name: "gzip.", Text: "header of a gzip stream", Gravity: format.Ordinary},
		{Name: "bzip2.", Text: "header of a bzip2 stream", Gravity: format.Ordinary},
		{Name: "xz.", Text: "header of an xz stream", Gravity: format.Ordinary},
		{Name: "zstd.", Text: "header of a zstd stream", Gravity: format.Ordinary},
	}}
}
