// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/zfarm/zfarm/orchestrator/compare/bytediff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"

	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// resized reports how files of unequal size differ. It explains nothing away: bytes
// that were shifted cannot be masked.
func (d *difference) resized(ctx context.Context) error {
	sizes := fmt.Sprintf("%d bytes in A, %d in B", d.a.Size, d.b.Size)
	if d.text != nil {
		f, ok, err := d.text.substituted(ctx, d.j.known)
		if err != nil {
			return err
		}
		if !ok {
			f = verdict.Finding{Field: "content", Offset: d.text.first, Tier: verdict.Forbidden, Cause: d.text.cause()}
		}
		f.Evidence, f.Hunk = join(f.Evidence, sizes), d.hunk(nil)
		d.add(f)
		return nil
	}
	if err := d.parts(ctx, d.inA.list, d.inB.list); err != nil {
		return err
	}
	rest := ""
	if d.inA.known && d.inA.list == nil && d.inB.list == nil {
		var err error
		if rest, err = d.shifted(ctx); err != nil {
			return err
		}
	}
	least := min(d.a.Size, d.b.Size)
	ranges, err := bytediff.Diff(ctx, d.a.R, d.b.R, least, maxMisses)
	if err != nil {
		return err
	}
	first := bytediff.Range{Offset: least, Length: max(d.a.Size, d.b.Size) - least}
	if i := slices.IndexFunc(ranges, d.hasUnexplained); i >= 0 {
		first = ranges[i]
		w, err := d.surroundings(first.Offset, true)
		if err != nil {
			return err
		}
		x, ok, err := d.j.embedded(w.a, w.b, w.size, w.at)
		if err != nil {
			return err
		}
		if ok {
			x = w.inFile(x)
			x.finding.Tier = verdict.Forbidden
			d.addExplained(x, span.Span{})
		}
	}
	d.add(verdict.Finding{Field: "content", Offset: first.Offset, Tier: verdict.Forbidden, A: d.show(false, first), B: d.show(true, first),
		Evidence: join(join(sizes, d.firstPart(ranges)), rest), Hunk: d.hunk([]bytediff.Range{first})})
	return nil
}

// hasUnexplained reports whether a range begins outside the stamps, owners and digests
// that both files have at that offset.
func (d *difference) hasUnexplained(r bytediff.Range) bool {
	a, _ := d.inA.At(r.Offset)
	b, _ := d.inB.At(r.Offset)
	return !a.Same(b) || a.Kind != span.Stamp && a.Kind != span.Owner && a.Kind != span.Digest
}

// firstPart names the first differing part that both files have at one offset and
// that is not a stamp, an owner or a digest.
func (d *difference) firstPart(ranges []bytediff.Range) string {
	for _, r := range ranges {
		a, _ := d.inA.At(r.Offset)
		b, _ := d.inB.At(r.Offset)
		if a.Name != "" && a.Same(b) && d.hasUnexplained(r) && !d.inA.frame(a.Name) {
			return fmt.Sprintf("first in %s at byte %d", a.Name, r.Offset)
		}
	}
	return ""
}

// parts reports the spans that differ between files of unequal size, paired by
// name.
func (d *difference) parts(ctx context.Context, spansA, spansB []span.Span) error {
	inB := map[string][]span.Span{}
	for _, s := range spansB {
		inB[s.Name] = append(inB[s.Name], s)
	}
	for _, s := range spansA {
		if len(inB[s.Name]) == 0 {
			d.add(verdict.Finding{Field: s.Name, Offset: s.Offset, A: partText(d.a, s), Tier: verdict.Forbidden, Cause: "it is in A only"})
			continue
		}
		t := inB[s.Name][0]
		inB[s.Name] = inB[s.Name][1:]
		partA, partB := io.NewSectionReader(d.a.R, s.Offset, s.Length), io.NewSectionReader(d.b.R, t.Offset, t.Length)
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
		d.add(verdict.Finding{Field: s.Name, Offset: s.Offset + at, A: partText(d.a, s), B: partText(d.b, t), Tier: verdict.Forbidden,
			Evidence: fmt.Sprintf("the first difference is at byte %d of it", at),
			Hunk:     bytediff.Hex(partA, partB, s.Length, t.Length, []bytediff.Range{{Offset: at, Length: 1}}, verdict.MaxHunk/8)})
	}
	for _, t := range spansB {
		if left := inB[t.Name]; len(left) > 0 && left[0].Offset == t.Offset {
			inB[t.Name] = left[1:]
			d.add(verdict.Finding{Field: t.Name, Offset: t.Offset, B: partText(d.b, t), Tier: verdict.Forbidden, Cause: "it is in B only"})
		}
	}
	return nil
}

// partText returns the content of a span, or its length if it is long.
func partText(f File, s span.Span) string {
	if s.Read == nil || s.Length > maxTyped {
		return fmt.Sprint(s.Length, " bytes")
	}
	buf := make([]byte, s.Length)
	n, _ := f.R.ReadAt(buf, s.Offset) // on an error, show what was read
	return s.Read(buf[:n]).Text
}
