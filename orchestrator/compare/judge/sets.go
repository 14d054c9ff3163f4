// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// sets compares two files whose content is a set: only the items count, not their
// order or layout. It reports false if either file is not such a set.
func (j *Judge) sets(path string, a, b File, out Findings) bool {
	x, ok := j.formats.Find(Head(a, headSize), Head(b, headSize), func(f format.Format) bool { return f.Set != nil })
	if !ok || max(a.Size, b.Size) > x.Set.Most {
		return false
	}
	left, errA := x.Set.Read(a.R, a.Size)
	right, errB := x.Set.Read(b.R, b.Size)
	if errA != nil || errB != nil {
		return false
	}
	inB := map[string]int{}
	for _, i := range right {
		inB[i.Text]++
	}
	same := true
	for _, i := range left {
		if inB[i.Text] > 0 {
			inB[i.Text]--
			continue
		}
		same = false
		out.Add(verdict.Finding{Path: path, Field: x.Set.Field, A: i.Text, Offset: i.Offset, Tier: verdict.Forbidden, Cause: x.Set.OnlyIn + " A only"})
	}
	for _, i := range right {
		if inB[i.Text] > 0 {
			inB[i.Text]--
			same = false
			out.Add(verdict.Finding{Path: path, Field: x.Set.Field, B: i.Text, Offset: i.Offset, Tier: verdict.Forbidden, Cause: x.Set.OnlyIn + " B only"})
		}
	}
	if same {
		out.Add(verdict.Finding{Path: path, Field: "order", Offset: -1, Tier: verdict.Container,
			Cause: fmt.Sprintf("the same %s stand in another order or form", x.Set.Items), Evidence: fmt.Sprintf("%d %s each", len(left), x.Set.Items)})
	}
	return true
}
