// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/judge/stamp"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
)

// buildPath is the only known value that may be masked, and only if both sides have
// the same length.
const buildPath = "build path"

// timeZone is the known value that also contains the zone names that programs
// print.
const timeZone = "time zone"

const (
	maxKnown = 4096 // a longer value is not searched for
	// leastPath is the minimum length of a build path to count as evidence.
	leastPath = 4
)

// Known is what the farm knows of the two repeats and may find again in their
// outputs.
type Known struct {
	A, B Conditions
}

// Conditions describe one repeat.
type Conditions struct {
	// Values maps a kind of value ("build path", "user", "host", "time zone",
	// "locale", "HOME", "jobs") to its text.
	Values map[string]string
	// Begun and Ended are the window in which a build stamp must lie, by the
	// orchestrator's clock. Zone is the repeat's time zone in POSIX TZ notation.
	Begun, Ended time.Time
	Zone         string
}

// knownValue is one condition, with the value it had in each repeat.
type knownValue struct {
	what string
	a, b string
	// wholeA and wholeB are the full values if a and b are only a part of them.
	wholeA, wholeB string
}

// knownValues returns the conditions that differ and can be searched for, longest
// first because a host name may be part of a path.
func knownValues(k Known) []knownValue {
	var out []knownValue
	for what, a := range k.A.Values {
		b := k.B.Values[what]
		if a == b || len(a) > maxKnown || len(b) > maxKnown {
			continue
		}
		out = addKnown(out, knownValue{what, a, b, a, b})
		if what == timeZone {
			standardA, summerA := stamp.ZoneNames(a)
			standardB, summerB := stamp.ZoneNames(b)
			out = addKnown(out, knownValue{what, standardA, standardB, a, b})
			out = addKnown(out, knownValue{what, summerA, summerB, a, b})
		}
	}
	slices.SortFunc(out, func(x, y knownValue) int {
		return cmp.Or(cmp.Compare(max(len(y.a), len(y.b)), max(len(x.a), len(x.b))), strings.Compare(x.what, y.what))
	})
	return out
}

// addKnown appends a value if it can be searched for.
func addKnown(all []knownValue, k knownValue) []knownValue {
	if k.a == k.b || k.a == "" || k.b == "" {
		return all
	}
	return append(all, k)
}

// finding returns the finding that the value is embedded. Only a build path of
// equal length on both sides is below tier X, since it shifts nothing.
func (k knownValue) finding(offset int64) verdict.Finding {
	f := verdict.Finding{Field: "embedded." + k.what, A: k.a, B: k.b, Offset: offset, Tier: verdict.Forbidden,
		Cause: "the " + k.what + " is embedded", Evidence: fmt.Sprintf("A was built with %q, B with %q", k.wholeA, k.wholeB)}
	switch {
	case k.what != buildPath:
	case len(k.a) != len(k.b):
		f.Cause += ", with another length"
	case len(k.a) >= leastPath && k.a[0] == '/':
		f.Tier = verdict.Stamp
	}
	return f
}

// explanation explains the bytes from its finding's Offset up to end.
type explanation struct {
	finding verdict.Finding
	end     int64
}

// view is the surroundings of a byte in both files, decoded by one code page.
type view struct {
	a, b []byte
	from int64 // offset of the first byte
}

// views returns the bytes [from, to), cut to the size of the files: once as they
// are and once decoded from IBM-1047.
func views(a, b io.ReaderAt, size, from, to int64) ([]view, error) {
	v := view{from: max(from, 0)}
	n := min(to, size) - v.from
	v.a, v.b = make([]byte, n), make([]byte, n)
	for _, x := range []struct {
		r   io.ReaderAt
		buf []byte
	}{{a, v.a}, {b, v.b}} {
		if got, err := x.r.ReadAt(x.buf, v.from); got < len(x.buf) {
			return nil, fmt.Errorf("reading %d bytes at %d: %w", len(x.buf), v.from, err)
		}
	}
	return []view{v, {codepage.Latin1(v.a), codepage.Latin1(v.b), v.from}}, nil
}

