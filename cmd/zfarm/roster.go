// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// roster is the workers of the farm's file, which may be read again while the
// farm is served. It is safe for concurrent use.
type roster struct {
	mu    sync.Mutex
	named []farmfile.Worker // in the order of the file
	// known are all that the file ever named: what runs on one that was taken
	// out of it is still watched to its end.
	known map[string]farmfile.Worker
}

// changes name the workers in which two files differ. moved are those that are
// new or reached in another way.
type changes struct{ added, changed, removed, moved []string }

// replace takes over the workers of a file and says what is new.
func (r *roster) replace(named []farmfile.Worker) changes {
	r.mu.Lock()
	defer r.mu.Unlock()
	var c changes
	if r.known == nil {
		r.known = map[string]farmfile.Worker{}
	}
	is := func(name string) func(farmfile.Worker) bool {
		return func(w farmfile.Worker) bool { return w.Name == name }
	}
	for _, w := range named {
		switch i := slices.IndexFunc(r.named, is(w.Name)); {
		case i < 0:
			c.added = append(c.added, w.Name)
		case !reflect.DeepEqual(r.named[i], w):
			c.changed = append(c.changed, w.Name)
		}
		if was, ok := r.known[w.Name]; !ok || !reflect.DeepEqual(access(was), access(w)) {
			c.moved = append(c.moved, w.Name)
		}
		r.known[w.Name] = w
	}
	for _, w := range r.named {
		if !slices.ContainsFunc(named, is(w.Name)) {
			c.removed = append(c.removed, w.Name)
		}
	}
	r.named = slices.Clone(named)
	return c
}

// access is what a worker is reached by: all but what it is given.
func access(w farmfile.Worker) farmfile.Worker {
	w.Labels, w.Slots = nil, 0
	return w
}

// worker returns what is known of the worker of that name.
func (r *roster) worker(name string) (farmfile.Worker, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.known[name]
	return w, ok
}

// registered are the workers that the file names as they are remembered.
func (r *roster) registered() []store.Worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []store.Worker
	for _, w := range r.named {
		all = append(all, store.Worker{Name: w.Name, Address: w.Address, Labels: w.Labels, Slots: w.Slots})
	}
	return all
}

// reload reads the farm's file again and takes over its workers. A faulty file
// changes nothing. What was read is told in the log.
func (f *farm) reload(ctx context.Context, path string) {
	log := f.log.With("file", path)
	var diagnostics strings.Builder
	file, err := loadFarm(path, &diagnostics)
	if err != nil {
		log.Error("farm file is faulty, nothing was changed", "diagnostics", diagnostics.String())
		return
	}
	// Attempts on workers are given up by the patience that was read first.
	if file.Patience < f.file.Patience {
		log.Error("farm file would have the farm wait for less than it does now, nothing was changed; start the server again, or give the workers longer leases",
			"patience", file.Patience, "now", f.file.Patience)
		return
	}
	c := f.roster.replace(file.Workers)
	for _, name := range c.moved {
		f.pool.Drop(name) //nolint:errcheck // it is opened anew
	}
	if err := f.Register(ctx, f.roster.registered()); err != nil {
		log.Error("farm file was read, and its workers could not be registered; try again", "error", err)
		return
	}
	log.Info("farm file was read", slog.Group("workers", "added", c.added, "changed", c.changed, "removed", c.removed))
	rest := *file
	rest.Workers, rest.Patience = f.file.Workers, f.file.Patience
	if !reflect.DeepEqual(&rest, f.file) {
		log.Warn("farm file says more that is new: start the server again for all but workers")
	}
}

// loadFarm reads the farm's file and tells what is wrong with it.
func loadFarm(path string, errs io.Writer) (*farmfile.Farm, error) {
	file, diags := farmfile.Load(path)
	if err := diags.WriteText(errs, width(errs), false); err != nil {
		return nil, err
	}
	if file == nil {
		return nil, exit{usageError, fmt.Errorf("%s is faulty", path)}
	}
	return file, nil
}

// checkFarm says whether the farm's file is sound.
func checkFarm(path string, out, errs io.Writer) error {
	file, err := loadFarm(path, errs)
	if err != nil {
		return err
	}
	names := make([]string, len(file.Workers))
	for i, w := range file.Workers {
		names[i] = w.Name
	}
	_, err = fmt.Fprintf(out, "%s is sound: farm %s with workers %s\n", path, file.Name, strings.Join(names, ", "))
	return err
}
