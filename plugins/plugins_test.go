// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", " a\t b\r\nc ": "a b c", "\x1b[1;31mred\x1b[0m": "red", "a\x1b]0;t\x07b": "a\uFFFD]0;t\uFFFDb", //nolint:gocritic // white space around the text is what is tested
		"\xff": "\uFFFD", "a\u202Eb": "a\uFFFDb", "\x1b[": "", "\x1b[\nx": "x", "a\u0085b": "a\uFFFDb", "": "",
	} {
		if got := plugins.Line(in, 100); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
	if got := plugins.Line("aé b", 2); got != "a" {
		t.Errorf("cut in a character: %q", got)
	}
	if got := plugins.Line("a b", 2); got != "a" {
		t.Errorf("cut at a space: %q", got)
	}
	if got := plugins.Text("first\n\tsecond\x07", 8); got != "econd\uFFFD" {
		t.Errorf("end of a text: %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b[31m b\n\xff", 5)
	f.Add("\x01", 1)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(0, min(limit, 100))
		line := plugins.Line(s, limit)
		if len(line) > limit || !utf8.ValidString(line) || strings.ContainsAny(line, "\x1b\n\r\t") || plugins.Line(line, limit) != line {
			t.Errorf("Line(%q, %d) = %q", s, limit, line)
		}
		text := plugins.Text(s, limit)
		if len(text) > limit || !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\r\x07") {
			t.Errorf("Text(%q, %d) = %q", s, limit, text)
		}
	})
}

func TestValidType(t *testing.T) {
	for s, want := range map[string]bool{
		"string": true, "number": true, "bool": true, "list(string)": true, "map(list(number))": true, "set(bool)": true,
		"list(map(list(string)))": true, "list(list(list(list(string))))": false,
		"": false, "any": false, "list": false, "list()": false, "list(string": false, "list(string))": false, "string()": false, "map( string)": false,
	} {
		if got := plugins.ValidType(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func FuzzValidType(f *testing.F) {
	f.Add("map(list(string))")
	f.Fuzz(func(t *testing.T, s string) {
		if plugins.ValidType(s) && strings.Count(s, "(") != strings.Count(s, ")") {
			t.Errorf("%q is taken for a type", s)
		}
	})
}

func TestDescriptions(t *testing.T) {
	attribute := func(name, kind, doc string) *plugins.Schema {
		return &plugins.Schema{Attributes: []plugins.Attribute{{Name: name, Type: kind, Doc: doc}}}
	}
	good := attribute("a", "string", "Text.")
	for name, d := range map[string]plugins.Description{
		"no name":      {Version: "1", Builder: good},
		"upper case":   {Name: "Make", Version: "1", Builder: good},
		"no version":   {Name: "a", Builder: good},
		"bad version":  {Name: "a", Version: "1\x1b", Builder: good},
		"nothing":      {Name: "a", Version: "1"},
		"type":         {Name: "a", Version: "1", Builder: attribute("a", "strings", "Text.")},
		"attribute":    {Name: "a", Version: "1", Tester: attribute("a-b", "string", "Text.")},
		"doc":          {Name: "a", Version: "1", Tester: attribute("a", "string", "")},
		"doc of lines": {Name: "a", Version: "1", Tester: attribute("a", "string", "a\nb")},
		"twice": {Name: "a", Version: "1", Tester: &plugins.Schema{Attributes: []plugins.Attribute{
			{Name: "a", Type: "string", Doc: "A."}, {Name: "a", Type: "string", Doc: "A."}}}},
		"many": {Name: "a", Version: "1", Tester: &plugins.Schema{Attributes: make([]plugins.Attribute, plugins.MaxAttributes+1)}},
	} {
		if d.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	d := plugins.Description{Name: "a", Version: "1", Builder: good, Tester: &plugins.Schema{}}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	if (plugins.Plugin{Description: d}).Validate() == nil {
		t.Error("a schema without a builder: accepted")
	}
}

func TestOutputs(t *testing.T) {
	for name, outputs := range map[string][]plugins.Output{
		"none": {}, "twice": {{Dir: "a"}, {Dir: "b"}}, "root": {{Dir: "."}}, "no folder": {{}}, "absolute": {{Dir: "/etc"}},
		"outside": {{Dir: "a/../../b"}}, "unclean": {{Dir: "a//b"}}, "newline": {{Dir: "a\nb"}}, "name": {{Name: "A B", Dir: "a"}},
	} {
		if plugins.ValidateOutputs(outputs) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := plugins.ValidateOutputs([]plugins.Output{{Dir: "stage"}, {Name: "dev", Dir: "stage-dev/x"}}); err != nil {
		t.Error(err)
	}
}

func TestRefuse(t *testing.T) {
	if err := plugins.Refuse(nil); err != nil {
		t.Error(err)
	}
	if err := plugins.Refuse([]plugins.Complaint{{Attribute: "a", Message: "wrong"}}); err == nil || err.Error() != "attribute a: wrong" {
		t.Error(err)
	}
}

// answering is a workspace in which every step ends in the same way.
type answering struct {
	plugins.Workspace
	status workers.Status
	err    error
}

func (a answering) Run(context.Context, workers.Step, io.Writer) (workers.Status, error) {
	return a.status, a.err
}

func TestRun(t *testing.T) {
	step := workers.Step{Name: "make"}
	exited := func(code int) answering { return answering{status: workers.Status{State: workers.Exited, Code: code}} }
	if err := plugins.Run(t.Context(), exited(0), step, nil); err != nil {
		t.Error(err)
	}
	err := plugins.Run(t.Context(), exited(2), step, nil)
	if e, ok := plugins.AsStepError(err); !ok || e.Error() != "step make exited with 2" {
		t.Error(err)
	}
	err = plugins.Run(t.Context(), answering{status: workers.Status{State: workers.Limit}}, step, nil)
	if e, ok := plugins.AsStepError(err); !ok || e.Error() != "step make ended by limit" {
		t.Error(err)
	}
	if err := plugins.Run(t.Context(), answering{err: workers.ErrLost}, step, nil); !errors.Is(err, workers.ErrLost) {
		t.Error(err)
	}
}
