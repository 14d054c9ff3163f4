// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/nearest"
	"github.com/zfarm/zfarm/recipes/schema"
)

// Bounds on the rules of a recipe, in bytes unless stated otherwise.
const (
	maxRules    = 32
	maxPattern  = 1 << 10
	maxProgram  = 2000 // instructions of a compiled pattern, which determine the cost of matching
	maxReason   = 200
	minLiterals = 4 // characters in every match, outside the group
)

// rules reads the rules for the comparison, whose order has no meaning.
func (p *parser) rules(b *block, tiers []int) []recipes.Rule {
	var all []recipes.Rule
	seen := make(map[string]bool)
	for _, src := range b.each("rule", 1) {
		name := src.Labels[0]
		if p.checkRule(src.LabelRanges[0], name) && seen[name] {
			p.errorf(src.LabelRanges[0], "Rule given twice", "There is a rule %q already. Remove one of the two, or give it another name.", name)
		}
		seen[name] = true
		all = append(all, p.rule(src, tiers))
	}
	slices.SortFunc(all, func(a, b recipes.Rule) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// checkRule requires a name that can follow "rule." in the field of a finding.
func (p *parser) checkRule(at hcl.Range, name string) bool {
	if isPlainName(name, "", ".-", maxName) && strings.ToLower(name) == name {
		return true
	}
	p.errorf(at, "Invalid name of a rule", "A rule's name is made of lower-case letters, digits, . and -, begins with a letter or digit, and has 64 characters at most, as in \"perl.configured\".")
	return false
}

func (p *parser) rule(src *hclsyntax.Block, tiers []int) recipes.Rule {
	b := p.open(src, shape{args: []schema.Attribute{
		{Name: "format", Type: "string", Required: true}, {Name: "path", Type: "string"}, {Name: "field", Type: "string"},
		{Name: "pattern", Type: "string"}, {Name: "tier", Type: "number", Required: true}, {Name: "reason", Type: "string", Required: true},
	}})
	r := recipes.Rule{Name: src.Labels[0]}
	r.Format = b.ruleFormat()
	r.Path = b.rulePath()
	r.Field = b.ruleField(r.Format)
	r.Pattern = b.rulePattern(r.Format)
	r.Tier = b.ruleTier(tiers)
	if s, ok := b.line("reason", maxReason); ok {
		if r.Reason = s; len(s) > maxReason {
			p.errorf(b.at("reason"), "Invalid text", "The reason has %d bytes; at most %d are kept beside a difference.", len(s), maxReason)
		}
	}
	return r
}

func (b *block) ruleFormat() string {
	s, ok := b.text("format")
	known := []string{"text", "json", "bytes"}
	if ok && !slices.Contains(known, s) {
		b.p.errorf(b.at("format"), "Unknown format", "A rule is for \"text\", \"json\" or \"bytes\", not for %q.%s", s, nearest.Hint(s, known))
	}
	return s
}

// rulePath returns a glob over the path of one member. Unlike the globs of the
// package block it does not cross folders: a rule is for files that its author
// has seen.
func (b *block) rulePath() string {
	s, ok := b.text("path")
	if !ok || s == "" {
		return ""
	}
	_, err := path.Match(s, "")
	switch {
	case err != nil:
		b.p.errorf(b.at("path"), "Invalid pattern", "The pattern %q has a bracket or backslash without its other half.", s)
	case strings.Contains(s, "**"):
		b.p.errorf(b.at("path"), "Invalid pattern", "The path of a rule has one * for each folder, as in \"lib/perl5/*/Config.pm\"; ** does not cross folders here.")
	case len(s) > 500 || strings.ContainsFunc(s, unprinted):
		b.p.errorf(b.at("path"), "Invalid pattern", "The path of a rule has 500 bytes at most, and no newline or other character that is not printed.")
	case strings.HasPrefix(s, "/") || slices.Contains(strings.Split(s, "/"), "..") || path.Clean(s) != s:
		b.p.errorf(b.at("path"), "Invalid pattern", "The path of a rule is relative to the package's first folder, such as \"lib/perl5/*/Config.pm\", without .. and without doubled or trailing slashes.")
	}
	return s
}

func unprinted(r rune) bool { return !unicode.IsPrint(r) }

// ruleField returns a JSON pointer (RFC 6901) to one value; only rules for
// JSON have one.
func (b *block) ruleField(format string) string {
	s, ok := b.text("field")
	switch {
	case !ok && format == "json":
		b.p.errorf(b.at("field"), "Missing field", "A rule for \"json\" says which value may differ: field = \"/release/date\".")
	case !ok:
	case format == "text" || format == "bytes":
		b.p.errorf(b.at("field"), "Field without JSON", "Only a rule for \"json\" has a field. Say with \"pattern\" what may differ.")
	case !strings.HasPrefix(s, "/"):
		b.p.errorf(b.at("field"), "Invalid field", "A field is a JSON pointer and begins with a slash, as in \"/release/date\"; elements of lists are numbers from 0, as in \"/0/date\".")
	case len(s) > 500 || strings.ContainsFunc(s, unprinted):
		b.p.errorf(b.at("field"), "Invalid field", "A field has 500 bytes at most, and no newline or other character that is not printed.")
	case strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(s), "~"):
		b.p.errorf(b.at("field"), "Invalid field", "In a JSON pointer, write ~0 for ~ and ~1 for a slash within a name.")
	}
	return s
}

func (b *block) ruleTier(tiers []int) int {
	n, ok := b.count("tier", 0, 2)
	if ok && !slices.Contains(tiers, n) {
		b.p.errorf(b.at("tier"), "Tier not allowed", "The rule counts as tier %d, which a release may not carry. Add %d to \"tiers\" of the reproduce block, or leave the rule out.", n, n)
	}
	return n
}

// rulePattern returns an expression that pins down a place, with one group for
// what may differ there.
func (b *block) rulePattern(format string) string {
	s, ok := b.text("pattern")
	if !ok {
		if format == "text" || format == "bytes" {
			b.p.errorf(b.at("pattern"), "Missing pattern", "A rule for %q says what may differ: an expression with one group, as in \"^cf_time='(.*)'$\".", format)
		}
		return ""
	}
	if why := faultOfPattern(s, format); why != "" {
		b.p.errorf(b.at("pattern"), "Invalid pattern", "%s", why)
	}
	return s
}

// faultOfPattern returns what is wrong with a pattern; "" if nothing is.
func faultOfPattern(s, format string) string {
	if len(s) > maxPattern {
		return fmt.Sprintf("A pattern may have %d bytes at most. Match less around what differs, or write several rules.", maxPattern)
	}
	if strings.ContainsFunc(s, unprinted) {
		return `The pattern holds a newline, a tab or another character that is not printed. A pattern sees one line; write a tab as \\t, another character as \\x{202e}.`
	}
	compiled, err := regexp.Compile(s)
	if err != nil {
		return "This is no RE2 expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ") + ". Backslashes are doubled in a string, and what is meant literally has one before it."
	}
	switch n := compiled.NumSubexp(); {
	case n == 0:
		return "A pattern has exactly one group, which is what may differ; this one has none. Put ( ) around what may differ."
	case n > 1:
		return fmt.Sprintf("A pattern has exactly one group, which is what may differ; this one has %d. Write (?: ) for the others, or several rules.", n)
	}
	parsed, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return "This is no RE2 expression: " + err.Error() + "."
	}
	if program, err := syntax.Compile(parsed.Simplify()); err != nil || len(program.Inst) > maxProgram {
		return "The pattern takes too long to match, because of large repetitions such as {1000}. Write + or smaller ones."
	}
	if !groupAlwaysMatches(parsed) {
		return "The group is within a repetition or an alternative, so that it can match several times or not at all. Put the repetition or the alternative inside the group."
	}
	if n := literals(parsed); (format == "text" || format == "bytes") && n < minLiterals {
		return fmt.Sprintf("The rule could hide anything: of what stands outside the group, %d characters are certain, blanks not counted. Write at least %d that stand before or behind what differs, as in \"^cf_time='(.*)'$\".", n, minLiterals)
	}
	return ""
}

// groupAlwaysMatches reports whether the group of re is matched exactly once in
// every match.
func groupAlwaysMatches(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpCapture:
		return true
	case syntax.OpConcat:
		return slices.ContainsFunc(re.Sub, groupAlwaysMatches)
	default:
		return false
	}
}

// literals counts the characters that are in every match of re, outside its
// group. It does not count blanks, because most lines have some.
func literals(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		n := 0
		for _, r := range re.Rune {
			if !unicode.IsSpace(r) {
				n++
			}
		}
		return n
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			n += literals(sub)
		}
		return n
	case syntax.OpAlternate:
		least := maxPattern
		for _, sub := range re.Sub {
			least = min(least, literals(sub))
		}
		return least
	case syntax.OpPlus:
		return literals(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * literals(re.Sub[0])
	default: // the group, classes, and anything optional
		return 0
	}
}
