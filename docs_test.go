// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package zfarm_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestLinksLeadSomewhere follows every link of a document to a file of the
// repository, and to a heading in it where the link names one.
func TestLinksLeadSomewhere(t *testing.T) {
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	followed := 0
	for _, name := range sources(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text(t, name), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") { // a web address
				continue
			}
			followed++
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			} else if anchor != "" && (info.IsDir() || !headings(t, file)[anchor]) {
				t.Errorf("%s links to %s: %s has no such heading", name, m[1], file)
			}
		}
	}
	if followed < 50 {
		t.Errorf("only %d links were followed", followed)
	}
}

// headings returns the anchors of a document, as forges make them.
func headings(t *testing.T, file string) map[string]bool {
	t.Helper()
	dropped := regexp.MustCompile("[^a-z0-9 _-]")
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(text(t, file), -1) {
		anchors[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return anchors
}

// TestChangesHaveTheirForm holds the entries that wait for a release against
// changelog/TEMPLATE: a heading of a kind, a blank line, some sentences.
func TestChangesHaveTheirForm(t *testing.T) {
	form := regexp.MustCompile(`\A(Bugfix|Change|Enhancement|Security): [^\n]{3,100}[^\n.]\n\n[^\s][^\0]*[.:]\n\z`)
	entries, err := os.ReadDir("changelog/unreleased")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := "changelog/unreleased/" + e.Name(); path.Ext(name) != ".md" || !form.MatchString(text(t, name)) {
			t.Errorf("%s is not of the form of changelog/TEMPLATE: a line \"Kind: what is so now\" without a full stop, a blank line, sentences", name)
		}
	}
}

// TestEveryDecisionIsListed: the index of decisions names each page, with its
// number, title and date.
func TestEveryDecisionIsListed(t *testing.T) {
	const dir = "docs/decisions/"
	page := regexp.MustCompile(`\A# (\d+)\. ([^\n]+)\n\nDate: (\d{4}-\d\d-\d\d)\n(?s:.*)\n## Context\n(?s:.*)\n## Decision\n(?s:.*)\n## Alternatives\n(?s:.*)\n## Consequences\n`)
	index := text(t, dir+"README.md")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "README.md" {
			continue
		}
		m := page.FindStringSubmatch(text(t, dir+e.Name()))
		if m == nil {
			t.Errorf("%s has not the form of the others: title with a number, date, context, decision, alternatives, consequences", dir+e.Name())
			continue
		}
		if row := "| " + m[1] + " | [" + m[2] + "](" + e.Name() + ") | " + m[3] + " |"; !strings.Contains(index, row) || !strings.HasPrefix(e.Name(), strings.Repeat("0", 4-len(m[1]))+m[1]+"-") {
			t.Errorf("%sREADME.md should have the row %q", dir, row)
		}
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mostLines bounds a file of code: what is longer holds more than one idea.
const mostLines = 500

func TestFilesStayShort(t *testing.T) {
	generated := regexp.MustCompile(`(?m)^// Code generated `)
	for _, name := range sources(t) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		content := text(t, name)
		if n := strings.Count(content, "\n"); n > mostLines && !generated.MatchString(content) {
			t.Errorf("%s has %d lines, more than %d: split it by what it is about", name, n, mostLines)
		}
	}
}

// TestWordsOfTheField keeps names out that only those knew who wrote them. The
// field's word stands beside each.
func TestWordsOfTheField(t *testing.T) {
	instead := map[string]string{
		"carriage": "claim or heldStage", "carryOut": "run", "brooms": "a cleanup lock", "sweepAlone": "a cleanup lock", "mopUp": "cleanUp",
		"relinquish": "release, drain or unlock", "letGo": "release, drain or unlock", "forsake": "FailNeed", "luggage": "upload",
		"enlist": "RegisterLocal", "underway": "BuildRunning", "cancelledThen": "BuildCancelled", "suspect": "quarantine", "ailing": "quarantine",
		"doubted": "quarantine or NotReproduced", "pairOf": "memberPair", "crew": "deps",
	}
	words := map[string]string{}
	for word := range instead {
		words[strings.ToLower(word)] = word
	}
	for _, name := range sources(t) {
		if path.Ext(name) != ".go" {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				if word, banned := words[strings.ToLower(id.Name)]; banned {
					t.Errorf("%s: %s: write %s", set.Position(id.Pos()), word, instead[word])
				}
			}
			return true
		})
	}
}
