// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/text/encoding"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/recipes/schema"
	"github.com/zfarm/zfarm/workers/codepage"
)

// noArguments knows one plugin, which takes no arguments.
type noArguments struct{}

func (noArguments) Plugins(string) []string                           { return []string{"acts"} }
func (noArguments) Schema(string, string) ([]schema.Attribute, error) { return nil, nil }

// rulesOfTheDocs reads the rules in docs/recipes.md as a recipe's own.
func rulesOfTheDocs(t *testing.T) []recipes.Rule {
	t.Helper()
	page, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```hcl\nreproduce {")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("docs/recipes.md shows no reproduce block of its own")
	}
	recipe := `port "p" {
  version    = "1"
  summary    = "Says when it was built"
  licence    = "MIT"
  homepage   = "https://example.org/"
  categories = ["core"]
  source {
    url    = "https://example.org/p-1.tar"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "acts" {}
  reproduce {` + block + "}\n"
	r, diags := parse.Dir(fstest.MapFS{"recipe.hcl": {Data: []byte(recipe)}}, noArguments{})
	if r == nil {
		t.Fatal(diags)
	}
	return r.Reproduce.Rules
}

// staging is a script that stages a program, which contains a different text in the
// varied repeat.
func staging(baseline, varied []byte) string {
	octal := func(b []byte) string {
		var s strings.Builder
		for _, c := range b {
			fmt.Fprintf(&s, `\%03o`, c)
		}
		return s.String()
	}
	return `umask 022; mkdir -p "$ZFARM_ROOT/stage/opt/p"; chmod 755 "$ZFARM_ROOT/stage" "$ZFARM_ROOT/stage/opt" "$ZFARM_ROOT/stage/opt/p"
case $TZ in
ZFA*) printf '` + octal(baseline) + `' ;;
*) printf '` + octal(varied) + `' ;;
esac >"$ZFARM_ROOT/stage/opt/p/program"`
}

// TestRuleOfTheDocs builds a port whose program contains the text that the environment
// hook of zoslib leaves, with times at which nothing was built.
func TestRuleOfTheDocs(t *testing.T) {
	t.Parallel()
	const hook = "\x01\x02\x00\x00$Id: Vendor:ZOPEN Community BuildRev:1a2b3c4 2026-01-0%d 11:59:0%d %s $\x00\x00\x03\x04"
	ibm1047, err := codepage.ForName("IBM-1047")
	if err != nil {
		t.Fatal(err)
	}
	rules := rulesOfTheDocs(t)
	for name, tt := range some(t, map[string]struct {
		baseline, varied string
		in               encoding.Encoding
		rules            []recipes.Rule
		want             compare.Outcome
	}{
		"ASCII":                {fmt.Sprintf(hook, 1, 2, "EST"), fmt.Sprintf(hook, 3, 7, "UTC"), nil, rules, compare.Equivalent},
		"IBM-1047":             {fmt.Sprintf(hook, 1, 2, "EST"), fmt.Sprintf(hook, 3, 7, "UTC"), ibm1047, rules, compare.Equivalent},
		"without the rule":     {fmt.Sprintf(hook, 1, 2, "EST"), fmt.Sprintf(hook, 3, 7, "UTC"), nil, nil, compare.Different},
		"another revision too": {fmt.Sprintf(hook, 1, 2, "EST"), strings.Replace(fmt.Sprintf(hook, 3, 7, "UTC"), "1a2b", "1a2c", 1), nil, rules, compare.Different},
		"one more byte":        {fmt.Sprintf(hook, 1, 2, "EST"), fmt.Sprintf(hook, 3, 7, "UTC") + "\x05", nil, rules, compare.Different},
		"another byte":         {fmt.Sprintf(hook, 1, 2, "EST"), strings.Replace(fmt.Sprintf(hook, 3, 7, "UTC"), "\x03", "\x05", 1), nil, rules, compare.Different},
		"not of that form":     {fmt.Sprintf(hook, 1, 2, "EST"), fmt.Sprintf(hook, 3, 7, "xyz"), nil, rules, compare.Different},
	}, "IBM-1047", "another byte") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := []byte(tt.baseline), []byte(tt.varied)
			if tt.in != nil {
				var err error
				if a, err = tt.in.NewEncoder().Bytes(a); err != nil {
					t.Fatal(err)
				}
				if b, err = tt.in.NewEncoder().Bytes(b); err != nil {
					t.Fatal(err)
				}
			}
			s := newScene(t, staging(a, b), "w1", "w2")
			s.recipe.Reproduce.Tiers, s.recipe.Reproduce.Rules = []int{0, 2}, tt.rules
			c, err := s.build(t.Context())
			if err != nil || c.Verdict == nil || c.Verdict.Outcome != tt.want {
				t.Fatalf("%+v, %+v, %v; want %s", c.Failure, c.Verdict, err, tt.want)
			}
			report, err := s.verify()
			if released := err == nil && report.Releasable; released != (tt.want == compare.Equivalent) {
				t.Errorf("releasable %v, %v", released, err)
			}
			if tt.want != compare.Equivalent {
				return
			}
			const trusted = "1 difference of tier 2 accepted by rule zopen.buildrev: the environment hook of zoslib says"
			if len(report.Trusted) != 1 || !strings.Contains(report.Trusted[0], trusted) {
				t.Errorf("trusted is %q, want one with %q", report.Trusted, trusted)
			}
			if m := report.Artifacts[0].Masked; len(m) != 1 || m[0].Field != "rule.zopen.buildrev" || m[0].Rule == nil || m[0].Rule.Pattern == "" {
				t.Errorf("masked is %+v", m)
			}
		})
	}
}

// TestTextAndJSONOfTheDocs: the other two rules of the page, each where it is
// meant to be and beside it.
func TestTextAndJSONOfTheDocs(t *testing.T) {
	t.Parallel()
	const script = `umask 022; p="$ZFARM_ROOT/stage/opt/p"; mkdir -p "$p/lib/perl5/5.40.0" "$p/share"
case $TZ in ZFA*) when='Thu Jan  1 00:00:00 2026' serial=17 ;; *) when='Fri Jan  2 00:00:00 2026' serial=23 ;; esac
printf "our %%s;\ncf_time='%s'\nversion='5.40.0'\n" "$when" >"$p/CONFIG"
printf '{"build": {"host": "h", "serial": %s}, "version": 1}\n' $serial >"$p/share/build-info.json"
find "$ZFARM_ROOT/stage" -type d -exec chmod 755 '{}' ';'`
	for config, want := range map[string]compare.Outcome{"lib/perl5/5.40.0/Config.pm": compare.Equivalent, "lib/perl5/Config.pm": compare.Different} {
		t.Run(config, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, strings.Replace(script, "CONFIG", config, 1), "w1", "w2")
			s.recipe.Reproduce.Tiers, s.recipe.Reproduce.Rules = []int{0, 2}, rulesOfTheDocs(t)
			c, err := s.build(t.Context())
			if err != nil || c.Verdict == nil || c.Verdict.Outcome != want {
				t.Fatalf("%+v, %+v, %v; want %s", c.Failure, c.Verdict, err, want)
			}
			fields := map[string]bool{}
			for _, f := range c.Verdict.Fields {
				fields[f.Field] = true
			}
			if !fields["rule.build-info.serial"] || fields["rule.perl.configured"] != (want == compare.Equivalent) {
				t.Errorf("fields are %+v", c.Verdict.Fields)
			}
		})
	}
}

// TestMaskOfEveryRepeat: a field that differs in one repeat only is signed, even if the
// verdict of another repeat becomes the build's.
func TestMaskOfEveryRepeat(t *testing.T) {
	t.Parallel()
	s := newScene(t, `umask 022; mkdir -p "$ZFARM_ROOT/stage/opt/p"; chmod 755 "$ZFARM_ROOT/stage" "$ZFARM_ROOT/stage/opt" "$ZFARM_ROOT/stage/opt/p"
