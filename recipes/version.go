// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"fmt"

	"github.com/hashicorp/go-version"
)

// Range is a version range such as ">= 4.0, < 5". The empty range has every
// version in it.
type Range string

// ParseRange checks s and returns it as a Range.
func ParseRange(s string) (Range, error) {
	if s == "" {
		return "", nil
	}
	if _, err := version.NewConstraint(s); err != nil {
		return "", fmt.Errorf("version range %q: want comparisons such as \">= 4.0, < 5\"", s)
	}
	return Range(s), nil
}

// Has reports whether v lies in the range. A version that cannot be read lies
// only in the empty range.
func (r Range) Has(v string) bool {
	if r == "" {
		return true
	}
	c, err := version.NewConstraint(string(r))
	if err != nil {
		return false
	}
	parsed, err := version.NewVersion(v)
	return err == nil && c.Check(parsed)
}
