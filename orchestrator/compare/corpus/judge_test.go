// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/compare"
)

var (
	update = flag.Bool("update", false, "write docs/corpus.md anew")
	keep   = flag.String("keep", "", "a folder to keep the pairs in, for other tools to look at")
)

// sources are the sources of difference by number.
func sources() []string {
	return []string{
		1: "time of compiling (PPA2)", 2: "translator record (IDRL)", 3: "time of binding (IDRB)", 4: "time and user of saving (PMARL)",
		5: "zap and user records (IDRZ, IDRU)", 6: "checksums of pages (IEWPRDT)", 7: "`__DATE__`, `__TIME__`", 8: "build path",
		9: "Id string of the zoslib hook", 10: "members of ar archives", 11: "side-decks", 12: "pax headers", 13: ".Z streams",
		14: "headers of gzip, zip, wheels", 15: ".pyc headers", 16: "RPM headers", 17: "dumps of the configuration",
		18: "names from PID, RANDOM, mktemp", 19: "order of reading folders", 20: "locale and time zone", 21: "number of processors",
		22: "machine level", 23: "dependencies", 24: "encodings and tags", 25: "stamps of product releases", 26: "section names from source names",
	}
}

// cases are the kinds of tampering by letter, which must never be excused.
func cases() []string {
	return []string{
		"a changed instruction beside changed time stamps", "setuid", "APF or program control", "a file tag", "the target of a link",
		"a member added or missing", "two members of one name", "data behind the end", "bytes in padding or between sections",
		"another compiler in identification records", "a zap record", "the same text in another code page", "a PPA2 date that is none",
		"a time outside its window", "a rule that reaches too far",
	}
}

// The kinds of tampering.
const (
	instruction = 'a' + iota
	setuid
	authorised
	fileTag
	linkTarget
	memberSet
	twice
	behindEnd
	inPadding
	otherCompiler
	zap
	codePage
	noDate
	outside
	farRule
)

// pair is two artifacts with one planted difference, or none.
type pair struct {
	name string
	// sources are numbers of sources, tampering the letter of a kind; a pair with
	// neither has nothing wrong.
	sources   []int
	tampering rune
	// tools are programs that must be installed.
	tools []string
	plant func(w *workshop) (a, b compare.Input)
	// known changes what is known of the repeats.
	known func(k *compare.Known)
	// allowed are the tiers allowed; nil allows all.
	allowed []compare.Tier
	rules   []compare.Rule
	want    want
}

// want is the correct answer.
type want struct {
	outcome compare.Outcome
	tier    compare.Tier
	label   label
}

// label describes a finding that must be present; without fields, there must be no
// finding.
type label struct {
	// path is the end of the finding's path, fields are the acceptable fields.
	path   string
	fields []string
	// says are words that cause or evidence must contain; a and b are words that
	// the values must contain.
	says, a, b string
}

// in restricts a label to a path.
func (l label) in(path string) label {
	l.path = path
	return l
}

// reads adds values to a label.
func (l label) reads(a, b string) label {
	l.a, l.b = a, b
	return l
}

// named returns the label of a field, or of alternatives separated by "|".
func named(field, says string) label {
	return label{fields: strings.Split(field, "|"), says: says}
}

func same() want { return want{outcome: compare.Identical} }

func masked(t compare.Tier, l label) want { return want{compare.Equivalent, t, l} }

func told(l label) want { return want{compare.Different, compare.Forbidden, l} }

// fits reports whether a finding matches the label; swapped means that the sides
// are swapped.
func (l label) fits(f compare.Finding, swapped bool) bool {
	a, b := l.a, l.b
	if swapped {
		a, b = b, a
	}
	about := strings.ToLower(f.Cause + " | " + f.Evidence)
	return slices.ContainsFunc(l.fields, func(x string) bool { return strings.EqualFold(x, f.Field) }) && strings.HasSuffix(f.Path, l.path) &&
		strings.Contains(about, strings.ToLower(l.says)) && strings.Contains(f.A, a) && strings.Contains(f.B, b)
}

// answer is the comparator's answer for a pair.
type answer struct {
	skipped, verdict, label bool // skipped, or which parts are right
	outcome, field          string
	excused                 bool // tampering was not reported as different
}

