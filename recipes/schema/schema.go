// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package schema turns a plugin's description of its block into a spec that
// HCL can decode, and the decoded block into canonical JSON, which the plugin
// gets.
//
// A description is hostile until Check has accepted it. The package reads no
// files, knows no recipe (recipes/parse) and talks to no plugin
// (plugins/host). Its Attribute has the shape of plugins.Attribute, so that
// one converts to the other.
package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Bounds on a plugin's description of a block.
const (
	MaxAttributes = 128
	maxName       = 64   // bytes of an attribute's name
	maxType       = 256  // bytes of a type expression
	maxDoc        = 1000 // bytes of a sentence
)

// Attribute is one argument of a block.
type Attribute struct {
	Name string `json:"name"`
	// Type is an HCL type expression: string, number, bool, list(string),
	// set(string), map(string), object({name = string}) and their
	// compositions, but not "any".
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	// Doc is one sentence for people.
	Doc string `json:"doc"`
}

// Reserved returns the names that belong to the farm in every build and test
// block, so that no plugin can use them.
func Reserved() []string { return []string{"known_failure", "min_tests", "limit"} }

// Check returns everything that is wrong with a plugin's description of a
// block, joined.
func Check(attrs []Attribute) error {
	if n := len(attrs); n > MaxAttributes {
		return fmt.Errorf("%d attributes: want at most %d", n, MaxAttributes)
	}
	var errs []error
	seen := make(map[string]bool)
	for _, a := range attrs {
		if err := checkName(a.Name); err != nil {
			errs = append(errs, err)
			continue
		}
		if seen[a.Name] {
			errs = append(errs, fmt.Errorf("attribute %s: described twice", a.Name))
		}
		seen[a.Name] = true
		if _, err := parseType(a.Type); err != nil {
			errs = append(errs, fmt.Errorf("attribute %s: %w", a.Name, err))
		}
		if n := len(a.Doc); n > maxDoc {
			errs = append(errs, fmt.Errorf("attribute %s: documentation of %d bytes: want at most %d", a.Name, n, maxDoc))
		}
	}
	return errors.Join(errs...)
}

// checkName requires a lower_snake name, as is usual in HCL.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("attribute without a name")
	case len(name) > maxName:
		return fmt.Errorf("attribute name of %d bytes: want at most %d", len(name), maxName)
	case name[0] < 'a' || name[0] > 'z' || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return fmt.Errorf("attribute %q: want a name of lower-case letters, digits and _", name)
	case slices.Contains(Reserved(), name):
		return fmt.Errorf("attribute %s: the name is the farm's own", name)
	}
	return nil
}

// parseType reads a type expression. It bounds the length first, because HCL's
// parser recurses as deep as its input nests.
func parseType(text string) (cty.Type, error) {
	if len(text) > maxType {
		return cty.NilType, fmt.Errorf("type of %d bytes: want at most %d", len(text), maxType)
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), "type", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilType, fmt.Errorf("type %q: %s", text, diags[0].Detail)
	}
	t, diags := typeexpr.Type(expr)
	if diags.HasErrors() {
		return cty.NilType, fmt.Errorf("type %q: %s", text, diags[0].Detail)
	}
	return t, nil
}

// Spec returns the hcldec specification of a block with these attributes.
func Spec(attrs []Attribute) (hcldec.ObjectSpec, error) {
	spec := make(hcldec.ObjectSpec, len(attrs))
	for _, a := range attrs {
		t, err := parseType(a.Type)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", a.Name, err)
		}
		spec[a.Name] = &hcldec.AttrSpec{Name: a.Name, Type: t, Required: a.Required}
	}
	return spec, nil
}
