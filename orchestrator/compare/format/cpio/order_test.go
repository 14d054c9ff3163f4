// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

// An archive whose links are more than a budget allows is refused at the same place
// each time.
func TestLinksHaveOneText(t *testing.T) {
	texts := map[string]bool{}
	for range 200 {
		a := archive{c: &container.Container{}, budget: exact.NewBudget(container.Limits{Names: 1}), links: map[file]*group{}}
		for i := range 8 {
			a.link(&Header{Name: "a", Inode: uint64(i / 2), Links: 2})
			a.c.Entries = append(a.c.Entries, container.Entry{Offset: int64(i)})
		}
		texts[a.share().Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
