// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseIsStrict(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	long := `{"` + strings.Repeat("k", maxPointer+1) + `":1}`
	for _, tt := range []struct {
		in string
		ok bool
	}{
		{`{}`, true}, {` [ ] `, true}, {`"x"`, true}, {`-0.5e+7`, true}, {`{"a":[1,{"b":null}],"c":"\u00e9\n"}`, true}, {`"\ud83d\ude00"`, true},
		{deep(maxDepth), true}, {`{"a":{"b":1},"b":{"b":1}}`, true}, {"\"\u0085\"", true},
		{``, false}, {`{`, false}, {`{"a"}`, false}, {`{"a":1,}`, false}, {`[1,]`, false}, {`[1 2]`, false}, {`01`, false}, {`1.`, false}, {`1e`, false},
		{`-`, false}, {`"`, false}, {"\"\n\"", false}, {`"\x"`, false}, {`"\u12g4"`, false}, {`"\u12`, false}, {`"\ud800"`, false}, {`"\ud800\u0041"`, false},
		{`"\udc00"`, false}, {"\"\xff\"", false}, {`{} x`, false}, {`truE`, false}, {`{1:2}`, false}, {"\ufeff{}", false},
		{`{"a":1,"a":1}`, false}, {`{"a":1,"b":2,"\u0061":1}`, false}, {`[{"x":{"a":1,"a":2}}]`, false},
		{deep(maxDepth + 2), false}, {long, false}, {`"` + strings.Repeat("x", MaxSize) + `"`, false},
		{"[" + strings.Repeat("1,", maxNodes) + "1]", false},
	} {
		_, err := Parse([]byte(tt.in))
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%.40s: %v", tt.in, err)
		}
	}
}

func parse(t testing.TB, s string) *Document {
	t.Helper()
	d, err := Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		changes    []string // pointer: a at offset, b at offset
		reordered  bool
		sameForm   bool
	}{
		{"a value", `{"a":1,"b":[1,"x"]}`, `{"a":1,"b":[1,"yy"]}`, []string{`/b/1 b: "x" at 14, "yy" at 14`}, false, true},
		{"the root", `1`, `2`, []string{` : 1 at 0, 2 at 0`}, false, true},
		{"pointers", `{"a/b":{"~":1,"":[2]}}`, `{"a/b":{"~":3,"":[4]}}`, []string{`/a~1b//0 : 2 at 18, 4 at 18`, `/a~1b/~0 ~: 1 at 12, 3 at 12`}, false, true},
		{"added and removed", `{"a":1,"b":2}`, `{"b":2,"c":{}}`, []string{`/a a: 1 at 5, none`, `/c c: none, {} at 11`}, false, false},
		{"longer array", `[1]`, `[1,2]`, []string{`/1 : none, 2 at 3`}, false, false},
		{"another kind", `{"a":1}`, `{"a":"1"}`, []string{`/a a: 1 at 5, "1" at 5`}, false, true},
		{"scalar and object", `{"a":{}}`, `{"a":[]}`, []string{`/a a: {} at 5, [] at 5`}, false, false},
		{"order", `{"a":1,"b":2,"c":3}`, `{"a":1,"c":3,"b":2}`, nil, true, false},
		{"order and a value", `{"a":1,"b":2}`, `{"b":2,"a":9}`, []string{`/a a: 1 at 5, 9 at 11`}, true, false},
		{"a name between is no order", `{"a":1,"c":3}`, `{"a":1,"b":2,"c":3}`, []string{`/b b: none, 2 at 11`}, false, false},
		{"white space", `{"a":1}`, "{\n \"a\": 1\n}\n", nil, false, false},
		{"a name escaped", `{"a":1}`, `{"\u0061":1}`, nil, false, false},
		{"a value escaped", `["a"]`, `["\u0061"]`, []string{`/0 : "a" at 1, "\u0061" at 1`}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := parse(t, tt.a), parse(t, tt.b)
			var have []string
			text := func(v Value) string {
				if v.Kind == None {
					return "none"
				}
				return fmt.Sprintf("%s at %d", v.Raw, v.Offset)
			}
			reordered := Diff(a, b, func(c Change) {
				have = append(have, fmt.Sprintf("%s %s: %s, %s", c.Pointer, c.Name, text(c.A), text(c.B)))
			})
			if d := cmp.Diff(tt.changes, have); d != "" || reordered != tt.reordered || SameForm(a, b) != tt.sameForm {
				t.Errorf("reordered %v, same form %v, (-want +have):\n%s", reordered, SameForm(a, b), d)
			}
		})
	}
}

// FuzzParse checks that encoding/json accepts every accepted document and reads the
// same values, and that every value is at its reported offset.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}],"c":"\u00e9\n","d":-0.5e+7}`), []byte(`{"a":[2],"e":{}}`))
	f.Add([]byte(`[[[[]]]]`), []byte(`"\ud83d\ude00"`))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, err := Parse(x)
		if err != nil {
			return
		}
		if !json.Valid(x) {
			t.Fatalf("%q is taken", x)
		}
		Diff(a, a, func(c Change) { t.Errorf("%s differs from itself", c.Pointer) })
		b, err := Parse(y)
		if err != nil {
			return
		}
		n := 0
		reordered := Diff(a, b, func(c Change) {
			n++
			for _, v := range []struct {
				text []byte
				Value
			}{{x, c.A}, {y, c.B}} {
				if v.Kind != None && !bytes.Equal(v.text[v.Offset:int(v.Offset)+len(v.Raw)], v.Raw) {
					t.Errorf("%s is not at %d", v.Raw, v.Offset)
				}
			}
		})
		back := 0
		if Diff(b, a, func(Change) { back++ }) != reordered || back != n || SameForm(a, b) != SameForm(b, a) {
			t.Error("the other way round it is not the same")
		}
		if n == 0 && !reordered && SameForm(a, b) != bytes.Equal(x, y) {
			t.Error("the same values in the same form are not the same bytes")
		}
	})
}
