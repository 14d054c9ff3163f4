// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"regexp"
	"strings"

	"github.com/zfarm/zfarm/plugins"
)

// maxStops bounds how many stopped targets are kept.
const maxStops = 100

// rootMark begins the line in which [TestScript] prints its folder.
const rootMark = "zfarm-testing-in "

// TestScript returns a script that runs a test command of one or several shell
// words, so that [Log] and [CollectScript] read this test run and no earlier
// one. The script exits with the status of the command.
func TestScript(command string) string {
	return "find . -type f -name '*.trs' -exec rm -f {} +\n" +
		"printf '" + rootMark + "%s\\n' \"$(pwd -P)\"\n" +
		command + "\n"
}

// Log reads the output of a test run of make as it is written: tests in TAP,
// tests in lines such as "PASS: name" (automake, DejaGnu), and the targets at
// which make stopped. The folder that make was in qualifies the names.
type Log struct {
	lines   lines
	message *regexp.Regexp
	stop    *regexp.Regexp
	root    string
	dirs    []string
	tap     *tap
	words   []plugins.Case
	stops   []string
	// missing are the targets for which make has no rule.
	missing []string
}

// NewLog returns a Log that has read nothing.
func NewLog() *Log {
	l := &Log{
		message: regexp.MustCompile(`^\S*make(?:\[\d+\])?: (.*)$`),
		stop:    regexp.MustCompile(`^\*\*\* \[(?:.*: )?([^\]]+)\] `),
		tap:     newTAP(false),
	}
	l.lines.each = l.line
	return l
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) { return l.lines.Write(p) }

func (l *Log) line(s string) {
	if strings.Contains(s, "make") { // most lines need not be matched then
		if m := l.message.FindStringSubmatch(s); m != nil {
			l.make(m[1])
			return
		}
	}
	if root, ok := strings.CutPrefix(s, rootMark); ok && l.root == "" {
		l.root = root
		return
	}
	l.tap.dir = l.dir()
	l.tap.line(s)
	word, name, ok := strings.Cut(s, ": ")
	if !ok {
		return
	}
	o, ok := outcome(word)
	if name = strings.TrimSpace(name); !ok || name == "" || isNumber(name) || len(l.words) > plugins.MaxCases {
		return // "PASS: 12" is a total
	}
	l.words = append(l.words, plugins.Case{Name: plugins.Line(qualify(l.dir(), name), plugins.MaxName), Outcome: o})
}

// dir returns the folder that make is in, relative to the root of the test
// run; "" for the root, or a folder not below it.
func (l *Log) dir() string {
	if len(l.dirs) == 0 || l.root == "" {
		return ""
	}
	dir, ok := strings.CutPrefix(l.dirs[len(l.dirs)-1], strings.TrimSuffix(l.root, "/")+"/")
	if !ok {
		return ""
	}
	return dir
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// make reads a message of make.
func (l *Log) make(text string) {
	if dir, ok := strings.CutPrefix(text, "Entering directory "); ok {
		if len(l.dirs) < 100 {
			l.dirs = append(l.dirs, strings.Trim(dir, "'`\""))
		}
		return
	}
	if strings.HasPrefix(text, "Leaving directory ") {
		if len(l.dirs) > 0 {
			l.dirs = l.dirs[:len(l.dirs)-1]
		}
		return
	}
	if m := l.stop.FindStringSubmatch(text); m != nil && len(l.stops) < maxStops {
		l.stops = append(l.stops, qualify(l.dir(), m[1]))
		return
	}
	if target, ok := strings.CutPrefix(text, "*** No rule to make target "); ok && len(l.missing) < maxStops {
		target, _, _ = strings.Cut(strings.TrimLeft(target, "'`\""), "'")
		l.missing = append(l.missing, target)
	}
}

// qualify puts the folder before a name, which is text and not a path.
func qualify(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// End ends the output and returns the tests in it and their format: "tap" if
// there was a plan, else "make"; "" if no test is named.
func (l *Log) End() ([]plugins.Case, string, error) {
	l.lines.end()
	streams := l.tap.end()
	format := ""
	var out cases
	told := false
	for _, w := range l.words {
		told = told || w.Outcome != plugins.Errored // other programs print "ERROR: ", too
	}
	if told {
		format = "make"
		out.addAll(l.words)
	}
	switch {
	case l.tap.planned:
		format = "tap"
		out.addAll(streams)
	case !told && l.tap.numbered:
		format = "make"
		out.addAll(streams)
	}
	return out.list, format, out.err()
}

func (c *cases) addAll(list []plugins.Case) {
	for _, t := range list {
		c.add(t)
	}
}

// Stops returns the targets at which make stopped, without those that only run
// tests: it returns what had to be made for the tests and could not be. At
// most 100.
func (l *Log) Stops() []string {
	var stops []string
	for _, s := range l.stops {
		target := s[strings.LastIndexByte(s, '/')+1:]
		if !forTests(target) {
			stops = append(stops, s)
		}
	}
	return stops
}

// forTests reports whether an automake target of that name fails because a
// test did.
func forTests(target string) bool {
	for _, name := range []string{"check", "test", "tests", "all"} {
		if target == name || strings.HasPrefix(target, name+"-") {
			return true
		}
	}
	for _, end := range []string{".log", ".trs", "-recursive", "-am", "-check", "-test", "-tests"} {
		if strings.HasSuffix(target, end) {
			return true
		}
	}
	return false
}

// NoRule reports whether make has no rule for the target.
func (l *Log) NoRule(target string) bool {
	for _, m := range l.missing {
		if m == target {
			return true
		}
	}
	return false
}
