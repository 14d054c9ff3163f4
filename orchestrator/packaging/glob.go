// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxStars bounds the number of "**" in a glob, and so the cost of matching it.
const maxStars = 4

// checkGlob returns an error that says what is wrong with a glob.
func checkGlob(glob string) error {
	parts := strings.Split(glob, "/")
	stars := 0
	for _, part := range parts {
		if part == "**" {
			stars++
			continue
		}
		if part == "" || part == "." || part == ".." || strings.Contains(part, "**") {
			return fmt.Errorf("glob %q: want a path below the prefix, with ** as a whole part only", glob)
		}
		if _, err := path.Match(part, ""); err != nil {
			return fmt.Errorf("glob %q: %w", glob, err)
		}
	}
	if stars > maxStars {
		return fmt.Errorf("glob %q: ** more than %d times", glob, maxStars)
	}
	return nil
}

// matchesAny reports whether one of the globs matches the path. The globs must be
// valid.
func matchesAny(globs []string, name string) bool {
	parts := strings.Split(name, "/")
	return slices.ContainsFunc(globs, func(glob string) bool { return matches(strings.Split(glob, "/"), parts) })
}

// matches matches a path part by part; "**" stands for any number of parts,
// including none.
func matches(glob, parts []string) bool {
	for i, g := range glob {
		if g == "**" {
			for skip := 0; skip <= len(parts)-i; skip++ {
				if matches(glob[i+1:], parts[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(parts) {
			return false
		}
		if ok, _ := path.Match(g, parts[i]); !ok { // checkGlob accepted the pattern
			return false
		}
	}
	return len(glob) == len(parts)
}
