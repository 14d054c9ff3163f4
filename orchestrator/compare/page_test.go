// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func pageOf(t *testing.T, v Verdict) string {
	t.Helper()
	var out bytes.Buffer
	if err := v.WriteHTML(&out, PageOptions{Title: "p 1 <b>", A: "a.pax", B: "b.pax"}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPage(t *testing.T) {
	a := archive(t, reg("p/doc", "one\ntwo <script>alert(1)</script>\nthree\n"), reg("p/bin", "\x01\x02same"), reg("p/same", "x"))
	b := archive(t, reg("p/doc", "one\nTwo <script>alert(1)</script>\nthree\n"), reg("p/bin", "\x01\x03same"),
		reg("p/same", "x").with(func(h *tar.Header) { h.Mode = 0o4755 }))
	golden(t, "page.html", pageOf(t, verdict(t, a, b, known())))
}

// TestPageIsInert: whatever lies in the artifacts, the page runs none of it.
func TestPageIsInert(t *testing.T) {
	hostile := "\"><script>alert(1)</script><img src=x onerror=alert(2)>"
	a := archive(t, reg("p/"+hostile, "one "+hostile))
	b := archive(t, reg("p/"+hostile, "two "+hostile))
	page := pageOf(t, verdict(t, a, b, known()))
	if strings.Count(page, "<script") != 1 || strings.Contains(page, "<img") {
		t.Errorf("the page has elements of the artifacts in it:\n%s", page)
	}
	if strings.Contains(page, "src=\"") || strings.Contains(page, "href=") {
		t.Error("the page fetches something")
	}
}

func TestPageStaysSmall(t *testing.T) {
	var left, right []member
	for i := range 10_000 {
		left = append(left, reg(fmt.Sprintf("p/d%d/f%d", i/100, i), strings.Repeat("line\n", 20)+"left"))
		right = append(right, reg(fmt.Sprintf("p/d%d/f%d", i/100, i), strings.Repeat("line\n", 20)+"right"))
	}
	v, err := Archives(t.Context(), input("a.pax", archive(t, left...)), input("b.pax", archive(t, right...)), Options{MaxFindings: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	if page := pageOf(t, v); len(page) > 2<<20 || v.Differing != 10_000 {
		t.Errorf("%d bytes for %d differing members", len(page), v.Differing)
	}
}

func TestRowsStandSideBySide(t *testing.T) {
	have := rows("@@ -1,3 +1,2 @@\n one\n-two\n-three\n+2\n")
	if len(have) != 4 || have[0].Head == "" || have[1].Left != have[1].Right || have[2].Left.Mark != "two" || have[2].Right.Mark != "2" || have[3].Right.There {
		t.Errorf("%+v", have)
	}
	if l, r := marked("size 10 bytes", "size 20 bytes", true, true); l.Mark != "1" || r.Mark != "2" || l.After != "0 bytes" {
		t.Errorf("%+v %+v", l, r)
	}
}
