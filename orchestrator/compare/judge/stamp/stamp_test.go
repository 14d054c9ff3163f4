// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stamp

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func window(zone string) Window {
	begun := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	return NewWindow(begun, begun.Add(30*time.Minute), zone)
}

// TestFind searches two texts of equal length for a stamp at the first byte that
// differs.
func TestFind(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		a, b       string
		field      string
		wantA      string
		in         bool
	}{
		{"__TIME__", "", "at 15:04:05.", "at 15:04:09.", "stamp.time", "15:04:05", true},
		{"__TIME__ outside", "", "at 15:04:05.", "at 15:44:05.", "stamp.time", "15:04:05", false},
		{"__TIME__ in the zone", "AAA+12", "03:04:05", "03:05:05", "stamp.time", "03:04:05", true},
		{"__TIME__ in another zone", "AAA+11", "03:04:05", "03:05:05", "stamp.time", "03:04:05", false},
		{"__DATE__ in the zone", "BBB-14", "Nov 23 2026", "Nov 22 2026", "stamp.date", "Nov 23 2026", true},
		{"__DATE__ outside", "", "Nov 23 2026", "Nov 22 2026", "stamp.date", "Nov 23 2026", false},
		{"__DATE__ __TIME__", "", "Nov 22 2026 15:04:05", "Nov 22 2026 15:14:05", "stamp.datetime", "Nov 22 2026 15:04:05", true},
		{"a wrong day hides in no clock", "", "Nov 21 2026 15:04:05", "Nov 21 2026 15:14:05", "stamp.datetime", "Nov 21 2026 15:04:05", false},
		{"__TIMESTAMP__", "", "Sun Nov 22 15:04:05 2026", "Sun Nov 22 15:04:06 2026", "stamp.datetime", "Sun Nov 22 15:04:05 2026", true},
		{"wrong weekday", "", "Mon Nov 22 15:04:05 2026", "Mon Nov 22 15:04:06 2026", "stamp.datetime", "Nov 22 15:04:05", true},
		{"date(1)", "", "Sun Nov 22 15:04:05 UTC 2026", "Sun Nov 22 15:14:05 UTC 2026", "stamp.datetime", "Sun Nov 22 15:04:05 UTC 2026", true},
		{"date(1), outside in UTC", "AAA+12", "Sun Nov 22 03:04:05 GMT 2026", "Sun Nov 22 03:14:05 GMT 2026", "stamp.datetime", "Sun Nov 22 03:04:05 GMT 2026", false},
		{"date(1) of another zone", "AAA+12", "Sun Nov 22 03:04:05 AAA 2026", "Sun Nov 22 03:14:05 AAA 2026", "stamp.datetime", "Nov 22 03:04:05", true},
		{"date(1) without its weekday", "", "Nov 22 15:04:05 UTC 2026", "Nov 22 15:14:05 UTC 2026", "stamp.datetime", "Nov 22 15:04:05", true},
		{"ISO", "", "x2026-11-22T15:04:05Z", "x2026-11-22T15:04:06Z", "stamp.datetime", "2026-11-22T15:04:05Z", true},
		{"ISO with offset", "", "2026-11-22T17:04:05+02:00", "2026-11-22T17:04:06+02:00", "stamp.datetime", "2026-11-22T17:04:05+02:00", true},
		{"ISO with offset, outside", "", "2026-11-22T15:04:05+02:00", "2026-11-22T15:04:06+02:00", "stamp.datetime", "2026-11-22T15:04:05+02:00", false},
		{"to the minute", "", "2026-11-22 15:04", "2026-11-22 15:05", "stamp.datetime", "2026-11-22 15:04", true},
		{"digits", "", "release 20261122_150405", "release 20261122_150406", "stamp.datetime", "20261122_150405", true},
		{"epoch", "", "=1795359845;", "=1795359846;", "stamp.epoch", "1795359845", true},
		{"epoch outside", "", "=1795359845;", "=1795350000;", "stamp.epoch", "1795359845", false},
		{"part of a longer number", "", "17953598450", "17953598460", "", "", false},
		{"no time", "", "15:64:05", "15:65:05", "", "", false},
		{"31 November", "", "Nov 31 2026", "Nov 30 2026", "", "", false},
		{"not in both", "", "15:04:05", "15:04:0x", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := 0
			for c.a[from] == c.b[from] {
				from++
			}
			s, ok := NewFinder(window(c.zone), window(c.zone)).Find([]byte(c.a), []byte(c.b), from, from+1)
			if ok != (c.field != "") || s.Field != c.field || s.A != c.wantA || (s.WithinA && s.WithinB) != c.in {
				t.Errorf("found %v %+v", ok, s)
			}
		})
	}
}

func TestUnknownWindowHasNothing(t *testing.T) {
	s, ok := NewFinder(Window{}, window("")).Find([]byte("15:04:05"), []byte("15:04:06"), 7, 8)
	if !ok || s.WithinA || !s.WithinB {
		t.Errorf("found %v %+v", ok, s)
	}
}

func TestWindowOverMidnight(t *testing.T) {
	begun := time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC)
	w := NewWindow(begun, begun.Add(2*time.Minute), "")
	for _, c := range []struct {
		a, b string
		want bool
	}{{"23:59:30", "00:00:30", true}, {"23:59:30", "00:01:30", false}, {"Dec 31 23:59:30", "Jan  1 00:00:30", true}} {
		s, ok := NewFinder(w, w).Find([]byte(c.a), []byte(c.b), 0, len(c.a))
		if !ok || (s.WithinA && s.WithinB) != c.want {
			t.Errorf("%s and %s: found %v %+v", c.a, c.b, ok, s)
		}
	}
}

func TestOffsets(t *testing.T) {
	for tz, want := range map[string][]int{
		"AAA+12": {-43200}, "BBB-14": {50400}, "<-03>3": {-10800}, "NST3:30": {-12600}, "UTC0": {0},
		"EST5EDT": {-18000, -14400}, "EST5EDT4,M3.2.0,M11.1.0": {-18000, -14400}, "": nil, "Europe/Rome": nil, "AB1": nil, "<x": nil,
	} {
		if d := cmp.Diff(want, offsets(tz)); d != "" {
			t.Errorf("%q: -want +got:\n%s", tz, d)
		}
	}
}

func TestZoneNames(t *testing.T) {
	for tz, want := range map[string][2]string{
		"ZFA+12": {"ZFA", ""}, "<-03>3": {"-03", ""}, "EST5EDT": {"EST", "EDT"}, "EST5EDT4,M3.2.0,M11.1.0": {"EST", "EDT"}, "UTC0": {"UTC", ""},
		"<+0330>-3:30<+0430>": {"+0330", "+0430"}, "": {}, "Europe/Rome": {}, "AB1": {}, "<x": {},
	} {
		if standard, summer := ZoneNames(tz); [2]string{standard, summer} != want {
			t.Errorf("%q: %q and %q, want %q", tz, standard, summer, want)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("at 15:04:05", "at 15:04:09", 10, "AAA+12")
	f.Add("Nov 22 2026", "Nov 23 2026", 5, "EST5EDT")
	f.Fuzz(func(t *testing.T, a, b string, at int, zone string) {
		n := min(len(a), len(b))
		if at < 0 || at >= n {
			return
		}
		w := window(zone)
		s, ok := NewFinder(w, w).Find([]byte(a[:n]), []byte(b[:n]), at, at+1)
		if ok && (s.From > at || s.To <= at || s.A != a[s.From:s.To] || s.B != b[s.From:s.To]) {
			t.Errorf("byte %d lies in %+v", at, s)
		}
	})
}
