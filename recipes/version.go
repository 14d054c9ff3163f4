// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"
)

// Range is a version range such as ">= 4.0, < 5" in its normal form: every
// comparison once, lower bounds first. The empty range contains every version.
type Range string

// Bounds on a range: comparisons, and characters of each version.
const (
	maxTerms   = 8
	maxVersion = 64
)

// ParseRange checks s and returns its normal form, so that ranges written
// with other spaces or in another order are the same Range.
func ParseRange(s string) (Range, error) {
	if s == "" {
		return "", nil
	}
	if n := strings.Count(s, ",") + 1; n > maxTerms {
		return "", fmt.Errorf("version range of %d comparisons: want at most %d", n, maxTerms)
	}
	var terms []term
	for text := range strings.SplitSeq(s, ",") {
		t, ok := parseTerm(text)
		if !ok {
			return "", fmt.Errorf("version range %q: want comparisons such as \">= 4.0, < 5\"", s)
		}
		terms = append(terms, t)
	}
	slices.SortFunc(terms, compareTerms)
	var texts []string
	for _, t := range slices.Compact(terms) {
		texts = append(texts, t.op+" "+t.version)
	}
	return Range(strings.Join(texts, ", ")), nil
}

// Has reports whether v is in the range. A version that cannot be read is only
// in the empty range. A letter, or "p" and digits, after the numbers is a
// later patch, as upstreams of C programs write it (1.1.1w, 9.9p1). Any other
// suffix (rc1, alpha) is a preview, which is only in ranges that name a
// preview of the same version.
func (r Range) Has(v string) bool {
	if r == "" {
		return true
	}
	var texts []string
	for text := range strings.SplitSeq(string(r), ",") {
		t, ok := parseTerm(text)
		if !ok {
			return false
		}
		texts = append(texts, t.op+" "+orderable(t.version))
	}
	c, err := version.NewConstraint(strings.Join(texts, ","))
	if err != nil {
		return false
	}
	parsed, err := version.NewVersion(orderable(v))
	return err == nil && c.Check(parsed)
}

// term is one comparison of a range.
type term struct{ op, version string }

// operators returns the comparisons in the order in which ranges are written.
// Those of two characters come before their first character alone, so that
// they are tried first when reading.
func operators() []string { return []string{">=", "~>", "!=", "<=", ">", "=", "<"} }

func parseTerm(s string) (term, bool) {
	t := term{op: "=", version: strings.TrimSpace(s)}
	for _, op := range operators() {
		if rest, ok := strings.CutPrefix(t.version, op); ok {
			t = term{op, strings.TrimSpace(rest)}
			break
		}
	}
	if t.version == "" || len(t.version) > maxVersion || t.version[0] < '0' || t.version[0] > '9' {
		return term{}, false
	}
	_, err := version.NewVersion(orderable(t.version))
	return t, err == nil
}

func compareTerms(a, b term) int {
	ops := operators()
	if c := slices.Index(ops, a.op) - slices.Index(ops, b.op); c != 0 {
		return c
	}
	return strings.Compare(a.version, b.version)
}

// orderable rewrites a patched version so that go-version, which takes every
// suffix for a preview, orders it after the version without the suffix: 9.9p1
// becomes 9.9.0.1, and 1.1.1w becomes 1.1.1.23. It returns other versions
// unchanged.
func orderable(v string) string {
	numbers := strings.TrimRight(v, "0123456789")
	patch := v[len(numbers):]
	switch n := len(numbers); {
	case n > 1 && numbers[n-1] == 'p' && patch != "":
	case n > 1 && 'a' <= numbers[n-1] && numbers[n-1] <= 'z' && patch == "":
		patch = strconv.Itoa(int(numbers[n-1]-'a') + 1)
	default:
		return v
	}
	numbers = numbers[:len(numbers)-1]
	if strings.Trim(numbers, "0123456789.") != "" || strings.HasSuffix(numbers, ".") {
		return v
	}
	for strings.Count(numbers, ".") < 2 {
		numbers += ".0"
	}
	return numbers + "." + patch
}
