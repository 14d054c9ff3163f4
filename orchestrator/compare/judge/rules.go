// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// Rule declares one difference that a port is known to have. It can lower a finding
// from tier X to its own tier, but never one about metadata, a tool, an attribute
// or code, or about anything added, removed or moved.
type Rule struct {
	// Name identifies the rule; findings under it have the field "rule.NAME".
	Name string
	// Format is what the member must be in both artifacts: "text" (by its file tag,
	// else UTF-8), "json", or "bytes" (anything else).
	Format string
	// Path is a glob (path.Match) over the member's path below the artifact's top
	// folder; "" matches every member.
	Path string
	// Field is the JSON pointer of the one value that may differ; for format "json"
	// only.
	Field string
	// Pattern has one group: the only bytes that may differ. In format "text" it is
	// matched against both lines. In "bytes" it is matched against the printable
	// text around the difference, in ASCII and in IBM-1047, and the group must have
	// the same length in both files. In "json" it must match both values as a
	// whole, and is optional.
	Pattern *regexp.Regexp
	// Tier is the tier of the difference under the rule, 0 to 2.
	Tier verdict.Tier
	// Reason is the recipe's explanation; it becomes the finding's cause.
	Reason string
}

// The values of Rule.Format.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatBytes = "bytes"
)

const (
	// maxMatched bounds the bytes that patterns are matched against in one
	// comparison. Matching is linear, but the patterns come from recipes.
	maxMatched = 256 << 20
	// maxRuled bounds one text that a pattern is matched against.
	maxRuled = 64 << 10
	// maxMatches bounds the matches of a pattern in one text.
	maxMatches = 64
	// reach is how many bytes of text on either side of a difference in bytes a
	// pattern sees.
	reach = 2048
)

// ruleSet holds the rules of a comparison.
type ruleSet struct {
	rules   []*rule
	matched atomic.Int64
}

// rule is a valid Rule.
type rule struct {
	Rule
	whole *regexp.Regexp // the pattern anchored to a whole text; nil without a pattern
}

// newRuleSet keeps the valid rules. It drops those of an unknown tier or format,
// and those whose pattern lacks the one group.
func newRuleSet(all []Rule) *ruleSet {
	s := &ruleSet{}
	for _, r := range all {
		if r.Tier != verdict.Container && r.Tier != verdict.Header && r.Tier != verdict.Stamp {
			continue
		}
		x := &rule{Rule: r}
		switch {
		case r.Format == formatJSON && r.Pattern == nil:
		case r.Pattern == nil || r.Pattern.NumSubexp() > 1:
			continue
		case r.Format == formatJSON:
			whole, err := regexp.Compile(`\A(?:` + r.Pattern.String() + `)\z`)
			if err != nil {
				continue
			}
			x.whole = whole
		case r.Format != formatText && r.Format != formatBytes, r.Pattern.NumSubexp() != 1:
			continue
		}
		s.rules = append(s.rules, x)
	}
	return s
}

// fitting returns the rules for members of that format and path.
func (s *ruleSet) fitting(format, member string) []*rule {
	if s == nil {
		return nil
	}
	below := member
	if _, rest, ok := strings.Cut(member, "/"); ok {
		below = rest
	}
	var out []*rule
	for _, r := range s.rules {
		if r.Format != format {
			continue
		}
		if ok, err := path.Match(r.Path, below); r.Path == "" || ok && err == nil {
			out = append(out, r)
		}
	}
	return out
}

// withinBudget counts n more bytes to match, and reports whether that is within
// maxMatched.
func (s *ruleSet) withinBudget(n int) bool { return s.matched.Add(int64(n)) <= maxMatched }

// budgetNote returns the evidence that matching stopped at maxMatched, "" if it did not.
func (s *ruleSet) budgetNote() string {
	if s == nil || s.matched.Load() <= maxMatched {
		return ""
	}
	return fmt.Sprintf("no rule was looked at beyond %d MiB of text", maxMatched>>20)
}

