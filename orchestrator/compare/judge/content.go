// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"

	"github.com/zfarm/zfarm/orchestrator/compare/show"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

const (
	headSize  = 64
	maxRanges = 8192 // per member; what lies beyond is one range
	nearby    = 8    // ranges closer than that are shown as one
	maxMisses = 256  // per member: bytes looked at in vain for what explains them
)

// parts is what a format knows of one file.
type parts struct {
	span.Layout
	list  []span.Span
	known bool // the format is
	of    format.Format
}

func (p parts) frame(name string) bool {
	return slices.ContainsFunc(p.of.Frames, func(s string) bool {
		return s == name || strings.HasSuffix(s, ".") && strings.HasPrefix(name, s)
	})
}

// layouts returns the parts of both files if one format knows them, and in what
// they are not as it wants them.
func (j *Judge) layouts(a, b File) (inA, inB parts, u Faults) {
	f, ok := j.formats.Find(Head(a, headSize), Head(b, headSize), func(f format.Format) bool { return f.Layout != nil || f.Spans != nil })
	if !ok {
		return parts{Layout: span.NewMap(nil)}, parts{Layout: span.NewMap(nil)}, u
	}
	inA, u.A = partsOf(f, a)
	inB, u.B = partsOf(f, b)
	return inA, inB, u
}

// partsOf reads what there is to read: a table that cannot be read leaves what was
// read of it. The error is the first fault of a layout.
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

// Content finds how two files differ, of which it is known that they do.
// unopened says why they are not compared as the containers they look like, ""
// if they look like none.
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

// compare compares by the best that is known of both files.
func (d *difference) compare(ctx context.Context) error {
	var err error
	if d.text, err = readTexts(ctx, d.a, d.b); err != nil {
		return err
	}
	if d.text != nil && !d.inA.known {
		if d.documents() {
			return nil
		}
		if done, err := d.ruled(ctx); done || err != nil {
			return err
		}
	}
	if d.a.Size != d.b.Size {
		return d.resized(ctx)
	}
	d.rules = d.j.rules.fitting(formatBytes, d.path)
	return d.sameSize(ctx)
}

// difference is what is found out about one member.
type difference struct {
	j        *Judge
	out      Findings
	path     string
	a, b     File
	inA, inB parts
	text     *texts  // nil if they are not text
	rules    []*rule // for bytes
	findings []verdict.Finding
	seen     map[seenKey]int // explained before: index in findings
	worst    verdict.Tier    // among findings
	misses   int
	last     span.Span       // told by typed or unlike
	digest   *bytediff.Range // the first that differs
	// plain is what nothing explains, by field in the order found.
	plain  map[string]*plain
	fields []string
	// apart: findings are only tried out.
	apart bool
}

// plain is the bytes of one field that nothing explains.
type plain struct {
	bytes  int64
	places int // apart from each other
	// shown are the first of them.
	shown []bytediff.Range
	end   int64
}

const (
	maxFindings = 4096 // of one member that are kept until all is known of it
	maxShown    = 256  // ranges of one field
)

// unexplained remembers a range that nothing explains; they come in order.
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

// several begins to say that a pair of values stands at more than one place.
const several = "at several places, the first at byte "

// seenKey tells explanations apart.
type seenKey struct{ field, a, b string }

func (d *difference) add(f verdict.Finding) {
	f.Path = d.path
	d.worst = max(d.worst, f.Tier)
	if len(d.findings) >= maxFindings && !d.apart {
		d.out.Add(f)
		return
	}
	d.findings = append(d.findings, f)
}

