// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package stamp recognises the dates and times that builds leave in text and in
// strings of binaries, and decides whether each lies within the time of its build.
// A time outside that window explains nothing.
//
// Time stamps in typed fields of binary formats are read by the packages of those
// formats.
package stamp

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window is when and where a build ran.
type Window struct {
	begun, ended time.Time
	zones        []*time.Location
}

// NewWindow returns the window from begun to ended in a zone in POSIX TZ notation
// ("AAA+12", "<-03>3", "EST5EDT"). UTC always counts as well, and a zone with
// summer time counts with both of its offsets. Without times, no stamp lies within
// the window.
func NewWindow(begun, ended time.Time, zone string) Window {
	w := Window{begun: begun.Truncate(time.Second), ended: ended, zones: []*time.Location{time.UTC}}
	for _, seconds := range offsets(zone) {
		w.zones = append(w.zones, time.FixedZone("", seconds))
	}
	return w
}

// Known reports whether the window has times.
func (w Window) Known() bool { return !w.begun.IsZero() && !w.ended.Before(w.begun) }

// Holds reports whether the window contains any moment from from to to, both
// included. Both are given as if in UTC: they are taken as UTC if zoned is set,
// else as UTC or as the zone of the build.
func (w Window) Holds(from, to time.Time, zoned bool) bool {
	if !w.Known() {
		return false
	}
	holds := func(z *time.Location) bool {
		local := func(t time.Time) time.Time {
			return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), z)
		}
		return !local(from).After(w.ended) && !local(to).Before(w.begun)
	}
	if zoned {
		return holds(time.UTC)
	}
	return w.inZones(holds)
}

// Stamp is a stamp that was found at the same place in two texts.
type Stamp struct {
	// Field names its form, e.g. "stamp.date".
	Field string
	// From and To are its range, [From, To).
	From, To int
	// A and B are its texts.
	A, B string
	// WithinA and WithinB report whether each lies in its window.
	WithinA, WithinB bool
}

// Reach is the maximum distance from a byte of a stamp to either end of it, in
// bytes. Texts given to Find should hold that much around the bytes in question.
const Reach = 32

// kind is what a form denotes.
type kind int8

const (
	date   kind = iota // a day
	clock              // a time of day
	moment             // a day and a time, in the zone of the build
	yearly             // a moment without its year
	fixed              // a moment with its offset to UTC
	epoch              // decimal seconds since 1970
)

// form is a notation of fixed length.
type form struct {
	field  string
	layout string // as in package time
	length int
	kind   kind
	unit   time.Duration // the precision of the notation
}

// forms returns all known notations, longest first, so that a part of a stamp is
// never mistaken for all of it.
func forms() []form {
	all := []form{
		{"stamp.date", "Jan _2 2006", 0, date, 0},
		{"stamp.date", "2 Jan 2006", 0, date, 0},
		{"stamp.date", "02 Jan 2006", 0, date, 0},
		{"stamp.date", "2006-01-02", 0, date, 0},
		{"stamp.date", "2006/01/02", 0, date, 0},
		{"stamp.date", "20060102", 0, date, 0},
		{"stamp.time", "15:04:05", 0, clock, time.Second},
		{"stamp.datetime", "Jan _2 2006 15:04:05", 0, moment, time.Second},
		{"stamp.datetime", "Mon Jan _2 15:04:05 2006", 0, moment, time.Second},
		{"stamp.datetime", "Mon Jan _2 15:04:05 UTC 2006", 0, fixed, time.Second}, // the output of date(1)
		{"stamp.datetime", "Mon Jan _2 15:04:05 GMT 2006", 0, fixed, time.Second},
		{"stamp.datetime", "Jan _2 15:04:05", 0, yearly, time.Second},
		{"stamp.datetime", "2006-01-02 15:04:05", 0, moment, time.Second},
		{"stamp.datetime", "2006-01-02T15:04:05", 0, moment, time.Second},
		{"stamp.datetime", "2006-01-02 15:04", 0, moment, time.Minute},
		{"stamp.datetime", "2006-01-02T15:04", 0, moment, time.Minute},
		{"stamp.datetime", "20060102150405", 0, moment, time.Second},
		{"stamp.datetime", "20060102_150405", 0, moment, time.Second},
		{"stamp.datetime", "20060102T150405", 0, moment, time.Second},
		{"stamp.datetime", "2006-01-02T15:04:05Z", 0, fixed, time.Second},
		{"stamp.datetime", "2006-01-02T15:04:05-07:00", 0, fixed, time.Second},
		{"stamp.datetime", "2006-01-02T15:04:05-0700", 0, fixed, time.Second},
		{"stamp.datetime", "2006-01-02 15:04:05 -0700", 0, fixed, time.Second},
		{"stamp.datetime", "Mon, 02 Jan 2006 15:04:05 GMT", 0, fixed, time.Second},
		{"stamp.datetime", "Mon, 02 Jan 2006 15:04:05 -0700", 0, fixed, time.Second},
		{"stamp.epoch", "", 10, epoch, time.Second},
	}
	for i := range all {
		if all[i].length == 0 {
			all[i].length = len(all[i].layout)
		}
	}
	slices.SortStableFunc(all, func(a, b form) int { return b.length - a.length })
	return all
}

// Finder finds stamps in the outputs of two builds.
type Finder struct {
	a, b  Window
	forms []form
}

// NewFinder returns a Finder for builds in those windows.
func NewFinder(a, b Window) *Finder { return &Finder{a, b, forms()} }

