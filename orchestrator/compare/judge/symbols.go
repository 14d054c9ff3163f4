// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// maxOrder bounds the size of files whose symbols are read to detect another order.
const maxOrder = 1 << 30

// sums identifies a list of symbols: list in its order, set in any order.
type sums struct {
	list, set uint64
	count     int
}

// symbolSums reads the symbols of a file, table by table.
func symbolSums(in parts, f File, seed maphash.Seed) (map[string]sums, error) {
	out := map[string]sums{}
	err := in.of.Symbols(f.R, f.Size, func(field string, name []byte) {
		s, h := out[field], maphash.Bytes(seed, name)
		s.list, s.set, s.count = s.list*1099511628211+h, s.set+h, s.count+1
		out[field] = s
	})
	return out, err
}

// order adds evidence where both files have the same symbols in another order. It
// changes no tier.
func (d *difference) order() error {
	if d.inA.of.Symbols == nil || d.worst < verdict.Forbidden || max(d.a.Size, d.b.Size) > maxOrder {
		return nil
	}
	seed := maphash.MakeSeed()
	inA, errA := symbolSums(d.inA, d.a, seed)
	inB, errB := symbolSums(d.inB, d.b, seed)
	if errA != nil || errB != nil {
		return nil //nolint:nilerr // what cannot be read has no order, and was compared as bytes
	}
	for _, field := range slices.Sorted(maps.Keys(inA)) {
		a, b := inA[field], inB[field]
		if a.count != b.count || a.set != b.set || a.list == b.list {
			continue
		}
		d.evidence(field, fmt.Sprintf("the same %d symbols in another order: link order", a.count))
	}
	return nil
}

// evidence appends text to the tier X findings about a field and its parts. If
// there are none, it appends it to the first finding of tier X.
func (d *difference) evidence(field, text string) {
	told := false
	for i := range d.findings {
		if f := &d.findings[i]; f.Tier == verdict.Forbidden && strings.HasPrefix(f.Field, field) {
			f.Evidence, told = join(f.Evidence, text), true
		}
	}
	for i := range d.findings {
		if f := &d.findings[i]; !told && f.Tier == verdict.Forbidden {
			f.Evidence, told = join(f.Evidence, text+" (in "+field+")"), true
		}
	}
}