// sameSize explains every byte that differs between files of one size.
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
	edge := min(d.inA.End(at, d.a.Size), d.inB.End(at, d.b.Size))
	switch {
	case sa.Same(sb) && sa.Kind == span.Digest:
		if d.digest == nil {
			d.digest = &bytediff.Range{Offset: at, Length: part - at}
		}
		return part, nil
	case sa.Same(sb) && settled(sa) && sa.Read != nil:
		return edge, d.typed(sa)
	case !sa.Same(sb) && (typedKind(sa) || typedKind(sb)):
		return edge, d.unlike(sa, sb)
	case d.misses < maxMisses && sa.Kind != span.Fixed:
		x, ok, err := d.reason(at, sa, sb)
		if err != nil {
			return 0, err
		}
		if ok {
			d.tell(x, sa)
			return min(x.end, edge), nil // what lies in another part speaks for itself
		}
		d.misses++
		part = min(part, at+1)
	}
	d.unexplained(plainField(sa, sb), bytediff.Range{Offset: at, Length: part - at})
	return part, nil
}

// settled reports whether the format says what the bytes of a span mean, so
// that nothing else can explain them.
func settled(s span.Span) bool {
	return s.Kind == span.Stamp || s.Kind == span.Owner || s.Kind == span.Fixed
}

// typedKind reports whether bytes are more than their name says: settled, or a
// digest.
func typedKind(s span.Span) bool { return settled(s) || s.Kind == span.Digest }

// plainField is what bytes are called that nothing explains.
func plainField(a, b span.Span) string {
	if a.Name != "" && a.Name == b.Name {
		return a.Name
	}
	return "content"
}

