// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"iter"
	"strings"

	"github.com/zfarm/zfarm/recipes"
)

// ask is one thing that wants ask of a worker. It is comparable, so that each
// needs to be answered once a decision only.
type ask struct {
	of string // tool, patch, label, system or release
	// name and value are those of a label; name is that of a tool or system.
	name, value string
	within      recipes.Range
}

// asks yields what w wants, in the order in which people are told.
func (w Wants) asks() iter.Seq[ask] {
	return func(yield func(ask) bool) {
		if w.Worker.System != "" && !yield(ask{of: "system", name: w.Worker.System}) {
			return
		}
		if w.Worker.Release != "" && !yield(ask{of: "release", within: w.Worker.Release}) {
			return
		}
		for _, l := range w.Worker.Labels {
			name, value, _ := strings.Cut(l, "=")
			if !yield(ask{of: "label", name: name, value: value}) {
				return
			}
		}
		if w.Patch && !yield(ask{of: "tool", name: "patch"}) {
			return
		}
		for _, t := range w.Tools {
			if !yield(ask{of: "tool", name: t.Name, within: t.Version}) {
				return
			}
		}
	}
}

// within says whether a version lies in a range, as recipes.Range.Has does.
type within func(r recipes.Range, version string) bool

// met reports whether the worker has what is asked. A worker that was not
// probed has nothing.
func (a ask) met(w *Worker, in within) bool {
	if w.Facts == nil {
		return false
	}
	switch a.of {
	case "system":
		return w.Facts.System == a.name
	case "release":
		return in(a.within, leading(w.Facts.Release))
	case "label":
		value, ok := w.Labels[a.name]
		return ok && (a.value == "" || a.value == value)
	default:
		tool, ok := w.Facts.Tools[a.name]
		return ok && in(a.within, tool.Version)
	}
}

// lack says why the worker, which was probed, does not have what is asked.
// What a worker says of itself is quoted and cut: it is hostile.
func (a ask) lack(w *Worker) string {
	switch a.of {
	case "system":
		return fmt.Sprintf("its system is %.64q, the recipe wants %s", w.Facts.System, a.name)
	case "release":
		return fmt.Sprintf("its release is %.64q, the recipe wants %s", w.Facts.Release, a.within)
	case "label":
		if have, ok := w.Labels[a.name]; ok {
			return fmt.Sprintf("its label %s is %.64q, the recipe wants %q", a.name, have, a.value)
		}
		return fmt.Sprintf("it has no label %s", a.name)
	}
	have, ok := w.Facts.Tools[a.name]
	switch {
	case !ok && a.within != "":
		return fmt.Sprintf("it has no %s, the recipe wants %s", a.name, a.within)
	case !ok:
		return fmt.Sprintf("it has no %s", a.name)
	case have.Version == "":
		return fmt.Sprintf("the version of its %s is not known, the recipe wants %s", a.name, a.within)
	default:
		return fmt.Sprintf("its %s is %.64q, the recipe wants %s", a.name, have.Version, a.within)
	}
}

// leading returns the numbers a release begins with: kernels add words to them
// (6.1.0-18-amd64), which would make them previews of a version.
func leading(release string) string {
	end := strings.IndexFunc(release, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(release)
	}
	return strings.TrimRight(release[:end], ".")
}

// Misfits returns why the worker cannot build what has these wants, one
// sentence each, or nothing. Whether the worker takes anything new, and
// whether a slot is free, is not asked.
func Misfits(w Wants, worker Worker) []string {
	if worker.Facts == nil {
		return []string{"it was not probed yet, so that nothing is known of it"}
	}
	var lacks []string
	seen := make(map[ask]bool)
	for a := range w.asks() {
		if !seen[a] && !a.met(&worker, recipes.Range.Has) {
			lacks = append(lacks, a.lack(&worker))
		}
		seen[a] = true
	}
	return lacks
}

// fitting answers which workers fit wants, each ask and each version once.
type fitting struct {
	workers  []Worker
	answers  map[ask]set
	versions map[version]bool
	probed   set
}

type version struct {
	within  recipes.Range
	version string
}

func newFitting(workers []Worker) *fitting {
	f := &fitting{workers: workers, answers: make(map[ask]set), versions: make(map[version]bool), probed: newSet(len(workers))}
	for i := range workers {
		if workers[i].Facts != nil {
			f.probed.add(i)
		}
	}
	return f
}

func (f *fitting) has(r recipes.Range, v string) bool {
	key := version{r, v}
	has, known := f.versions[key]
	if !known {
		has = r.Has(v)
		f.versions[key] = has
	}
	return has
}

// of returns the workers that Misfits has nothing to say about.
func (f *fitting) of(w *Wants) set {
	fit := f.probed.clone()
	for a := range w.asks() {
		met, known := f.answers[a]
		if !known {
			met = newSet(len(f.workers))
			for i := range f.workers {
				if a.met(&f.workers[i], f.has) {
					met.add(i)
				}
			}
			f.answers[a] = met
		}
		fit.keep(met)
	}
	return fit
}
