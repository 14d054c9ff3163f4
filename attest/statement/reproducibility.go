// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package statement

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
)

// Verdict is the result of a comparison.
type Verdict string

// The verdicts.
const (
	Identical    Verdict = "identical"
	Equivalent   Verdict = "equivalent"
	Different    Verdict = "different"
	Incomparable Verdict = "incomparable"
)

// Reproduced reports whether the verdict allows a release.
func (v Verdict) Reproduced() bool { return v == Identical || v == Equivalent }

// Tier is how grave a difference is: "0" container order, padding,
// compression; "1" times and owners in container headers; "2" build stamps in
// named fields; "X" never allowed.
type Tier string

// Tiers returns the tiers that a recipe can allow, in order.
func Tiers() []Tier { return []Tier{"0", "1", "2"} }

// tierForbidden is never allowed.
const tierForbidden Tier = "X"

// OneFarm says that one operator made all repeats. A farm cannot honestly
// claim more independence for itself.
const OneFarm = "one-farm"

// MaxFindings is the most findings that a statement lists.
const MaxFindings = 100

// Reproducibility is the result of building the same inputs several times: the
// farm's own predicate (docs/reproducibility-v1.md).
type Reproducibility struct {
	// Subjects are the baseline's artifacts if the build reproduced. Otherwise
	// they are all outputs of all repeats, as [Reproducibility.AllOutputs]
	// names them.
	Subjects []attest.Subject
	Verdict  Verdict
	// Tier is the highest tier used by an equivalent verdict, else "".
	Tier         Tier
	AllowedTiers []Tier
	// Agreeing is how many repeats agree with the baseline, itself included.
	Agreeing int
	// Repeats are all repeats that were compared, the baseline first.
	Repeats []Repeat
	// Findings are those of the repeat that differs most.
	Findings Findings
	// Masked are the fields whose differences were allowed, in any repeat.
	Masked []Masked
	// Rules are the recipe's rules for the comparison.
	Rules []Rule
	// Recipe is the recipe, by digest.
	Recipe Resource
	// InvocationID is the id of the build, as in its provenance.
	InvocationID string
	// Reason says why the verdict is incomparable.
	Reason string
}

// Repeat is one planned execution of the build.
type Repeat struct {
	Name   string `json:"name"`
	Worker Worker `json:"worker"`
	// Variations maps each condition that the recipe varies to its value in
	// this repeat. It omits a condition that adds nothing to the repeat.
	Variations map[recipes.Variation]string `json:"variations,omitempty"`
	StartedOn  time.Time                    `json:"startedOn"`
	FinishedOn time.Time                    `json:"finishedOn"`
	// Outputs have a name and a digest each.
	Outputs []Resource `json:"outputs"`
}

