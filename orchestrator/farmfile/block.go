// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farmfile

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/zfarm/zfarm/recipes/diagnostics"
	"github.com/zfarm/zfarm/recipes/nearest"
	"github.com/zfarm/zfarm/recipes/parse"
)

// Bounds on a farm's file.
const (
	maxFile   = 256 << 10 // bytes
	maxLine   = 1000      // bytes
	maxBlocks = 1000      // of one kind in one place
)

// reader holds what the parts of one file share.
type reader struct {
	name    string // for messages
	dir     string
	src     []byte
	file    *hcl.File // nil if the source could not be parsed
	diags   hcl.Diagnostics
	files   []namedFile
	secrets []hcl.Range
}

// namedFile is a file that must exist.
type namedFile struct {
	path string
	at   hcl.Range
	what string
}

// newReader parses a source. It turns the line ends of other systems into
// newlines.
func newReader(src []byte, name, dir string) *reader {
	r := &reader{name: name, dir: dir}
	if len(src) > maxFile {
		r.add(nil, "File too large", "A farm's file may have %d bytes at most.", maxFile)
		return r
	}
	r.src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	no := 0
	for line := range bytes.Lines(r.src) {
		if no++; len(line) > maxLine {
			r.add(nil, "Line too long", "Line %d has %d bytes; %d are the most. Write one element of a list on each line.", no, len(line), maxLine)
			return r
		}
	}
	if r.diags = guard(r.src, r.name); r.diags.HasErrors() {
		return r
	}
	file, diags := hclsyntax.ParseConfig(r.src, r.name, hcl.InitialPos)
	r.file, r.diags = file, diags
	return r
}

// guard refuses sources that HCL's parser cannot handle safely.
func guard(src []byte, name string) hcl.Diagnostics {
	words := strings.NewReplacer(
		"Recipe too large", "File too large",
		"A recipe", "A farm's file", "a recipe", "a farm's file",
		`; "zfarm recipe fmt" removes the carriage returns`, "; remove the carriage returns",
		`Write an expression such as ${join(" ", [for x in list : x])}, or`, "Write",
		" Put long scripts into a file among the patches.", "")
	diags := parse.Guard(src, name)
	for _, d := range diags {
		d.Summary, d.Detail = words.Replace(d.Summary), words.Replace(d.Detail)
	}
	return diags
}

// outcome returns what the package's callers get.
func (r *reader) outcome(farm *Farm) (*Farm, diagnostics.List) {
	s := diagnostics.Source{Name: r.name, Bytes: r.src, File: r.file, Secrets: slices.Concat(r.secrets, passwords(r.src))}
	diags := s.List(r.diags)
	if diags.HasErrors() {
		return nil, diags
	}
	return farm, diags
}

// passwords returns the places in a source that look like passwords. The
// source need not be valid HCL.
func passwords(src []byte) []hcl.Range {
	var all []hcl.Range
	password := regexp.MustCompile(`://[^"\n/@:]*:([^"\n]*)@|[Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]=([^"\n&]*)`)
	for _, m := range password.FindAllSubmatchIndex(src, -1) {
		for i := 2; i < len(m); i += 2 {
			if m[i] >= 0 {
				all = append(all, hcl.Range{Start: hcl.Pos{Byte: m[i]}, End: hcl.Pos{Byte: m[i+1]}})
			}
		}
	}
	return all
}

func (r *reader) add(at *hcl.Range, summary, format string, args ...any) {
	r.diags = append(r.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: at})
}

func (r *reader) errorf(at hcl.Range, summary, format string, args ...any) {
	r.add(&at, summary, format, args...)
}

func (r *reader) warnf(at hcl.Range, summary, format string, args ...any) {
	r.errorf(at, summary, format, args...)
	r.diags[len(r.diags)-1].Severity = hcl.DiagWarning
}

// shape describes the content of a block.
type shape struct {
	required, optional []string // arguments
	blocks             []nested
	reserved           map[string]string // names of future blocks, and the message about each
}

// nested is a block within a block.
type nested struct {
	name  string
	label bool // it has one label, its name
	most  int
}

// schema returns the shape as an HCL schema.
func (s shape) schema() *hcl.BodySchema {
	var out hcl.BodySchema
	for _, name := range s.required {
		out.Attributes = append(out.Attributes, hcl.AttributeSchema{Name: name, Required: true})
	}
	for _, name := range s.optional {
		out.Attributes = append(out.Attributes, hcl.AttributeSchema{Name: name})
	}
	for _, b := range s.blocks {
		header := hcl.BlockHeaderSchema{Type: b.name}
		if b.label {
			header.LabelNames = []string{"name"}
		}
		out.Blocks = append(out.Blocks, header)
	}
	return &out
}