// reason looks for what explains the byte at: what is known of both builds, or,
// where that leaves it in tier X, a rule of the recipe about bytes that no
// format names, or that it names alike and says no more of.
func (d *difference) reason(at int64, sa, sb span.Span) (explanation, bool, error) {
	w, err := d.around(at, false)
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

// maxTyped bounds a span that is read as one value.
const maxTyped = 4096

// typed tells once of a field whose form the format fixes: a stamp of the build,
// who built it, or what must not differ.
func (d *difference) typed(s span.Span) error {
	if d.last.Same(s) {
		return nil
	}
	d.last = s
	va, err := d.a.says(s)
	if err != nil {
		return err
	}
	vb, err := d.b.says(s)
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

// unlike tells once of a field whose form the format fixes, where it is such a
// field in one of the files only, or not of the same extent. It is never masked.
func (d *difference) unlike(sa, sb span.Span) error {
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
	va, err := d.a.says(inA)
	if err != nil {
		return err
	}
	vb, err := d.b.says(inB)
	if err != nil {
		return err
	}
	f.A, f.B = va.Text, vb.Text
	d.add(f)
	return nil
}

// longer orders spans, so that A and B may change places.
func longer(a, b span.Span) bool {
	return cmp.Or(cmp.Compare(b.Length, a.Length), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind)) < 0
}

// says reads what the bytes of a span mean: as the format says, else as hex.
func (f File) says(s span.Span) (span.Value, error) {
	buf := make([]byte, max(min(s.Length, maxTyped, f.Size-s.Offset), 0))
	if n, err := f.R.ReadAt(buf, s.Offset); n < len(buf) {
		return span.Value{}, fmt.Errorf("reading %s at %d: %w", s.Name, s.Offset, err)
	}
	if s.Read == nil {
		return span.Value{Text: hex.EncodeToString(buf[:min(len(buf), verdict.MaxValue/2)])}, nil
	}
	return s.Read(buf), nil
}

// stampField judges a stamp: it is one only if each value lies in the time of
// its own build.
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

// tell adds what an explanation says, once for each pair of values.
func (d *difference) tell(x explanation, s span.Span) {
	key := seenKey{x.finding.Field, x.finding.A, x.finding.B}
	if i, ok := d.seen[key]; ok {
		// What goes on behind a record is at one place still.
		if f := &d.findings[i]; f.Offset != x.finding.Offset && !strings.Contains(f.Evidence, several) {
			f.Evidence = join(f.Evidence, several+fmt.Sprint(f.Offset))
		}
		return
	}
	if len(d.findings) < maxFindings || d.apart {
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

// tellPlain adds a finding for each field with ranges that nothing explains.
func (d *difference) tellPlain() {
	for _, field := range d.fields {
		p := d.plain[field]
		ranges := bytediff.Merge(p.shown, nearby)
		first := ranges[0]
		f := verdict.Finding{Field: field, Offset: first.Offset, Tier: verdict.Forbidden, Cause: d.text.cause(),
			A: d.show(false, first), B: d.show(true, first), Hunk: d.hunk(ranges),
			Evidence: join(fmt.Sprintf("%s in %s", show.Plural(int(p.bytes), "byte"), show.Plural(p.places, "place")), d.j.rules.spent())}
		d.add(f)
	}
}

// tellDigests adds the finding about digests of the rest. They explain
// themselves only by something else that differs and may.
func (d *difference) tellDigests() {
	if d.digest == nil {
		return
	}
	at := d.digest.Offset
	s, _ := d.inA.At(at)
	whole := bytediff.Range{Offset: s.Offset, Length: min(s.Length, verdict.MaxValue/2)}
	f := verdict.Finding{Field: s.Name, Offset: at, A: hexText(d.a.R, whole), B: hexText(d.b.R, whole),
		Tier: verdict.Stamp, Cause: "a digest of the rest of the file, which differs as told"}
	switch {
	case len(d.findings) == 0:
		f.Tier, f.Cause = verdict.Forbidden, "a digest of the rest of the file differs, though nothing else in it does"
	case d.worst > verdict.Stamp:
		f.Tier, f.Cause = verdict.Forbidden, "a digest of the rest of the file, in which something unexplained differs"
	}
	d.add(f)
}

// show returns the bytes of a range of A or B: as they are in text and as all
// of the text that they lie in among strings, else as hex.
func (d *difference) show(inB bool, r bytediff.Range) string {
	f, in, p := d.a, d.inA, charset{}
	if inB {
		f, in = d.b, d.inB
	}
	if d.text != nil {
		if p = d.text.pageA; inB {
			p = d.text.pageB
		}
	}
	r.Length = min(r.Length, verdict.MaxValue, f.Size-r.Offset)
	if r.Length <= 0 {
		return ""
	}
	if s, ok := in.At(r.Offset); ok && s.Kind == span.Strings && d.text == nil {
		return stringAt(f, s, r.Offset)
	}
	if d.text == nil {
		r.Length = min(r.Length, verdict.MaxValue/2)
		return hexText(f.R, r)
	}
	buf := make([]byte, r.Length)
	n, _ := f.R.ReadAt(buf, r.Offset) // shown as far as it can be read
	if s, ok := p.decode(buf[:n]); ok {
		return s
	}
	return string(buf[:n])
}

// stringAt returns the text in which a byte lies, up to its NULs.
func stringAt(f File, s span.Span, at int64) string {
	from := max(s.Offset, at-verdict.MaxValue/2)
	buf := make([]byte, min(s.Offset+s.Length, at+verdict.MaxValue/2, f.Size)-from)
	n, _ := f.R.ReadAt(buf, from) // shown as far as it can be read
	i := min(int(at-from), n)
	begin := bytes.LastIndexByte(buf[:i], 0) + 1
	text, _, _ := bytes.Cut(buf[i:n], []byte{0})
	return string(buf[begin : i+len(text)])
}

func hexText(r io.ReaderAt, at bytediff.Range) string {
	buf := make([]byte, at.Length)
	n, _ := r.ReadAt(buf, at.Offset) // shown as far as it can be read
	return hex.EncodeToString(buf[:n])
}

// hunk shows the surroundings, if there is still room in the verdict.
func (d *difference) hunk(ranges []bytediff.Range) string {
	if d.out.Full(verdict.Forbidden) {
		return ""
	}
	if d.text != nil {
		return d.text.hunk()
	}
	return bytediff.Hex(d.a.R, d.b.R, d.a.Size, d.b.Size, ranges, verdict.MaxHunk)
}
