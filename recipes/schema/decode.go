// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/zclconf/go-cty/cty"
)

// maxExponent limits numbers to the range of a float64, so that their text
// stays short.
const maxExponent = 1024

// Value evaluates the attributes of body and returns an object. Attributes
// that could not be evaluated are unknown in it and have a diagnostic;
// attributes that were not given are null. The caller must have bounded the
// expressions.
func Value(body hcl.Body, attrs []Attribute, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	spec, err := Spec(attrs)
	if err != nil {
		return cty.DynamicVal, hcl.Diagnostics{{
			Severity: hcl.DiagError,
			Summary:  "Faulty schema",
			Detail:   fmt.Sprintf("The plugin describes its block wrongly (%s). Report it to the plugin's authors.", err),
			Subject:  body.MissingItemRange().Ptr(),
		}}
	}
	v, diags := hcldec.Decode(body, spec, ctx)
	ranges := argumentRanges(body, attrs)
	for _, a := range attrs {
		// hcldec takes null for an argument that was given.
		rng, given := ranges[a.Name]
		if a.Required && given && v.GetAttr(a.Name).IsNull() {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Missing required argument",
				Detail:   fmt.Sprintf("The argument %q is required and must not be null.", a.Name),
				Subject:  &rng,
			})
		}
	}
	return v, diags
}

// Decode evaluates the attributes of body and returns them as canonical JSON:
// an object with sorted keys and without white space, nulls left out, numbers
// in decimal without an exponent, strings in Unicode normal form C. When there
// are diagnostics, the JSON holds what could be evaluated.
func Decode(body hcl.Body, attrs []Attribute, ctx *hcl.EvalContext) (json.RawMessage, hcl.Diagnostics) {
	v, diags := Value(body, attrs, ctx)
	if !v.IsKnown() {
		return json.RawMessage("{}"), diags
	}
	ranges := argumentRanges(body, attrs)
	sorted := slices.Clone(attrs)
	slices.SortFunc(sorted, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	members := make([]member, 0, len(sorted))
	for _, a := range sorted {
		attr := v.GetAttr(a.Name)
		if attr.IsNull() || !attr.IsWhollyKnown() {
			continue
		}
		text, err := appendJSON(nil, attr)
		if err != nil {
			rng := ranges[a.Name]
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Unusable value",
				Detail:   fmt.Sprintf("The argument %q holds %s.", a.Name, err),
				Subject:  &rng,
			})
			continue
		}
		members = append(members, member{a.Name, text})
	}
	return appendObject(nil, members), diags
}

// argumentRanges returns the ranges of the values of the given arguments.
func argumentRanges(body hcl.Body, attrs []Attribute) map[string]hcl.Range {
	var s hcl.BodySchema
	for _, a := range attrs {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: a.Name})
	}
	// Faults of the body were reported when it was decoded.
	content, _, _ := body.PartialContent(&s)
	ranges := make(map[string]hcl.Range, len(content.Attributes))
	for name, a := range content.Attributes {
		ranges[name] = a.Expr.Range()
	}
	return ranges
}

// member is one member of a JSON object, with its value as JSON.
type member struct {
	name string
	text []byte
}

func appendObject(b []byte, members []member) []byte {
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.name), ':')
		b = append(b, m.text...)
	}
	return append(b, '}')
}

// appendJSON appends v, which must be wholly known and not null.
func appendJSON(b []byte, v cty.Value) ([]byte, error) {
	t := v.Type()
	switch {
	case t == cty.String:
		s := v.AsString()
		if strings.ContainsRune(s, 0) {
			return nil, errors.New("a NUL character, which no program takes")
		}
		return appendString(b, s), nil
	case t == cty.Bool:
		return fmt.Appendf(b, "%t", v.True()), nil
	case t == cty.Number:
		return appendNumber(b, v.AsBigFloat())
	case t.IsListType(), t.IsSetType(), t.IsTupleType():
		return appendList(b, v)
	case t.IsMapType(), t.IsObjectType():
		return appendMap(b, v)
	}
	return nil, fmt.Errorf("a value of type %s, which cannot be written", t.FriendlyName())
}

func appendList(b []byte, v cty.Value) ([]byte, error) {
	b = append(b, '[')
	first := true
	for it := v.ElementIterator(); it.Next(); first = false {
		_, elem := it.Element()
		if elem.IsNull() {
			return nil, errors.New("a null in a list; leave the element out, e.g. by a for expression with an if")
		}
		if !first {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, elem); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendMap relies on cty returning maps and objects in the order of their
// keys.
func appendMap(b []byte, v cty.Value) ([]byte, error) {
	var members []member
	for it := v.ElementIterator(); it.Next(); {
		key, elem := it.Element()
		if elem.IsNull() {
			continue
		}
		text, err := appendJSON(nil, elem)
		if err != nil {
			return nil, err
		}
		name := key.AsString()
		if strings.ContainsRune(name, 0) {
			return nil, errors.New("a NUL character, which no program takes")
		}
		members = append(members, member{name, text})
	}
	return appendObject(b, members), nil
}

func appendNumber(b []byte, f *big.Float) ([]byte, error) {
	if f.Sign() == 0 { // also the negative zero
		return append(b, '0'), nil
	}
	if exp := f.MantExp(nil); f.IsInf() || exp > maxExponent || exp < -maxExponent {
		return nil, errors.New("a number that is too large or too small")
	}
	return f.Append(b, 'f', -1), nil
}

// appendString writes s as encoding/json does, but does not escape <, > and &.
func appendString(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(fmt.Sprintf("schema: writing a string as JSON: %v", err)) // json documents that strings do not fail
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