// suggest adds the usual advice to what HCL reports about an unknown name. The
// name is quoted in detail.
func (s shape) suggest(detail string) string {
	names := slices.Concat(s.required, s.optional)
	for _, b := range s.blocks {
		names = append(names, b.name)
	}
	detail, _, _ = strings.Cut(detail, " Did you mean ")
	if len(names) == 0 {
		return detail + " Nothing stands in this block."
	}
	slices.Sort(names)
	given := ""
	if quoted := strings.SplitN(detail, `"`, 3); len(quoted) == 3 {
		given = quoted[1]
	}
	return detail + nearest.Hint(given, names)
}

// block is a block with checked names and evaluated arguments. Arguments that
// could not be evaluated are missing in values and have been reported.
type block struct {
	r      *reader
	head   hcl.Range
	exprs  map[string]hclsyntax.Expression
	values map[string]cty.Value
	blocks map[string][]*hcl.Block
}

// open reads the arguments and lists the blocks directly in a body.
func (r *reader) open(body hcl.Body, head hcl.Range, s shape) *block {
	b := &block{r: r, head: head, exprs: map[string]hclsyntax.Expression{}, values: map[string]cty.Value{}, blocks: map[string][]*hcl.Block{}}
	content, diags := body.Content(s.schema())
	r.diags = append(r.diags, s.advise(diags, head)...)
	for name, a := range content.Attributes {
		b.exprs[name] = a.Expr.(hclsyntax.Expression)
		if v, ok := r.literal(b.exprs[name]); ok {
			b.values[name] = v
		}
	}
	for _, n := range s.blocks {
		all := content.Blocks.OfType(n.name)
		if len(all) > n.most {
			r.errorf(all[n.most].DefRange, "Too many blocks", "There may be %d %s here at most. Remove the others, or put them together.", n.most, n.name)
			all = all[:n.most]
		}
		b.blocks[n.name] = all
		if n.label {
			r.checkNames(all)
		}
	}
	return b
}

// advise adds to HCL's diagnostics about names what to write instead, and
// drops those about required arguments that are only misspelt.
func (s shape) advise(in hcl.Diagnostics, head hcl.Range) hcl.Diagnostics {
	var out hcl.Diagnostics
	misspelt := func(d *hcl.Diagnostic) bool {
		return slices.ContainsFunc(s.required, func(name string) bool {
			meant := fmt.Sprintf("Did you mean %q?", name)
			return strings.Contains(d.Detail, fmt.Sprintf("The argument %q is required", name)) &&
				slices.ContainsFunc(in, func(other *hcl.Diagnostic) bool { return strings.HasSuffix(other.Detail, meant) })
		})
	}
	for _, d := range in {
		for name, text := range s.reserved {
			if strings.HasPrefix(d.Detail, fmt.Sprintf("Blocks of type %q are not expected here.", name)) {
				d.Summary, d.Detail = "Reserved name", text
			}
		}
		switch {
		case strings.HasPrefix(d.Summary, "Unsupported ") && !strings.Contains(d.Detail, "Did you mean to define"):
			d.Detail = s.suggest(d.Detail)
		case strings.HasPrefix(d.Summary, "Missing name for "):
			d.Detail = fmt.Sprintf("Each %[1]s has a name, in quotes. Write %[1]s \"name\" { ... }.", strings.TrimPrefix(d.Summary, "Missing name for "))
		case strings.HasPrefix(d.Summary, "Extraneous label for "):
			d.Detail += " Leave it out."
		case d.Summary == "Missing required argument":
			d.Subject = &head
			d.Detail += " Add it."
		}
		if !misspelt(d) {
			out = append(out, d)
		}
	}
	return out
}

// checkNames requires plain names, each used once.
func (r *reader) checkNames(blocks []*hcl.Block) {
	seen := make(map[string]int)
	for _, b := range blocks {
		name, at := b.Labels[0], b.LabelRanges[0]
		if line, twice := seen[name]; twice {
			r.errorf(at, "Name given twice", "There is a %s %q on line %d already. Rename or remove one of them.", b.Type, name, line)
			continue
		}
		seen[name] = at.Start.Line
		if b.Type == "share" {
			r.checkLine(at, "The name of an owner", name, 200)
		} else if !plain(name, "._-", 64) {
			r.errorf(at, "Invalid name", "A name is made of letters, digits, ., _ and -, begins with a letter or digit, and has 64 characters at most.")
		}
	}
}

// literal returns the value of an expression that is a literal, and reports
// any other.
func (r *reader) literal(e hclsyntax.Expression) (cty.Value, bool) {
	if at := computed(e); at != nil {
		r.errorf(*at, "Unsupported expression", "A farm's file has no variables, functions or operators. Write the value itself, in quotes if it is text; for the two signs ${ write $${.")
		return cty.NilVal, false
	}
	v, diags := e.Value(nil)
	r.diags = append(r.diags, diags...)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	if v.IsNull() {
		r.errorf(e.Range(), "No value", "null is not a value here. Leave the argument out to have its default.")
		return cty.NilVal, false
	}
	return v, true
}

