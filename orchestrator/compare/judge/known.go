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

// buildPath is the one known value that may be masked, where both have the
// same length.
const buildPath = "build path"

// timeZone is the one whose value holds names that are written for it.
const timeZone = "time zone"

const (
	maxKnown = 4096 // a longer value is not looked for
	// leastPath is the least length of a build path that is evidence enough.
	leastPath = 4
)

// Known is what is known of the two repeats and may be found again in their
// outputs: the oracle of the comparison.
type Known struct {
	A, B Conditions
}

// Conditions are those of one repeat.
type Conditions struct {
	// Values maps what a value is ("build path", "user", "host", "time zone",
	// "locale", "HOME", "jobs") to the text it had.
	Values map[string]string
	// Begun and Ended are the window in which a build stamp must lie, by the
	// orchestrator's clock; Zone is the repeat's offset in POSIX TZ notation.
	Begun, Ended time.Time
	Zone         string
}

// knownValue is one condition that both repeats had, each with its own value.
type knownValue struct {
	what string
	a, b string
	// wholeA and wholeB are the conditions of which a and b are a part.
	wholeA, wholeB string
}

// knownValues returns the conditions that differ and can be looked for, the
// longest first, for a host may stand within a path.
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

// addKnown adds a value that can be looked for.
func addKnown(all []knownValue, k knownValue) []knownValue {
	if k.a == k.b || k.a == "" || k.b == "" {
		return all
	}
	return append(all, k)
}

// finding says that the value is embedded. It is explained away only where it
// shifts nothing.
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

// explanation explains the bytes of its finding's offset up to end.
type explanation struct {
	finding verdict.Finding
	end     int64
}

// view is the surroundings of a byte in both files, in one code page.
type view struct {
	a, b []byte
	from int64 // offset of the first byte
}

// views returns the bytes from from to to, as far as there are any: as they
// are, and read as IBM-1047.
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

// explanation looks for what explains the byte at.
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

// inStamp reports whether c can be a byte of a stamp in which stamps differ.
func inStamp(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == ' ' || c == '+' || c == '-'
}

// stamped says what is known of a stamp.
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

// embedded looks for a known value that covers the byte at in both files and
// begins at the same place in both.
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

// mayHold reports whether the two values have those bytes at one place.
func (k knownValue) mayHold(a, b byte) bool {
	for i := range min(len(k.a), len(k.b)) {
		if k.a[i] == a && k.b[i] == b {
			return true
		}
	}
	return false
}

// covers returns where the value begins that covers byte i in both texts. Of
// values of unlike length, the shorter counts.
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

// alone reports whether no word goes on around s at that place of text, so
// that "4" is not found in "14".
func alone(text []byte, from int, s string) bool {
	end := from + len(s)
	return (from == 0 || !word(text[from-1]) || !word(s[0])) && (end >= len(text) || !word(text[end]) || !word(s[len(s)-1]))
}

func word(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}
