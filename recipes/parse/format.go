// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns a recipe in the usual layout: aligned equals signs, two
// spaces for each level, newlines without carriage returns, one at the end.
// It changes no meaning. What HCL cannot read is returned as it is, with the
// diagnostics.
func Format(src []byte) ([]byte, Diagnostics) {
	unix := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	t := newText(FileName, unix)
	if diags := guard(t); diags.HasErrors() {
		return src, t.diagnostics(diags)
	}
	file, diags := hclsyntax.ParseConfig(t.bytes, t.name, hcl.InitialPos)
	t.file = file
	if diags.HasErrors() {
		return src, t.diagnostics(diags)
	}
	out := bytes.TrimSpace(hclwrite.Format(unix))
	if len(out) == 0 {
		return nil, nil
	}
	return append(out, '\n'), nil
}
