// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/store/query"
	"github.com/zfarm/zfarm/workers"
)

const (
	// chunk is the most bytes of a log in one row.
	chunk = 64 << 10
	// piece is the most bytes that Log returns at once.
	piece = 4 << 20
)

// ErrGap: bytes of a log arrived before those that precede them.
var ErrGap = errors.New("a log grows at its end only")

// BeginStep adds a step to an attempt, or returns the existing one: an attempt that is
// joined again begins its steps again.
func (s *Store) BeginStep(ctx context.Context, build, stage string, fence int64, name string) (step Step, err error) {
	begun := stamp(s.now())
	// Two goroutines that begin different steps at once get the same number; one of
	// them adds nothing, and tries again.
	for range 10 {
		err = s.write(ctx, "beginning step "+name+" of build "+build, func(q *query.Queries) error {
			if _, err := q.Build(ctx, build); err != nil {
				return err
			}
			if _, err := q.AddStep(ctx, query.AddStepParams{Build: build, Stage: stage, Fence: fence, Name: name, Begun: begun}); err != nil {
				return err
			}
			row, err := q.Step(ctx, query.StepParams{Build: build, Stage: stage, Fence: fence, Name: name})
			if errors.Is(wrap(err), ErrUnknown) {
				return errAgain
			}
			if err != nil {
				return err
			}
			c := columns{}
			step = c.step(row)
			return c.err
		})
		if !errors.Is(err, errAgain) {
			break
		}
	}
	return step, err
}

var errAgain = errors.New("another process wrote at the same time")

// AppendLog adds bytes at offset off to the log of a step. It skips bytes that are
// stored already, so that a log can be sent again from its start; a gap is ErrGap. The
// log of an ended step does not grow: that is ErrRefused.
func (s *Store) AppendLog(ctx context.Context, build, stage string, fence int64, step string, off int64, data []byte) error {
	if off < 0 {
		return fmt.Errorf("adding to the log of step %s of build %s: %w: offset %d", step, build, ErrGap, off)
	}
	key := query.StepParams{Build: build, Stage: stage, Fence: fence, Name: step}
	for {
		grown := false
		err := s.write(ctx, "adding to the log of step "+step+" of build "+build, func(q *query.Queries) (err error) {
			grown, err = grow(ctx, q, key, off, data)
			return err
		})
		if grown && err == nil {
			s.notify()
		}
		// Another call added to it meanwhile: check again what is missing.
		if !errors.Is(err, errAgain) {
			return err
		}
	}
}

func grow(ctx context.Context, q *query.Queries, key query.StepParams, off int64, data []byte) (bool, error) {
	row, err := q.Step(ctx, key)
	if err != nil {
		return false, err
	}
	end := off + int64(len(data))
	switch {
	case off > row.Size:
		return false, fmt.Errorf("%w: it has %d bytes, and these are from %d on", ErrGap, row.Size, off)
	case end <= row.Size:
		return false, nil
	case row.Status != "":
		return false, fmt.Errorf("%w: the step has ended with %d bytes of log", ErrRefused, row.Size)
	}
	grown, err := q.GrowLog(ctx, query.GrowLogParams{
		Size: end, Build: key.Build, Stage: key.Stage, Fence: key.Fence, Name: key.Name, Was: row.Size,
	})
	if err != nil {
		return false, err
	}
	if grown == 0 {
		return false, errAgain
	}
	for at, rest := row.Size, data[row.Size-off:]; len(rest) > 0; {
		n := min(len(rest), chunk)
		err := q.AddChunk(ctx, query.AddChunkParams{
			Build: key.Build, Stage: key.Stage, Fence: key.Fence, Step: key.Name, Off: at, Data: rest[:n],
		})
		if err != nil {
			return false, err
		}
		at, rest = at+int64(n), rest[n:]
	}
	return true, nil
}

// EndStep records how a step ended and the digest of its log in the artifact store.
func (s *Store) EndStep(ctx context.Context, build, stage string, fence int64, step string, st workers.Status, took time.Duration, log digest.Digest) error {
	c := columns{}
	status := c.encode(st)
	if c.err != nil {
		return c.err
	}
	return s.write(ctx, "ending step "+step+" of build "+build, func(q *query.Queries) error {
		n, err := q.EndStep(ctx, query.EndStepParams{
			Status: status, Took: int64(took), Log: sum(log), Build: build, Stage: stage, Fence: fence, Name: step,
		})
		if err == nil && n == 0 {
			return ErrUnknown
		}
		return err
	})
}

// Steps returns the steps of an attempt in the order they began.
func (s *Store) Steps(ctx context.Context, build, stage string, fence int64) (all []Step, err error) {
	err = s.read(ctx, "listing steps of build "+build, func(q *query.Queries) error {
		rows, err := q.Steps(ctx, query.StepsParams{Build: build, Stage: stage, Fence: fence})
		c := columns{}
		all = convert(rows, c.step)
		return errors.Join(err, c.err)
	})
	return all, err
}

// Log returns at most most bytes of a step's log from offset off (0 means 4 MiB, which
// is also the maximum). Past the end, and after DeleteLog, it returns nothing.
func (s *Store) Log(ctx context.Context, build, stage string, fence int64, step string, off int64, most int) ([]byte, error) {
	if most <= 0 || most > piece {
		most = piece
	}
	if off < 0 {
		off = 0
	}
	var log []byte
	err := s.read(ctx, "reading the log of step "+step+" of build "+build, func(q *query.Queries) error {
		log = nil
		rows, err := q.Chunks(ctx, query.ChunksParams{
			Build: build, Stage: stage, Fence: fence, Step: step, After: off - chunk, Until: off + int64(most),
		})
		for _, row := range rows {
			from := min(len(row.Data), int(off-row.Off)) // offset in this chunk; negative if it begins after off
			log = append(log, row.Data[max(0, from):]...)
		}
		return err
	})
	return log[:min(len(log), most)], err
}

// DeleteLog deletes from the database those logs of an attempt that are in the artifact
// store, as EndStep recorded. Others stay.
func (s *Store) DeleteLog(ctx context.Context, build, stage string, fence int64) error {
	return s.write(ctx, "dropping logs of build "+build, func(q *query.Queries) error {
		return q.DeleteLog(ctx, query.DeleteLogParams{Build: build, Stage: stage, Fence: fence})
	})
}

// ForgetLogs deletes the logs of an ended build, and stops keeping them in the artifact
// store, unless something else keeps the same bytes. The steps, their status and the
// sizes of their logs stay known.
func (tx *Tx) ForgetLogs(ctx context.Context, build string) error {
	b, err := tx.Build(ctx, build)
	if err != nil {
		return err
	}
	if !b.State().Over() {
		return fmt.Errorf("forgetting the logs of build %s: %w: it is %s", build, ErrRefused, b.State())
	}
	err = errors.Join(tx.q.ForgetChunks(ctx, build), tx.q.ForgetLogs(ctx, build), tx.q.SetLogsForgotten(ctx, build))
	if err != nil {
		return fmt.Errorf("forgetting the logs of build %s: %w", build, err)
	}
	tx.moved = true
	return nil
}

// OldLogs returns builds, released ones included, that ended before that time and whose
// logs are not deleted yet; the earliest end first.
func (s *Store) OldLogs(ctx context.Context, before time.Time, limit int) (ids []string, err error) {
	err = s.read(ctx, "looking for old logs", func(q *query.Queries) error {
		ids, err = q.OldLogs(ctx, query.OldLogsParams{Before: stamp(before), Most: int32(min(max(limit, 0), math.MaxInt32))})
		return err
	})
	return ids, err
}
