// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxRules is the most rules a recipe can have.
const MaxRules = 32

// ruleField begins the field of a difference that a rule accepts; the name of
// the rule follows.
const ruleField = "rule."

// Rule is one difference that the recipe declares, in the recipe's words.
// Differences that it allows have the masked field "rule.NAME".
type Rule struct {
	Name string `json:"name"`
	// Format is "text", "json" or "bytes".
	Format string `json:"format"`
	// Path is a glob below the artifact's first folder; "" matches every
	// member.
	Path string `json:"path,omitempty"`
	// Field is a JSON pointer, for format "json".
	Field string `json:"field,omitempty"`
	// Pattern is an RE2 expression with one group: what may differ.
	Pattern string `json:"pattern,omitempty"`
	Tier    Tier   `json:"tier"`
	Reason  string `json:"reason"`
}

// RuleOf returns the rule that allows differences in the field. It returns
// false for a field that the farm itself allows.
func (r Reproducibility) RuleOf(field string) (Rule, bool) {
	name, ok := strings.CutPrefix(field, ruleField)
	if !ok {
		return Rule{}, false
	}
	i := slices.IndexFunc(r.Rules, func(x Rule) bool { return x.Name == name })
	if i < 0 {
		return Rule{}, false
	}
	return r.Rules[i], true
}

// checkRules checks the rules, and that every rule that was used is among
// them.
func (r Reproducibility) checkRules() error {
	if n := len(r.Rules); n > MaxRules {
		return fmt.Errorf("%d rules, the most is %d", n, MaxRules)
	}
	seen := map[string]bool{}
	for _, x := range r.Rules {
		if seen[x.Name] {
			return fmt.Errorf("two rules have the name %q", x.Name)
		}
		seen[x.Name] = true
		if err := x.check(); err != nil {
			return fmt.Errorf("rule %q: %w", x.Name, err)
		}
	}
	for _, m := range r.Masked {
		if err := r.checkUse(m.Field, m.Tier); err != nil {
			return fmt.Errorf("masked: %w", err)
		}
	}
	for _, f := range r.Findings.Listed {
		if err := r.checkUse(f.Field, f.Tier); err != nil {
			return fmt.Errorf("finding: %w", err)
		}
	}
	return nil
}

func (r Reproducibility) checkUse(field string, tier Tier) error {
	if !strings.HasPrefix(field, ruleField) {
		return nil
	}
	switch rule, ok := r.RuleOf(field); {
	case !ok:
		return fmt.Errorf("field %q has no rule", field)
	case rule.Tier != tier:
		return fmt.Errorf("field %q in tier %q, its rule is one of tier %q", field, tier, rule.Tier)
	}
	return nil
}

func (x Rule) check() error {
	switch {
	case !isRuleName(x.Name):
		return errors.New("a name has lower-case letters, digits, . and -, 64 at most")
	case !slices.Contains(Tiers(), x.Tier):
		return fmt.Errorf("tier %q cannot be allowed by a rule", x.Tier)
	case !slices.Contains([]string{"text", "json", "bytes"}, x.Format):
		return fmt.Errorf("format is %q, want text, json or bytes", x.Format)
	case (x.Format == "json") != (x.Field != ""):
		return errors.New("a rule has a field if its format is json, and only then")
	case x.Format != "json" && x.Pattern == "":
		return errors.New("pattern is missing")
	}
	errs := []error{checkWord("reason", x.Reason)}
	for _, part := range []struct{ name, text string }{{"path", x.Path}, {"field", x.Field}, {"pattern", x.Pattern}} {
		if part.text != "" {
			errs = append(errs, checkWord(part.name, part.text))
		}
	}
	return errors.Join(errs...)
}

func isRuleName(s string) bool {
	const first = "abcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 64 && strings.Contains(first, s[:1]) && strings.Trim(s, first+".-") == ""
}
