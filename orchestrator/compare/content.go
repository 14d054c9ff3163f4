// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/elf"
	"github.com/zfarm/zfarm/orchestrator/compare/goff"
	"github.com/zfarm/zfarm/orchestrator/compare/obj"
	"github.com/zfarm/zfarm/orchestrator/compare/progobj"
	"github.com/zfarm/zfarm/orchestrator/compare/span"
)

// format knows how files of one kind are laid out: by a list of spans, which
// also tells parts apart in files of unlike size, or by a layout of its own.
type format struct {
	is     func(head []byte) bool
	spans  func(r io.ReaderAt, size int64) ([]span.Span, error)
	layout func(r io.ReaderAt, size int64) (span.Layout, error)
}

// formats are those known. What a format cannot read is compared as plain
// bytes.
func formats() []format {
	return []format{
		{is: elf.Is, spans: elf.Spans},
		{is: goff.Is, layout: func(r io.ReaderAt, size int64) (span.Layout, error) { return opened(goff.Open(r, size)) }},
		{is: obj.Is, layout: func(r io.ReaderAt, size int64) (span.Layout, error) { return opened(obj.Open(r, size)) }},
		{is: progobj.Is, layout: func(r io.ReaderAt, size int64) (span.Layout, error) { return opened(progobj.Open(r, size)) }},
	}
}

