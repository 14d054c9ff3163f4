// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// size returns the size that a bound limits: bytes of text, and elements.
func size(v cty.Value) int {
	switch {
	case v.IsNull() || !v.IsKnown():
		return 0
	case v.Type() == cty.String:
		return len(v.AsString())
	case v.CanIterateElements():
		sum := v.LengthInt()
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			if v.Type().IsMapType() || v.Type().IsObjectType() {
				sum += size(k)
			}
			sum += size(e)
		}
		return sum
	}
	return 1
}

// FuzzBound: no value is larger than its estimate.
func FuzzBound(f *testing.F) {
	for _, s := range []string{
		`"${version}-${port}"`, `[for a in ["x", "yy"] : [for b in [a, "${a}${a}"] : "${b}${b}"]]`,
		`{ for k, v in { a = "x", (version) = ["y"] } : "${k}${k}" => v }`, `{ for v in ["a", "b", "a"] : v => "${v}${v}"... }`,
		`[for k, v in { for w in ["ab", "ac", "b"] : length(split("", w)) => w... } : "${k}${join("", v)}"]`,
		`join(port, split("", "abcdef"))`, `replace("aaaa", "", "bbbb")`, `replace("aaaa", "a", upper("ŉŉŉ"))`, `format("%s%q%%", "\u0001\u0002", "x")`,
		`[{ n = ["a", "b"] }, { n = [] }][*].n`, `[[1, 2], [3]].*`, `concat([1], ["a"], [for x in [1, 2] : concat([x], [x])]...)`,
		`version == port ? ["a", "b"] : [for x in split("", version) : [x, x]]`, `{ a = { b = { c = "x" } } }.a.b`, `[["a", "b"], ["c"]][0][1]`,
		"<<E\n  ${port}\nE\n", `reverse(concat(split("-", "a-b-c"), ["x"]))`, `trimspace(trimprefix(" ab ", " a"))`, `contains(["a"], "a") && !(1 < 2)`,
		`[for i, x in ["a", "b"] : "${i}${x}" if x != "a"]`, `"${[for x in ["abc"] : x][0]}"`, `-5`, `port[*]`,
	} {
		f.Add(s)
	}
	all := functions()
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 1000 || Guard([]byte(src), "x").HasErrors() {
			return
		}
		e, diags := hclsyntax.ParseExpression([]byte(src), "x", hcl.InitialPos)
		if diags.HasErrors() {
			return
		}
		ctx := &hcl.EvalContext{
			Variables: map[string]cty.Value{"port": cty.StringVal("gzip"), "version": cty.StringVal("1.12")},
			Functions: map[string]function.Function{},
		}
		for name, fn := range all {
			ctx.Functions[name] = fn.Function
		}
		x := estimate{functions: all}
		b := x.bound(e, scope{names: map[string]bound{"port": boundOf(ctx.Variables["port"]), "version": boundOf(ctx.Variables["version"])}}, 1)
		if len(x.diags) > 0 || x.work > maxWork {
			return
		}
		v, diags := e.Value(ctx)
		if diags.HasErrors() {
			return
		}
		if n := size(v); n > b.bytes {
			t.Fatalf("%s has size %d, estimated at %d", src, n, b.bytes)
		}
		if v.CanIterateElements() && v.LengthInt() > b.items {
			t.Fatalf("%s has %d elements, estimated at %d", src, v.LengthInt(), b.items)
		}
	})
}

// TestBoundStops: estimates of values that grow without end are finite and too
// large.
func TestBoundStops(t *testing.T) {
	grow := `"x"`
	for range 20 {
		grow = `replace(` + grow + `, "x", "xxxxxxxx")`
	}
	loop := `"x"`
	for range 20 {
		loop = `join("", [for a in split("", "xxxxxxxx") : ` + loop + `])`
	}
	empty := `concat(x, x)`
	for range 30 {
		empty = `[for x in [concat(x, x)] : ` + empty + `]`
	}
	for name, src := range map[string]string{"replace": grow, "loop": loop, "empty": `[for x in [["", ""]] : ` + empty + `]`} {
		e, diags := hclsyntax.ParseExpression([]byte(src), "x", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		x := estimate{functions: functions()}
		x.bound(e, scope{}, 1)
		if x.work != maxWork+1 || len(x.diags) > 0 {
			t.Errorf("%s: work %d, %v; want %d", name, x.work, x.diags, maxWork+1)
		}
	}
	if got := times(1<<20, 1<<20); got != maxWork+1 {
		t.Errorf("times goes to %d, want %d", got, maxWork+1)
	}
}
