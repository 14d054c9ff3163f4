// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "RPM package", Is: Is, Open: Open, Fields: []format.Field{
		{Name: "rpm.", Text: "header of an RPM package", Gravity: format.Ordinary},
		{Name: "rpm.FILEMODES", Text: "header of an RPM package", Gravity: format.Authority},
	}}
}
