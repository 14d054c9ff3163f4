// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/zfarm/zfarm/recipes/schema"
)

func TestCheck(t *testing.T) {
	many := make([]schema.Attribute, schema.MaxAttributes+1)
	for i := range many {
		many[i] = schema.Attribute{Name: fmt.Sprintf("a%d", i), Type: "string"}
	}
	tests := []struct {
		name  string
		attrs []schema.Attribute
		want  []string // parts of the error; none means no error
	}{
		{"none", nil, nil},
		{"primitive", []schema.Attribute{{Name: "a", Type: "string"}, {Name: "b_2", Type: "number"}, {Name: "c", Type: "bool"}}, nil},
		{"composed", []schema.Attribute{{Name: "a", Type: "list(map(set(number)))"}, {Name: "b", Type: "object({x = tuple([string, bool])})"}}, nil},
		{"as many as allowed", many[1:], nil},
		{"too many", many, []string{"129 attributes: want at most 128"}},
		{"no name", []schema.Attribute{{Type: "string"}}, []string{"without a name"}},
		{"names", []schema.Attribute{{Name: "A", Type: "string"}, {Name: "a-b", Type: "string"}, {Name: "1a", Type: "string"}, {Name: "a\x1b[2J", Type: "string"}},
			[]string{`"A"`, `"a-b"`, `"1a"`, `"a\x1b[2J"`}},
		{"long name", []schema.Attribute{{Name: strings.Repeat("a", 65), Type: "string"}}, []string{"name of 65 bytes"}},
		{"reserved", []schema.Attribute{{Name: "limit", Type: "string"}, {Name: "min_tests", Type: "number"}, {Name: "known_failure", Type: "number"}},
			[]string{"attribute limit: the name is the farm's own", "attribute min_tests", "attribute known_failure"}},
		{"twice", []schema.Attribute{{Name: "a", Type: "string"}, {Name: "a", Type: "bool"}}, []string{"attribute a: described twice"}},
		{"types", []schema.Attribute{{Name: "a", Type: "any"}, {Name: "b", Type: "strnig"}, {Name: "c", Type: "list"}, {Name: "d", Type: ""}, {Name: "e", Type: "list(string"},
			{Name: "f", Type: "object({a = optional(string)})"}, {Name: "g", Type: `"string"`}, {Name: "h", Type: "list(any)"}},
			[]string{"attribute a:", "attribute b:", "attribute c:", "attribute d:", "attribute e:", "attribute f:", "attribute g:", "attribute h:"}},
		{"long type", []schema.Attribute{{Name: "a", Type: strings.Repeat("list(", 100000)}}, []string{"type of 500000 bytes"}},
		{"long doc", []schema.Attribute{{Name: "a", Type: "string", Doc: strings.Repeat("x", 1001)}}, []string{"documentation of 1001 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := schema.Check(tt.attrs)
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("Check = %v, want errors %q", err, tt.want)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("Check = %v, lacks %q", err, part)
				}
			}
		})
	}
}

// attributes returns the attributes of the block that TestDecode reads.
func attributes() []schema.Attribute {
	return []schema.Attribute{
		{Name: "text", Type: "string"},
		{Name: "count", Type: "number"},
		{Name: "flag", Type: "bool"},
		{Name: "words", Type: "list(string)"},
		{Name: "unordered", Type: "set(string)"},
		{Name: "env", Type: "map(string)"},
		{Name: "nested", Type: "list(object({name = string, ports = list(number)}))"},
		{Name: "pair", Type: "tuple([string, number])"},
	}
}

func body(t testing.TB, src string) hcl.Body {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(src), "block", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("parsing %q: %v", src, diags)
	}
	return f.Body
}