// explanation searches for a stamp or known value that explains the byte at offset
// at.
func (j *Judge) explanation(a, b io.ReaderAt, size, at int64) (explanation, bool, error) {
	if x, ok, err := j.embedded(a, b, size, at); ok || err != nil {
		return x, ok, err
	}
	all, err := views(a, b, size, at-stamp.Reach, at+stamp.Reach)
	if err != nil {
		return explanation{}, false, err
	}
	for _, v := range all {
		i := int(at - v.from)
		if !inStamp(v.a[i]) || !inStamp(v.b[i]) {
			continue
		}
		if s, ok := j.stamps.Find(v.a, v.b, i, i+1); ok {
			return j.stamped(s, v.from), true, nil
		}
	}
	return explanation{}, false, nil
}

// inStamp reports whether two stamps can differ in the byte c.
func inStamp(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == ' ' || c == '+' || c == '-'
}

// stamped returns the explanation for a stamp.
func (j *Judge) stamped(s stamp.Stamp, from int64) explanation {
	f := verdict.Finding{Field: s.Field, A: s.A, B: s.B, Offset: from + int64(s.From), Tier: verdict.Stamp,
		Cause: "the time of the build is embedded", Evidence: "each lies within the time of its build"}
	if !s.WithinA || !s.WithinB {
		f.Field, f.Tier, f.Evidence = "", verdict.Forbidden, ""
		f.Cause = "looks like a time, but outside the time of the build"
		switch {
		case !j.winA.Known() || !j.winB.Known():
			f.Cause = "looks like a time, but the time of the build is not known"
		case s.WithinA:
			f.Evidence = "that of A lies within"
		case s.WithinB:
			f.Evidence = "that of B lies within"
		}
	}
	return explanation{f, from + int64(s.To)}
}

// embedded searches for a known value that covers the byte at offset at in both
// files and begins at the same offset in both.
func (j *Judge) embedded(a, b io.ReaderAt, size, at int64) (explanation, bool, error) {
	if len(j.known) == 0 {
		return explanation{}, false, nil
	}
	single, err := views(a, b, size, at, at+1)
	if err != nil {
		return explanation{}, false, err
	}
	for _, k := range j.known {
		for page, s := range single {
			if !k.mayHold(s.a[0], s.b[0]) {
				continue
			}
			reach := int64(max(len(k.a), len(k.b))) + 1
			around, err := views(a, b, size, at-reach, at+reach)
			if err != nil {
				return explanation{}, false, err
			}
			v := around[page]
			if from, ok := v.covers(k, int(at-v.from)); ok {
				begin := v.from + int64(from)
				return explanation{k.finding(begin), begin + int64(min(len(k.a), len(k.b)))}, true, nil
			}
		}
	}
	return explanation{}, false, nil
}

// mayHold reports whether a and b occur at one index of the two values.
func (k knownValue) mayHold(a, b byte) bool {
	for i := range min(len(k.a), len(k.b)) {
		if k.a[i] == a && k.b[i] == b {
			return true
		}
	}
	return false
}

// covers returns where the value begins that covers byte i in both texts. Of values
// of unequal length, the shorter one must cover it.
func (v view) covers(k knownValue, i int) (int, bool) {
	n := min(len(k.a), len(k.b))
	for from := max(i-n+1, 0); from <= i; from++ {
		if bytes.HasPrefix(v.a[from:], []byte(k.a)) && bytes.HasPrefix(v.b[from:], []byte(k.b)) &&
			alone(v.a, from, k.a) && alone(v.b, from, k.b) {
			return from, true
		}
	}
	return 0, false
}

// alone reports whether s stands at that offset of text as a word of its own, so
// that "4" is not found in "14".
func alone(text []byte, from int, s string) bool {
	end := from + len(s)
	return (from == 0 || !word(text[from-1]) || !word(s[0])) && (end >= len(text) || !word(text[end]) || !word(s[len(s)-1]))
}

func word(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}
