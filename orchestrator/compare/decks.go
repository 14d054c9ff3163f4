// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"

	"github.com/zfarm/zfarm/orchestrator/compare/format/sidedeck"
)

// maxDeck bounds a side deck that is read as one.
const maxDeck = 64 << 20

// decks compares two side decks, which are sets of imports: their order and
// form mean nothing, every import does. It reports false where one of them is
// none, or has anything but imports in it.
func (c *comparison) decks(path string, a, b file) bool {
	if max(a.size, b.size) > maxDeck || !sidedeck.Is(headOf(a, headSize)) || !sidedeck.Is(headOf(b, headSize)) {
		return false
	}
	left, errA := sidedeck.Imports(a.r, a.size)
	right, errB := sidedeck.Imports(b.r, b.size)
	if errA != nil || errB != nil {
		return false
	}
	before := c.found.total()
	inB := map[string]int{}
	for _, i := range right {
		inB[i.String()]++
	}
	for _, i := range left {
		if text := i.String(); inB[text] > 0 {
			inB[text]--
		} else {
			c.add(Finding{Path: path, Field: "sidedeck.import", A: text, Offset: i.Offset, Tier: Forbidden, Cause: "it is imported in A only"})
		}
	}
	for _, i := range right {
		if text := i.String(); inB[text] > 0 {
			inB[text]--
			c.add(Finding{Path: path, Field: "sidedeck.import", B: text, Offset: i.Offset, Tier: Forbidden, Cause: "it is imported in B only"})
		}
	}
	if c.found.total() == before {
		c.add(Finding{Path: path, Field: "order", Offset: -1, Tier: Container, Cause: "the same imports stand in another order or form",
			Evidence: fmt.Sprintf("%d imports each", len(left))})
	}
	return true
}