// judge compares a pair both ways round.
func judge(t *testing.T, p pair) answer {
	w := newWorkshop(t)
	if p.known != nil {
		p.known(&w.known)
	}
	a, b := p.plant(w)
	if *keep != "" {
		keepPair(t, filepath.Join(*keep, strings.ReplaceAll(p.name, "/", "_")), a, b)
	}
	out := answer{verdict: true, label: true}
	for _, swapped := range []bool{false, true} {
		k, left, right := w.known, a, b
		if swapped {
			k.A, k.B, left, right = k.B, k.A, b, a
		}
		allowed := p.allowed
		if allowed == nil {
			allowed = []compare.Tier{compare.Container, compare.Header, compare.Stamp}
		}
		v, err := compare.Archives(t.Context(), left, right, compare.Options{Allowed: allowed, Known: k, Rules: p.rules, Workdir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		verdict := v.Outcome == p.want.outcome && v.Tier == p.want.tier
		at := slices.IndexFunc(v.Findings, func(f compare.Finding) bool { return p.want.label.fits(f, swapped) })
		fits := at >= 0 || len(p.want.label.fields) == 0 && len(v.Findings) == 0
		if !verdict || !fits {
			t.Logf("%s: %s of tier %s (%s); want %s of tier %s with %+v", p.name, v.Outcome, v.Tier, v.Reason, p.want.outcome, p.want.tier, p.want.label)
			for _, f := range v.Findings {
				t.Logf("  %s %s: %q %q tier %s: %s (%s)", f.Path, f.Field, f.A, f.B, f.Tier, f.Cause, f.Evidence)
			}
		}
		out.verdict, out.label = out.verdict && verdict, out.label && fits
		out.excused = out.excused || p.tampering != 0 && v.Outcome != compare.Different && v.Outcome != compare.Incomparable
		if swapped {
			continue
		}
		out.outcome = v.String()
		if len(v.Findings) > 0 {
			out.field = v.Findings[max(at, 0)].Field
		}
	}
	return out
}

// keepPair writes both artifacts of a pair to a folder.
func keepPair(t *testing.T, dir string, a, b compare.Input) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]compare.Input{"a": a, "b": b} {
		if in.Open == nil {
			continue
		}
		r, err := in.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), body, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// right is the minimum share of right answers, in percent.
const right = 95

func TestCorpus(t *testing.T) {
	all := pairs()
	checkCorpus(t, all)
	answers := make([]answer, len(all))
	t.Run("pairs", func(t *testing.T) {
		for i, p := range all {
			answers[i].skipped = true
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				need(t, p.tools)
				answers[i] = judge(t, p)
				if answers[i].excused {
					t.Errorf("tampering is excused: %s", answers[i].outcome)
				}
			})
		}
	})
	if t.Failed() && *update {
		t.Fatal("docs/corpus.md is not written after a failure")
	}
	ran, verdicts, labels := 0, 0, 0
	for _, a := range answers {
		if a.skipped {
			continue
		}
		ran++
		verdicts += count(a.verdict)
		labels += count(a.label)
	}
	t.Logf("%d pairs, %d judged: %d verdicts and %d labels right", len(all), ran, verdicts, labels)
	if 100*verdicts < right*ran || 100*labels < right*ran {
		t.Errorf("of %d pairs, %d verdicts and %d labels are right; want %d %% of both", ran, verdicts, labels, right)
	}
	// With only some pairs, chosen by -run, the table is not checked.
	if ran > 0 && flag.Lookup("test.run").Value.String() == "" {
		table(t, all, answers)
	}
}

func count(ok bool) int {
	if ok {
		return 1
	}
	return 0
}

// checkCorpus checks that the corpus covers every source and every kind of
// tampering.
func checkCorpus(t *testing.T, all []pair) {
	t.Helper()
	names, bySource, byCase, clean := map[string]bool{}, map[int]int{}, map[rune]int{}, 0
	for _, p := range all {
		if names[p.name] {
			t.Errorf("there are two pairs %q", p.name)
		}
		names[p.name] = true
		for _, s := range p.sources {
			bySource[s]++
		}
		switch {
		case p.tampering != 0:
			byCase[p.tampering]++
		case len(p.sources) == 0:
			clean++
		}
		if p.tampering != 0 && p.want.outcome != compare.Different {
			t.Errorf("%s: tampering is different, whatever else", p.name)
		}
	}
	for i := 1; i < len(sources()); i++ {
		if bySource[i] == 0 {
			t.Errorf("no pair for source %d: %s", i, sources()[i])
		}
	}
	for i, c := range cases() {
		if byCase['a'+rune(i)] == 0 {
			t.Errorf("no pair for the case %q", c)
		}
	}
	if len(all) < 75 || clean < 5 {
		t.Errorf("%d pairs, %d of them with nothing wrong: too few", len(all), clean)
	}
}

