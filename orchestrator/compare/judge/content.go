// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/humanize"
)

const (
	headSize  = 64
	maxRanges = 8192 // per member; all further ranges are merged into the last
	nearby    = 8    // ranges with fewer bytes between them are shown as one
	maxMisses = 256  // per member: bytes for which a search found no explanation
)

// Content explains how two files differ that are known to differ. unopened says why
// they are not compared as the containers they look like; it is "" if they look
// like none.
func (j *Judge) Content(ctx context.Context, path string, a, b File, unopened string, out Findings) error {
	if j.sets(path, a, b, out) {
		return nil
	}
	d := &difference{j: j, out: out, path: path, a: a, b: b, worst: verdict.Container, seen: map[seenKey]int{}}
	var malformed Faults
	d.inA, d.inB, malformed = j.layouts(a, b)
	if err := d.compare(ctx); err != nil {
		return err
	}
	if len(d.findings) == 0 {
		d.add(verdict.Finding{Field: "content", Tier: verdict.Forbidden})
	}
	if err := d.order(); err != nil {
		return err
	}
	i := slices.IndexFunc(d.findings, func(f verdict.Finding) bool { return f.Tier == d.worst })
	f := &d.findings[max(i, 0)]
	f.Evidence = join(f.Evidence, unopened)
	f.Evidence = join(f.Evidence, malformed.Text("not as its format wants it"))
	for _, f := range d.findings {
		out.Add(f)
	}
	return nil
}

// compare picks the most specific comparison that both files permit: JSON values,
// rules line by line, parts by name, or bytes.
func (d *difference) compare(ctx context.Context) error {
	var err error
	if d.text, err = readTexts(ctx, d.a, d.b); err != nil {
		return err
	}
	if d.text != nil && !d.inA.known {
		if d.documents() {
			return nil
		}
		if done, err := d.compareByRules(ctx); done || err != nil {
			return err
		}
	}
	if d.a.Size != d.b.Size {
		return d.resized(ctx)
	}
	d.rules = d.j.rules.fitting(formatBytes, d.path)
	return d.sameSize(ctx)
}

// difference collects the findings about one member.
type difference struct {
	j        *Judge
	out      Findings
	path     string
	a, b     File
	inA, inB parts
	text     *texts  // nil unless both files are text
	rules    []*rule // of format "bytes", for this path
	findings []verdict.Finding
	seen     map[seenKey]int // explanations already reported, as indexes into findings
	worst    verdict.Tier    // highest tier in findings
	misses   int
	last     span.Span       // last span reported by addTyped or addMismatch
	digest   *bytediff.Range // first digest field that differs
	// plain holds the bytes without an explanation, by field; fields has the same
	// keys in the order found.
	plain  map[string]*plain
	fields []string
	// tentative is set while the findings may still be dropped.
	tentative bool
}

// plain counts the bytes of one field that have no explanation.
type plain struct {
	bytes  int64
	places int // separate places, at least nearby bytes apart
	// shown are the first maxShown ranges.
	shown []bytediff.Range
	end   int64
}

const (
	maxFindings = 4096 // of one member, kept back until all of it is compared
	maxShown    = 256  // ranges kept of one field
)

// unexplained records a range without an explanation. Ranges must come in ascending
// order.
func (d *difference) unexplained(field string, r bytediff.Range) {
	p := d.plain[field]
	if p == nil {
		p = &plain{end: -nearby}
		d.plain[field], d.fields = p, append(d.fields, field)
	}
	if r.Offset-p.end >= nearby {
		p.places++
	}
	if p.bytes += r.Length; len(p.shown) < maxShown {
		p.shown = append(p.shown, r)
	}
	p.end = r.End()
}

// severalPlaces introduces the evidence that a pair of values occurs more than once.
const severalPlaces = "at several places, the first at byte "

// seenKey identifies an explanation.
type seenKey struct{ field, a, b string }

func (d *difference) add(f verdict.Finding) {
	f.Path = d.path
	d.worst = max(d.worst, f.Tier)
	if len(d.findings) >= maxFindings && !d.tentative {
		d.out.Add(f)
		return
	}
	d.findings = append(d.findings, f)
}

// sameSize accounts for every byte that differs between files of equal size.
func (d *difference) sameSize(ctx context.Context) error {
	ranges, err := bytediff.Diff(ctx, d.a.R, d.b.R, d.a.Size, maxRanges)
	if err != nil {
		return err
	}
	d.plain = map[string]*plain{}
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
	d.addUnexplained()
	d.addDigest()
	return nil
}

