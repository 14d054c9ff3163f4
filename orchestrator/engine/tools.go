// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// probeForTools has workers probed for tools that a waiting build wants and that they
// were never asked for. Until the probe answers, such a tool neither makes a worker fit
// nor rules it out. It asks once per tool, so that a worker that does not report a tool
// is not probed for ever.
func (e *Engine) probeForTools(ctx context.Context, q schedule.Queue) error {
	wanted := map[*schedule.Wants]bool{}
	for _, s := range q.Stages {
		wanted[s.Wants] = true
	}
	tools := toolsOf(maps.Keys(wanted))
	var wakes []store.Wake
	for _, w := range q.Workers {
		if w.Unavailable == "" && e.newTools(w.Name, w.Facts, tools) {
			wakes = append(wakes, store.Wake{Kind: store.Probe, Worker: w.Name})
		}
	}
	if len(wakes) == 0 {
		return nil
	}
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, w := range wakes {
			if err := tx.Wake(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("asking for probes: %w", err)
	}
	return nil
}

// toolsOf returns the tools that must be known of workers, sorted and without
// duplicates, at most as many as one probe takes.
func toolsOf(all iter.Seq[*schedule.Wants]) []string {
	var names []string
	for w := range all {
		if w != nil {
			names = append(names, w.ToolNames()...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), workers.MaxTools)]
}

// wantedTools returns the tools that the next probe of any worker must ask for: those
// that waiting builds want, those that repeats are spread by, and more.
func (e *Engine) wantedTools(ctx context.Context, more ...string) ([]string, error) {
	ready, err := e.Store.Ready(ctx)
	if err != nil {
		return nil, err
	}
	wants, err := e.wantsOf(ready)
	if err != nil {
		return nil, err
	}
	names := slices.Concat(more, toolsOf(maps.Values(wants)))
	for _, by := range e.Settings.Scheduling.Spread {
		if name, ok := strings.CutPrefix(by, "tool:"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// toolsToAsk adds the tools that facts already cover to the wanted ones, so that no
// probe forgets them, up to the number that one probe takes.
func toolsToAsk(facts *workers.Facts, wanted []string) []string {
	if facts != nil {
		known := slices.Concat(slices.Sorted(maps.Keys(facts.Tools)), facts.Absent)
		wanted = slices.Concat(wanted, known)
	}
	var names []string
	seen := map[string]bool{}
	for _, t := range wanted {
		if len(names) < workers.MaxTools && !seen[t] && workers.ValidTool(t) {
			names = append(names, t)
			seen[t] = true
		}
	}
	return names
}

// lacksTools reports whether facts are silent about one of the tools.
func lacksTools(facts *workers.Facts, tools []string) bool {
	return slices.ContainsFunc(tools, func(t string) bool { return !facts.Knows(t) })
}

// newTools reports whether facts are silent about a tool that this engine has not asked
// the worker for yet, and notes that it has now.
func (e *Engine) newTools(worker string, facts *workers.Facts, tools []string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked, fresh := e.toolsAsked[worker], false
	for _, t := range tools {
		if !facts.Knows(t) && !slices.Contains(asked, t) {
			asked, fresh = append(asked, t), true
		}
	}
	e.toolsAsked[worker] = asked[max(0, len(asked)-workers.MaxTools):]
	return fresh
}