// groups are the three kinds of pairs.
func groups() []string {
	return []string{"Sources of difference", "Tampering", "Nothing wrong"}
}

func (p pair) group() int {
	switch {
	case p.tampering != 0:
		return 1
	case len(p.sources) > 0:
		return 0
	}
	return 2
}

// from names what was planted, for the table.
func (p pair) from() string {
	if p.tampering != 0 {
		return string(p.tampering)
	}
	var out []string
	for _, s := range p.sources {
		out = append(out, strconv.Itoa(s))
	}
	return strings.Join(out, ", ")
}

// row is the line of a pair in the table.
func row(number int, p pair, a answer) string {
	verdict := map[bool]string{true: "yes", false: "**no**"}
	return fmt.Sprintf("| %d | %s | %s | %s | %s | %s | %s |\n", number, p.name, p.from(), a.outcome, code(a.field), verdict[a.verdict], verdict[a.label])
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// table compares the answers with docs/corpus.md, or writes that page. A skipped
// pair keeps its line.
func table(t *testing.T, all []pair, answers []answer) {
	t.Helper()
	golden := filepath.Join("..", "..", "..", "docs", "corpus.md")
	before, err := os.ReadFile(golden)
	if err != nil && (!*update || !errors.Is(err, fs.ErrNotExist)) {
		t.Fatal(err)
	}
	rows := make([]string, len(all))
	for i, p := range all {
		rows[i] = row(i+1, p, answers[i])
		if answers[i].skipped {
			rows[i] = oldRow(string(before), i+1, p)
		}
	}
	text := document(all, rows)
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil { //nolint:gosec // a page for everyone
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(before), text); d != "" {
		t.Errorf("docs/corpus.md says something else (-page +now), run with -update if that is meant:\n%s", d)
	}
}

// oldRow is a pair's line in the page, with its current number.
func oldRow(page string, number int, p pair) string {
	for lines := bufio.NewScanner(strings.NewReader(page)); lines.Scan(); {
		if f := strings.Split(lines.Text(), " | "); len(f) == 7 && f[1] == p.name {
			return fmt.Sprintf("| %d | %s\n", number, strings.Join(f[1:], " | "))
		}
	}
	return fmt.Sprintf("| %d | %s | %s | not judged yet | | | |\n", number, p.name, p.from())
}

// document is docs/corpus.md.
func document(all []pair, rows []string) string {
	var out strings.Builder
	out.WriteString(preface)
	out.WriteString("| | pairs | right verdict | right label |\n|---|---|---|---|\n")
	for g, name := range groups() {
		n, verdicts, labels := 0, 0, 0
		for i, p := range all {
			if p.group() != g {
				continue
			}
			n++
			if f := strings.Split(strings.TrimSuffix(rows[i], " |\n"), " | "); len(f) == 7 {
				verdicts += count(f[5] == "yes")
				labels += count(f[6] == "yes")
			}
		}
		fmt.Fprintf(&out, "| %s | %d | %d | %d |\n", name, n, verdicts, labels)
	}
	fmt.Fprintf(&out, "\n## What was planted\n\n| | source of difference |\n|---|---|\n")
	for i, s := range sources()[1:] {
		fmt.Fprintf(&out, "| %d | %s |\n", i+1, s)
	}
	fmt.Fprintf(&out, "\n| | tampering |\n|---|---|\n")
	for i, c := range cases() {
		fmt.Fprintf(&out, "| %c | %s |\n", 'a'+i, c)
	}
	for g, name := range groups() {
		fmt.Fprintf(&out, "\n## %s\n\n| no. | pair | planted | verdict | label | verdict right | label right |\n|---|---|---|---|---|---|---|\n", name)
		for i, p := range all {
			if p.group() == g {
				out.WriteString(rows[i])
			}
		}
	}
	return out.String()
}

const preface = `# The corpus of planted differences

The comparator is examined on pairs of artifacts in which one difference was planted, or none. For each, the verdict and
the finding that a careful person would want to read were written down beforehand, from [verdicts](verdicts.md). Each
pair is compared both ways round. A verdict is right if its outcome and its highest tier are; a label if there is a finding with
that field, and with a cause, evidence and values that say what was planted.

Pairs are made by the tests of ` + "`orchestrator/compare/corpus`" + `, with real compilers, archivers and scripts under two sets of
conditions. This page is written by ` + "`go test ./orchestrator/compare/corpus -update`" + `. The tests fail below 95 % of right answers,
and at any tampering that is not told as different, whatever the score.

`
