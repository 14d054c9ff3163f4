// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/zfarm/zfarm/orchestrator/compare/report"
)

// schema compiles the schema that docs/verdicts.md describes.
func schema(t *testing.T) (*jsonschema.Schema, map[string]any) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", "verdict-v1.schema.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("verdict.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("verdict.json")
	if err != nil {
		t.Fatal(err)
	}
	return s, doc.(map[string]any)
}

func jsonOf(t *testing.T, v Verdict) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.JSON(&out, v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func valid(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	x, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(x)
}

// TestVerdictsAreAsTheSchemaSays validates a verdict of each outcome, the verdict
// of every planted pair, and one with hostile names.
func TestVerdictsAreAsTheSchemaSays(t *testing.T) {
	s, _ := schema(t)
	a := archive(t, reg("p/doc", "one\ntwo\n"), reg("p/\x1b[31m\u202egpj", "x"))
	b := archive(t, reg("p/doc", "one\n2\x1b\n"), reg("p/\x1b[31m\u202egpj", "y\u0085").record("ZOS.\x07odd", "\x1b]0;x\x07"))
	all := map[string]Verdict{
		"identical": verdictOf(t, a, a, known()), "different": verdictOf(t, a, b, known()), "incomparable": verdictOf(t, a, a[:1000], known()),
		"later":  verdictOf(t, a, archive(t, reg("p/doc", "one\ntwo\n").with(func(h *tar.Header) { h.ModTime = begun().Add(time.Hour) }), reg("p/\x1b[31m\u202egpj", "x")), known()),
		"bounds": {Outcome: Identical},
	}
	for i, c := range append(plantedHeaders(t), append(plantedContainers(t), plantedContents(t)...)...) {
		all[fmt.Sprint("planted ", i, " ", c.name)] = verdictOf(t, c.a, c.b, c.known)
	}
	for name, v := range all {
		if err := valid(t, s, jsonOf(t, v)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefuses invalid verdicts.
func TestSchemaRefuses(t *testing.T) {
	s, _ := schema(t)
	f := Finding{Path: "p", Field: "mode", A: "1", B: "2", Offset: -1, Tier: Forbidden}
	fields := []FieldCount{{Tier: Forbidden, Field: "mode", Findings: 1}}
	fine := Verdict{Outcome: Different, Tier: Forbidden, Findings: []Finding{f}, Fields: fields}
	if err := valid(t, s, jsonOf(t, fine)); err != nil {
		t.Fatal(err)
	}
	raw := f
	raw.A = "\x1b[2J"
	for name, v := range map[string]Verdict{
		"a raw control":           {Outcome: Different, Findings: []Finding{raw}, Fields: fields},
		"a difference unnamed":    {Outcome: Different},
		"tier X masked":           {Outcome: Equivalent, Findings: []Finding{f}, Fields: fields},
		"identical with findings": {Outcome: Identical, Findings: []Finding{f}},
		"no reason":               {Outcome: Incomparable},
		"a reason too many":       {Outcome: Different, Findings: []Finding{f}, Fields: fields, Reason: "why"},
		"no outcome":              {},
		"tier X allowed":          {Outcome: Different, Findings: []Finding{f}, Fields: fields, Allowed: []Tier{Forbidden}},
	} {
		if valid(t, s, jsonOf(t, v)) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestSchemaNamesEveryField compares the schema with the types.
func TestSchemaNamesEveryField(t *testing.T) {
	_, doc := schema(t)
	properties := func(at ...string) []string {
		x := doc
		for _, name := range append(at, "properties") {
			x = x[name].(map[string]any)
		}
		var names []string
		for name := range x {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	for _, c := range []struct {
		of   reflect.Type
		have []string
	}{
		{reflect.TypeFor[Verdict](), properties()},
		{reflect.TypeFor[Finding](), properties("$defs", "finding")},
		{reflect.TypeFor[FieldCount](), properties("properties", "fields", "items")},
	} {
		var want []string
		for i := range c.of.NumField() {
			name, _, _ := strings.Cut(c.of.Field(i).Tag.Get("json"), ",")
			want = append(want, name)
		}
		slices.Sort(want)
		if d := cmp.Diff(want, c.have); d != "" {
			t.Errorf("%s (-type +schema):\n%s", c.of, d)
		}
	}
}

// TestEveryOutputOfManyMembersIsSmall checks that each report of 10,000 differing
// members stays below 2 MB, and that the text is bounded before that.
func TestEveryOutputOfManyMembersIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("one of many members, which -short leaves out")
	}
	a, b := many(t, 10_000, "a"), many(t, 10_000, "b")
	v, err := Archives(t.Context(), input("a", a), input("b", b), Options{MaxFindings: 20_000, Workdir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Text(&text, v, report.Options{Hunks: true}); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"text": text.Len(), "JSON": len(jsonOf(t, v)), "page": len(pageOf(t, v))} {
		if n > 2_000_000 {
			t.Errorf("%d bytes of %s", n, name)
		}
	}
	if v.Differing != 10_000 || len(v.Fields) != 1 || v.Fields[0].Findings != 10_000 {
		t.Errorf("%d members differ, %+v", v.Differing, v.Fields)
	}
}

// TestMaskedFieldsAreTold even if the findings about them were left out.
func TestMaskedFieldsAreTold(t *testing.T) {
	var a, b []member
	for i := range 50 {
		m := reg(fmt.Sprint("p/", i), "15:04:05\n")
		a, b = append(a, m), append(b, m.bodied("16:04:05\n").with(func(h *tar.Header) { h.ModTime = begun().Add(time.Hour) }))
	}
	v, err := Archives(t.Context(), input("a", archive(t, a...)), input("b", archive(t, b...)),
		Options{MaxFindings: 10, Known: known(), Allowed: []Tier{Container, Header, Stamp}})
	if err != nil {
		t.Fatal(err)
	}
	want := []FieldCount{{Tier: Stamp, Field: "stamp.time", Findings: 50}, {Tier: Header, Field: "mtime", Findings: 50}}
	if d := cmp.Diff(want, v.Fields); d != "" || v.Outcome != Equivalent {
		t.Errorf("%s (-want +have):\n%s", v, d)
	}
	var text strings.Builder
	if err := report.Text(&text, v, report.Options{}); err != nil || !strings.Contains(text.String(), "mtime") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// TestColourSaysNothingOfItsOwn checks that without the colour codes the text is
// the same.
func TestColourSaysNothingOfItsOwn(t *testing.T) {
	a := archive(t, reg("p/doc", "one\ntwo\nthree\n"), reg("p/bin", "\x00\x01\x02 same"))
	b := archive(t, reg("p/doc", "one\n2\nthree\nfour\n"), reg("p/bin", "\x00\x01\x03 same"))
	v := verdictOf(t, a, b, known())
	var plain, coloured strings.Builder
	if err := report.Text(&plain, v, report.Options{Hunks: true}); err != nil {
		t.Fatal(err)
	}
	if err := report.Text(&coloured, v, report.Options{Hunks: true, Colour: true}); err != nil {
		t.Fatal(err)
	}
	text := coloured.String()
	for _, code := range []string{"0", "31", "32", "36", "1", "1;31", "31;7", "32;7"} {
		text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
	}
	if d := cmp.Diff(plain.String(), text); d != "" {
		t.Errorf("-plain +coloured:\n%s", d)
	}
	if !strings.Contains(coloured.String(), "\x1b[31;7mtwo\x1b[0m") {
		t.Errorf("what differs is not marked:\n%q", coloured.String())
	}
}

// TestJSONComesBack as the same verdict, indented or not.
func TestJSONComesBack(t *testing.T) {
	v := verdictOf(t, archive(t, reg("p/<&>", "x")), archive(t, reg("p/<&>", "y")), known())
	var back Verdict
	if err := json.Unmarshal(jsonOf(t, v), &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(v, back); d != "" {
		t.Errorf("-want +have:\n%s", d)
	}
}
