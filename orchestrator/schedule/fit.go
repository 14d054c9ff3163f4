// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"iter"
	"strings"

	"github.com/zfarm/zfarm/recipes"
)

// requirement is one thing that a build wants of a worker. It is comparable, so that a
// decision evaluates equal requirements only once.
type requirement struct {
	of string // tool, label, system or release
	// name and value are those of a label; name is that of a tool or system.
	name, value string
	within      recipes.Range
}

// requirements yields what w wants, in the order for display.
func (w Wants) requirements() iter.Seq[requirement] {
	return func(yield func(requirement) bool) {
		if w.Worker.System != "" && !yield(requirement{of: "system", name: w.Worker.System}) {
			return
		}
		if w.Worker.Release != "" && !yield(requirement{of: "release", within: w.Worker.Release}) {
			return
		}
		for _, l := range w.Worker.Labels {
			name, value, _ := strings.Cut(l, "=")
			if !yield(requirement{of: "label", name: name, value: value}) {
				return
			}
		}
		if w.Patch && !yield(requirement{of: "tool", name: "patch"}) {
			return
		}
		for _, t := range w.Tools {
			if !yield(requirement{of: "tool", name: t.Name, within: t.Version}) {
				return
			}
		}
	}
}

// within reports whether a version lies in a range, as recipes.Range.Has does.
type within func(r recipes.Range, version string) bool

// met reports whether the worker meets the requirement. A worker that was never probed
// meets none.
func (r requirement) met(w *Worker, in within) bool {
	if w.Facts == nil {
		return false
	}
	switch r.of {
	case "system":
		return w.Facts.System == r.name
	case "release":
		return in(r.within, leading(w.Facts.Release))
	case "label":
		value, ok := w.Labels[r.name]
		return ok && (r.value == "" || r.value == value)
	default:
		tool, ok := w.Facts.Tools[r.name]
		return ok && in(r.within, tool.Version)
	}
}

// lack says why a probed worker does not meet the requirement. It quotes and shortens
// what the worker reported, which is untrusted.
func (r requirement) lack(w *Worker) string {
	switch r.of {
	case "system":
		return fmt.Sprintf("its system is %.64q, the recipe requires %s", w.Facts.System, r.name)
	case "release":
		return fmt.Sprintf("its release is %.64q, the recipe requires %s", w.Facts.Release, r.within)
	case "label":
		if have, ok := w.Labels[r.name]; ok {
			return fmt.Sprintf("its label %s is %.64q, the recipe requires %q", r.name, have, r.value)
		}
		return fmt.Sprintf("it has no label %s", r.name)
	}
	have, ok := w.Facts.Tools[r.name]
	switch {
	case !w.Facts.Knows(r.name):
		return fmt.Sprintf("it has not been probed for %s yet", r.name)
	case !ok && r.within != "":
		return fmt.Sprintf("it has no %s, the recipe requires %s", r.name, r.within)
	case !ok:
		return fmt.Sprintf("it has no %s", r.name)
	case have.Version == "":
		return fmt.Sprintf("the version of its %s is not known, the recipe requires %s", r.name, r.within)
	default:
		return fmt.Sprintf("its %s is %.64q, the recipe requires %s", r.name, have.Version, r.within)
	}
}

// leading returns the numbers at the start of a release: kernels append words to them
// (6.1.0-18-amd64), which would make them previews of a version.
func leading(release string) string {
	end := strings.IndexFunc(release, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(release)
	}
	return strings.TrimRight(release[:end], ".")
}

// ToolNames returns the tools that a probe must have asked for before a worker can fit.
func (w Wants) ToolNames() []string {
	var names []string
	for r := range w.requirements() {
		if r.of == "tool" {
			names = append(names, r.name)
		}
	}
	return names
}

// Mismatches returns why the worker cannot build what has these wants, one sentence
// each, or nothing. It ignores whether the worker accepts new work or has a free slot.
func Mismatches(w Wants, worker Worker) []string {
	if worker.Facts == nil {
		return []string{"it has not been probed yet"}
	}
	var lacks []string
	seen := make(map[requirement]bool)
	for r := range w.requirements() {
		if !seen[r] && !r.met(&worker, recipes.Range.Has) {
			lacks = append(lacks, r.lack(&worker))
		}
		seen[r] = true
	}
	return lacks
}

// fitting finds the workers that fit wants; it evaluates each requirement and each
// version once.
type fitting struct {
	workers  []Worker
	answers  map[requirement]set
	versions map[version]bool
	probed   set
}

type version struct {
	within  recipes.Range
	version string
}

func newFitting(workers []Worker) *fitting {
	f := &fitting{workers: workers, answers: make(map[requirement]set), versions: make(map[version]bool), probed: newSet(len(workers))}
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

// of returns the workers without Mismatches.
func (f *fitting) of(w *Wants) set {
	fit := f.probed.clone()
	for r := range w.requirements() {
		met, known := f.answers[r]
		if !known {
			met = newSet(len(f.workers))
			for i := range f.workers {
				if r.met(&f.workers[i], f.has) {
					met.add(i)
				}
			}
			f.answers[r] = met
		}
		fit.intersect(met)
	}
	return fit
}
