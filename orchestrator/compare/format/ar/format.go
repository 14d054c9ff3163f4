// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ar

import (
	"fmt"
	"io"
	"slices"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "ar archive", Is: Is, Open: Open, Index: Index, Fields: []format.Field{
		{Name: "ar.", Text: "header of an ar archive", Gravity: format.Ordinary},
		{Name: "ar.mode", Text: "header of an ar archive", Gravity: format.Authority},
	}}
}

// Index reads the symbol table as an index of the members of c.
func Index(r io.ReaderAt, size int64, c *container.Container, l container.Limits) (*container.Index, error) {
	t, err := Symbols(r, size, l)
	if err != nil || t == nil {
		return nil, err
	}
	x := &container.Index{Entry: t.Entry, Hidden: t.Hidden}
	for _, s := range t.Symbols {
		in := "nowhere"
		if s.Member >= 0 && s.Member < len(c.Entries) {
			in = c.Entries[s.Member].Name
		}
		x.Items = append(x.Items, fmt.Sprintf("%q in %q, %#x", s.Name, in, s.Attributes))
	}
	slices.Sort(x.Items)
	return x, nil
}
