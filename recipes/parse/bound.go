// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/zfarm/zfarm/recipes/diagnostics"
	"github.com/zfarm/zfarm/recipes/nearest"
)

// Bounds on what a recipe may compute. Without them an expression of a few
// lines could double a string with each bracket.
const (
	// maxWork is how many bytes the expressions of a recipe may produce
	// together, intermediate values included.
	maxWork = 16 << 20
	// wordSize is the cost of a value in addition to its text, in bytes. It
	// exceeds the text of any number or bool (see maxDigits).
	wordSize = 48
)

// bound is an upper bound on the size of a value.
type bound struct {
	bytes int    // of the whole value
	items int    // of a collection, else 0
	elem  *bound // of the largest item
}

// plus and times saturate above maxWork, so that nothing overflows.
func plus(a, b int) int  { return min(a+b, maxWork+1) }
func times(a, b int) int { return int(min(int64(a)*int64(b), maxWork+1)) }

// larger returns a bound for either of two values.
func larger(a, b *bound) *bound {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &bound{bytes: max(a.bytes, b.bytes), items: max(a.items, b.items), elem: larger(a.elem, b.elem)}
}

// boundOf returns the bound of a value that was computed already.
func boundOf(v cty.Value) bound {
	if v.IsKnown() && v.Type() == cty.String && !v.IsNull() {
		return bound{bytes: len(v.AsString()) + wordSize}
	}
	return bound{bytes: 2 * wordSize}
}

// estimate bounds the work of expressions without evaluating them.
type estimate struct {
	functions map[string]pureFunction
	hints     map[string]string // names mistaken for variables -> what to write instead
	work      int
	diags     hcl.Diagnostics
}

// scope holds the bounds of the variables that an expression can use.
type scope struct {
	names map[string]bound
	items map[*hclsyntax.AnonSymbolExpr]bound
}

// with returns the scope extended by names.
func (s scope) with(names map[string]bound) scope {
	all := make(map[string]bound, len(s.names)+len(names))
	maps.Copy(all, s.names)
	maps.Copy(all, names)
	return scope{all, s.items}
}

// bound returns the bound of e's value, adds its work times repeats, and reports
// unknown names.
func (x *estimate) bound(e hclsyntax.Expression, s scope, repeats int) bound {
	b := x.netBound(e, s, repeats)
	b.bytes = plus(b.bytes, wordSize)
	x.work = plus(x.work, times(repeats, b.bytes))
	return b
}

// netBound returns the bound of e, without wordSize.
func (x *estimate) netBound(e hclsyntax.Expression, s scope, repeats int) bound {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return boundOf(e.Val)
	case *hclsyntax.TemplateExpr:
		return bound{bytes: x.list(e.Parts, s, repeats).bytes}
	case *hclsyntax.TemplateWrapExpr:
		return x.bound(e.Wrapped, s, repeats)
	case *hclsyntax.ParenthesesExpr:
		return x.bound(e.Expression, s, repeats)
	case *hclsyntax.TupleConsExpr:
		return x.list(e.Exprs, s, repeats)
	case *hclsyntax.ObjectConsExpr:
		return x.object(e, s, repeats)
	case *hclsyntax.ObjectConsKeyExpr:
		return x.key(e, s, repeats)
	case *hclsyntax.ScopeTraversalExpr:
		return x.variable(e, s)
	case *hclsyntax.RelativeTraversalExpr:
		return descend(x.bound(e.Source, s, repeats), len(e.Traversal))
	case *hclsyntax.IndexExpr:
		x.bound(e.Key, s, repeats)
		return descend(x.bound(e.Collection, s, repeats), 1)
	case *hclsyntax.AnonSymbolExpr:
		return s.items[e]
	case *hclsyntax.ConditionalExpr:
		x.bound(e.Condition, s, repeats)
		yes, no := x.bound(e.TrueResult, s, repeats), x.bound(e.FalseResult, s, repeats)
		return *larger(&yes, &no)
	case *hclsyntax.FunctionCallExpr:
		return x.call(e, s, repeats)
	case *hclsyntax.ForExpr:
		return x.loop(e, s, repeats)
	case *hclsyntax.SplatExpr:
		return x.splat(e, s, repeats)
	case *hclsyntax.UnaryOpExpr, *hclsyntax.BinaryOpExpr:
		return x.operation(e, s, repeats)
	}
	x.report(e.Range(), "Unsupported expression", "Recipes have no expressions of this kind.")
	return bound{}
}

func (x *estimate) report(at hcl.Range, summary, format string, args ...any) {
	if x.full() {
		return
	}
	x.diags = x.diags.Append(problem(&at, summary, format, args...))
}

// full reports whether there are more faults than will be shown.
func (x *estimate) full() bool { return len(x.diags) > diagnostics.Max }

// list returns the bound of a list of the values of es.
func (x *estimate) list(es []hclsyntax.Expression, s scope, repeats int) bound {
	sum := bound{items: len(es)}
	for _, e := range es {
		b := x.bound(e, s, repeats)
		sum.bytes = plus(sum.bytes, b.bytes)
		sum.elem = larger(sum.elem, &b)
	}
	return sum
}

