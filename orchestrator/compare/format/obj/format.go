// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package obj

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "object module", Is: Is, Layout: format.Opened(Open),
		Symbol: format.Symbol{Prefix: "obj.esd.", First: "obj.esd.name", Name: "obj.esd.name"},
		Frames: []string{"obj.card", "obj.sequence", "obj.txt.", "obj.esd.count", "obj.esd.id", "obj.rld.count", "obj.sym.count"},
		Fields: []format.Field{
			{Name: "obj.", Text: "part of an object module", Cause: "the layout of the object differs", Gravity: format.Ordinary},
			{Name: "obj.esd.", Text: "part of an object module", Cause: "the definition or the place of a symbol differs", Gravity: format.Ordinary},
			{Name: "obj.end.product", Text: "part of an object module", Cause: format.MadeBy("the assembler or compiler"), Gravity: format.Tools},
			{Name: "obj.end.version", Text: "part of an object module", Cause: format.MadeBy("the assembler or compiler"), Gravity: format.Tools},
		},
	}
}
