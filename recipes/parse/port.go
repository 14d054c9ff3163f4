// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/schema"
)

// The most blocks of each kind in a recipe.
const (
	maxBlocks        = 200
	maxTests         = 32
	maxKnownFailures = 10_000
)

func portShape() shape {
	return shape{
		args: []schema.Attribute{
			{Name: "version", Type: "string", Required: true},
			{Name: "summary", Type: "string", Required: true},
			{Name: "licence", Type: "string", Required: true},
			{Name: "homepage", Type: "string", Required: true},
			{Name: "categories", Type: "list(string)", Required: true},
		},
		blocks: []nested{
			{name: "identity", most: 1},
			{name: "source", least: 1, most: maxBlocks},
			{name: "need", labels: 1, most: maxBlocks},
			{name: "tool", labels: 1, most: maxBlocks},
			{name: "worker", most: 1},
			{name: "build", labels: 1, least: 1, most: 1},
			{name: "test", labels: 1, most: maxTests},
			{name: "package", most: 1},
			{name: "reproduce", most: 1},
		},
	}
}

// port reads the whole recipe. It goes on after faults, to report all of them.
// What it returns is valid only if there were none.
func (p *parser) port(src *hclsyntax.Block) *recipes.Recipe {
	r := &recipes.Recipe{}
	if p.checkPort(src.LabelRanges[0], src.Labels[0]) {
		r.Port = src.Labels[0]
	}
	p.variables(src, r.Port)
	b := p.open(src, portShape())
	r.Version, _ = b.text("version")
	r.Summary, _ = b.line("summary", 120)
	r.Licence = b.licence()
	r.Homepage, _ = b.url("homepage", "https", "http")
	r.Categories, _ = b.knownWords("categories", recipes.Categories())
	slices.Sort(r.Categories)
	if b.empty("categories") {
		p.errorf(b.at("categories"), "Invalid categories", "A port is in one category at least. Known are: %s.", strings.Join(recipes.Categories(), ", "))
	}
	for _, s := range b.each("identity", 0) {
		r.Identity = p.identity(s)
	}
	r.Sources = p.sources(b)
	r.Needs = p.needs(b, r.Port)
	r.Tools = p.tools(b)
	for _, s := range b.each("worker", 0) {
		r.Worker = p.worker(s)
	}
	for _, s := range b.each("build", 1) {
		r.Build = p.build(s)
	}
	for _, s := range b.each("test", 1) {
		r.Tests = append(r.Tests, p.test(s))
	}
	r.Package = p.packageBlock(b, r)
	r.Reproduce = p.reproduce(b)
	return r
}

func (p *parser) identity(src *hclsyntax.Block) recipes.Identity {
	b := p.open(src, shape{args: []schema.Attribute{
		{Name: "purl", Type: "string"}, {Name: "cpes", Type: "list(string)"}, {Name: "upstream", Type: "string"},
	}})
	var id recipes.Identity
	if s, ok := b.text("purl"); ok && p.checkPURL(b.at("purl"), s) {
		id.PURL = s
	}
	items, _ := b.items("cpes")
	for _, it := range items {
		if s := it.value.AsString(); p.checkCPE(it.at, s) {
			id.CPEs = append(id.CPEs, s)
		}
	}
	id.CPEs = sortedSet(id.CPEs)
	id.Upstream, _ = b.url("upstream", "https", "http", "git", "ssh")
	return id
}

// sources returns the sources in their order, in which they are unpacked.
func (p *parser) sources(b *block) []recipes.Source {
	var all []recipes.Source
	seen := make(map[string]bool)
	for _, src := range b.each("source", 0) {
		s := p.source(src)
		if s.URL != "" && seen[s.URL] {
			p.errorf(src.DefRange(), "Source given twice", "There is a source with the address %s already. Remove one of them.", s.URL)
		}
		seen[s.URL] = true
		all = append(all, s)
	}
	return all
}

