// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// roster is the list of workers of the farm's file, which can be reloaded while the
// farm is served. It is safe for concurrent use.
type roster struct {
	mu    sync.Mutex
	named []farmfile.Worker // in the order of the file
	// known are all workers that the file ever named: attempts on one that was removed
	// from it are still watched to their end.
	known map[string]farmfile.Worker
}

// changes are the differences between the workers of two files. moved are the workers
// that are new or whose connection settings changed.
type changes struct {
	Changes
	moved []string
}

// replace takes over the workers of a file and returns what changed.
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
			c.Added = append(c.Added, w.Name)
		case !reflect.DeepEqual(r.named[i], w):
			c.Changed = append(c.Changed, w.Name)
		}
		if was, ok := r.known[w.Name]; !ok || !reflect.DeepEqual(access(was), access(w)) {
			c.moved = append(c.moved, w.Name)
		}
		r.known[w.Name] = w
	}
	for _, w := range r.named {
		if !slices.ContainsFunc(named, is(w.Name)) {
			c.Removed = append(c.Removed, w.Name)
		}
	}
	r.named = slices.Clone(named)
	return c
}

// access returns the connection settings of a worker: everything but its labels and
// slots.
func access(w farmfile.Worker) farmfile.Worker {
	w.Labels, w.Slots = nil, 0
	return w
}

// worker returns the worker of that name, if the file ever named it.
func (r *roster) worker(name string) (farmfile.Worker, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.known[name]
	return w, ok
}

// registered returns the workers that the file names, as the store keeps them.
func (r *roster) registered() []store.Worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []store.Worker
	for _, w := range r.named {
		all = append(all, store.Worker{Name: w.Name, Address: w.Address, Labels: w.Labels, Slots: w.Slots})
	}
	return all
}

// Changes are what an open farm took over from its file.
type Changes struct {
	// Added, Changed and Removed name workers, in the order of the file.
	Added, Changed, Removed []string
	// Restart: the file differs in more than workers, and the rest takes effect only at
	// the next start.
	Restart bool
}

// Reload takes over the workers of the farm's file as it is now. An error that wraps
// [ErrConfig] means that nothing changed; after any other error the same file may be
// tried again.
func (f *Farm) Reload(ctx context.Context, file *farmfile.Farm) (Changes, error) {
	// The engine uses the patience that it was opened with.
	if file.Patience < f.file.Patience {
		return Changes{}, kind(ErrConfig, fmt.Errorf("it has a patience of %s, and the farm waits for %s: nothing was changed; start the server again, or give the workers longer leases",
			file.Patience, f.file.Patience))
	}
	c := f.roster.replace(file.Workers)
	for _, name := range c.moved {
		f.pool.Disconnect(name) //nolint:errcheck // it is opened anew
	}
	if err := f.Engine.Register(ctx, f.roster.registered()); err != nil {
		return c.Changes, err
	}
	rest := *file
	rest.Workers, rest.Patience = f.file.Workers, f.file.Patience
	c.Restart = !reflect.DeepEqual(&rest, f.file)
	return c.Changes, nil
}