func (x *estimate) object(e *hclsyntax.ObjectConsExpr, s scope, repeats int) bound {
	sum := bound{items: len(e.Items)}
	for _, item := range e.Items {
		k, v := x.bound(item.KeyExpr, s, repeats), x.bound(item.ValueExpr, s, repeats)
		sum.bytes = plus(sum.bytes, plus(k.bytes, v.bytes))
		sum.elem = larger(sum.elem, &v)
	}
	return sum
}

// key returns the bound of a key. A bare word is the key itself, not a
// variable.
func (x *estimate) key(e *hclsyntax.ObjectConsKeyExpr, s scope, repeats int) bound {
	if word := hcl.ExprAsKeyword(e.Wrapped); word != "" && !e.ForceNonLiteral {
		return bound{bytes: len(word)}
	}
	return x.bound(e.Wrapped, s, repeats)
}

func (x *estimate) variable(e *hclsyntax.ScopeTraversalExpr, s scope) bound {
	name := e.Traversal.RootName()
	b, ok := s.names[name]
	if !ok && !x.full() {
		names := slices.Sorted(maps.Keys(s.names))
		detail, known := x.hints[name]
		if !known {
			detail = fmt.Sprintf("There is no variable named %q here.%s", name, nearest.Hint(name, names))
		}
		x.report(e.Traversal[0].SourceRange(), "Unknown variable", "%s", detail)
	}
	return descend(b, len(e.Traversal)-1)
}

// descend returns the bound of a value nested steps deep in b.
func descend(b bound, steps int) bound {
	for ; steps > 0 && b.elem != nil; steps-- {
		b = *b.elem
	}
	return b
}

func (x *estimate) call(e *hclsyntax.FunctionCallExpr, s scope, repeats int) bound {
	var args []bound
	for _, a := range e.Args {
		args = append(args, x.bound(a, s, repeats))
	}
	f, ok := x.functions[e.Name]
	if !ok && !x.full() {
		x.report(e.NameRange, "Unknown function", "There is no function named %q.%s", e.Name, nearest.Hint(e.Name, slices.Sorted(maps.Keys(x.functions))))
	}
	if !ok {
		return bound{}
	}
	if e.ExpandFinal {
		x.report(e.NameRange, "Unsupported expression", "Recipes do not expand a list into arguments. Write the arguments one by one.")
		return bound{}
	}
	return f.size(args)
}

func (x *estimate) loop(e *hclsyntax.ForExpr, s scope, repeats int) bound {
	coll := x.bound(e.CollExpr, s, repeats)
	names := map[string]bound{e.ValVar: descend(coll, 1)}
	if e.KeyVar != "" {
		names[e.KeyVar] = bound{bytes: plus(coll.bytes, wordSize)}
	}
	inner, repeats := s.with(names), times(repeats, coll.items)
	var key bound
	for _, part := range []hclsyntax.Expression{e.CondExpr, e.KeyExpr} {
		if part != nil {
			key = x.bound(part, inner, repeats)
		}
	}
	val := x.bound(e.ValExpr, inner, repeats)
	if e.Group { // every value of the map is a list, and all lists together have coll.items
		val = bound{bytes: times(coll.items, val.bytes), items: coll.items, elem: &bound{bytes: val.bytes, items: val.items, elem: val.elem}}
	}
	return bound{bytes: plus(times(coll.items, key.bytes), times(coll.items, val.bytes)), items: coll.items, elem: &val}
}

// splat returns the bound of a splat, for which a value that is not a list
// counts as a list of one.
func (x *estimate) splat(e *hclsyntax.SplatExpr, s scope, repeats int) bound {
	source := x.bound(e.Source, s, repeats)
	n := max(source.items, 1)
	items := maps.Clone(s.items)
	if items == nil {
		items = make(map[*hclsyntax.AnonSymbolExpr]bound)
	}
	items[e.Item] = descend(source, 1)
	each := x.bound(e.Each, scope{s.names, items}, times(repeats, n))
	return bound{bytes: times(n, each.bytes), items: n, elem: &each}
}

// operation accepts comparison and logic. Recipes have no arithmetic, because
// its numbers could grow without end.
func (x *estimate) operation(e hclsyntax.Expression, s scope, repeats int) bound {
	switch e := e.(type) {
	case *hclsyntax.UnaryOpExpr:
		x.bound(e.Val, s, repeats)
		if _, literal := e.Val.(*hclsyntax.LiteralValueExpr); e.Op == hclsyntax.OpNegate && !literal {
			x.report(e.SrcRange, "Unsupported operator", "Recipes do no arithmetic. Write the number.")
		}
	case *hclsyntax.BinaryOpExpr:
		x.bound(e.LHS, s, repeats)
		x.bound(e.RHS, s, repeats)
		if e.Op.Type == cty.Number {
			x.report(e.SrcRange, "Unsupported operator", "Recipes do no arithmetic. Write the number; to put strings together, write \"${a}${b}\".")
		}
	}
	return bound{bytes: wordSize}
}