// finding returns the finding about a difference that the rule accepts.
func (r *rule) finding(a, b string, offset int64) verdict.Finding {
	f := verdict.Finding{Field: "rule." + r.Name, A: a, B: b, Offset: offset, Tier: r.Tier, Cause: r.Reason}
	if f.Evidence = fmt.Sprintf("the rule's pattern %q", r.Pattern); r.Format == formatJSON {
		f.Evidence = fmt.Sprintf("the rule's field %q", r.Field)
	}
	return f
}

// line returns the differing groups of two lines if the rule accepts them:
// everything outside the pattern's group must be the same.
func (r *rule) line(s *ruleSet, a, b string) (groupA, groupB string, ok bool) {
	if len(a) > maxRuled || len(b) > maxRuled || !s.withinBudget(len(a)+len(b)) {
		return "", "", false
	}
	inA, inB := r.Pattern.FindAllStringSubmatchIndex(a, maxMatches+1), r.Pattern.FindAllStringSubmatchIndex(b, maxMatches+1)
	if len(inA) != len(inB) || len(inA) > maxMatches {
		return "", "", false
	}
	fromA, fromB := 0, 0
	for i := range inA {
		x, y := inA[i], inB[i]
		if x[2] < 0 || y[2] < 0 || a[fromA:x[2]] != b[fromB:y[2]] {
			return "", "", false
		}
		if va, vb := a[x[2]:x[3]], b[y[2]:y[3]]; va != vb && !ok {
			groupA, groupB, ok = va, vb, true
		}
		fromA, fromB = x[3], y[3]
	}
	return groupA, groupB, ok && a[fromA:] == b[fromB:]
}

// value reports whether the rule accepts the difference between two JSON values.
func (r *rule) value(s *ruleSet, a, b string) bool {
	if r.whole == nil {
		return a != b
	}
	if len(a) > maxRuled || len(b) > maxRuled || !s.withinBudget(len(a)+len(b)) {
		return false
	}
	inA, inB := r.whole.FindStringSubmatchIndex(a), r.whole.FindStringSubmatchIndex(b)
	switch {
	case inA == nil || inB == nil || a == b:
		return false
	case len(inA) == 2:
		return true
	}
	return inA[2] >= 0 && inB[2] >= 0 && a[:inA[2]] == b[:inB[2]] && a[inA[3]:] == b[inB[3]:]
}

// run returns the range of the pattern's group that covers byte i in both texts.
// Match and group must stand at the same place in both, with the same bytes outside
// the group.
func (r *rule) run(s *ruleSet, v view, i int) (from, to int, ok bool) {
	fromA, toA := printableAround(v.a, i)
	fromB, toB := printableAround(v.b, i)
	if i >= toA || i >= toB || !s.withinBudget(toA-fromA+toB-fromB) {
		return 0, 0, false
	}
	inB := r.Pattern.FindAllSubmatchIndex(v.b[fromB:toB], -1)
	for _, x := range r.Pattern.FindAllSubmatchIndex(v.a[fromA:toA], -1) {
		if x[2] < 0 || i < fromA+x[2] || i >= fromA+x[3] {
			continue
		}
		for _, y := range inB {
			if y[2] >= 0 && fromA+x[0] == fromB+y[0] && fromA+x[1] == fromB+y[1] && fromA+x[2] == fromB+y[2] && fromA+x[3] == fromB+y[3] {
				begin, from, to, end := fromA+x[0], fromA+x[2], fromA+x[3], fromA+x[1]
				return from, to, bytes.Equal(v.a[begin:from], v.b[begin:from]) && bytes.Equal(v.a[to:end], v.b[to:end])
			}
		}
	}
	return 0, 0, false
}

// printableAround returns the stretch of printable ASCII around byte i, empty if
// byte i is not printable.
func printableAround(b []byte, i int) (from, to int) {
	from, to = i, i
	for from > 0 && printableByte(b[from-1]) {
		from--
	}
	for to < len(b) && printableByte(b[to]) {
		to++
	}
	return from, to
}

func printableByte(c byte) bool { return c >= ' ' && c < 0x7f }