func TestDecode(t *testing.T) {
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{"version": cty.StringVal("1.12"), "lost": cty.UnknownVal(cty.String)}}
	tests := []struct{ name, src, want string }{
		{"empty", "", `{}`},
		{"sorted", "words = []\ntext = \"x\"\nflag = true\n", `{"flag":true,"text":"x","words":[]}`},
		{"template", `text = "v${version}"`, `{"text":"v1.12"}`},
		{"null left out", "text = null\nflag = false", `{"flag":false}`},
		{"null in a map left out", `env = { A = "1", B = null }`, `{"env":{"A":"1"}}`},
		{"keys sorted", `env = { b = "2", a = "1", "A b" = "3" }`, `{"env":{"A b":"3","a":"1","b":"2"}}`},
		{"converted", "text = 4\ncount = \"20\"\nflag = \"true\"", `{"count":20,"flag":true,"text":"4"}`},
		{"numbers", "count = 0.1", `{"count":0.1}`},
		{"negative zero", "count = -0", `{"count":0}`},
		{"large", "count = 123456789012345678901234567890", `{"count":123456789012345678901234567890}`},
		{"exponent", "count = 1e3", `{"count":1000}`},
		{"set sorted, once", `unordered = ["b", "a", "b"]`, `{"unordered":["a","b"]}`},
		{"nested", `nested = [{ ports = [1, 2.5], name = "n" }]`, `{"nested":[{"name":"n","ports":[1,2.5]}]}`},
		{"tuple", `pair = ["x", 1]`, `{"pair":["x",1]}`},
		{"no HTML escapes", `text = "<&>\"\\\n"`, `{"text":"<&>\"\\\n"}`},
		{"composed characters", `text = "e\u0301"`, `{"text":"é"}`},
		{"unknown left out", "text = \"${lost}\"\nflag = true", `{"flag":true}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, diags := schema.Decode(body(t, tt.src), attributes(), ctx)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			if string(got) != tt.want {
				t.Errorf("Decode = %s\nwant     %s", got, tt.want)
			}
		})
	}
}

func TestDecodeFaults(t *testing.T) {
	attrs := append(attributes(), schema.Attribute{Name: "must", Type: "string", Required: true})
	tests := []struct {
		name, src string
		line      int
		want      string
		json      string
	}{
		{"missing", "flag = true", 1, `"must" is required`, `{"flag":true}`},
		{"required null", "must = null", 1, `must not be null`, `{}`},
		{"unknown name", "must = \"\"\nflga = true", 2, `named "flga" is not expected here. Did you mean "flag"?`, `{"must":""}`},
		{"type", "must = \"\"\nwords = \"x\"\nflag = true", 2, `list of string required`, `{"flag":true,"must":""}`},
		{"null in a list", "must = \"\"\nwords = [\"a\", null]", 2, `a null in a list`, `{"must":""}`},
		{"NUL", "must = \"\\u0000\"", 1, `a NUL character`, `{}`},
		{"NUL in a key", "must = \"\"\nenv = { \"\\u0000\" = \"x\" }", 2, `a NUL character`, `{"must":""}`},
		{"huge", "must = \"\"\ncount = \"1e999999999\"", 2, `too large or too small`, `{"must":""}`},
		{"tiny", "must = \"\"\ncount = \"1e-2000\"", 2, `too large or too small`, `{"must":""}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, diags := schema.Decode(body(t, tt.src), attrs, nil)
			if len(diags) != 1 {
				t.Fatalf("%d diagnostics, want one: %v", len(diags), diags)
			}
			if d := diags[0]; !strings.Contains(d.Detail, tt.want) || d.Subject.Start.Line != tt.line {
				t.Errorf("line %d: %s\nwant line %d: ... %s", d.Subject.Start.Line, d.Detail, tt.line, tt.want)
			}
			if string(got) != tt.json {
				t.Errorf("Decode = %s, want %s", got, tt.json)
			}
		})
	}
	if _, diags := schema.Decode(body(t, ""), []schema.Attribute{{Name: "a", Type: "any"}}, nil); !diags.HasErrors() {
		t.Error("a schema with an impossible type was decoded")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("configure", "list(string)")
	f.Add("env", "map(object({a = tuple([string, set(bool)])}))")
	f.Add("limit", "string")
	f.Fuzz(func(t *testing.T, name, typ string) {
		attrs := []schema.Attribute{{Name: name, Type: typ}}
		if schema.Check(attrs) != nil {
			return
		}
		got, diags := schema.Decode(body(t, ""), attrs, nil)
		if diags.HasErrors() || string(got) != "{}" {
			t.Fatalf("Decode of nothing against %q = %s, %v", typ, got, diags)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`text = "x"`, "count = 1.5\nwords = [for s in [\"a\"] : upper(s)]", `env = { "a" = "\u0007" }`, "pair = [null, 1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 200 { // the caller must bound expressions
			return
		}
		file, diags := hclsyntax.ParseConfig([]byte(src), "block", hcl.InitialPos)
		if diags.HasErrors() {
			return
		}
		got, diags := schema.Decode(file.Body, attributes(), nil)
		if diags.HasErrors() {
			return
		}
		var members map[string]any
		if err := json.Unmarshal(got, &members); err != nil {
			t.Fatalf("Decode(%q) = %s: %v", src, got, err)
		}
	})
}
