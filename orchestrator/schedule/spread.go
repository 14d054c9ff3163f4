// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/workers"
)

// Check returns what is wrong with p. Decisions under faulty settings are still sound:
// workers do not count as different in an unknown fact.
func (p Settings) Check() error {
	for _, name := range p.Spread {
		if !KnownFact(name) {
			return fmt.Errorf("checking the policy: repeats cannot be spread over %q: write one of %s", name, strings.Join(Facts(), ", "))
		}
	}
	if p.Aging < 0 || p.Reserve < 0 {
		return fmt.Errorf("checking the policy: aging is %s, reserve %s: neither may be negative", p.Aging, p.Reserve)
	}
	for _, owner := range slices.Sorted(maps.Keys(p.Shares)) {
		weight := p.Shares[owner]
		if !(weight > 0) { // neither is NaN
			return fmt.Errorf("checking the policy: the share of %q is %v: write a number above 0", owner, weight)
		}
	}
	return nil
}

// spread computes which workers differ.
type spread struct {
	facts []string
	size  int
	at    map[string]int
	// values holds a number for the value of each fact of each worker; 0 means unknown.
	values [][]int
	// differing holds, by the name of a worker, the workers that differ from it in
	// every fact.
	differing map[string]set
	scratch   set
}

func newSpread(facts []string, registered []Worker, at map[string]int) *spread {
	if len(facts) == 0 {
		facts = []string{"worker"}
	}
	s := &spread{facts: facts, size: len(registered), at: at, differing: make(map[string]set), scratch: newSet(len(registered))}
	for _, f := range facts {
		numbers := make(map[string]int)
		column := make([]int, len(registered))
		read := factOf(f)
		for i := range registered {
			value, known := "", false
			if read != nil {
				value, known = read(&registered[i])
			}
			if !known {
				continue
			}
			if numbers[value] == 0 {
				numbers[value] = len(numbers) + 1
			}
			column[i] = numbers[value]
		}
		s.values = append(s.values, column)
	}
	return s
}

// reader returns a fact of a worker, and whether it is known.
type reader func(*Worker) (value string, known bool)

// fact is a fact that [Settings.Spread] may name: alone, or as "name:NAME".
type fact struct {
	name string
	of   bool // with a NAME
	read func(of string) reader
}

// facts returns what repeats can be spread over, in the order of the documentation.
func facts() []fact {
	probed := func(read func(f *workers.Facts, of string) string) func(string) reader {
		return func(of string) reader {
			return func(w *Worker) (string, bool) {
				if w.Facts == nil {
					return "", false
				}
				value := read(w.Facts, of)
				return value, value != ""
			}
		}
	}
	return []fact{
		{name: "worker", read: func(string) reader { return func(w *Worker) (string, bool) { return w.Name, true } }},
		{name: "host", read: probed(func(f *workers.Facts, _ string) string { return f.Host })},
		{name: "release", read: probed(func(f *workers.Facts, _ string) string { return f.Release })},
		{name: "machine", read: probed(func(f *workers.Facts, _ string) string { return f.Machine })},
		{name: "label", of: true, read: func(of string) reader {
			return func(w *Worker) (string, bool) { value, ok := w.Labels[of]; return value, ok }
		}},
		{name: "tool", of: true, read: probed(func(f *workers.Facts, of string) string {
			return cmp.Or(f.Tools[of].Version, f.Tools[of].Banner)
		})},
	}
}

// Facts returns the names that [Settings.Spread] may contain, for people: NAME is a
// placeholder.
func Facts() []string {
	var names []string
	for _, f := range facts() {
		if f.of {
			f.name += ":NAME"
		}
		names = append(names, f.name)
	}
	return names
}

// KnownFact reports whether [Settings.Spread] may name the fact.
func KnownFact(name string) bool { return factOf(name) != nil }

// factOf returns the reader of a fact that [Settings.Spread] may name, or nil for any
// other name.
func factOf(name string) reader {
	kind, of, colon := strings.Cut(name, ":")
	for _, f := range facts() {
		if f.name == kind && f.of == colon && (of != "") == colon {
			return f.read(of)
		}
	}
	return nil
}

// leftFarm is the position of a worker that has left the farm.
const leftFarm = -1

func (s *spread) position(worker string) int {
	if i, ok := s.at[worker]; ok {
		return i
	}
	return leftFarm
}

// differ reports whether worker i is known to differ from worker j in fact f. Only the
// name is known of a worker that is gone.
func (s *spread) differ(f, i, j int) bool {
	if j == leftFarm {
		return s.facts[f] == "worker"
	}
	a, b := s.values[f][i], s.values[f][j]
	return a != 0 && b != 0 && a != b
}

// same returns the facts in which worker i is not known to differ from the named
// worker.
func (s *spread) same(i int, from string) []string {
	var same []string
	j := s.position(from)
	for f := range s.facts {
		if !s.differ(f, i, j) {
			same = append(same, s.facts[f])
		}
	}
	return same
}

// from returns the workers that differ from the named one in every fact.
func (s *spread) from(worker string) set {
	if differing, ok := s.differing[worker]; ok {
		return differing
	}
	differing := newSet(s.size)
	j := s.position(worker)
workers:
	for i := range s.size {
		for f := range s.facts {
			if !s.differ(f, i, j) {
				continue workers
			}
		}
		differing.add(i)
	}
	s.differing[worker] = differing
	return differing
}

// keepApart narrows may to the workers that keep a repeat apart from the others, which were
// given used: those that differ in every fact; if there are none, those with another
// name; if there are none either, keepApart leaves may as it is. It reports whether they
// differ in every fact.
func (s *spread) keepApart(may set, used []string) bool {
	s.scratch.copyFrom(may)
	for _, u := range used {
		may.intersect(s.from(u))
	}
	if !may.empty() {
		return true
	}
	may.copyFrom(s.scratch)
	s.without(may, used)
	return false
}

// without removes the named workers, unless that would remove all.
func (s *spread) without(may set, names []string) {
	s.scratch.copyFrom(may)
	for _, n := range names {
		if i, ok := s.at[n]; ok {
			may.remove(i)
		}
	}
	if may.empty() {
		may.copyFrom(s.scratch)
	}
}

// similarity counts the facts in which worker i equals those used; less is better.
// Being the same worker outweighs everything.
func (s *spread) similarity(i int, used []string) int {
	n := 0
	for _, u := range used {
		n += len(s.same(i, u))
		if s.position(u) == i {
			n += 1000
		}
	}
	return n
}