// computed returns the range of the first part of e that would have to be
// computed; nil if there is none. The guard has bounded the depth of e.
func computed(e hclsyntax.Expression) *hcl.Range {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return nil
	case *hclsyntax.UnaryOpExpr: // a negative number
		if _, ok := e.Val.(*hclsyntax.LiteralValueExpr); ok && e.Op == hclsyntax.OpNegate {
			return nil
		}
	case *hclsyntax.TemplateExpr:
		return firstComputed(e.Parts)
	case *hclsyntax.TupleConsExpr:
		return firstComputed(e.Exprs)
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			key := item.KeyExpr.(*hclsyntax.ObjectConsKeyExpr)
			parts := []hclsyntax.Expression{item.ValueExpr}
			if hcl.ExprAsKeyword(key.Wrapped) == "" || key.ForceNonLiteral {
				parts = append(parts, key.Wrapped)
			}
			if at := firstComputed(parts); at != nil {
				return at
			}
		}
		return nil
	}
	at := e.Range()
	return &at
}

func firstComputed(all []hclsyntax.Expression) *hcl.Range {
	for _, e := range all {
		if at := computed(e); at != nil {
			return at
		}
	}
	return nil
}

// at returns the range of an argument's value; the block's head if the
// argument was not given.
func (b *block) at(name string) hcl.Range {
	if e := b.exprs[name]; e != nil {
		return e.Range()
	}
	return b.head
}

// given reports whether an argument was written, valid or not.
func (b *block) given(name string) bool { return b.exprs[name] != nil }

// value returns an argument of the type want.
func (b *block) value(name string, want cty.Type, advice string) (cty.Value, bool) {
	v, ok := b.values[name]
	if !ok {
		return cty.NilVal, false
	}
	if v.Type() != want {
		b.r.errorf(b.at(name), "Unsuitable value", "%q wants %s, not %s.", name, advice, article(v.Type()))
		return cty.NilVal, false
	}
	return v, true
}

// article returns the name of a type with its article, for messages.
func article(t cty.Type) string {
	switch {
	case t == cty.String:
		return "text"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsTupleType():
		return "a list"
	}
	return "names with values"
}

// item is one element of a list, and its range in the file.
type item struct {
	text string
	at   hcl.Range
}

// items returns the elements of an argument that is a list of texts.
func (b *block) items(name string) ([]item, bool) {
	v, ok := b.values[name]
	if !ok {
		return nil, false
	}
	list, ok := b.exprs[name].(*hclsyntax.TupleConsExpr)
	if !ok {
		b.r.errorf(b.at(name), "Unsuitable value", "%q wants a list of texts, such as [\"a\", \"b\"], not %s.", name, article(v.Type()))
		return nil, false
	}
	items := []item{}
	for i, elem := range v.AsValueSlice() {
		at := list.Exprs[i].Range()
		if elem.Type() != cty.String || elem.IsNull() {
			b.r.errorf(at, "Unsuitable value", "The elements of %q are texts. Put this one into quotes, or leave it out.", name)
			continue
		}
		items = append(items, item{elem.AsString(), at})
	}
	return items, true
}

// pair is one entry of a map, and its range in the file.
type pair struct{ key, value item }

// pairs returns the entries of an argument that maps names to texts. It
// reports keys that are given twice.
func (b *block) pairs(name string) []pair {
	v, ok := b.values[name]
	if !ok {
		return nil
	}
	object, ok := b.exprs[name].(*hclsyntax.ObjectConsExpr)
	if !ok {
		b.r.errorf(b.at(name), "Unsuitable value", "%q wants names with values, such as { a = \"b\" }, not %s.", name, article(v.Type()))
		return nil
	}
	var all []pair
	seen := make(map[string]bool)
	for _, e := range object.Items {
		k, _ := e.KeyExpr.Value(nil)
		w, _ := e.ValueExpr.Value(nil) // both were evaluated before
		if k.Type() != cty.String {
			b.r.errorf(e.KeyExpr.Range(), "Unsuitable name", "The names in %q are texts. Put this one into quotes.", name)
			continue
		}
		key, at := k.AsString(), e.ValueExpr.Range()
		switch {
		case seen[key]:
			b.r.errorf(e.KeyExpr.Range(), "Name given twice", "%q has %q already. Remove one of the two.", name, key)
		case w.IsNull() || w.Type() != cty.String:
			b.r.errorf(at, "Unsuitable value", "The values in %q are texts. Put this one into quotes.", name)
		default:
			all = append(all, pair{item{key, e.KeyExpr.Range()}, item{w.AsString(), at}})
		}
		seen[key] = true
	}
	return all
}
