// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/jsontext"
)

func TestDocuments(t *testing.T) {
	const recorded = ": the time of the build is recorded"
	const unnamed = ": it may be the time of the build, but its name does not say so"
	for _, tt := range []struct {
		name, a, b string
		want       string
		found      []string
	}{
		{"a value", `{"version":"1.2","n":[1,2]}`, `{"version":"1.3","n":[1,2]}`, "different", []string{"X json:/version"}},
		{"a value of another length", `{"a":{"b":[1,20]}}`, `{"a":{"b":[1,300]}}`, "different", []string{"X json:/a/b/1"}},
		{"keys added and removed", `{"a":1,"b":2}`, `{"b":2,"c":3}`, "different", []string{"X json:/a: it is in A only", "X json:/c: it is in B only"}},
		{"keys in another order", `{"a":1,"b":2}`, `{"b":2,"a":1}`, "different", []string{"X content: the same JSON, its keys in another order"}},
		{"white space", `{"a":1}`, "{\n  \"a\": 1\n}\n", "different", []string{"X content: the same JSON, written in another form"}},
		{"epoch", `{"buildTime":1795359845}`, `{"buildTime":1795363445}`, "equivalent (tier 2)", []string{"2 json:/buildTime" + recorded}},
		{"milliseconds", `{"created_at":1795359845123}`, `{"created_at":1795363445124}`, "equivalent (tier 2)", []string{"2 json:/created_at" + recorded}},
		{"seconds with a fraction", `{"stamp":1795359845.5}`, `{"stamp":1795363445.123456}`, "equivalent (tier 2)", []string{"2 json:/stamp" + recorded}},
		{"RFC 3339 of another length", `{"meta":{"builtAt":"2026-11-22T15:04:05.1Z"}}`, `{"meta":{"builtAt":"2026-11-22T16:04:05.123456Z"}}`, "equivalent (tier 2)", []string{"2 json:/meta/builtAt" + recorded}},
		{"with an offset", `{"date":"2026-11-22T15:04:05Z"}`, `{"date":"2026-11-22T17:04:05+01:00"}`, "equivalent (tier 2)", []string{"2 json:/date" + recorded}},
		{"__DATE__ in a list", `{"dates":["Nov 22 2026"]}`, `{"dates":["Nov 23 2026"]}`, "equivalent (tier 2)", []string{"2 json:/dates/0"}},
		{"its name says nothing", `{"id":1795359845}`, `{"id":1795363445}`, "different", []string{"X json:/id" + unnamed}},
		{"its name says nothing of a text", `{"id":"15:04:05"}`, `{"id":"16:04:05"}`, "different", []string{"X json:/id" + unnamed}},
		{"outside the time of the build", `{"time":1795359845}`, `{"time":1795369999}`, "different", []string{"X json:/time: a time stamp that lies outside the time of its build"}},
		{"a text outside", `{"time":"15:04:05"}`, `{"time":"19:04:05"}`, "different", []string{"X json:/time: looks like a time, but outside the time of the build"}},
		{"a time within other text", `{"time":"at 15:04:05"}`, `{"time":"at 16:04:05"}`, "different", []string{"X json:/time: it holds what looks like a time within other text"}},
		{"a time against none", `{"time":1795359845}`, `{"time":"now"}`, "different", []string{"X json:/time: it is a value of another kind"}},
		{"build path", `{"src":"/zfarm/w/first/a.c"}`, `{"src":"/zfarm/w/secnd/a.c"}`, "equivalent (tier 2)", []string{"2 embedded.build path: the build path is embedded"}},
		{"build path and more", `{"src":"/zfarm/w/first/a.c"}`, `{"src":"/zfarm/w/secnd/b.c"}`, "different", []string{"X json:/src"}},
		{"a name that is a path", `{"/zfarm/w/first":1}`, `{"/zfarm/w/secnd":1}`, "different", []string{"X json:/~1zfarm~1w~1first", "X json:/~1zfarm~1w~1secnd"}},
		{"stamp and white space", `{"time":1795359845}`, `{"time": 1795363445}`, "different", []string{"2 json:/time", "X content: but for what is told of its values, the same JSON, written in another form"}},
		{"a stamp beside a value", `{"time":1795359845,"x":true}`, `{"time":1795363445,"x":false}`, "different", []string{"2 json:/time", "X json:/x"}},
		{"a name twice is text", `{"a":1,"a":2}`, `{"a":1,"a":3}`, "different", []string{"X content"}},
		{"a number is text", "12\n", "13\n", "different", []string{"X content"}},
		{"JSON and text", `{"a":1}`, `{"a":1`, "different", []string{"X content"}},
		{"bytes behind the document", `{"a":1}`, `{"a":1}x`, "different", []string{"X content"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, y := plantedPair(t, reg("p/f.json", tt.a), reg("p/f.json", tt.b))
			check(t, verdictOf(t, x, y, known()), planted{want: tt.want, found: tt.found})
			back := verdictOf(t, y, x, Known{A: known().B, B: known().A})
			if back.String() != tt.want || len(back.Findings) != len(tt.found) {
				t.Errorf("the other way round: %s, %+v", back, back.Findings)
			}
		})
	}
}

func TestDocumentInEBCDIC(t *testing.T) {
	tagged := func(s string) member { return reg("p/f", ebcdic(s)).record("ZOS.taginfo", "1 1047") }
	x, y := plantedPair(t, tagged(`{"a":1,"time":1795359845}`), tagged(`{"a":2,"time":1795363445}`))
	v := verdictOf(t, x, y, known())
	check(t, v, planted{want: "different", found: []string{"X json:/a", "2 json:/time"}})
	for _, f := range v.Findings {
		if f.Field == "json:/a" && (f.A != "1" || f.B != "2" || f.Offset != 5) {
			t.Errorf("%+v", f)
		}
	}
}

// TestDocumentsAreBounded checks that many differing values are reported as a
// number, and all are counted.
func TestDocumentsAreBounded(t *testing.T) {
	list := func(n, add int) string {
		var s []string
		for i := range n {
			s = append(s, fmt.Sprint(i+add))
		}
		return "[" + strings.Join(s, ",") + "]"
	}
	x, y := plantedPair(t, reg("p/f", list(1000, 1000)), reg("p/f", list(1000, 5000)))
	v := verdictOf(t, x, y, known())
	last := Finding{}
	for _, f := range v.Findings {
		if f.Field == "content" {
			last = f
		}
	}
	if v.Outcome != Different || len(v.Findings) != maxValues+1 || !strings.Contains(last.Evidence, "900 further values") {
		t.Errorf("%s with %d findings, %+v", v, len(v.Findings), last)
	}
	large := `["` + strings.Repeat("x", jsontext.MaxSize) + `",`
	x, y = plantedPair(t, reg("p/f", large+"1]"), reg("p/f", large+"2]"))
	check(t, verdictOf(t, x, y, known()), planted{want: "different", found: []string{"X content"}})
}
