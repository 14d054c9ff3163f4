// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/zfarm/zfarm/workers/codepage"
)

// Explain writes everything that r means, defaults included, for people. The
// same recipe always gives the same bytes.
func Explain(r *Recipe, w io.Writer) error {
	d, err := r.Digest()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	e := explanation{tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)}
	e.head("%s %s: %s", r.Port, r.Version, r.Summary)
	e.line("recipe", "%s", d)
	e.line("licence", "%s", r.Licence)
	e.line("homepage", "%s", r.Homepage)
	e.line("categories", "%s", strings.Join(r.Categories, ", "))
	e.identity(r.Identity)
	for i, s := range r.Sources {
		e.source(i+1, s)
	}
	e.needs(r.Needs, r.Tools, r.Worker)
	e.head("Build by the plugin %s", r.Build.Plugin)
	e.line("each step", "at most %s", hours(r.Build.Limit))
	e.block(r.Build.Block)
	for _, t := range r.Tests {
		e.test(t)
	}
	e.pack(r.Package)
	e.reproduce(r.Reproduce)
	if err := e.table.Flush(); err != nil {
		return fmt.Errorf("explaining %s %s: %w", r.Port, r.Version, err)
	}
	_, err = w.Write(bytes.TrimPrefix(b.Bytes(), []byte("\n")))
	return err
}

// explanation writes headings, and below them lines of a word and its
// explanation.
type explanation struct{ table *tabwriter.Writer }

// head and line write to a buffer, which cannot fail; Flush reports other
// errors.
func (e explanation) head(format string, args ...any) {
	_, _ = fmt.Fprintf(e.table, "\n%s\n", codepage.Line(fmt.Sprintf(format, args...), 0))
}

func (e explanation) line(word, format string, args ...any) {
	_, _ = fmt.Fprintf(e.table, "  %s\t%s\n", codepage.Line(word, 0), codepage.Line(fmt.Sprintf(format, args...), 0))
}

// list writes a line for each item, with the word before the first.
func (e explanation) list(word, none string, items []string) {
	if len(items) == 0 && none != "" {
		e.line(word, "%s", none)
	}
	for _, s := range items {
		e.line(word, "%s", s)
		word = ""
	}
}

func (e explanation) identity(id Identity) {
	if id.PURL == "" && len(id.CPEs) == 0 && id.Upstream == "" {
		return
	}
	e.head("Known to vulnerability data bases as")
	e.list("package URL", "", nonempty(id.PURL))
	e.list("CPE", "", id.CPEs)
	e.list("upstream", "", nonempty(id.Upstream))
}

func nonempty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func (e explanation) source(number int, s Source) {
	e.head("Source %d: %s", number, s.FileName())
	e.line("from", "%s", s.URL)
	e.line("pinned to", "%s", s.SHA256)
	e.line("unpacked into", "%s", cmp.Or(s.Into, "the source folder"))
	if sig := s.Signature; sig == nil {
		e.line("signature", "none is checked")
	} else {
		e.line("signature", "%s", sig.URL)
		e.list("by one of", "", sig.Fingerprints)
		e.line("keys", "%s", file(sig.Key))
	}
	var patches []string
	for _, p := range s.Patches {
		patches = append(patches, file(p))
	}
	e.list("patches, in order", "", patches)
}

func file(f File) string { return f.Name + " (" + f.Digest.String() + ")" }

func (e explanation) needs(needs []Need, tools []Tool, w Worker) {
	if len(needs)+len(tools)+len(w.Labels) > 0 || w.System != "" || w.Release != "" {
		e.head("Needs")
	}
	for _, n := range needs {
		e.line("port", "%s, %s, to %s", n.Port, versions(n.Version), strings.Join(n.At, " and to "))
	}
	for _, t := range tools {
		e.line("tool of the worker", "%s, %s", t.Name, versions(t.Version))
	}
	e.list("system of the worker", "", nonempty(w.System))
	e.list("release of the worker", "", nonempty(string(w.Release)))
	e.list("labels of the worker", "", w.Labels)
}

func versions(r Range) string { return cmp.Or(string(r), "any version") }

func (e explanation) test(t Test) {
	e.head("Test by the plugin %s", t.Plugin)
	e.line("each step", "at most %s", hours(t.Limit))
	if t.MinTests > 0 {
		e.line("whole suite", "%d tests or more", t.MinTests)
	} else {
		e.line("whole suite", "any number of tests")
	}
	e.block(t.Block)
	var known []string
	for _, k := range t.KnownFailures {
		known = append(known, k.Name+": "+k.Reason)
	}
	e.list("known failures", "none", known)
}

// block writes the arguments of a plugin as the plugin gets them.
func (e explanation) block(b json.RawMessage) {
	var args map[string]json.RawMessage
	if err := json.Unmarshal(b, &args); err != nil {
		e.line("block", "%s", b)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		e.line(name, "= %s", args[name])
	}
}

func (e explanation) pack(p Package) {
	e.head("Package")
	e.line("prefix", "%s", p.Prefix)
	e.list("with", "", p.Include)
	e.list("without", "", p.Exclude)
}

func (e explanation) reproduce(r Reproduce) {
	e.head("Reproduce")
	e.line("repeats", "%d", r.Repeats)
	e.line("varied", "%s", cmp.Or(strings.Join(texts(r.Vary), ", "), "nothing"))
	tiers := []string{"identical bytes"}
	for _, t := range r.Tiers {
		tiers = append(tiers, "differences of tier "+strconv.Itoa(t)+" ("+tier(t)+")")
	}
	e.list("a release carries", "", tiers)
	for _, rule := range r.Rules {
		e.rule(rule)
	}
}

func (e explanation) rule(r Rule) {
	e.head("Rule %s: %s", r.Name, r.Reason)
	e.line("counts as", "tier %d (%s)", r.Tier, tier(r.Tier))
	e.line("in", "%s, %s", kind(r.Format), cmp.Or(r.Path, "any path"))
	e.list("may differ there", "", nonempty(r.Field))
	e.list("may differ where", "", nonempty(r.Pattern))
}

func kind(format string) string {
	switch format {
	case "text":
		return "text files"
	case "json":
		return "JSON files"
	}
	return "files that are not text"
}

// tier says in short what differs if a verdict is equivalent at tier t.
func tier(t int) string {
	switch t {
	case 0:
		return "order, padding and compression of containers"
	case 1:
		return "times and owners in headers of containers"
	case 2:
		return "build stamps within files"
	}
	return "unknown"
}

// hours formats a limit without trailing zero units.
func hours(d Duration) string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