one=1 two=1
case $ZFARM_ROOT in *b?) one=2 ;; *c?) two=2 ;; esac
echo "number one: $one" >"$ZFARM_ROOT/stage/opt/p/one"
echo "number two: $two" >"$ZFARM_ROOT/stage/opt/p/two"`, "w1", "w2")
	s.recipe.Reproduce.Repeats, s.recipe.Reproduce.Tiers = 3, []int{0, 2}
	s.recipe.Reproduce.Rules = []recipes.Rule{
		{Name: "one", Format: "text", Pattern: "^number one: ([0-9])$", Tier: 2, Reason: "it counts"},
		{Name: "two", Format: "text", Pattern: "^number two: ([0-9])$", Tier: 2, Reason: "it counts"},
	}
	c, err := s.build(t.Context())
	if err != nil || c.Failure != nil || c.Agreeing != 3 {
		t.Fatalf("%+v, %d agree, %+v, %v", c.Failure, c.Agreeing, c.Verdict, err)
	}
	report, err := s.verify()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(report.Trusted, "\n"); !strings.Contains(got, "rule one:") || !strings.Contains(got, "rule two:") {
		t.Errorf("trusted is %q, want both rules", got)
	}
}

// TestRuleThatCannotBeRead: recipes are checked before they reach the engine; one that
// was not fails with a reported reason instead of being retried for ever.
func TestRuleThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newScene(t, same, "w1")
	s.recipe.Reproduce.Rules = []recipes.Rule{{Name: "broken", Format: "text", Pattern: "(", Tier: 0, Reason: "r"}}
	c, err := s.build(t.Context())
	if err != nil || c.Failure == nil || c.Failure.Kind != orchestrator.FaultyRecipe || !strings.Contains(c.Failure.Message, "rule broken") {
		t.Errorf("%+v, %v", c.Failure, err)
	}
}
