// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package goff

import (
	"bytes"
	"slices"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// written is a module with text of a given length, in records of a given size.
func written(t testing.TB, code []byte, size int, change func(i int, r *Text)) []byte {
	t.Helper()
	all := append([]Record{Header{}}, symbols(t)...)
	for i, r := range cut(code, 0, size) {
		x := r.(Text)
		if change != nil {
			change(i, &x)
		}
		all = append(all, x)
	}
	var out []byte
	for _, r := range append(all, End{}) {
		var err error
		if out, err = Append(out, r); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// spread reads pieces, and returns the index in them of a byte.
func spread(t testing.TB, b []byte, pieces []span.Stretch, at int64) (text []byte, i int64) {
	t.Helper()
	i = -1
	last := int64(-1)
	for _, p := range pieces {
		if p.Length <= 0 || p.Offset <= last || p.End() > int64(len(b)) {
			t.Fatalf("pieces %v of %d bytes", pieces, len(b))
		}
		if at >= p.Offset && at < p.End() {
			i = int64(len(text)) + at - p.Offset
		}
		text, last = append(text, b[p.Offset:p.End()]...), p.End()
	}
	if i < 0 {
		t.Fatalf("byte %d lies in none of %v", at, pieces)
	}
	return text, i
}

func TestJoined(t *testing.T) {
	code := make([]byte, 1000)
	for i := range code {
		code[i] = byte(i/7) ^ byte(i*31)
	}
	for name, size := range map[string]int{"one record": 1000, "short records": 9, "records of one card": 56, "records of three cards": 200} {
		t.Run(name, func(t *testing.T) {
			b := written(t, code, size, nil)
			f, seen := open(t, b), 0
			for at := range int64(len(b)) {
				s, _ := f.At(at)
				const reach = 100
				pieces := f.Joined(at, reach)
				if s.Name != "goff.txt.C_CODE64" {
					if pieces != nil && s.Name != "goff.esd.name" {
						t.Fatalf("byte %d of %s lies in %v", at, s.Name, pieces)
					}
					continue
				}
				text, i := spread(t, b, pieces, at)
				want := code[max(seen-reach, 0):min(seen+reach+1, len(code))]
				if !bytes.Equal(text, want) || int(i) != min(seen, reach) {
					t.Fatalf("byte %d of the text: %d bytes, byte %d of them; want %d", seen, len(text), i, len(want))
				}
				seen++
			}
			if seen != len(code) {
				t.Errorf("%d bytes of text", seen)
			}
		})
	}
}

// TestJoinedOnlyWhatGoesOn has text that is not placed right behind the text
// before.
func TestJoinedOnlyWhatGoesOn(t *testing.T) {
	code := bytes.Repeat([]byte("text"), 20)
	for name, change := range map[string]func(i int, r *Text){
		"a gap":           func(i int, r *Text) { r.Offset += uint32(i) },
		"another element": func(i int, r *Text) { r.Element += uint32(i % 2) },
		"another style":   func(i int, r *Text) { r.Style = byte(i % 2) },
		"packed":          func(_ int, r *Text) { r.Encoding = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := written(t, code, 20, change)
			f := open(t, b)
			at := int64(bytes.Index(b, code[:20]))
			if pieces := f.Joined(at, 100); !slices.Equal(pieces, []span.Stretch{{Offset: at, Length: 20}}) {
				t.Errorf("byte %d lies in %v", at, pieces)
			}
		})
	}
}
