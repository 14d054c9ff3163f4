// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wrapped puts an archive into a compressed archive, and that into a third.
func wrapped(t *testing.T, inner ...member) []byte {
	t.Helper()
	middle := archive(t, reg("readme", "the same"), reg("inner.pax.Z", string(dotZ(t, archive(t, inner...)))))
	return archive(t, reg("doc", "the same"), reg("outer.pax", string(middle)))
}

func TestContainersNest(t *testing.T) {
	const at = "outer.pax/inner.pax.Z!/bin/tool"
	stamped := func(clock string) member { return reg("bin/tool", "built at Nov 22 2026 "+clock+" by us") }
	for _, tt := range []struct {
		name    string
		a, b    member
		outcome Outcome
		path    string
		field   string
	}{
		{"a stamp", stamped("15:03:00"), stamped("16:04:00"), Equivalent, at, "stamp.datetime"},
		{"a changed byte beside a stamp", reg("bin/tool", "built at 15:03:00, version 1"), reg("bin/tool", "built at 16:04:00, version 2"), Different, at, "content"},
		{"a time in a header", reg("bin/tool", "x"), reg("bin/tool", "x").with(func(h *tar.Header) { h.ModTime = begun().AddDate(0, 0, 1) }), Equivalent, at, "mtime"},
		{"setuid", reg("bin/tool", "x"), reg("bin/tool", "x").with(func(h *tar.Header) { h.Mode = 0o4755 }), Different, at, "mode"},
		{"an attribute", reg("bin/tool", "x"), reg("bin/tool", "x").record("ZOS.extattr", "ap--"), Different, at, "zos.extattr"},
		{"another name", reg("bin/tool", "x"), reg("bin/tools", "x"), Different, at, "member"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verdictOf(t, wrapped(t, tt.a), wrapped(t, tt.b), known())
			if v.Outcome != tt.outcome {
				t.Errorf("%s, want %s: %+v", v.Outcome, tt.outcome, v.Findings)
			}
			for _, f := range v.Findings {
				if f.Path == tt.path && f.Field == tt.field {
					return
				}
			}
			t.Errorf("no finding %s at %s: %+v", tt.field, tt.path, v.Findings)
		})
	}
}

// TestUnreadableContainerIsBytes checks that a container that cannot be opened is
// compared as bytes, that nothing of it is explained away, and that the report says
// why it was not opened.
func TestUnreadableContainerIsBytes(t *testing.T) {
	packed := func(body string) string { return string(dotZ(t, archive(t, reg("bin/tool", body)))) }
	broken := func(body string) string { return packed(body)[:len(packed(body))-3] + "\xff\xff\xff" }
	deep := func(body string) string {
		b := archive(t, reg("tool", body))
		for range 3 * maxDepth {
			b = archive(t, reg("a", string(b)))
		}
		return string(b)
	}
	first, later := "built at 15:03:00", "built at 16:04:00"
	zipped := func(body string) string { return zipFile(t, 8, begun(), "x=1", "tool="+body) }
	b, err := os.ReadFile(filepath.Join("format", "goff", "testdata", "plain.o"))
	if err != nil {
		t.Fatal(err)
	}
	module := string(b)
	for _, tt := range []struct{ name, a, b, want string }{
		{"both", broken(first), broken(later), "as it cannot be opened: A: unpacking it: not a whole .Z stream"},
		{"the first", broken(first), packed(later), "as it cannot be opened: A: unpacking it: not a whole .Z stream"},
		{"the second", packed(first), broken(later), "as it cannot be opened: B: unpacking it: not a whole .Z stream"},
		{"a zip cut off", zipped(first)[:200], zipped(later)[:200], "as it cannot be opened: "},
		{"an ar cut off", "!<arch>\n1", "!<arch>\n2", "as it cannot be opened: "},
		{"a module cut off", module[:len(module)-160], module, "not as its format wants it: A: "},
		{"too deep", deep("x"), deep("y"), "as it cannot be opened: it lies more than 8 containers deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verdictOf(t, archive(t, reg("inner", tt.a)), archive(t, reg("inner", tt.b)), known())
			if v.Outcome != Different || strings.Count(v.Findings[0].Path, "/") > maxDepth+1 {
				t.Errorf("%s: %+v", v.Outcome, v.Findings)
			}
			if f := v.Findings[0]; !strings.Contains(f.Evidence, tt.want) {
				t.Errorf("%s says %q, want %q", f.Field, f.Evidence, tt.want)
			}
		})
	}
}
