// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"cmp"
	"fmt"
	"strings"
)

// Check returns what is wrong with p, for whoever configures it. A decision
// made under a faulty policy is still a decision: workers do not differ in a
// fact that is not known.
func (p Policy) Check() error {
	for _, s := range p.Spread {
		kind, name, named := strings.Cut(s, ":")
		switch kind {
		case "worker", "host", "release", "machine":
			if !named {
				continue
			}
		case "label", "tool":
			if name != "" {
				continue
			}
		}
		return fmt.Errorf("checking the policy: repeats cannot be spread over %q: write worker, host, release, machine, label:NAME or tool:NAME", s)
	}
	if p.Aging < 0 || p.Reserve < 0 {
		return fmt.Errorf("checking the policy: aging is %s, reserve %s: neither may be negative", p.Aging, p.Reserve)
	}
	for owner, weight := range p.Shares {
		if !(weight > 0) { // neither is NaN
			return fmt.Errorf("checking the policy: the share of %q is %v: write a number above 0", owner, weight)
		}
	}
	return nil
}

// spread knows which workers differ.
type spread struct {
	facts []string
	size  int
	at    map[string]int
	// values holds a number for what is known of each fact of each worker; 0
	// is what is not known.
	values [][]int
	// differing holds, for the name of a worker, those that differ from it in
	// every fact.
	differing map[string]set
	scratch   set
}

func newSpread(facts []string, workers []Worker, at map[string]int) *spread {
	if len(facts) == 0 {
		facts = []string{"worker"}
	}
	s := &spread{facts: facts, size: len(workers), at: at, differing: make(map[string]set), scratch: newSet(len(workers))}
	for _, f := range facts {
		numbers := make(map[string]int)
		column := make([]int, len(workers))
		for i := range workers {
			value, ok := fact(&workers[i], f)
			if !ok {
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

// fact returns what is known of a worker.
func fact(w *Worker, fact string) (string, bool) {
	kind, name, _ := strings.Cut(fact, ":")
	switch kind {
	case "worker":
		return w.Name, true
	case "label":
		value, ok := w.Labels[name]
		return value, ok
	}
	if w.Facts == nil {
		return "", false
	}
	value := ""
	switch kind {
	case "host":
		value = w.Facts.Host
	case "release":
		value = w.Facts.Release
	case "machine":
		value = w.Facts.Machine
	case "tool":
		value = cmp.Or(w.Facts.Tools[name].Version, w.Facts.Tools[name].Banner)
	}
	return value, value != ""
}

// gone is the position of a worker that has left the farm.
const gone = -1

func (s *spread) position(worker string) int {
	if i, ok := s.at[worker]; ok {
		return i
	}
	return gone
}

// differ reports whether worker i is known to differ from worker j in fact f.
// Of one that is gone nothing is known but that it had another name.
func (s *spread) differ(f, i, j int) bool {
	if j == gone {
		return s.facts[f] == "worker"
	}
	a, b := s.values[f][i], s.values[f][j]
	return a != 0 && b != 0 && a != b
}

// same returns the facts in which worker i is not known to differ.
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

// apart narrows may to the workers on which a repeat is apart from the others,
// which were given used: those that differ in every fact; where there are none,
// those that are another worker; where there are none either, it stays as it
// is. It reports whether they differ in every fact.
func (s *spread) apart(may set, used []string) bool {
	s.scratch.copyFrom(may)
	for _, u := range used {
		may.keep(s.from(u))
	}
	if !may.empty() {
		return true
	}
	may.copyFrom(s.scratch)
	s.without(may, used)
	return false
}

// without removes the named workers, unless nothing would be left.
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

// likeness counts in what worker i is like those used; less is better. To be
// the same worker outweighs everything.
func (s *spread) likeness(i int, used []string) int {
	n := 0
	for _, u := range used {
		n += len(s.same(i, u))
		if s.position(u) == i {
			n += 1000
		}
	}
	return n
}
