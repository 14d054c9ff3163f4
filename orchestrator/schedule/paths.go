// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Node is a build as Paths sees it.
type Node struct {
	Build string
	// Expected is how long the build alone is likely to take.
	Expected time.Duration
	// Needs are the builds that must have ended before it begins.
	Needs []string
}

// Paths returns, for each build, how long the longest chain of work takes that begins
// with it and goes on through builds that need it, itself included.
//
// It ignores needs that are not among g, and those of a build on itself. Of a cycle,
// which nothing can build, it ignores at least one need, always the same. A build that
// is given twice has the needs of both and the longer time.
func Paths(g []Node) map[string]time.Duration {
	p := paths{at: make(map[string]int, len(g))}
	for _, n := range g {
		p.add(n)
	}
	n := len(p.builds)
	p.needs, p.waits, p.done, p.behind = make([][]int, n), make([]int, n), make([]bool, n), make([]time.Duration, n)
	for i := range n {
		p.link(i)
	}
	p.order()
	lengths := make(map[string]time.Duration, len(p.builds))
	for i := range p.builds {
		lengths[p.builds[i].Build] = p.builds[i].Expected
	}
	return lengths
}

// paths adds up chains. It turns Expected into the length of the longest chain.
type paths struct {
	at     map[string]int
	builds []Node
	needs  [][]int
	// waits counts the builds that need this one and whose path is not known yet. A
	// build with 0 is ready, or finished.
	waits []int
	ready []int
	done  []bool
	// behind is the longest known path among the builds that need this one.
	behind []time.Duration
}

func (p *paths) add(n Node) {
	n.Expected = max(n.Expected, 0)
	i, ok := p.at[n.Build]
	if !ok {
		p.at[n.Build] = len(p.builds)
		p.builds = append(p.builds, n)
		return
	}
	known := &p.builds[i]
	known.Expected = max(known.Expected, n.Expected)
	known.Needs = slices.Concat(known.Needs, n.Needs)
}

// link turns the needs of a build into positions, without duplicates.
func (p *paths) link(i int) {
	for _, name := range p.builds[i].Needs {
		if n, ok := p.at[name]; ok && n != i {
			p.needs[i] = append(p.needs[i], n)
		}
	}
	slices.Sort(p.needs[i])
	p.needs[i] = slices.Compact(p.needs[i])
	for _, n := range p.needs[i] {
		p.waits[n]++
	}
}

// order goes from the builds that nothing needs to those that they need. When only
// cycles and what they need are left, it goes on with the first of those by name.
func (p *paths) order() {
	names := make([]int, len(p.builds))
	for i := range names {
		names[i] = i
		if p.waits[i] == 0 {
			p.ready = append(p.ready, i)
		}
	}
	slices.SortFunc(names, func(a, b int) int { return cmp.Compare(p.builds[a].Build, p.builds[b].Build) })
	p.drain()
	for _, i := range names {
		if !p.done[i] {
			p.finish(i)
			p.drain()
		}
	}
}

func (p *paths) drain() {
	for len(p.ready) > 0 {
		last := len(p.ready) - 1
		i := p.ready[last]
		p.ready = p.ready[:last]
		p.finish(i)
	}
}

// finish computes the path of a build and passes it on to the builds it needs.
func (p *paths) finish(i int) {
	p.done[i] = true
	b := &p.builds[i]
	b.Expected += min(p.behind[i], math.MaxInt64-b.Expected)
	for _, n := range p.needs[i] {
		p.waits[n]--
		if p.done[n] {
			continue
		}
		p.behind[n] = max(p.behind[n], b.Expected)
		if p.waits[n] == 0 {
			p.ready = append(p.ready, n)
		}
	}
}
