// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/idr"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "GOFF object", Is: Is, Layout: format.Opened(Open), Symbols: Symbols,
		Symbol: format.Symbol{Prefix: "goff.esd.", First: "goff.esd.type", Name: "goff.esd.name"},
		Frames: []string{"goff.prefix", "goff.place.", "goff.esd.id", "goff.esd.owner", "goff.esd.name.length", "goff.rld.length", "goff.len.length", "goff.end"},
		Fields: append(idr.Fields(),
			format.Field{Name: "goff.", Text: "part of a GOFF object", Cause: "the layout of the object differs", Gravity: format.Ordinary},
			format.Field{Name: "goff.esd.", Text: "part of a GOFF object", Cause: "the definition or the place of a symbol differs", Gravity: format.Ordinary}),
	}
}

// Symbols calls each with each symbol of an object, name and attributes together:
// names alone are not enough, since sections and elements may have none.
func Symbols(r io.ReaderAt, size int64, each func(field string, name []byte)) error {
	for rec, err := range Records(io.NewSectionReader(r, 0, size)) {
		if err != nil {
			return err
		}
		if s, ok := rec.(Symbol); ok {
			each("goff.esd", append([]byte{s.Type}, s.Name...))
		}
	}
	return nil
}