func (p *parser) source(src *hclsyntax.Block) recipes.Source {
	b := p.open(src, shape{
		args: []schema.Attribute{
			{Name: "url", Type: "string", Required: true}, {Name: "sha256", Type: "string", Required: true},
			{Name: "into", Type: "string"}, {Name: "patches", Type: "list(string)"},
		},
		blocks: []nested{{name: "signature", most: 1}},
	})
	var s recipes.Source
	s.URL, _ = b.url("url", "https", "http")
	if s.URL != "" && !isPlainName(s.FileName(), "_", "+._~@=,-", 200) {
		p.errorf(b.at("url"), "Invalid address", "The address must end in the name of a file, by which the source is known: letters, digits, +, ., _, ~, @, = and -.")
	}
	if text, ok := b.text("sha256"); ok {
		s.SHA256, _ = p.sha256(b.at("sha256"), text)
	}
	if text, ok := b.text("into"); ok && text != "" && p.checkInside(b.at("into"), text) {
		s.Into = text
	}
	items, _ := b.items("patches")
	seen := make(map[string]bool)
	for _, it := range items {
		name := it.value.AsString()
		if seen[name] {
			p.errorf(it.at, "Patch given twice", "The patch %q is applied already. Remove one of the two.", name)
			continue
		}
		seen[name] = true
		if f, ok := p.file(it.at, name); ok {
			s.Patches = append(s.Patches, f)
		}
	}
	for _, sig := range b.each("signature", 0) {
		s.Signature = p.signature(sig, s.URL)
	}
	return s
}

func (p *parser) sha256(at hcl.Range, text string) (digest.Digest, bool) {
	if d, err := digest.Parse(text); err == nil && !d.IsZero() {
		return d, true
	}
	hint := ""
	switch len(text) {
	case 32:
		hint = " This looks like an MD5 sum, which pins nothing."
	case 40:
		hint = " This looks like a SHA-1 sum, which pins nothing."
	case 128:
		hint = " This looks like a SHA-512 sum."
	}
	p.errorf(at, "Invalid checksum", "\"sha256\" wants the 64 hexadecimal digits that \"sha256sum\" prints for the file; there are %d characters.%s", len(text), hint)
	return digest.Digest{}, false
}

func (p *parser) signature(src *hclsyntax.Block, of string) *recipes.Signature {
	b := p.open(src, shape{args: []schema.Attribute{
		{Name: "url", Type: "string"}, {Name: "key", Type: "string", Required: true}, {Name: "fingerprints", Type: "list(string)", Required: true},
	}})
	s := &recipes.Signature{URL: of + ".sig"}
	if text, ok := b.url("url", "https", "http"); ok {
		s.URL = text
	}
	if name, ok := b.text("key"); ok {
		if f, ok := p.file(b.at("key"), name); ok && p.checkKey(b.at("key"), f) {
			s.Key = f
		}
	}
	items, _ := b.items("fingerprints")
	if b.empty("fingerprints") {
		p.errorf(b.at("fingerprints"), "Invalid fingerprints", "Name one key at least that may have signed; %s shows them.", showKeys(s.Key.Name))
	}
	for _, it := range items {
		if f, ok := p.fingerprint(it.at, it.value.AsString()); ok {
			s.Fingerprints = append(s.Fingerprints, f)
		}
	}
	s.Fingerprints = sortedSet(s.Fingerprints)
	return s
}

func (p *parser) needs(b *block, port string) []recipes.Need {
	var all []recipes.Need
	for _, src := range b.each("need", 1) {
		n := recipes.Need{Port: src.Labels[0], At: []string{"build"}}
		in := p.open(src, shape{args: []schema.Attribute{{Name: "version", Type: "string"}, {Name: "at", Type: "list(string)"}}})
		n.Version = in.versions("version")
		if at, ok := in.knownWords("at", []string{"build", "run"}); ok {
			n.At = at
		}
		if in.empty("at") {
			p.errorf(in.at("at"), "Invalid need", "Say when %s is needed: at = [\"build\"], [\"run\"] or both.", n.Port)
		}
		switch {
		case !p.checkPort(src.LabelRanges[0], n.Port):
		case n.Port == port:
			p.errorf(src.LabelRanges[0], "Invalid need", "A port cannot need itself. A program that the worker must have already is a tool block.")
		case slices.ContainsFunc(all, func(x recipes.Need) bool { return x.Port == n.Port }):
			p.errorf(src.LabelRanges[0], "Need given twice", "There is a need block for %s already. Put both into one.", n.Port)
		default:
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b recipes.Need) int { return strings.Compare(a.Port, b.Port) })
	return all
}

