// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"testing"
)

// A refusal of several global records names the same one each time.
func TestGlobalRecordsHaveOneText(t *testing.T) {
	h := &tar.Header{Name: "pax_global_header", PAXRecords: map[string]string{"comment": "x", "path": "y", "mtime": "1", "uid": "2"}}
	texts := map[string]bool{}
	for range 200 {
		texts[(&repack{}).checkGlobal(h).Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("one input has %d texts: %v", len(texts), texts)
	}
}