// Find searches for the longest stamp that covers the bytes [from, to) in both
// texts. The texts must have the same length.
func (f *Finder) Find(a, b []byte, from, to int) (Stamp, bool) {
	for _, form := range f.forms {
		for at := max(to-form.length, 0); at <= from && at+form.length <= len(a); at++ {
			end := at + form.length
			if !isWholeNumber(a, at, end) || !isWholeNumber(b, at, end) {
				continue
			}
			s := Stamp{Field: form.field, From: at, To: end, A: string(a[at:end]), B: string(b[at:end])}
			ta, okA := form.parse(s.A)
			tb, okB := form.parse(s.B)
			if okA && okB {
				s.WithinA, s.WithinB = f.a.has(form, ta), f.b.has(form, tb)
				return s, true
			}
		}
	}
	return Stamp{}, false
}

// isWholeNumber reports whether b[from:to] is not part of a longer number.
func isWholeNumber(b []byte, from, to int) bool {
	digit := func(i int) bool { return b[i] >= '0' && b[i] <= '9' }
	return (from <= 0 || !digit(from-1) || !digit(from)) && (to >= len(b) || !digit(to) || !digit(to-1))
}

// parse parses s strictly: formatting the result must give s again.
func (f form) parse(s string) (time.Time, bool) {
	if f.kind == epoch {
		n, err := strconv.ParseUint(s, 10, 40)
		return time.Unix(int64(n), 0), err == nil && s[0] != '0'
	}
	// A digit missing where the form has one rules out most places cheaply.
	for i := range len(s) {
		want := f.layout[i] >= '0' && f.layout[i] <= '9'
		have := s[i] >= '0' && s[i] <= '9'
		if want && !have {
			return time.Time{}, false
		}
	}
	t, err := time.Parse(f.layout, s)
	return t, err == nil && t.Format(f.layout) == s
}

// has reports whether the window contains t, read by the form.
func (w Window) has(f form, t time.Time) bool {
	if !w.Known() {
		return false
	}
	switch f.kind {
	case fixed, epoch:
		return w.meets(t, f.unit)
	case date:
		return w.inZones(func(z *time.Location) bool {
			return w.meets(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, z), 24*time.Hour)
		})
	case clock:
		return w.inZones(func(z *time.Location) bool { return w.hasClock(t, z) })
	case yearly:
		return w.inZones(func(z *time.Location) bool {
			return w.meets(in(w.begun.In(z).Year(), t, z), f.unit) || w.meets(in(w.ended.In(z).Year(), t, z), f.unit)
		})
	default:
		return w.inZones(func(z *time.Location) bool { return w.meets(in(t.Year(), t, z), f.unit) })
	}
}

// meets reports whether the interval of that length from t on overlaps the window.
func (w Window) meets(t time.Time, length time.Duration) bool {
	return !t.After(w.ended) && t.Add(length).After(w.begun)
}

func (w Window) inZones(has func(*time.Location) bool) bool {
	return slices.ContainsFunc(w.zones, has)
}

// in returns the wall clock time of t in a given year and zone.
func in(year int, t time.Time, z *time.Location) time.Time {
	return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, z)
}

// hasClock reports whether the time of day of t occurs within the window.
func (w Window) hasClock(t time.Time, z *time.Location) bool {
	first := w.begun.In(z)
	for day := range 2 {
		at := time.Date(first.Year(), first.Month(), first.Day()+day, t.Hour(), t.Minute(), t.Second(), 0, z)
		if w.meets(at, time.Second) {
			return true
		}
	}
	return false
}

// offsets returns the offsets of a POSIX TZ value, in seconds east of UTC.
func offsets(tz string) []int {
	rest, ok := zoneName(tz)
	if !ok {
		return nil
	}
	hours, rest, ok := zoneOffset(rest)
	if !ok {
		return nil
	}
	out := []int{-hours}
	if rest, ok = zoneName(rest); ok {
		summer := -hours + 3600
		if s, _, ok := zoneOffset(rest); ok {
			summer = -s
		}
		out = append(out, summer)
	}
	return out
}

// ZoneNames returns the zone names in a POSIX TZ value, as date(1) prints them.
// summer is "" if the zone has no summer time.
func ZoneNames(tz string) (standard, summer string) {
	name := func(s string) (string, string, bool) {
		rest, ok := zoneName(s)
		if !ok {
			return "", "", false
		}
		return strings.Trim(s[:len(s)-len(rest)], "<>"), rest, true
	}
	standard, rest, ok := name(tz)
	if !ok {
		return "", ""
	}
	if _, rest, ok = zoneOffset(rest); !ok {
		return "", ""
	}
	summer, _, _ = name(rest)
	return standard, summer
}

// zoneName returns s without the zone name at its beginning.
func zoneName(s string) (string, bool) {
	if strings.HasPrefix(s, "<") {
		_, rest, ok := strings.Cut(s, ">")
		return rest, ok
	}
	i := 0
	for i < len(s) && (s[i] >= 'A' && s[i] <= 'Z' || s[i] >= 'a' && s[i] <= 'z') {
		i++
	}
	return s[i:], i >= 3
}

// zoneOffset parses "[+-]hh[:mm[:ss]]" at the beginning of s. It returns seconds
// west of UTC and the rest of s.
func zoneOffset(s string) (int, string, bool) {
	sign := 1
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	seconds, unit, any := 0, 3600, false
	for unit > 0 {
		i := 0
		for i < len(s) && i < 3 && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		n, err := strconv.Atoi(s[:i])
		if err != nil || n > 167 {
			break
		}
		seconds, s, any = seconds+n*unit, s[i:], true
		if unit /= 60; !strings.HasPrefix(s, ":") {
			break
		}
		s = s[1:]
	}
	return sign * seconds, s, any
}
