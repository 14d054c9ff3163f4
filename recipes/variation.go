// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"fmt"
	"slices"

	"github.com/zfarm/zfarm/recipes/nearest"
)

// Variation is one condition that is changed on purpose between the repeats of
// a build. Recipes, plans, records and signed statements use this text as its
// name (docs/reproducibility-v1.md).
type Variation string

// The variations.
const (
	VaryPath        Variation = "path"
	VaryTimezone    Variation = "timezone"
	VaryLocale      Variation = "locale"
	VaryUmask       Variation = "umask"
	VaryJobs        Variation = "jobs"
	VaryHome        Variation = "home"
	VaryEnvironment Variation = "environment"
	VaryWorker      Variation = "worker"
)

// Variations returns all variations, in the order in which recipes list them.
// Every variation must be here: tests check each switch over variations
// against this list.
func Variations() []Variation {
	return []Variation{VaryPath, VaryTimezone, VaryLocale, VaryUmask, VaryJobs, VaryHome, VaryEnvironment, VaryWorker}
}

// ParseVariation returns the variation with the name. The error names the one
// that was probably meant, or all of them.
func ParseVariation(s string) (Variation, error) {
	if v := Variation(s); slices.Contains(Variations(), v) {
		return v, nil
	}
	return "", fmt.Errorf("there is no variation %q.%s", s, nearest.OneOf(s, texts(Variations())))
}

// texts returns the names of the variations.
func texts(all []Variation) []string {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = string(v)
	}
	return names
}