// Worker is the worker of a repeat. The worker itself reported the Attributes.
type Worker struct {
	Name       string            `json:"name"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Findings summarizes the differences. It counts all of them and lists some.
type Findings struct {
	Total  int       `json:"total"`
	Listed []Finding `json:"listed,omitempty"`
}

// Finding is one difference.
type Finding struct {
	Path  string `json:"path"`
	Field string `json:"field"`
	Tier  Tier   `json:"tier"`
	Cause string `json:"cause,omitempty"`
}

// Masked is a field whose differences were allowed. Count is their number in
// the repeat that has the most.
type Masked struct {
	Field string `json:"field"`
	Tier  Tier   `json:"tier"`
	Count int    `json:"count"`
}

type reproducibilityJSON struct {
	Verdict         Verdict  `json:"verdict"`
	Tier            Tier     `json:"tier,omitempty"`
	AllowedTiers    []Tier   `json:"allowedTiers"`
	N               int      `json:"n"`
	K               int      `json:"k"`
	DistinctWorkers int      `json:"distinctWorkers"`
	Independence    string   `json:"independence"`
	InvocationID    string   `json:"invocationId"`
	Recipe          Resource `json:"recipe"`
	Repeats         []Repeat `json:"repeats"`
	Findings        Findings `json:"findings"`
	Masked          []Masked `json:"masked"`
	Rules           []Rule   `json:"rules,omitempty"`
	Reason          string   `json:"reason,omitempty"`
}

// DistinctWorkers returns the number of workers with different names.
func (r Reproducibility) DistinctWorkers() int {
	names := map[string]bool{}
	for _, p := range r.Repeats {
		names[p.Worker.Name] = true
	}
	return len(names)
}

// AllOutputs returns every output of every repeat as a subject named
// "repeat/output": the subjects of a build that did not reproduce. It omits
// outputs beyond attest.MaxSubjects.
func (r Reproducibility) AllOutputs() []attest.Subject {
	var subjects []attest.Subject
	for _, p := range r.Repeats {
		for _, o := range p.Outputs {
			if len(subjects) < attest.MaxSubjects {
				subjects = append(subjects, attest.Subject{Name: p.Name + "/" + o.Name, Digest: o.Digest})
			}
		}
	}
	return subjects
}

// Statement checks r and returns its bytes.
func (r Reproducibility) Statement() (attest.Statement, error) {
	if err := errors.Join(r.check(), r.checkVariations()); err != nil {
		return attest.Statement{}, fmt.Errorf("composing reproducibility: %w", err)
	}
	repeats := slices.Clone(r.Repeats)
	for i, p := range repeats {
		repeats[i].StartedOn = p.StartedOn.UTC().Truncate(time.Second)
		repeats[i].FinishedOn = p.FinishedOn.UTC().Truncate(time.Second)
		repeats[i].Outputs = append([]Resource{}, p.Outputs...)
	}
	return compose(attest.TypeReproducibility, r.Subjects, reproducibilityJSON{
		Verdict: r.Verdict, Tier: r.Tier, AllowedTiers: append([]Tier{}, r.AllowedTiers...),
		N: len(r.Repeats), K: r.Agreeing, DistinctWorkers: r.DistinctWorkers(), Independence: OneFarm,
		InvocationID: r.InvocationID, Recipe: r.Recipe, Repeats: repeats,
		Findings: r.Findings, Masked: append([]Masked{}, r.Masked...), Rules: r.Rules, Reason: r.Reason,
	})
}

// DecodeReproducibility reads the reproducibility predicate in s. If the
// predicate contradicts itself, the error wraps attest.ErrNotVerified.
func DecodeReproducibility(s attest.Statement) (Reproducibility, error) {
	var w reproducibilityJSON
	subjects, err := decode(s, attest.TypeReproducibility, &w)
	if err != nil {
		return Reproducibility{}, err
	}
	r := Reproducibility{
		Subjects: subjects, Verdict: w.Verdict, Tier: w.Tier, AllowedTiers: w.AllowedTiers,
		Agreeing: w.K, Repeats: w.Repeats, Findings: w.Findings, Masked: w.Masked, Rules: w.Rules,
		Recipe: w.Recipe, InvocationID: w.InvocationID, Reason: w.Reason,
	}
	err = r.check()
	switch {
	case err != nil:
	case w.N != len(r.Repeats) || w.DistinctWorkers != r.DistinctWorkers():
		err = fmt.Errorf("it states n=%d on %d workers, but lists %d repeats on %d", w.N, w.DistinctWorkers, len(r.Repeats), r.DistinctWorkers())
	case w.Independence != OneFarm:
		err = fmt.Errorf("independence is %q, want %q", w.Independence, OneFarm)
	}
	if err != nil {
		return Reproducibility{}, fmt.Errorf("reading reproducibility: %w: %w", attest.ErrNotVerified, err)
	}
	return r, nil
}

func (r Reproducibility) check() error {
	return errors.Join(
		checkSubjects(r.Subjects),
		checkWord("invocation id", r.InvocationID),
		r.Recipe.check(),
		r.checkRepeats(),
		r.checkFindings(),
		r.checkRules(),
		checkText("reason", r.Reason),
		r.checkVerdict(),
	)
}

func (r Reproducibility) checkRepeats() error {
	if n := len(r.Repeats); n < 2 || n > maxEntries {
		return fmt.Errorf("%d repeats, want 2 to %d", n, maxEntries)
	}
	if r.Agreeing < 1 || r.Agreeing > len(r.Repeats) {
		return fmt.Errorf("%d of %d repeats agree with the baseline, which is one of them", r.Agreeing, len(r.Repeats))
	}
	seen := map[string]bool{}
	for _, p := range r.Repeats {
		if seen[p.Name] {
			return fmt.Errorf("two repeats have the name %q", p.Name)
		}
		seen[p.Name] = true
		if err := p.check(); err != nil {
			return fmt.Errorf("repeat %q: %w", p.Name, err)
		}
	}
	return nil
}

// checkVariations refuses unknown variations. Only composing checks this: a
// statement of a later version may name others, so reading one does not.
func (r Reproducibility) checkVariations() error {
	for _, p := range r.Repeats {
		for _, v := range slices.Sorted(maps.Keys(p.Variations)) {
			if _, err := recipes.ParseVariation(string(v)); err != nil {
				return fmt.Errorf("repeat %q: %w", p.Name, err)
			}
		}
	}
	return nil
}

func (p Repeat) check() error {
	names := map[string]bool{}
	for _, o := range p.Outputs {
		if o.Name == "" || o.Digest.IsZero() || names[o.Name] {
			return fmt.Errorf("output %q lacks name or digest, or occurs twice", o.Name)
		}
		names[o.Name] = true
	}
	return errors.Join(
		checkWord("name", p.Name),
		checkWord("worker's name", p.Worker.Name),
		checkMap("worker's attribute", p.Worker.Attributes),
		checkMap("variation", p.Variations),
		checkWindow(p.StartedOn, p.FinishedOn),
		checkResources("outputs", p.Outputs),
	)
}

func (r Reproducibility) checkFindings() error {
	if n := len(r.Findings.Listed); n > MaxFindings || n > r.Findings.Total {
		return fmt.Errorf("%d findings listed of %d, the most is %d", n, r.Findings.Total, MaxFindings)
	}
	if len(r.Masked) > maxEntries {
		return fmt.Errorf("%d masked fields, the most is %d", len(r.Masked), maxEntries)
	}
	for _, t := range r.AllowedTiers {
		if !slices.Contains(Tiers(), t) {
			return fmt.Errorf("tier %q cannot be allowed", t)
		}
	}
	for _, f := range r.Findings.Listed {
		if !slices.Contains(Tiers(), f.Tier) && f.Tier != tierForbidden {
			return fmt.Errorf("finding in %q has the unknown tier %q", f.Path, f.Tier)
		}
		if err := errors.Join(checkText("path", f.Path), checkWord("field", f.Field), checkText("cause", f.Cause)); err != nil {
			return fmt.Errorf("finding: %w", err)
		}
	}
	for _, m := range r.Masked {
		if err := checkWord("masked field", m.Field); err != nil {
			return err
		}
		if !slices.Contains(r.AllowedTiers, m.Tier) || m.Count < 1 {
			return fmt.Errorf("field %q was masked %d times in tier %q, which was not allowed", m.Field, m.Count, m.Tier)
		}
	}
	return nil
}

// checkVerdict checks that the verdict follows from the other fields.
func (r Reproducibility) checkVerdict() error {
	if len(r.Repeats) == 0 {
		return nil // checkRepeats reports it
	}
	if r.Tier != "" && r.Verdict != Equivalent {
		return fmt.Errorf("verdict %s with tier %q", r.Verdict, r.Tier)
	}
	switch r.Verdict {
	case Identical:
		return r.checkIdentical()
	case Equivalent:
		return r.checkEquivalent()
	case Different:
		if r.Agreeing == len(r.Repeats) || r.Findings.Total == 0 {
			return fmt.Errorf("verdict different, but %d of %d repeats agree and there are %d findings", r.Agreeing, len(r.Repeats), r.Findings.Total)
		}
		return r.checkMade()
	case Incomparable:
		if r.Reason == "" {
			return errors.New("verdict incomparable without a reason")
		}
		return r.checkMade()
	default:
		return fmt.Errorf("unknown verdict %q", r.Verdict)
	}
}

func (r Reproducibility) checkIdentical() error {
	if r.Findings.Total > 0 || len(r.Masked) > 0 || r.Agreeing != len(r.Repeats) {
		return fmt.Errorf("verdict identical with %d findings, %d masked fields and %d of %d repeats agreeing",
			r.Findings.Total, len(r.Masked), r.Agreeing, len(r.Repeats))
	}
	for _, p := range r.Repeats {
		if !sameOutputs(r.Subjects, p.Outputs, true) {
			return fmt.Errorf("verdict identical, but the outputs of repeat %q are not the subjects", p.Name)
		}
	}
	return nil
}

func (r Reproducibility) checkEquivalent() error {
	if !slices.Contains(r.AllowedTiers, r.Tier) {
		return fmt.Errorf("verdict equivalent in tier %q, which was not allowed", r.Tier)
	}
	if r.Findings.Total == 0 || len(r.Masked) == 0 || r.Agreeing != len(r.Repeats) {
		return fmt.Errorf("verdict equivalent with %d findings, %d masked fields and %d of %d repeats agreeing",
			r.Findings.Total, len(r.Masked), r.Agreeing, len(r.Repeats))
	}
	for _, f := range r.Findings.Listed {
		if f.Tier > r.Tier || !slices.Contains(r.AllowedTiers, f.Tier) {
			return fmt.Errorf("verdict equivalent in tier %s, but %q differs in tier %s", r.Tier, f.Path, f.Tier)
		}
	}
	all := 0
	for _, m := range r.Masked {
		if m.Tier > r.Tier {
			return fmt.Errorf("verdict equivalent in tier %s, but %q was masked in tier %s", r.Tier, m.Field, m.Tier)
		}
		all += m.Count
	}
	if all < r.Findings.Total {
		return fmt.Errorf("verdict equivalent with %d findings, of which %d are masked", r.Findings.Total, all)
	}
	for i, p := range r.Repeats {
		if !sameOutputs(r.Subjects, p.Outputs, i == 0) {
			return fmt.Errorf("verdict equivalent, but the outputs of repeat %q do not fit the subjects", p.Name)
		}
	}
	return nil
}

// checkMade checks that every subject is an output of some repeat.
func (r Reproducibility) checkMade() error {
	made := map[digest.Digest]bool{}
	for _, p := range r.Repeats {
		for _, o := range p.Outputs {
			made[o.Digest] = true
		}
	}
	for _, s := range r.Subjects {
		if !made[s.Digest] {
			return fmt.Errorf("subject %q came out of no repeat", s.Name)
		}
	}
	return nil
}

// sameOutputs reports whether outputs have the names of the subjects and, if
// bytes is set, their digests.
func sameOutputs(subjects []attest.Subject, outputs []Resource, bytes bool) bool {
	if len(subjects) != len(outputs) {
		return false
	}
	want := make(map[string]digest.Digest, len(subjects))
	for _, s := range subjects {
		want[s.Name] = s.Digest
	}
	for _, o := range outputs {
		d, ok := want[o.Name]
		if !ok || (bytes && d != o.Digest) {
			return false
		}
	}
	return true
}
