// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/idr"
)

// Format returns the description of the format.
func Format() format.Format {
	const (
		part       = "part of a program object"
		attributes = "attributes of a program object"
		attribute  = "an attribute of the program differs"
		layout     = "the layout of the program differs"
	)
	return format.Format{Name: "program object", Is: Is, Layout: format.Opened(Open), Fields: append(idr.Fields(),
		format.Field{Name: "po.", Text: part, Cause: layout, Gravity: format.Ordinary},
		format.Field{Name: "po.header.version", Text: part, Cause: layout, Gravity: format.Tools},
		format.Field{Name: "prdt.", Text: part, Gravity: format.Ordinary},
		format.Field{Name: "prdt", Text: part, Gravity: format.Ordinary},
		format.Field{Name: "prat", Text: part, Gravity: format.Ordinary},
		format.Field{Name: "lidx", Text: part, Gravity: format.Ordinary},
		format.Field{Name: "psegm", Text: part, Gravity: format.Ordinary},
		format.Field{Name: "pgstb", Text: part, Gravity: format.Ordinary},
		format.Field{Name: "bxlf.", Text: part, Gravity: format.Ordinary},
		format.Field{Name: "pmar.", Text: attributes, Cause: attribute, Gravity: format.Ordinary},
		format.Field{Name: "pmar.ac", Text: "authorization code of a program object: what it may do",
			Cause: "its authority differs: the authorization code for APF", Gravity: format.Authority},
		format.Field{Name: "pmar.attributes3", Text: attributes,
			Cause: "its authority differs: this byte says whether it is valid for APF", Gravity: format.Authority},
		format.Field{Name: "pmar.binder", Text: attributes, Cause: format.MadeBy("the binder"), Gravity: format.Tools},
		format.Field{Name: "pmarl.", Text: "when and by whom a program object was saved (PMARL)", Cause: attribute, Gravity: format.Ordinary})}
}
