// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/nearest"
	"github.com/zfarm/zfarm/recipes/schema"
)

// The bounds on the limit of a step. Some suites take 28 hours on z/OS.
const (
	defaultLimit = 4 * time.Hour
	maxLimit     = 30 * 24 * time.Hour
)

// maxComplaints bounds the complaints of a plugin about one block.
const maxComplaints = 50

// limit is an argument of every build and test block.
func limit() schema.Attribute { return schema.Attribute{Name: "limit", Type: "string"} }

func (p *parser) build(src *hclsyntax.Block) recipes.Build {
	r := recipes.Build{Plugin: src.Labels[0]}
	var b *block
	b, r.Block = p.plugin(KindBuild, src, shape{args: []schema.Attribute{limit()}})
	r.Limit = b.limit()
	return r
}

func (p *parser) test(src *hclsyntax.Block) recipes.Test {
	r := recipes.Test{Plugin: src.Labels[0]}
	var b *block
	b, r.Block = p.plugin(KindTest, src, shape{
		args:   []schema.Attribute{limit(), {Name: "min_tests", Type: "number"}},
		blocks: []nested{{name: "known_failure", labels: 1, most: maxKnownFailures}},
	})
	r.Limit = b.limit()
	r.MinTests, _ = b.count("min_tests", 0, 10_000_000)
	seen := make(map[string]bool)
	for _, s := range b.each("known_failure", 1) {
		in := p.open(s, shape{args: []schema.Attribute{{Name: "reason", Type: "string", Required: true}}})
		k := recipes.KnownFailure{Name: s.Labels[0]}
		k.Reason, _ = in.line("reason", 500)
		p.checkLine(s.LabelRanges[0], "the name of a test", k.Name, 500)
		if seen[k.Name] {
			p.errorf(s.LabelRanges[0], "Known failure given twice", "There is a known_failure block for %q already. Remove one of the two.", k.Name)
		}
		seen[k.Name] = true
		r.KnownFailures = append(r.KnownFailures, k)
	}
	slices.SortFunc(r.KnownFailures, func(a, b recipes.KnownFailure) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// limit returns the limit of a block.
func (b *block) limit() recipes.Duration {
	text, ok := b.text("limit")
	if !ok {
		return recipes.Duration(defaultLimit)
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		b.p.errorf(b.at("limit"), "Invalid limit", "Write hours, minutes and seconds, such as \"3h30m\"; two days are \"48h\".")
	case d < time.Second || d > maxLimit:
		b.p.errorf(b.at("limit"), "Invalid limit", "A step may take from \"1s\" to \"720h\" (30 days).")
	}
	return recipes.Duration(d)
}

// plugin opens a block, whose farm shape is the farm's own part, and decodes
// the rest by the plugin's schema.
func (p *parser) plugin(kind string, src *hclsyntax.Block, farm shape) (*block, json.RawMessage) {
	attrs, ok := p.schema(kind, src)
	if !ok {
		// The plugin's arguments are unknown, so only the farm's are read.
		return p.evaluate(src, farm, nil), nil
	}
	all := shape{args: slices.Concat(farm.args, attrs), blocks: farm.blocks}
	faults := len(p.diags)
	misnamed := p.checkNames(src, all)
	b := p.evaluate(src, farm, misnamed)
	text := b.pluginBlock(attrs, misnamed)
	if len(p.diags) == faults {
		p.reportComplaints(kind, b, text)
	}
	return b, text
}

// schema returns the description of a plugin's block, and reports why there is
// none.
func (p *parser) schema(kind string, src *hclsyntax.Block) ([]schema.Attribute, bool) {
	name, at := src.Labels[0], src.LabelRanges[0]
	attrs, err := p.schemas.Schema(kind, name)
	if err == nil {
		err = schema.Check(attrs)
	}
	if err != nil {
		// Ask for the names only here: it may start every plugin.
		if known := p.schemas.Plugins(kind); !slices.Contains(known, name) {
			p.errorf(at, "Unknown plugin", "There is no plugin named %q that makes a %s.%s", name, kind, nearest.Hint(name, slices.Sorted(slices.Values(known))))
			return nil, false
		}
		p.errorf(at, "Unusable plugin", "The plugin %s cannot say what its block holds: %s.", name, err)
		return nil, false
	}
	return attrs, true
}

// reportComplaints reports what the plugin finds wrong with its block.
func (p *parser) reportComplaints(kind string, b *block, text json.RawMessage) {
	checker, ok := p.schemas.(Checker)
	if !ok {
		return
	}
	complaints := checker.Check(kind, b.src.Labels[0], text)
	for _, c := range complaints[:min(len(complaints), maxComplaints)] {
		message := strings.Join(strings.Fields(c.Message), " ") // one line, so that it cannot imitate a diagnostic of the farm
		if message == "" {
			message = "It does not say why."
		}
		p.errorf(b.complaintRange(c.Attribute), "Refused by the plugin", "The plugin %s does not take this: %s", b.src.Labels[0], message)
	}
}

// complaintRange returns the range of the argument, or element of a list, that a
// plugin names.
func (b *block) complaintRange(path string) hcl.Range {
	m := regexp.MustCompile(`^([a-z0-9_]+)(?:\[([0-9]{1,6})\])?`).FindStringSubmatch(path)
	switch {
	case m == nil:
		return b.src.DefRange()
	case m[2] == "":
		return b.at(m[1])
	}
	i, err := strconv.Atoi(m[2])
	if err != nil {
		return b.at(m[1])
	}
	return b.itemAt(m[1], i)
}