// opened keeps a layout that could not be read from becoming one.
func opened[L span.Layout](l L, err error) (span.Layout, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

const (
	headSize  = 64
	maxRanges = 8192 // per member; what lies beyond is one range
	nearby    = 8    // ranges closer than that are shown as one
	maxMisses = 256  // per member: bytes looked at in vain for what explains them
)

// parts is what a format knows of one file.
type parts struct {
	span.Layout
	list []span.Span
}

// layouts returns the parts of both files if one format knows them.
func layouts(a, b file) (inA, inB parts) {
	headA, headB := headOf(a, headSize), headOf(b, headSize)
	for _, f := range formats() {
		if f.is(headA) && f.is(headB) {
			return f.parts(a), f.parts(b)
		}
	}
	return parts{Layout: span.NewMap(nil)}, parts{Layout: span.NewMap(nil)}
}

// parts reads what there is to read: a table that cannot be read leaves what
// was read of it.
func (f format) parts(x file) parts {
	if f.layout != nil {
		if l, err := f.layout(x.r, x.size); err == nil {
			return parts{Layout: l}
		}
		return parts{Layout: span.NewMap(nil)}
	}
	list, _ := f.spans(x.r, x.size)
	return parts{span.NewMap(list), list}
}

// content compares the content of a member, which is known to differ.
func (c *comparison) content(ctx context.Context, path string, a, b file) error {
	if done, err := c.nested(ctx, path, a, b); done || err != nil {
		return err
	}
	if c.decks(path, a, b) {
		return nil
	}
	d := &difference{c: c, path: path, a: a, b: b, worst: Container, seen: map[seenKey]int{}}
	d.inA, d.inB = layouts(a, b)
	text, err := readTexts(a, b)
	if err != nil {
		return err
	}
	d.text = text
	if a.size != b.size {
		err = d.resized(ctx)
	} else {
		err = d.sameSize(ctx)
	}
	if err != nil {
		return err
	}
	if len(d.findings) == 0 {
		d.add(Finding{Field: "content", Tier: Forbidden})
	}
	for _, f := range d.findings {
		c.add(f)
	}
	return nil
}

// difference is what is found out about one member.
type difference struct {
	c        *comparison
	path     string
	a, b     file
	inA, inB parts
	text     *texts // nil if they are not text
	findings []Finding
	seen     map[seenKey]int // explained before: index in findings
	worst    Tier            // among findings
	misses   int
	digests  []bytediff.Range
	// plain are ranges that nothing explains, by field in the order found.
	plain  map[string][]bytediff.Range
	fields []string
}

// seenKey tells explanations apart.
type seenKey struct{ field, a, b string }

func (d *difference) add(f Finding) {
	f.Path = d.path
	d.worst = max(d.worst, f.Tier)
	d.findings = append(d.findings, f)
}

// sameSize explains every byte that differs between files of one size.
func (d *difference) sameSize(ctx context.Context) error {
	ranges, err := bytediff.Diff(ctx, d.a.r, d.b.r, d.a.size, maxRanges)
	if err != nil {
		return err
	}
	d.plain = map[string][]bytediff.Range{}
	for at, i := int64(0), 0; i < len(ranges); {
		at = max(at, ranges[i].Offset)
		if at >= ranges[i].End() {
			i++
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if at, err = d.explain(at, ranges[i].End()); err != nil {
			return err
		}
	}
	d.tellPlain()
	d.tellDigests()
	return nil
}

// explain explains the byte at and perhaps some behind it, up to end at most
// unless something larger explains them, and returns the next byte that still
// needs it.
func (d *difference) explain(at, end int64) (int64, error) {
	sa, _ := d.inA.At(at)
	sb, _ := d.inB.At(at)
	part := min(d.inA.End(at, end), d.inB.End(at, end))
	if sa.Same(sb) && sa.Kind == span.Digest {
		d.digests = append(d.digests, bytediff.Range{Offset: at, Length: part - at})
		return part, nil
	}
	if sa.Same(sb) && sa.Read != nil && (sa.Kind == span.Stamp || sa.Kind == span.Owner || sa.Kind == span.Fixed) {
		return d.typed(sa)
	}
	if d.misses < maxMisses {
		x, ok, err := d.c.explanation(d.a.r, d.b.r, d.a.size, at)
		if err != nil {
			return 0, err
		}
		if ok {
			d.tell(x, sa)
			return x.end, nil
		}
		d.misses++
		part = min(part, at+1)
	}
	field := "content"
	if sa.Name != "" && sa.Same(sb) {
		field = sa.Name
	}
	if _, ok := d.plain[field]; !ok {
		d.fields = append(d.fields, field)
	}
	d.plain[field] = append(d.plain[field], bytediff.Range{Offset: at, Length: part - at})
	return part, nil
}

// maxTyped bounds a span that is read as one value.
const maxTyped = 4096

// typed tells of a field whose form the format fixes: a stamp of the build, who
// built it, or what must not differ. It returns where the field ends.
func (d *difference) typed(s span.Span) (int64, error) {
	bufA, bufB := make([]byte, min(s.Length, maxTyped)), make([]byte, min(s.Length, maxTyped))
	for _, x := range []struct {
		f   file
		buf []byte
	}{{d.a, bufA}, {d.b, bufB}} {
		if n, err := x.f.r.ReadAt(x.buf, s.Offset); n < len(x.buf) {
			return 0, fmt.Errorf("reading %s at %d: %w", s.Name, s.Offset, err)
		}
	}
	va, vb := s.Read(bufA), s.Read(bufB)
	f := Finding{Field: s.Name, A: va.Text, B: vb.Text, Offset: s.Offset, Tier: Forbidden}
	switch s.Kind {
	case span.Stamp:
		d.c.stampField(&f, va, vb)
	case span.Owner:
		f.Tier, f.Cause = Stamp, "who built it is recorded"
	default:
		f.Cause = "what made it is recorded, and it was not the same"
	}
	d.add(f)
	return s.Offset + s.Length, nil
}

// stampField judges a stamp: it is one only if each value lies in the time of
// its own build.
func (c *comparison) stampField(f *Finding, a, b span.Value) {
	winA, winB := windowOf(c.o.Known.A), windowOf(c.o.Known.B)
	switch {
	case a.From.IsZero() || b.From.IsZero():
		f.Cause = "the bytes of a time stamp are no time"
	case !winA.Known() || !winB.Known():
		f.Cause = "the time of the build is not known, so that this cannot be told from any other time"
	case !winA.Holds(a.From, a.To, a.Zoned) || !winB.Holds(b.From, b.To, b.Zoned):
		f.Cause = "a time stamp that lies outside the time of its build"
	default:
		f.Tier, f.Cause, f.Evidence = Stamp, "the time of the build is recorded", "each lies within the time of its build"
	}
}

// tell adds what an explanation says, once for each pair of values.
func (d *difference) tell(x explanation, s span.Span) {
	key := seenKey{x.finding.Field, x.finding.A, x.finding.B}
	if i, ok := d.seen[key]; ok {
		d.findings[i].Evidence = "at several places, the first at byte " + fmt.Sprint(d.findings[i].Offset)
		return
	}
	d.seen[key] = len(d.findings)
	f := x.finding
	f.Evidence = join(f.Evidence, inPart(s))
	if f.Field == "" {
		f.Field = "content"
		if s.Name != "" {
			f.Field = s.Name
		}
	}
	if f.Tier == Forbidden {
		f.Hunk = d.hunk([]bytediff.Range{{Offset: f.Offset, Length: x.end - f.Offset}})
	}
	d.add(f)
}

func inPart(s span.Span) string {
	if s.Name == "" {
		return ""
	}
	return "in " + s.Name
}

func join(a, b string) string {
	if a != "" && b != "" {
		return a + ", " + b
	}
	return a + b
}

// tellPlain adds a finding for each field with ranges that nothing explains.
func (d *difference) tellPlain() {
	for _, field := range d.fields {
		var count int64
		for _, r := range d.plain[field] {
			count += r.Length
		}
		ranges := bytediff.Merge(d.plain[field], nearby)
		first := ranges[0]
		f := Finding{Field: field, Offset: first.Offset, Tier: Forbidden, Cause: d.text.cause(),
			A: d.show(d.a, first), B: d.show(d.b, first), Hunk: d.hunk(ranges),
			Evidence: fmt.Sprintf("%s in %s", plural(int(count), "byte"), plural(len(ranges), "place"))}
		d.add(f)
	}
}

// tellDigests adds the finding about digests of the rest. They explain
// themselves only by something else that differs and may.
func (d *difference) tellDigests() {
	if len(d.digests) == 0 {
		return
	}
	at := d.digests[0].Offset
	s, _ := d.inA.At(at)
	whole := bytediff.Range{Offset: s.Offset, Length: min(s.Length, maxValue/2)}
	f := Finding{Field: s.Name, Offset: at, A: hexText(d.a.r, whole), B: hexText(d.b.r, whole),
		Tier: Stamp, Cause: "a digest of the rest of the file, which differs as told"}
	switch {
	case len(d.findings) == 0:
		f.Tier, f.Cause = Forbidden, "a digest of the rest of the file differs, though nothing else in it does"
	case d.worst > Stamp:
		f.Tier, f.Cause = Forbidden, "a digest of the rest of the file, in which something unexplained differs"
	}
	d.add(f)
}

// show returns the bytes of a range: as they are in text, else as hex.
func (d *difference) show(f file, r bytediff.Range) string {
	r.Length = min(r.Length, maxValue, f.size-r.Offset)
	if r.Length <= 0 {
		return ""
	}
	if d.text == nil {
		r.Length = min(r.Length, maxValue/2)
		return hexText(f.r, r)
	}
	buf := make([]byte, r.Length)
	n, _ := f.r.ReadAt(buf, r.Offset) // shown as far as it can be read
	return decodeBest(buf[:n], f.tag)
}

func hexText(r io.ReaderAt, at bytediff.Range) string {
	buf := make([]byte, at.Length)
	n, _ := r.ReadAt(buf, at.Offset) // shown as far as it can be read
	return hex.EncodeToString(buf[:n])
}

// hunk shows the surroundings, if there is still room in the verdict.
func (d *difference) hunk(ranges []bytediff.Range) string {
	if d.c.found.full(Forbidden) {
		return ""
	}
	if d.text != nil {
		return d.text.hunk()
	}
	return bytediff.Hex(d.a.r, d.b.r, d.a.size, d.b.size, ranges, maxHunk)
}

// resized tells how files of unlike size differ. Nothing is explained away:
// what was shifted cannot be masked.
func (d *difference) resized(ctx context.Context) error {
	sizes := fmt.Sprintf("%d bytes in A, %d in B", d.a.size, d.b.size)
	if d.text != nil {
		if f, ok := d.text.substituted(d.c.known); ok {
			f.Evidence, f.Hunk = join(f.Evidence, sizes), d.hunk(nil)
			d.add(f)
			return nil
		}
		d.add(Finding{Field: "content", Offset: d.text.firstDifference(), Tier: Forbidden, Cause: d.text.cause(),
			Evidence: sizes, Hunk: d.hunk(nil)})
		return nil
	}
	if err := d.parts(ctx, d.inA.list, d.inB.list); err != nil {
		return err
	}
	least := min(d.a.size, d.b.size)
	ranges, err := bytediff.Diff(ctx, d.a.r, d.b.r, least, 1)
	if err != nil {
		return err
	}
	first := bytediff.Range{Offset: least, Length: max(d.a.size, d.b.size) - least}
	if len(ranges) > 0 {
		first = ranges[0]
		x, ok, err := d.c.embedded(d.a.r, d.b.r, least, first.Offset)
		if err != nil {
			return err
		}
		if ok {
			x.finding.Tier = Forbidden
			d.tell(x, span.Span{})
		}
	}
	d.add(Finding{Field: "content", Offset: first.Offset, Tier: Forbidden, A: d.show(d.a, first), B: d.show(d.b, first),
		Evidence: sizes, Hunk: d.hunk([]bytediff.Range{first})})
	return nil
}

// parts names the parts of one name that differ between files of unlike size.
func (d *difference) parts(ctx context.Context, spansA, spansB []span.Span) error {
	inB := make(map[string]span.Span, len(spansB))
	for _, s := range spansB {
		inB[s.Name] = s
	}
	for _, s := range spansA {
		t, ok := inB[s.Name]
		delete(inB, s.Name)
		if !ok {
			d.add(Finding{Field: s.Name, Offset: s.Offset, A: fmt.Sprint(s.Length, " bytes"), Tier: Forbidden, Cause: "it is in A only"})
			continue
		}
		partA, partB := io.NewSectionReader(d.a.r, s.Offset, s.Length), io.NewSectionReader(d.b.r, t.Offset, t.Length)
		ranges, err := bytediff.Diff(ctx, partA, partB, min(s.Length, t.Length), 1)
		if err != nil {
			return err
		}
		if len(ranges) == 0 && s.Length == t.Length {
			continue
		}
		at := min(s.Length, t.Length)
		if len(ranges) > 0 {
			at = ranges[0].Offset
		}
		d.add(Finding{Field: s.Name, Offset: s.Offset + at, A: fmt.Sprint(s.Length, " bytes"), B: fmt.Sprint(t.Length, " bytes"), Tier: Forbidden,
			Evidence: fmt.Sprintf("the first difference is at byte %d of it", at),
			Hunk:     bytediff.Hex(partA, partB, s.Length, t.Length, []bytediff.Range{{Offset: at, Length: 1}}, maxHunk/8)})
	}
	for _, t := range spansB {
		if _, left := inB[t.Name]; left {
			d.add(Finding{Field: t.Name, Offset: t.Offset, B: fmt.Sprint(t.Length, " bytes"), Tier: Forbidden, Cause: "it is in B only"})
		}
	}
	return nil
}
