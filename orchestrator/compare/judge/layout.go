// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// parts is the layout of one file, by its format.
type parts struct {
	span.Layout
	list  []span.Span
	known bool // a format claims the file
	of    format.Format
}

func (p parts) frame(name string) bool {
	return slices.ContainsFunc(p.of.Frames, func(s string) bool {
		return s == name || strings.HasSuffix(s, ".") && strings.HasPrefix(name, s)
	})
}

// layouts returns the layouts of both files if one format reads them, and the
// faults by which they deviate from it.
func (j *Judge) layouts(a, b File) (inA, inB parts, u Faults) {
	f, ok := j.formats.Find(Head(a, headSize), Head(b, headSize), func(f format.Format) bool { return f.Layout != nil || f.Spans != nil })
	if !ok {
		return parts{Layout: span.NewMap(nil)}, parts{Layout: span.NewMap(nil)}, u
	}
	inA, u.A = partsOf(f, a)
	inB, u.B = partsOf(f, b)
	return inA, inB, u
}

// partsOf reads the layout of a file. A table that can only be read in part gives
// what was read of it. The error is the first fault of a Layout.
func partsOf(f format.Format, x File) (parts, error) {
	p := parts{Layout: span.NewMap(nil), of: f, known: true}
	if f.Layout != nil {
		l, err := f.Layout(x.R, x.Size)
		if err != nil {
			return p, err
		}
		p.Layout = l
		if l, ok := l.(interface{ Fault() error }); ok {
			err = l.Fault()
		}
		return p, err
	}
	p.list, _ = f.Spans(x.R, x.Size)
	p.list = slices.DeleteFunc(p.list, func(s span.Span) bool {
		return s.Offset < 0 || s.Length < 0 || s.Offset > x.Size || s.Length > x.Size-s.Offset
	})
	p.Layout = span.NewMap(p.list)
	return p, nil
}