func (p *parser) tools(b *block) []recipes.Tool {
	var all []recipes.Tool
	for _, src := range b.each("tool", 1) {
		t := recipes.Tool{Name: src.Labels[0]}
		in := p.open(src, shape{args: []schema.Attribute{{Name: "version", Type: "string"}}})
		t.Version = in.versions("version")
		switch {
		case !p.checkTool(src.LabelRanges[0], t.Name):
		case slices.ContainsFunc(all, func(x recipes.Tool) bool { return x.Name == t.Name }):
			p.errorf(src.LabelRanges[0], "Tool given twice", "There is a tool block for %s already. Put both into one.", t.Name)
		default:
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b recipes.Tool) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (p *parser) worker(src *hclsyntax.Block) recipes.Worker {
	b := p.open(src, shape{args: []schema.Attribute{
		{Name: "labels", Type: "list(string)"}, {Name: "system", Type: "string"}, {Name: "release", Type: "string"},
	}})
	w := recipes.Worker{Labels: p.workerLabels(b), Release: b.versions("release")}
	if s, ok := b.text("system"); ok && p.checkSystem(b.at("system"), s) {
		w.System = s
	}
	return w
}

func (p *parser) workerLabels(b *block) []string {
	items, _ := b.items("labels")
	var labels []string
	seen := make(map[string]string)
	for _, it := range items {
		label := it.value.AsString()
		if !p.checkLabel(it.at, label) {
			continue
		}
		name, _, _ := strings.Cut(label, "=")
		switch other, ok := seen[name]; {
		case ok && other == label:
			p.errorf(it.at, "Label given twice", "The label %q is asked for already. Remove one of the two.", label)
			continue
		case ok:
			p.errorf(it.at, "Label given twice", "The label %s is asked for as %q already, and a worker has a label once. Remove one of the two.", name, other)
			continue
		}
		seen[name] = label
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return labels
}

// packageBlock returns the package block, with defaults for an absent block or
// argument.
func (p *parser) packageBlock(port *block, r *recipes.Recipe) recipes.Package {
	k := recipes.Package{Prefix: "/opt/zfarm/" + r.Port + "/" + r.Version, Include: []string{"**"}}
	for _, src := range port.each("package", 0) {
		b := p.open(src, shape{args: []schema.Attribute{
			{Name: "prefix", Type: "string"}, {Name: "include", Type: "list(string)"}, {Name: "exclude", Type: "list(string)"},
		}})
		if s, ok := b.text("prefix"); ok && p.checkPrefix(b.at("prefix"), s) {
			k.Prefix = s
		}
		if globs, ok := b.globs("include"); ok {
			k.Include = globs
		}
		if b.empty("include") {
			p.errorf(b.at("include"), "Empty package", "Nothing would be in the package. Leave \"include\" out to have everything in it.")
		}
		k.Exclude, _ = b.globs("exclude")
	}
	return k
}

func (p *parser) reproduce(port *block) recipes.Reproduce {
	r := recipes.Reproduce{Repeats: 2, Vary: recipes.Variations(), Tiers: []int{0}}
	for _, src := range port.each("reproduce", 0) {
		b := p.open(src, shape{
			args:   []schema.Attribute{{Name: "repeats", Type: "number"}, {Name: "vary", Type: "list(string)"}, {Name: "tiers", Type: "list(number)"}},
			blocks: []nested{{name: "rule", labels: 1, most: maxRules}},
		})
		if n, ok := b.count("repeats", 2, 16); ok {
			r.Repeats = n
		}
		if vary, ok := b.variations("vary"); ok {
			r.Vary = vary
		}
		if items, ok := b.items("tiers"); ok {
			r.Tiers = []int{}
			for _, it := range items {
				if n, ok := p.wholeNumber(it.at, "tiers", it.value, 0, 2); ok {
					r.Tiers = append(r.Tiers, n)
				}
			}
			slices.Sort(r.Tiers)
			r.Tiers = slices.Compact(r.Tiers)
		}
		r.Rules = p.rules(b, r.Tiers)
	}
	return r
}

// variations returns an argument that is a list of variations, each once and
// in the order of recipes.Variations.
func (b *block) variations(name string) ([]recipes.Variation, bool) {
	items, ok := b.items(name)
	if !ok {
		return nil, false
	}
	given := make(map[recipes.Variation]bool)
	for _, it := range items {
		v, err := recipes.ParseVariation(it.value.AsString())
		if err != nil && !b.p.full() {
			b.p.errorf(it.at, "Unknown word", "%s", upperFirst(err.Error()))
		}
		given[v] = true
	}
	all := []recipes.Variation{}
	for _, v := range recipes.Variations() {
		if given[v] {
			all = append(all, v)
		}
	}
	return all, true
}

// sortedSet returns a list without repetitions and sorted, because its order has no
// meaning.
func sortedSet(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
