// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"strings"
	"testing"
)

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"short":                       "short",
		strings.Repeat("x", 200):      strings.Repeat("x", 200),
		strings.Repeat("x", 201):      strings.Repeat("x", 200) + "...",
		strings.Repeat("漢", 67):       strings.Repeat("漢", 66) + "...", // 201 bytes
		"x" + strings.Repeat("😀", 50): "x" + strings.Repeat("😀", 49) + "...",
		strings.Repeat("\x80", 300):   strings.Repeat("\x80", 200) + "...",
	} {
		if have := Clip(in); have != want {
			t.Errorf("%q became %q", in, have)
		}
	}
}
