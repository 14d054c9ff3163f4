// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"strings"
	"testing"

	"github.com/zfarm/zfarm/recipes/nearest"
)

func TestNearest(t *testing.T) {
	names := portShape().names()
	for given, want := range map[string]string{
		"license": "licence", "verison": "version", "Version": "version", "homepgae": "homepage", "sources": "source",
		"category": "categories", "repro": "reproduce", "needs": "need", "tset": "test", "summery": "summary",
		"xyz": "", "deps": "", "": "", "a": "", "configure": "", strings.Repeat("version", 100): "",
	} {
		if got := nearest.Word(given, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestParseLicence(t *testing.T) {
	for in, want := range map[string]string{
		"MIT":                             "MIT",
		"GPL-2.0+":                        "GPL-2.0+",
		" (  MIT )":                       "(MIT)",
		"MIT OR (Apache-2.0 AND Zlib)":    "MIT OR (Apache-2.0 AND Zlib)",
		"GPL-2.0-only WITH GCC-exception": "GPL-2.0-only WITH GCC-exception",
		"LicenseRef-zos":                  "LicenseRef-zos",
		"DocumentRef-a:LicenseRef-b":      "DocumentRef-a:LicenseRef-b",
	} {
		if got, err := parseLicence(in); err != nil || got != want {
			t.Errorf("parseLicence(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", " ", "MIT OR", "OR MIT", "MIT Apache-2.0", "MIT and Zlib", "(MIT", "MIT)", "()", "MIT WITH (a)", "MIT WITH", "GPL v2",
		"MIT/Apache-2.0", "a:b", "DocumentRef-:b", "MIT++", "+", "MIT, Zlib", strings.Repeat("(", 20) + "MIT" + strings.Repeat(")", 20), strings.Repeat("A", 501)} {
		if got, err := parseLicence(in); err == nil {
			t.Errorf("parseLicence(%q) = %q, want an error", in, got)
		}
	}
}

func FuzzParseLicence(f *testing.F) {
	f.Add("MIT OR (Apache-2.0 AND GPL-2.0+ WITH x)")
	f.Add("((a)and)")
	f.Fuzz(func(t *testing.T, s string) {
		normal, err := parseLicence(s)
		if err != nil {
			return
		}
		if again, err := parseLicence(normal); err != nil || again != normal {
			t.Fatalf("parseLicence(%q) = %q, %v; want it unchanged", normal, again, err)
		}
	})
}
