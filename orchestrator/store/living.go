// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// fixedPart is the part of a build that never changes, as far as scheduling needs it.
type fixedPart struct {
	// seq is never reused.
	seq         int64
	port, owner string
	wants       []byte
	needs       []string
}

// maxSpareParts is how many ended builds the cache may keep beside the others.
const maxSpareParts = 1000

// fixedParts returns the fixed parts of builds by their ids, perhaps with others. It
// reads each once: thousands of builds wait through thousands of decisions.
func (s *Store) fixedParts(ctx context.Context, db query.DBTX, builds iter.Seq2[int64, string]) (map[string]fixedPart, error) {
	s.mu.Lock()
	known := s.fixed // never changed, only replaced
	s.mu.Unlock()
	var missing []string
	asked := 0
	for seq, id := range builds {
		asked++
		if known[id].seq != seq {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return known, nil
	}
	all, err := readFixedParts(ctx, db, missing)
	if err != nil {
		return nil, err
	}
	keep := maps.All(known)
	if len(known) > 2*asked+maxSpareParts {
		keep = func(yield func(string, fixedPart) bool) {
			for _, id := range builds {
				if l, there := known[id]; there && !yield(id, l) {
					return
				}
			}
		}
	}
	for id, l := range keep {
		if _, fresh := all[id]; !fresh {
			all[id] = l
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fixed = all
	return all, nil
}

// readFixedParts is written by hand: sqlc cannot pass a list of values to both
// databases.
func readFixedParts(ctx context.Context, db query.DBTX, ids []string) (map[string]fixedPart, error) {
	all := make(map[string]fixedPart, len(ids))
	err := inBatches(ids, func(marks string, some []any) error {
		var id, wants string
		var l fixedPart
		err := scan(ctx, db, "SELECT id, seq, port, owner, wants FROM build WHERE id IN ("+marks+")", some,
			[]any{&id, &l.seq, &l.port, &l.owner, &wants}, func() {
				l.wants = bytesOf(wants)
				all[id] = l
			})
		if err != nil {
			return err
		}
		var need string
		return scan(ctx, db, "SELECT build, need FROM need WHERE build IN ("+marks+") ORDER BY build, place", some, []any{&id, &need}, func() {
			l := all[id]
			l.needs = append(l.needs, need)
			all[id] = l
		})
	})
	return all, err
}

// batch is how many ids one statement asks for. A short batch is padded with its last
// id, so that the text of the statement is always the same.
const batch = 50

// inBatches calls read with one batch of ids after the other, and with the placeholders
// for them in a statement.
func inBatches(ids []string, read func(marks string, some []any) error) error {
	marks := make([]string, batch)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	for first := 0; first < len(ids); first += batch {
		some := make([]any, batch)
		for i := range some {
			some[i] = ids[min(first+i, len(ids)-1)]
		}
		if err := read(strings.Join(marks, ", "), some); err != nil {
			return err
		}
	}
	return nil
}

// scan reads each row into the values and then calls each.
func scan(ctx context.Context, db query.DBTX, statement string, args, values []any, each func()) error {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err reports the same
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return err
		}
		each()
	}
	return rows.Err()
}

// byBuild finds the rows of each build among rows that are grouped by build.
func byBuild[Row any](rows []Row, build func(Row) string) map[string][]Row {
	groups := map[string][]Row{}
	for first := 0; first < len(rows); {
		id, end := build(rows[first]), first+1
		for end < len(rows) && build(rows[end]) == id {
			end++
		}
		groups[id] = rows[first:end:end]
		first = end
	}
	return groups
}
