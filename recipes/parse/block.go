// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"cmp"
	"encoding/json"
	"maps"
	"math/big"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/zfarm/zfarm/recipes/nearest"
	"github.com/zfarm/zfarm/recipes/schema"
)

// shape describes the content of a block. It describes the farm's own
// arguments in the same way as those of plugins.
type shape struct {
	args   []schema.Attribute
	blocks []nested
}

// nested is a block within a block, and how often it may occur.
type nested struct {
	name        string
	labels      int
	least, most int
}

// names returns every name of the shape, sorted.
func (s shape) names() []string {
	var names []string
	for _, a := range s.args {
		names = append(names, a.Name)
	}
	for _, b := range s.blocks {
		names = append(names, b.name)
	}
	slices.Sort(names)
	return names
}

func (s shape) arg(name string) bool {
	return slices.ContainsFunc(s.args, func(a schema.Attribute) bool { return a.Name == name })
}

func (s shape) block(name string) (nested, bool) {
	i := slices.IndexFunc(s.blocks, func(b nested) bool { return b.name == name })
	if i < 0 {
		return nested{}, false
	}
	return s.blocks[i], true
}

// checkNames reports names that do not belong in src and blocks that are
// missing. It returns the arguments that a misspelt name probably means.
func (p *parser) checkNames(src *hclsyntax.Block, s shape) map[string]bool {
	misnamed := make(map[string]bool)
	names := s.names()
	for _, a := range inOrder(src.Body.Attributes) {
		if s.arg(a.Name) || p.full() {
			continue
		}
		if _, ok := s.block(a.Name); ok {
			p.errorf(a.NameRange, "Unsupported argument", "%q is a block: leave out the equals sign.", a.Name)
			misnamed[a.Name] = true
			continue
		}
		misnamed[nearest.Word(a.Name, names)] = true
		p.errorf(a.NameRange, "Unsupported argument", "There is no argument named %q in a %s.%s", a.Name, src.Type, nearest.Hint(a.Name, names))
	}
	count := make(map[string]int)
	for _, b := range src.Body.Blocks {
		count[b.Type]++
		if p.full() {
			continue
		}
		n, ok := s.block(b.Type)
		switch {
		case s.arg(b.Type):
			p.errorf(b.TypeRange, "Unsupported block", "%q is an argument: write %s = ...", b.Type, b.Type)
			misnamed[b.Type] = true
		case !ok:
			p.errorf(b.TypeRange, "Unsupported block", "There is no block named %q in a %s.%s", b.Type, src.Type, nearest.Hint(b.Type, names))
			misnamed[nearest.Word(b.Type, names)] = true
		case len(b.Labels) != n.labels:
			p.checkLabels(b, n)
		case count[b.Type] == n.most+1:
			p.errorf(b.DefRange(), "Too many blocks", "There may be %d %s blocks at most here.", n.most, b.Type)
		}
	}
	for _, n := range s.blocks {
		if count[n.name] < n.least && !misnamed[n.name] {
			p.errorf(src.DefRange(), "Missing block", "A %s needs a %s block.", src.Type, n.name)
		}
	}
	return misnamed
}

func (p *parser) checkLabels(b *hclsyntax.Block, n nested) {
	if n.labels == 0 {
		p.errorf(hcl.RangeBetween(b.LabelRanges[0], b.LabelRanges[len(b.LabelRanges)-1]), "Name of a block", "A %s block has no name of its own. Write %s { ... }.", b.Type, b.Type)
		return
	}
	p.errorf(b.DefRange(), "Name of a block", "A %s block has one name, in quotes. Write %s \"name\" { ... }.", b.Type, b.Type)
}

// inOrder returns arguments in the order of the file.
func inOrder(attrs hclsyntax.Attributes) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(attrs), func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte)
	})
}

// block is a block with evaluated arguments. Those that could not be evaluated
// are missing in values and have been reported.
type block struct {
	p      *parser
	src    *hclsyntax.Block
	body   *hclsyntax.Body
	values cty.Value
}

// open checks the names in src and evaluates its arguments.
func (p *parser) open(src *hclsyntax.Block, s shape) *block {
	return p.evaluate(src, s, p.checkNames(src, s))
}

// evaluate evaluates the arguments of s. Those in misnamed were given under a
// wrong name, so they are not reported as missing.
func (p *parser) evaluate(src *hclsyntax.Block, s shape, misnamed map[string]bool) *block {
	b := &block{p: p, src: src, body: p.evaluableBody(src, s.args, misnamed)}
	var diags hcl.Diagnostics
	b.values, diags = schema.Value(b.body, s.args, p.ctx)
	p.diags = append(p.diags, diags...)
	return b
}

