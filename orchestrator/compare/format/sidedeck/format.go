// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sidedeck

import (
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format: a set of imports, whose order and
// layout have no meaning.
func Format() format.Format {
	return format.Format{Name: "side deck", Is: Is,
		Set:    &format.Set{Field: "sidedeck.import", Items: "imports", OnlyIn: "it is imported in", Most: 64 << 20, Read: items},
		Fields: []format.Field{{Name: "sidedeck.", Text: "what a DLL offers", Gravity: format.Ordinary}},
	}
}

func items(r io.ReaderAt, size int64) ([]format.Item, error) {
	all, err := Imports(r, size)
	if err != nil {
		return nil, err
	}
	out := make([]format.Item, 0, len(all))
	for _, i := range all {
		out = append(out, format.Item{Text: i.String(), Offset: i.Offset})
	}
	return out, nil
}
