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
