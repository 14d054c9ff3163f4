// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/jsontext"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/humanize"
)

// maxValues bounds the findings about single values of one document.
const maxValues = 100

// documents compares two JSON documents value by value. It reports false if either
// file is not a JSON document; the caller then compares them as text.
func (d *difference) documents() bool {
	if d.text.pageA.number != d.text.pageB.number {
		return false
	}
	a, okA := readDocument(d.a, d.text.pageA)
	b, okB := readDocument(d.b, d.text.pageB)
	if !okA || !okB {
		return false
	}
	v := &values{d: d, rules: d.j.rules.fitting(formatJSON, d.path)}
	reordered := jsontext.Diff(a, b, v.change)
	if n := v.forbidden - maxValues; n > 0 {
		d.add(verdict.Finding{Field: "content", Offset: d.text.first, Tier: verdict.Forbidden, Evidence: humanize.Count(n, "further value") + " that nothing explains"})
	}
	f := verdict.Finding{Field: "content", Offset: d.text.first, Tier: verdict.Forbidden}
	switch {
	case reordered:
		f.Cause = "the same JSON, its keys in another order"
	case !v.structural && !jsontext.SameForm(a, b):
		f.Cause = "the same JSON, written in another form"
	}
	if f.Cause != "" {
		if v.changes > 0 {
			f.Cause = strings.Replace(f.Cause, "the same JSON", "but for what is told of its values, the same JSON", 1)
		}
		if v.forbidden == 0 {
			f.Hunk = d.hunk(nil)
		}
		d.add(f)
	}
	return true
}

// readDocument reads a JSON document whose top is an object or an array. It accepts
// UTF-8, and other code pages if the text is all ASCII, so that offsets in the
// decoded text are offsets in the file.
func readDocument(f File, p charset) (*jsontext.Document, bool) {
	if f.Size > jsontext.MaxSize {
		return nil, false
	}
	head, _ := p.decode(Head(f, headSize))
	if !jsontext.Is([]byte(head)) {
		return nil, false
	}
	raw := Head(f, f.Size)
	if p.table != nil {
		s, ok := p.decode(raw)
		if !ok || len(s) != len(raw) {
			return nil, false
		}
		raw = []byte(s)
	}
	doc, err := jsontext.Parse(raw)
	return doc, err == nil && int64(len(raw)) == f.Size
}

// values collects the differing values of two documents.
type values struct {
	d                  *difference
	rules              []*rule
	changes, forbidden int
	structural         bool // a key or element is in one document only, or is a container in one only
}

// change adds the findings about one value.
func (v *values) change(ch jsontext.Change) {
	v.changes++
	f := verdict.Finding{Field: "json:" + ch.Pointer, A: string(ch.A.Raw[:min(len(ch.A.Raw), maxKnown)]), B: string(ch.B.Raw[:min(len(ch.B.Raw), maxKnown)]),
		Offset: max(ch.A.Offset, ch.B.Offset), Tier: verdict.Forbidden}
	switch {
	case ch.A.Kind == jsontext.None:
		f.Cause, v.structural = "it is in B only", true
	case ch.B.Kind == jsontext.None:
		f.Cause, v.structural = "it is in A only", true
	case !ch.A.Scalar() || !ch.B.Scalar():
		f.Cause, v.structural = "it is a value of another kind", true
	case ch.A.Kind != ch.B.Kind:
		f.Cause = "it is a value of another kind"
	default:
		f.Offset = ch.A.Offset
		if v.explained(&f, ch) {
			return
		}
	}
	if v.forbidden++; v.forbidden > maxValues {
		return
	}
	if v.forbidden == 1 {
		f.Hunk = v.d.hunk(nil)
	}
	f.Evidence = join(f.Evidence, v.d.j.rules.budgetNote())
	v.d.add(f)
}

// explained adds the findings about a value that has an explanation and reports
// whether it did. If not, it stores in f whatever cause is known.
func (v *values) explained(f *verdict.Finding, ch jsontext.Change) bool {
	if x, ok := v.embedded(ch); ok {
		for _, e := range x {
			e.finding.Offset += ch.A.Offset
			v.d.addExplained(e, span.Span{Name: f.Field})
		}
		return true
	}
	v.d.j.valueStamp(f, ch)
	if f.Tier != verdict.Forbidden {
		v.d.add(*f)
		return true
	}
	a, b := ch.A.Text(), ch.B.Text()
	for _, r := range v.rules {
		if r.Field == ch.Pointer && r.value(v.d.j.rules, a, b) {
			v.d.add(r.finding(a, b, ch.A.Offset))
			return true
		}
	}
	return false
}

