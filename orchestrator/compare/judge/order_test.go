// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"io"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

// What is said about the symbols of several tables is said in one order.
func TestOrderHasOneText(t *testing.T) {
	reader := func(names ...string) func(io.ReaderAt, int64, func(string, []byte)) error {
		return func(_ io.ReaderAt, _ int64, each func(string, []byte)) error {
			for _, field := range []string{"a", "b", "c"} {
				for _, name := range names {
					each(field, []byte(name))
				}
			}
			return nil
		}
	}
	texts := map[string]bool{}
	for range 200 {
		d := difference{worst: verdict.Forbidden, findings: []verdict.Finding{{Tier: verdict.Forbidden, Field: "x"}}}
		d.inA.of, d.inB.of = format.Format{Symbols: reader("f", "g")}, format.Format{Symbols: reader("g", "f")}
		if err := d.order(); err != nil {
			t.Fatal(err)
		}
		texts[d.findings[0].Evidence] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
	if texts[""] {
		t.Error("nothing was said")
	}
}
