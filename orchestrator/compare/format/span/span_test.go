// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package span

import (
	"math"
	"testing"
)

func TestMap(t *testing.T) {
	m := NewMap([]Span{
		{Name: "late", Offset: 50, Length: 10},
		{Name: "whole", Offset: 0, Length: 100},
		{Name: "early", Offset: 10, Length: 10},
		{Name: "empty", Offset: 70},
		{Name: "wild", Offset: math.MaxInt64, Length: 5},
		{Name: "negative", Offset: -5, Length: 200},
	})
	for _, c := range []struct {
		at   int64
		want string
		end  int64
	}{{0, "whole", 10}, {10, "early", 20}, {19, "early", 20}, {20, "whole", 50}, {55, "late", 60}, {99, "whole", 100}, {100, "", 1000}} {
		s, ok := m.At(c.at)
		if s.Name != c.want || ok != (c.want != "") {
			t.Errorf("byte %d lies in %q; want %q", c.at, s.Name, c.want)
		}
		if end := m.End(c.at, 1000); end != c.end {
			t.Errorf("byte %d: the end is %d; want %d", c.at, end, c.end)
		}
	}
}

// TestManyWithinOne checks that a long span is found for a byte behind many short
// spans.
func TestManyWithinOne(t *testing.T) {
	spans := []Span{{Name: "code", Length: 10_000, Kind: Code}}
	for i := range int64(500) {
		spans = append(spans, Span{Name: "short", Offset: 10 * i, Length: 5})
	}
	m := NewMap(spans)
	if s, _ := m.At(9_999); s.Name != "code" {
		t.Errorf("the last byte lies in %q", s.Name)
	}
	for at, want := range map[int64]string{0: "short", 4: "short", 5: "code", 9: "code", 4990: "short", 4995: "code"} {
		if s, _ := m.At(at); s.Name != want {
			t.Errorf("byte %d lies in %q; want %q", at, s.Name, want)
		}
	}
}
