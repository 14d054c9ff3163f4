// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package registry lists the formats that the comparator knows, one row each, in
// the order in which they are detected.
//
// It is the only package that imports all formats. A new format needs a package
// below orchestrator/compare/format, a row here, samples in its testdata folder and
// a page in docs/formats.
package registry

import (
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/ar"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/cpio"
	"github.com/zfarm/zfarm/orchestrator/compare/format/elf"
	"github.com/zfarm/zfarm/orchestrator/compare/format/goff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/jsontext"
	"github.com/zfarm/zfarm/orchestrator/compare/format/obj"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/format/progobj"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pyc"
	"github.com/zfarm/zfarm/orchestrator/compare/format/rpm"
	"github.com/zfarm/zfarm/orchestrator/compare/format/sidedeck"
	"github.com/zfarm/zfarm/orchestrator/compare/format/stream"
	"github.com/zfarm/zfarm/orchestrator/compare/format/zip"
)

// All returns the formats in the order of detection.
func All() []format.Format {
	return []format.Format{
		pax.Format(),
		compress.Format(),
		ar.Format(),
		zip.Format(),
		cpio.Format(),
		rpm.Format(),
		stream.Format(),
		sidedeck.Format(),
		elf.Format(),
		pyc.Format(),
		goff.Format(),
		obj.Format(),
		progobj.Format(),
		jsontext.Format(),
	}
}

// Registry holds the formats, with an index of their fields.
type Registry struct {
	formats []format.Format
	fields  map[string]format.Field
}

// New returns a registry of all formats.
func New() *Registry {
	r := &Registry{formats: All(), fields: map[string]format.Field{}}
	for _, f := range common() {
		r.fields[f.Name] = f
	}
	for _, x := range r.formats {
		for _, f := range x.Fields {
			r.fields[f.Name] = f
		}
	}
	return r
}

// Find returns the first wanted format that both files may have.
func (r *Registry) Find(headA, headB []byte, wanted func(format.Format) bool) (format.Format, bool) {
	for _, f := range r.formats {
		if wanted(f) && f.Is(headA) && f.Is(headB) {
			return f, true
		}
	}
	return format.Format{}, false
}

// Field returns the description of a field: its own, or that of the longest prefix
// of its name that has one. For an unknown field only the name is set.
func (r *Registry) Field(name string) format.Field {
	f, _ := r.Lookup(name)
	return f
}

// Lookup is like Field, and reports whether the field is known.
func (r *Registry) Lookup(name string) (format.Field, bool) {
	for end := len(name); end > 0; {
		if f, ok := r.fields[name[:end]]; ok {
			return f, true
		}
		end = strings.LastIndexAny(name[:end-1], ".:") + 1
	}
	return format.Field{Name: name}, false
}

// common returns the fields that belong to no format.
func common() []format.Field {
	return []format.Field{
		{Name: "content", Text: "bytes of a file", Gravity: format.Ordinary},
		{Name: "member", Text: "only one side has it", Gravity: format.Presence},
		{Name: "duplicate", Text: "members of one name", Gravity: format.Presence},
		{Name: "hidden", Text: "bytes that readers ignore", Gravity: format.Presence},
		{Name: "order", Text: "the same parts in another order", Gravity: format.Ordinary},
		{Name: "format", Text: "the same said in another form", Gravity: format.Ordinary},
		{Name: "compression", Text: "how it was compressed", Gravity: format.Ordinary},
		{Name: "stamp.", Text: "a date or time of the build within other bytes", Gravity: format.Ordinary},
		{Name: "embedded.", Text: "a condition of the build within other bytes", Gravity: format.Ordinary},
		{Name: "rule.", Text: "declared by the recipe", Gravity: format.Ordinary},
	}
}
