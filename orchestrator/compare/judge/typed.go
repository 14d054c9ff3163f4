// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"cmp"
	"encoding/hex"
	"fmt"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// maxTyped bounds the bytes of a span that is read as one value.
const maxTyped = 4096

// addTyped adds one finding about a field whose form the format fixes: a build stamp,
// the name of the builder, or a field that must not differ.
func (d *difference) addTyped(s span.Span) error {
	if d.last.Same(s) {
		return nil
	}
	d.last = s
	va, err := d.a.value(s)
	if err != nil {
		return err
	}
	vb, err := d.b.value(s)
	if err != nil {
		return err
	}
	f := verdict.Finding{Field: s.Name, A: va.Text, B: vb.Text, Offset: s.Offset, Tier: verdict.Forbidden}
	switch s.Kind {
	case span.Stamp:
		d.j.stampField(&f, va, vb)
	case span.Owner:
		f.Tier, f.Cause = verdict.Stamp, "who built it is recorded"
	default:
		f.Cause = d.j.fixedCause(s.Name)
	}
	d.add(f)
	return nil
}

// addMismatch adds one finding about such a field if only one file has it, or with
// another extent. The finding is never masked.
func (d *difference) addMismatch(sa, sb span.Span) error {
	s, other := sa, sb
	if !typedKind(sa) || typedKind(sb) && longer(sb, sa) {
		s, other = sb, sa
	}
	if d.last.Same(s) {
		return nil
	}
	d.last = s
	f := verdict.Finding{Field: s.Name, Offset: s.Offset, Tier: verdict.Forbidden, Cause: "in one of them these bytes are no such field"}
	here, there := s, s
	switch {
	case s.Kind == span.Digest && !typedKind(other):
		f.Cause = "in one of them these bytes are no digest of what they stand for"
	case !typedKind(other):
	case other.Name != s.Name:
		f.Cause = "in one of them these bytes are no such field, but " + other.Name
		there = other
	case other.Offset != s.Offset || other.Length != s.Length:
		f.Cause = "the field does not stand at the same place in both, or is not of the same length"
		there = other
	}
	inA, inB := here, there
	if s.Same(sb) {
		inA, inB = there, here
	}
	va, err := d.a.value(inA)
	if err != nil {
		return err
	}
	vb, err := d.b.value(inB)
	if err != nil {
		return err
	}
	f.A, f.B = va.Text, vb.Text
	d.add(f)
	return nil
}

// longer orders two spans, so that the result does not depend on which file is A.
func longer(a, b span.Span) bool {
	return cmp.Or(cmp.Compare(b.Length, a.Length), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind)) < 0
}

// value returns the meaning of the bytes of a span: as the format reads it, or as
// hex.
func (f File) value(s span.Span) (span.Value, error) {
	buf := make([]byte, max(min(s.Length, maxTyped, f.Size-s.Offset), 0))
	if n, err := f.R.ReadAt(buf, s.Offset); n < len(buf) {
		return span.Value{}, fmt.Errorf("reading %s at %d: %w", s.Name, s.Offset, err)
	}
	if s.Read == nil {
		return span.Value{Text: hex.EncodeToString(buf[:min(len(buf), verdict.MaxValue/2)])}, nil
	}
	return s.Read(buf), nil
}

// stampField judges a field that holds a time. It is a stamp only if each value
// lies within the window of its own build.
func (j *Judge) stampField(f *verdict.Finding, a, b span.Value) {
	switch {
	case a.From.IsZero() || b.From.IsZero():
		f.Cause = "the bytes of a time stamp are no time"
	case !j.winA.Known() || !j.winB.Known():
		f.Cause = "the time of the build is not known, so that this cannot be told from any other time"
	case !j.winA.Holds(a.From, a.To, a.Zoned) || !j.winB.Holds(b.From, b.To, b.Zoned):
		f.Cause = "a time stamp that lies outside the time of its build"
	default:
		f.Tier, f.Cause, f.Evidence = verdict.Stamp, "the time of the build is recorded", "each lies within the time of its build"
	}
}