// embedded explains every differing byte of two values of equal length by known
// values, all below tier X. It reports false if it cannot.
func (v *values) embedded(ch jsontext.Change) ([]explanation, bool) {
	a, b := ch.A.Raw, ch.B.Raw
	if len(a) != len(b) || len(a) > maxRuled {
		return nil, false
	}
	var found []explanation
	for at := 0; at < len(a); at++ {
		if a[at] == b[at] {
			continue
		}
		x, ok, err := v.d.j.embedded(bytes.NewReader(a), bytes.NewReader(b), int64(len(a)), int64(at))
		if err != nil || !ok || x.finding.Tier == verdict.Forbidden {
			return nil, false
		}
		found = append(found, x)
		at = int(x.end) - 1
	}
	return found, true
}

// valueStamp judges a value that is a time as a whole. It is a stamp only if the
// value's name says that it is a time, and each side lies within the window of its
// own build.
func (j *Judge) valueStamp(f *verdict.Finding, ch jsontext.Change) {
	a, b := ch.A.Text(), ch.B.Text()
	va, okA := timeOf(a, ch.A.Kind)
	vb, okB := timeOf(b, ch.B.Kind)
	if !okA || !okB {
		j.textStamp(f, ch.Name, a, b)
		return
	}
	before := *f
	if j.stampField(f, va, vb); f.Tier == verdict.Stamp && !namesTime(ch.Name) {
		*f = before
		f.Cause = "it may be the time of the build, but its name does not say so"
	}
}

// textStamp judges a value that is a time in one of the notations of package stamp.
func (j *Judge) textStamp(f *verdict.Finding, name, a, b string) {
	if len(a) != len(b) || len(a) > maxKnown {
		return
	}
	for i := range len(a) {
		if a[i] == b[i] {
			continue
		}
		s, ok := j.stamps.Find([]byte(a), []byte(b), i, i+1)
		switch {
		case !ok:
		case s.From > 0 || s.To < len(a):
			f.Cause = "it holds what looks like a time within other text"
		default:
			x := j.stamped(s, 0).finding
			if f.Cause, f.Evidence = x.Cause, x.Evidence; x.Tier == verdict.Stamp && namesTime(name) {
				f.Tier = verdict.Stamp
			} else if x.Tier == verdict.Stamp {
				f.Cause, f.Evidence = "it may be the time of the build, but its name does not say so", ""
			}
		}
		return
	}
}

// namesTime reports whether the name of a value suggests a time.
func namesTime(name string) bool {
	lower := strings.ToLower(name)
	for _, word := range []string{"time", "date", "stamp", "epoch", "built", "created", "generated", "modified", "compiled", "started", "finished", "ended"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return strings.HasSuffix(name, "At") || strings.HasSuffix(lower, "_at") || strings.HasSuffix(lower, "-at") || lower == "at" || lower == "when"
}

// timeOf parses a value that is a time as a whole: RFC 3339 with any fraction, or
// seconds, milliseconds, microseconds or nanoseconds since 1970.
func timeOf(s string, kind jsontext.Kind) (span.Value, bool) {
	if kind == jsontext.String {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			_, rest, fraction := strings.Cut(s, ".")
			return moment(s, t, len(rest)-len(strings.TrimLeft(rest, "0123456789")), fraction), true
		}
	}
	whole, rest, fraction := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n <= 0 || fraction && (len(whole) != 10 || len(rest) > 9 || strings.Trim(rest, "0123456789") != "") {
		return span.Value{}, false
	}
	switch len(whole) {
	case 10:
		if !fraction {
			return moment(s, time.Unix(n, 0), 0, false), true
		}
		f, err := strconv.ParseInt((rest + "000000000")[:9], 10, 64)
		return moment(s, time.Unix(n, f), len(rest), true), err == nil
	case 13:
		return moment(s, time.UnixMilli(n), 3, true), true
	case 16:
		return moment(s, time.UnixMicro(n), 6, true), true
	case 19:
		return moment(s, time.Unix(0, n), 9, true), true
	}
	return span.Value{}, false
}

// moment returns a time that is known to the given number of decimal digits of a
// second.
func moment(text string, t time.Time, digits int, fraction bool) span.Value {
	unit := time.Second
	for range min(digits, 9) {
		if fraction {
			unit /= 10
		}
	}
	return span.Value{Text: text, From: t.UTC(), To: t.UTC().Add(unit - 1), Zoned: true}
}
