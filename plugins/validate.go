// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/zfarm/zfarm/workers"
)

// Validate returns what is wrong with a description: its names, and the type
// expressions of its schemas.
func (d Description) Validate() error {
	if !validWord(d.Name, "-_") {
		return fmt.Errorf("plugin name %q: want a lower-case letter, then letters, digits, dashes and underscores, at most 64", Line(d.Name, 80))
	}
	if d.Version == "" || len(d.Version) > 64 || Line(d.Version, 64) != d.Version {
		return fmt.Errorf("plugin %s: version %q: want 1 to 64 printable characters", d.Name, Line(d.Version, 80))
	}
	if d.Builder == nil && d.Tester == nil {
		return fmt.Errorf("plugin %s is neither builder nor tester: describe at least one schema", d.Name)
	}
	for _, role := range []struct {
		name   string
		schema *Schema
	}{{"builder", d.Builder}, {"tester", d.Tester}} {
		if role.schema == nil {
			continue
		}
		if err := role.schema.Validate(); err != nil {
			return fmt.Errorf("plugin %s: schema of its %s: %w", d.Name, role.name, err)
		}
	}
	return nil
}

// Validate reports the first attribute with an invalid name, type or text.
func (s Schema) Validate() error {
	if len(s.Attributes) > MaxAttributes {
		return fmt.Errorf("%d attributes: want at most %d", len(s.Attributes), MaxAttributes)
	}
	seen := map[string]bool{}
	for _, a := range s.Attributes {
		switch {
		case !validWord(a.Name, "_"):
			return fmt.Errorf("attribute %q: want a lower-case name of letters, digits and underscores", Line(a.Name, 80))
		case seen[a.Name]:
			return fmt.Errorf("attribute %s is there twice", a.Name)
		case !ValidType(a.Type):
			return fmt.Errorf("attribute %s: type %q: want string, number, bool, list(...), set(...) or map(...)", a.Name, Line(a.Type, 80))
		case a.Doc == "" || Line(a.Doc, MaxName) != a.Doc:
			return fmt.Errorf("attribute %s: doc: want one sentence on one line", a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}

// ValidType reports whether s is a type that an attribute may have: string,
// number, bool, or list, set or map of such a type, at most four deep, without
// white space.
func ValidType(s string) bool {
	for range 4 {
		switch s {
		case "string", "number", "bool":
			return true
		}
		kind, inner, ok := strings.Cut(s, "(")
		if !ok || !strings.HasSuffix(inner, ")") || (kind != "list" && kind != "set" && kind != "map") {
			return false
		}
		s = strings.TrimSuffix(inner, ")")
	}
	return false
}

// Validate reports whether p has the builder and tester that its description
// promises.
func (p Plugin) Validate() error {
	if err := p.Description.Validate(); err != nil {
		return err
	}
	if (p.Builder != nil) != (p.Description.Builder != nil) || (p.Tester != nil) != (p.Description.Tester != nil) {
		return fmt.Errorf("plugin %s: a builder needs a schema and a schema a builder; so do testers", p.Description.Name)
	}
	return nil
}

// ValidateOutputs returns what is wrong with the answer of a Builder: the
// number or names of outputs, or a folder outside the workspace.
func ValidateOutputs(outputs []Output) error {
	if len(outputs) == 0 || len(outputs) > MaxOutputs {
		return fmt.Errorf("%d outputs: want 1 to %d", len(outputs), MaxOutputs)
	}
	seen := map[string]bool{}
	for _, o := range outputs {
		if o.Name != "" && !workers.ValidID(o.Name) {
			return fmt.Errorf("output %q: want a name of lower-case letters, digits, dots, dashes and underscores", Line(o.Name, 80))
		}
		if seen[o.Name] {
			return fmt.Errorf("output %q is there twice", o.Name)
		}
		seen[o.Name] = true
		if err := validFolder(o.Dir); err != nil {
			return fmt.Errorf("output %q: %w", o.Name, err)
		}
	}
	return nil
}

// validFolder accepts clean, relative folders below the root.
func validFolder(dir string) error {
	name, err := workers.CleanName(dir)
	if err != nil {
		return fmt.Errorf("folder %q leaves the workspace: %w", Line(dir, 80), err)
	}
	if name == "." || path.Clean(dir) != dir || len(dir) > MaxName || Line(dir, MaxName) != dir {
		return fmt.Errorf("folder %q: want the clean name of a folder in the workspace", Line(dir, 80))
	}
	return nil
}

// Validate returns the first fault of a Tester's report.
func (r Report) Validate() error {
	if len(r.Cases) > MaxCases {
		return fmt.Errorf("%d tests: want at most %d", len(r.Cases), MaxCases)
	}
	if r.Format == "" || len(r.Format) > 64 || Line(r.Format, 64) != r.Format {
		return errors.New("report has no format: say what was read, such as automake or tap")
	}
	seen := make(map[string]bool, len(r.Cases))
	for i, c := range r.Cases {
		if err := c.validate(); err != nil {
			return fmt.Errorf("test %d: %w", i+1, err)
		}
		if seen[c.Name] {
			return fmt.Errorf("test %d: name %q is there twice", i+1, Line(c.Name, 80))
		}
		seen[c.Name] = true
	}
	return nil
}

func (c Case) validate() error {
	switch {
	case c.Name == "":
		return errors.New("has no name")
	case len(c.Name) > MaxName:
		return fmt.Errorf("name of %d bytes: want at most %d", len(c.Name), MaxName)
	case Line(c.Name, MaxName) != c.Name:
		return fmt.Errorf("name %q: want printable characters on one line", Line(c.Name, 80))
	case len(c.Detail) > MaxDetail || !utf8.ValidString(c.Detail):
		return fmt.Errorf("detail of %q: want at most %d bytes of UTF-8", Line(c.Name, 80), MaxDetail)
	}
	switch c.Outcome {
	case Passed, Failed, Skipped, ExpectedFail, UnexpectedPass, Errored:
		return nil
	}
	return fmt.Errorf("outcome %q of %q is not known", Line(string(c.Outcome), 80), Line(c.Name, 80))
}

// validWord accepts up to 64 lower-case letters, digits and the extra
// characters, beginning with a letter.
func validWord(s, extra string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}
