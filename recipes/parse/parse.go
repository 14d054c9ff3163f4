// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package parse reads the HCL of a recipe into recipes.Recipe, or reports what
// is wrong with it, line by line.
//
// A recipe is hostile text: its size, its depth and the size of what it
// computes are bounded. It can read nothing outside its own folder, and its
// value depends only on the files there and the schemas of the plugins. The
// package fetches nothing (recipes/source) and starts no plugin
// (plugins/host). Its callers need no HCL types.
package parse

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/diagnostics"
	"github.com/zfarm/zfarm/recipes/schema"
)

// FileName is the name of a recipe's file in its folder.
const FileName = "recipe.hcl"

// The kinds of plugins.
const (
	KindBuild = "build"
	KindTest  = "test"
)

// Schemas gives access to the plugins. A kind is KindBuild or KindTest.
type Schemas interface {
	// Plugins returns the names of the plugins of a kind.
	Plugins(kind string) []string
	// Schema returns the description of the plugin's block, or an error that
	// says why it is not available.
	Schema(kind, plugin string) ([]schema.Attribute, error)
}

// Checker is an optional interface of Schemas. It asks a plugin what is wrong
// with a block that fits its schema.
type Checker interface {
	Check(kind, plugin string, block json.RawMessage) []Complaint
}

// Complaint is what a plugin finds wrong with one argument of its block.
type Complaint struct {
	// Attribute names the argument, or an element as in "configure[2]"; ""
	// means the block.
	Attribute string
	Message   string
}

// Dir reads the recipe in the folder fsys. The recipe is nil if there are
// errors among the diagnostics; there may be warnings beside a recipe. For a
// folder on this machine, use the FS of an os.Root.
func Dir(fsys fs.FS, schemas Schemas) (*recipes.Recipe, diagnostics.List) {
	src, err := readFile(fsys, FileName, maxRecipe)
	if err != nil {
		return nil, diagnostics.Unreadable(FileName, "No recipe", fmt.Sprintf("Reading the recipe: %s.", err))
	}
	s := diagnostics.Source{Name: FileName, Bytes: src}
	if diags := Guard(s.Bytes, s.Name); diags.HasErrors() {
		return nil, s.List(diags)
	}
	file, diags := hclsyntax.ParseConfig(s.Bytes, s.Name, hcl.InitialPos)
	s.File = file
	if diags.HasErrors() {
		return nil, s.List(diags)
	}
	p := &parser{fsys: fsys, schemas: schemas, estimate: estimate{functions: functions()}}
	r := p.root(file.Body.(*hclsyntax.Body))
	out := s.List(p.diags)
	if out.HasErrors() {
		return nil, out
	}
	return r, out
}

// parser holds what the parts of one recipe share.
type parser struct {
	fsys     fs.FS
	schemas  Schemas
	estimate estimate
	ctx      *hcl.EvalContext
	read     int64 // bytes of files beside the recipe
	diags    hcl.Diagnostics
}

func (p *parser) errorf(at hcl.Range, summary, format string, args ...any) {
	p.diags = p.diags.Append(problem(&at, summary, format, args...))
}

// full reports whether there are more faults than will be shown.
func (p *parser) full() bool { return len(p.diags) > diagnostics.Max }

// root reads the one port block of a file.
func (p *parser) root(body *hclsyntax.Body) *recipes.Recipe {
	whole := &hclsyntax.Block{Type: "recipe", Body: body, TypeRange: body.SrcRange}
	whole.TypeRange.End = whole.TypeRange.Start
	p.checkNames(whole, shape{blocks: []nested{{name: "port", labels: 1, least: 1, most: 1}}})
	for _, b := range body.Blocks {
		if b.Type == "port" && len(b.Labels) == 1 {
			return p.port(b)
		}
	}
	return nil
}

// variables sets the variables of all expressions: the port's name, and its
// version, which may be computed from the name.
func (p *parser) variables(src *hclsyntax.Block, port string) {
	p.estimate.hints = make(map[string]string)
	vars := map[string]cty.Value{"port": cty.StringVal(port)}
	p.ctx = &hcl.EvalContext{Variables: vars}
	if port == "" { // it was refused
		vars["port"] = cty.UnknownVal(cty.String)
	}
	p.ctx.Functions = make(map[string]function.Function)
	for name, f := range p.estimate.functions {
		p.ctx.Functions[name] = f.Function
	}
	version := cty.UnknownVal(cty.String)
	if a := src.Body.Attributes["version"]; a != nil {
		only := shape{args: []schema.Attribute{{Name: "version", Type: "string"}}}
		b := p.evaluate(src, only, nil)
		if s, ok := b.text("version"); ok && p.checkVersion(a.Expr.Range(), s) {
			version = cty.StringVal(s)
		}
		// Its faults have been reported; from here on it is a literal.
		a.Expr = &hclsyntax.LiteralValueExpr{Val: version, SrcRange: a.Expr.Range()}
	}
	vars["version"], vars["version_major"], vars["version_minor"] = version, version, version
	if version.IsKnown() {
		p.splitVersion(version.AsString())
	}
}

// splitVersion sets the variables for the first two numbers of the version.
func (p *parser) splitVersion(version string) {
	major, rest := leadingNumber(version)
	minor := ""
	if after, ok := strings.CutPrefix(rest, "."); ok {
		minor, _ = leadingNumber(after)
	}
	for name, number := range map[string]string{"version_major": major, "version_minor": minor} {
		if number == "" {
			delete(p.ctx.Variables, name)
			p.estimate.hints[name] = fmt.Sprintf("The version %q has no such number, and so there is no variable named %q.", version, name)
			continue
		}
		p.ctx.Variables[name] = cty.StringVal(number)
	}
}

// leadingNumber splits s after the digits it begins with.
func leadingNumber(s string) (number, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(rest)], rest
}