// evaluableBody returns a body with only the given arguments. It replaces those
// that must not be evaluated by an unknown value.
func (p *parser) evaluableBody(src *hclsyntax.Block, args []schema.Attribute, misnamed map[string]bool) *hclsyntax.Body {
	body := &hclsyntax.Body{Attributes: make(hclsyntax.Attributes), SrcRange: src.Body.SrcRange, EndRange: src.Body.EndRange}
	known := shape{args: args}
	for _, a := range inOrder(src.Body.Attributes) {
		if !known.arg(a.Name) {
			continue
		}
		kept := *a
		if !p.affordable(a) {
			kept.Expr = unknown(a.Expr.Range())
		}
		body.Attributes[a.Name] = &kept
	}
	for name := range misnamed {
		if known.arg(name) && body.Attributes[name] == nil {
			body.Attributes[name] = &hclsyntax.Attribute{Name: name, Expr: unknown(src.TypeRange)}
		}
	}
	return body
}

func unknown(at hcl.Range) hclsyntax.Expression {
	return &hclsyntax.LiteralValueExpr{Val: cty.DynamicVal, SrcRange: at}
}

// affordable reports whether the value of a may be computed: all its names
// exist, and it stays small enough.
func (p *parser) affordable(a *hclsyntax.Attribute) bool {
	names := make(map[string]bound, len(p.ctx.Variables))
	for name, v := range p.ctx.Variables {
		names[name] = boundOf(v)
	}
	spent := p.estimate.work
	p.estimate.diags = nil
	p.estimate.bound(a.Expr, scope{names: names}, 1)
	if len(p.estimate.diags) > 0 {
		p.diags = append(p.diags, p.estimate.diags...)
		return false
	}
	if p.estimate.work > maxWork {
		p.estimate.work = spent
		p.errorf(a.Expr.Range(), "Value too large", "The value of %q could grow beyond what a recipe may compute (%d MiB in all). Use fewer loops within loops.", a.Name, maxWork>>20)
		return false
	}
	return true
}

// value returns an argument that was given and could be evaluated.
func (b *block) value(name string) (cty.Value, bool) {
	if !b.values.Type().IsObjectType() {
		return cty.NilVal, false
	}
	v := b.values.GetAttr(name)
	return v, !v.IsNull() && v.IsWhollyKnown()
}

// text returns an argument that is a string.
func (b *block) text(name string) (string, bool) {
	v, ok := b.value(name)
	if !ok {
		return "", false
	}
	return v.AsString(), true
}

// count returns an argument that is a whole number between least and most,
// and reports any other.
func (b *block) count(name string, least, most int64) (int, bool) {
	v, ok := b.value(name)
	if !ok {
		return 0, false
	}
	return b.p.wholeNumber(b.at(name), name, v, least, most)
}

func (p *parser) wholeNumber(at hcl.Range, name string, v cty.Value, least, most int64) (int, bool) {
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact || n < least || n > most {
		p.errorf(at, "Invalid number", "%q wants a whole number from %d to %d.", name, least, most)
		return 0, false
	}
	return int(n), true
}

// item is one element of a list, and its range in the file.
type item struct {
	value cty.Value
	at    hcl.Range
}

// maxItems bounds the lists of the farm's own arguments.
const maxItems = 1000

// items returns the elements of an argument that is a list, and whether the
// argument was given. It reports and omits nulls.
func (b *block) items(name string) ([]item, bool) {
	v, ok := b.value(name)
	if !ok {
		return nil, false
	}
	if n := v.LengthInt(); n > maxItems {
		b.p.errorf(b.at(name), "List too long", "%q may have %d elements at most.", name, maxItems)
		return nil, false
	}
	var items []item
	for i, elem := range v.AsValueSlice() {
		at := b.itemAt(name, i)
		if elem.IsNull() {
			b.p.errorf(at, "Null in a list", "An element of %q is null. Leave it out.", name)
			continue
		}
		items = append(items, item{elem, at})
	}
	return items, true
}

// empty reports whether an argument was given as an empty list.
func (b *block) empty(name string) bool {
	v, ok := b.value(name)
	return ok && v.LengthInt() == 0
}

// at returns the range of an argument's value; the block's head if it was not
// given.
func (b *block) at(name string) hcl.Range {
	if a := b.src.Body.Attributes[name]; a != nil {
		return a.Expr.Range()
	}
	return b.src.DefRange()
}

// itemAt returns the range of element i of a list; that of the whole argument
// if it was not written as a list.
func (b *block) itemAt(name string, i int) hcl.Range {
	if a := b.src.Body.Attributes[name]; a != nil {
		if list, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok && i >= 0 && i < len(list.Exprs) {
			return list.Exprs[i].Range()
		}
	}
	return b.at(name)
}

// each returns the blocks with the name and the number of labels.
func (b *block) each(name string, labels int) []*hclsyntax.Block {
	var blocks []*hclsyntax.Block
	for _, s := range b.src.Body.Blocks {
		if s.Type == name && len(s.Labels) == labels {
			blocks = append(blocks, s)
		}
	}
	return blocks
}

// pluginBlock returns the arguments in args as canonical JSON.
func (b *block) pluginBlock(args []schema.Attribute, misnamed map[string]bool) json.RawMessage {
	text, diags := schema.Decode(b.p.evaluableBody(b.src, args, misnamed), args, b.p.ctx)
	b.p.diags = append(b.p.diags, diags...)
	return text
}
