// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"strings"
	"testing"

	"github.com/zfarm/zfarm/recipes"
)

func TestParseVariation(t *testing.T) {
	for _, want := range recipes.Variations() {
		if got, err := recipes.ParseVariation(string(want)); got != want || err != nil {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	for name, want := range map[string]string{
		"timezon": `Did you mean "timezone"?`, "time_zone": `Did you mean "timezone"?`, "Path": `Did you mean "path"?`,
		"moon": "Known are: path, timezone, locale, umask, jobs, home, environment, worker.", "": "Known are: path",
	} {
		if v, err := recipes.ParseVariation(name); v != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", name, v, err)
		}
	}
}
