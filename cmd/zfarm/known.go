// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare"
)

// knownFlags are --known-a and --known-b: what a farm would know about the two builds
// because it made them.
type knownFlags struct {
	a, b []string
}

// knownKeys maps the keys to the comparison's names of the values.
func knownKeys() map[string]string {
	return map[string]string{"path": "build path", "home": "HOME", "user": "user", "host": "host", "locale": "locale", "zone": "time zone", "begun": "", "ended": ""}
}

// known parses both. A key that is given for one side only explains nothing, so it is
// an error.
func (f knownFlags) known() (compare.Known, error) {
	a, err := keysOf("--known-a", f.a)
	if err != nil {
		return compare.Known{}, err
	}
	b, err := keysOf("--known-b", f.b)
	if err != nil {
		return compare.Known{}, err
	}
	for _, x := range []struct {
		has, lacks map[string]string
		flag       string
	}{{a, b, "--known-b"}, {b, a, "--known-a"}} {
		for _, key := range slices.Sorted(maps.Keys(x.has)) {
			if _, ok := x.lacks[key]; !ok {
				return compare.Known{}, fmt.Errorf("%s is known of one side only: give %s %s=VALUE as well", key, x.flag, key)
			}
		}
	}
	var k compare.Known
	if k.A, err = conditions("--known-a", a); err != nil {
		return k, err
	}
	k.B, err = conditions("--known-b", b)
	return k, err
}

// keysOf splits "key=value".
func keysOf(flag string, given []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range given {
		key, value, ok := strings.Cut(s, "=")
		known := knownKeys()
		if _, there := known[key]; !ok || !there {
			names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
			return nil, fmt.Errorf("%s %s: want KEY=VALUE, where KEY is one of %s", flag, s, names)
		}
		if _, twice := out[key]; twice || value == "" {
			return nil, fmt.Errorf("%s %s: %s is given twice, or empty", flag, s, key)
		}
		out[key] = value
	}
	return out, nil
}

// conditions returns the conditions of one side.
func conditions(flag string, keys map[string]string) (compare.Conditions, error) {
	c := compare.Conditions{Values: map[string]string{}, Zone: keys["zone"]}
	for key, name := range knownKeys() {
		if value, ok := keys[key]; ok && name != "" {
			c.Values[name] = value
		}
	}
	for _, end := range []struct {
		key string
		at  *time.Time
	}{{"begun", &c.Begun}, {"ended", &c.Ended}} {
		text, ok := keys[end.key]
		if !ok {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return c, fmt.Errorf("%s %s=%s: want a time such as 2026-11-22T15:04:05Z or 2026-11-22T15:04:05+01:00", flag, end.key, text)
		}
		*end.at = t
	}
	switch {
	case c.Begun.IsZero() != c.Ended.IsZero():
		return c, fmt.Errorf("%s: give both begun and ended, for a stamp must lie between them", flag)
	case c.Ended.Before(c.Begun):
		return c, fmt.Errorf("%s: it ended before it began", flag)
	}
	return c, nil
}
