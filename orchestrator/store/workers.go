// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/zfarm/zfarm/orchestrator/store/query"
	"github.com/zfarm/zfarm/workers"
)

// MaxSlots is the largest number of slots that a worker can be registered with.
const MaxSlots = 1000

// Register makes all the registered workers of the farm, with their addresses, labels
// and slots. Other workers stay known and get no work. A worker with fewer slots than
// before keeps its held slots until they are freed. Register changes nothing else of a
// known worker.
func (tx *Tx) Register(ctx context.Context, all []Worker) error {
	tx.moved = true
	if err := tx.q.UnregisterWorkers(ctx); err != nil {
		return fmt.Errorf("registering workers: %w", err)
	}
	seen := map[string]bool{}
	for _, w := range all {
		if w.Name == "" || seen[w.Name] || w.Slots < 0 || w.Slots > MaxSlots {
			return fmt.Errorf("registering worker %q: names are unique, and slots from 0 to %d", w.Name, MaxSlots)
		}
		seen[w.Name] = true
		if err := tx.register(ctx, w); err != nil {
			return fmt.Errorf("registering worker %s: %w", w.Name, err)
		}
	}
	return nil
}

func (tx *Tx) register(ctx context.Context, w Worker) error {
	c := columns{}
	err := tx.q.RegisterWorker(ctx, query.RegisterWorkerParams{
		Name: w.Name, Address: clean(w.Address), Labels: c.labels(w.Labels), Slots: int64(w.Slots),
	})
	if err := errors.Join(c.err, err); err != nil {
		return err
	}
	for place := range w.Slots {
		if err := tx.q.AddSlot(ctx, query.AddSlotParams{Worker: w.Name, Place: int64(place + 1)}); err != nil {
			return err
		}
	}
	return tx.q.ShrinkSlots(ctx, w.Name)
}

// SetWorker writes Draining, Quarantine, Facts and Probed of a worker that this
// transition has read. A quarantine without Since begins now, by this process, unless
// the worker is already quarantined for that reason.
func (tx *Tx) SetWorker(ctx context.Context, w Worker) error {
	c := columns{}
	q, err := tx.quarantine(ctx, w)
	set := int64(0)
	if err == nil {
		set, err = tx.q.SetWorker(ctx, query.SetWorkerParams{
			Draining: flag(w.Draining), Quarantine: string(q.Code), Quarantined: stamp(q.Since), QuarantineDetail: clean(q.Detail), QuarantineWho: clean(q.Who),
			Facts: c.facts(w.Facts), Probed: stamp(w.Probed), Name: w.Name,
		})
	}
	if err == nil && set == 0 {
		err = ErrUnknown
	}
	if err := errors.Join(c.err, err); err != nil {
		return fmt.Errorf("writing the state of worker %s: %w", w.Name, err)
	}
	tx.moved = true
	return nil
}

// quarantine returns the quarantine of a worker to be written, the zero value for none.
func (tx *Tx) quarantine(ctx context.Context, w Worker) (workers.Quarantine, error) {
	if w.Quarantine == nil {
		return workers.Quarantine{}, nil
	}
	q := *w.Quarantine
	if !q.Code.Valid() {
		return q, fmt.Errorf("there is no quarantine code %q", q.Code)
	}
	if !q.Since.IsZero() {
		return q, nil
	}
	row, err := tx.q.Worker(ctx, w.Name)
	if err != nil {
		return q, wrap(err)
	}
	if q.Since, q.Who = tx.now, tx.node; row.Quarantine == string(q.Code) {
		q.Since, q.Who = moment(row.Quarantined), row.QuarantineWho
	}
	return q, nil
}

// Worker returns a worker in the state that this transition sees.
func (tx *Tx) Worker(ctx context.Context, name string) (Worker, error) {
	w, err := loadWorker(ctx, tx.q, name)
	if err != nil {
		return Worker{}, fmt.Errorf("reading worker %s: %w", name, err)
	}
	return w, nil
}

func loadWorker(ctx context.Context, q *query.Queries, name string) (Worker, error) {
	row, err := q.Worker(ctx, name)
	if err != nil {
		return Worker{}, wrap(err)
	}
	slots, err := q.TakenSlotsOf(ctx, name)
	if err != nil {
		return Worker{}, err
	}
	c := columns{}
	w := c.worker(row)
	for _, slot := range slots {
		w.Held = append(w.Held, leaseOf(slot))
	}
	return w, c.err
}

// Workers returns all workers by name, including those no longer registered. Labels and
// facts are shared with later calls: they must not be changed.
func (s *Store) Workers(ctx context.Context) (all []Worker, err error) {
	err = s.view(ctx, "listing workers", func(db query.DBTX) error {
		all, err = loadWorkers(ctx, query.New(db), s.cached)
		return err
	})
	return all, err
}

// Workers returns all workers in the state that this transition sees.
func (tx *Tx) Workers(ctx context.Context) ([]Worker, error) {
	all, err := loadWorkers(ctx, tx.q, (*columns).worker)
	if err != nil {
		return nil, fmt.Errorf("listing workers: %w", err)
	}
	return all, nil
}

// cachedWorker is a worker that was read before, with the columns it was read from:
// facts are long and rarely change.
type cachedWorker struct {
	row    query.Worker
	worker Worker
}

// cached is columns.worker that decodes JSON only if it has changed.
func (s *Store) cached(c *columns, row query.Worker) Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.workers[row.Name]
	if known && before.row.Labels == row.Labels && before.row.Facts == row.Facts {
		plain := row
		plain.Labels, plain.Facts = "", ""
		w := c.worker(plain)
		w.Labels, w.Facts = before.worker.Labels, before.worker.Facts
		return w
	}
	w := c.worker(row)
	if c.err == nil {
		s.workers[row.Name] = cachedWorker{row, w}
	}
	return w
}

func loadWorkers(ctx context.Context, q *query.Queries, read func(*columns, query.Worker) Worker) ([]Worker, error) {
	rows, err := q.Workers(ctx)
	if err != nil {
		return nil, err
	}
	slots, err := q.TakenSlots(ctx)
	if err != nil {
		return nil, err
	}
	held := map[string][]Lease{}
	for _, slot := range slots {
		held[slot.Worker] = append(held[slot.Worker], leaseOf(slot))
	}
	c := columns{}
	all := make([]Worker, len(rows))
	for i, row := range rows {
		all[i] = read(&c, row)
		all[i].Held = held[row.Name]
	}
	return all, c.err
}

// Take gives the stage any free slot of l.Worker. It returns false if none is free, if
// the worker accepts no work now, or if the stage has a slot already.
func (tx *Tx) Take(ctx context.Context, l Lease) (bool, error) {
	taken, err := tx.q.TakeSlot(ctx, query.TakeSlotParams{Build: l.Build, Stage: l.Stage, Fence: l.Fence, Since: stamp(tx.now), Worker: l.Worker})
	if err != nil {
		return false, fmt.Errorf("taking a slot of %s: %w", l.Worker, err)
	}
	tx.moved = tx.moved || taken > 0
	return taken > 0, nil
}

// free frees the slot of a lease; without one it does nothing.
func (tx *Tx) free(ctx context.Context, l Lease) error {
	worker, err := tx.q.FreeSlot(ctx, query.FreeSlotParams{Build: l.Build, Stage: l.Stage, Fence: l.Fence})
	if errors.Is(wrap(err), ErrUnknown) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("freeing a slot: %w", err)
	}
	return tx.q.ShrinkSlots(ctx, worker)
}