// explain accounts for the byte at offset at, and possibly for bytes behind it: at
// most up to end, unless one explanation covers more. It returns the offset of the
// next byte to explain.
func (d *difference) explain(at, end int64) (int64, error) {
	sa, _ := d.inA.At(at)
	sb, _ := d.inB.At(at)
	part := min(d.inA.End(at, end), d.inB.End(at, end))
	edge := min(d.inA.End(at, d.a.Size), d.inB.End(at, d.b.Size))
	switch {
	case sa.Same(sb) && sa.Kind == span.Digest:
		if d.digest == nil {
			d.digest = &bytediff.Range{Offset: at, Length: part - at}
		}
		return part, nil
	case sa.Same(sb) && hasFixedMeaning(sa) && sa.Read != nil:
		return edge, d.addTyped(sa)
	case !sa.Same(sb) && (typedKind(sa) || typedKind(sb)):
		return edge, d.addMismatch(sa, sb)
	case d.misses < maxMisses && sa.Kind != span.Fixed:
		x, ok, err := d.findExplanation(at, sa, sb)
		if err != nil {
			return 0, err
		}
		if ok {
			d.addExplained(x, sa)
			return min(x.end, edge), nil // bytes of another part are explained separately
		}
		d.misses++
		part = min(part, at+1)
	}
	d.unexplained(plainField(sa, sb), bytediff.Range{Offset: at, Length: part - at})
	return part, nil
}

// hasFixedMeaning reports whether the format fixes the meaning of a span, so that no
// other explanation applies.
func hasFixedMeaning(s span.Span) bool {
	return s.Kind == span.Stamp || s.Kind == span.Owner || s.Kind == span.Fixed
}

// typedKind reports whether the format gives a span more than a name: a fixed meaning
// or that of a digest.
func typedKind(s span.Span) bool { return hasFixedMeaning(s) || s.Kind == span.Digest }

// plainField returns the field of a finding about bytes without an explanation.
func plainField(a, b span.Span) string {
	if a.Name != "" && a.Name == b.Name {
		return a.Name
	}
	return "content"
}

// findExplanation searches for an explanation of the byte at offset at. It tries the known
// values and stamps of both builds first. If they explain nothing, or leave the
// byte in tier X, it tries the rules of the recipe, but only for bytes that no
// format names, or that it names alike in both files and as plain bytes or strings.
func (d *difference) findExplanation(at int64, sa, sb span.Span) (explanation, bool, error) {
	w, err := d.surroundings(at, false)
	if err != nil {
		return explanation{}, false, err
	}
	x, ok, err := d.j.explanation(w.a, w.b, w.size, w.at)
	if err != nil || ok && x.finding.Tier != verdict.Forbidden {
		return w.inFile(x), ok, err
	}
	same := sa.Name == "" && sb.Name == "" || sa.Same(sb)
	if same && (sa.Kind == span.Plain || sa.Kind == span.Strings) {
		if y, ruled, err := d.byRule(w, sa); ruled || err != nil {
			return w.inFile(y), ruled, err
		}
	}
	return w.inFile(x), ok, nil
}

// addExplained adds the finding of an explanation, once for each pair of values.
func (d *difference) addExplained(x explanation, s span.Span) {
	key := seenKey{x.finding.Field, x.finding.A, x.finding.B}
	if i, ok := d.seen[key]; ok {
		// A value continued behind a record boundary is still at one place.
		if f := &d.findings[i]; f.Offset != x.finding.Offset && !strings.Contains(f.Evidence, severalPlaces) {
			f.Evidence = join(f.Evidence, severalPlaces+fmt.Sprint(f.Offset))
		}
		return
	}
	if len(d.findings) < maxFindings || d.tentative {
		d.seen[key] = len(d.findings)
	}
	f := x.finding
	f.Evidence = join(f.Evidence, inPart(s))
	if f.Field == "" {
		f.Field = "content"
		if s.Name != "" {
			f.Field = s.Name
		}
	}
	if f.Tier == verdict.Forbidden {
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

// addUnexplained adds one finding for each field that has bytes without an explanation.
func (d *difference) addUnexplained() {
	for _, field := range d.fields {
		p := d.plain[field]
		ranges := bytediff.Merge(p.shown, nearby)
		first := ranges[0]
		f := verdict.Finding{Field: field, Offset: first.Offset, Tier: verdict.Forbidden, Cause: d.text.cause(),
			A: d.show(false, first), B: d.show(true, first), Hunk: d.hunk(ranges),
			Evidence: join(fmt.Sprintf("%s in %s", humanize.Count(int(p.bytes), "byte"), humanize.Count(p.places, "place")), d.j.rules.budgetNote())}
		d.add(f)
	}
}

// addDigest adds the finding about digests of the rest of the file. A digest is
// excused only if something else differs, and all of that is excused.
func (d *difference) addDigest() {
	if d.digest == nil {
		return
	}
	at := d.digest.Offset
	s, _ := d.inA.At(at)
	whole := bytediff.Range{Offset: s.Offset, Length: min(s.Length, verdict.MaxValue/2)}
	f := verdict.Finding{Field: s.Name, Offset: at, A: hexText(d.a.R, whole), B: hexText(d.b.R, whole),
		Tier: verdict.Stamp, Cause: "a digest of the rest of the file, which differs as reported"}
	switch {
	case len(d.findings) == 0:
		f.Tier, f.Cause = verdict.Forbidden, "a digest of the rest of the file differs, though nothing else in it does"
	case d.worst > verdict.Stamp:
		f.Tier, f.Cause = verdict.Forbidden, "a digest of the rest of the file, in which something unexplained differs"
	}
	d.add(f)
}
