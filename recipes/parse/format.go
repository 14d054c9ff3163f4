// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/zfarm/zfarm/recipes/diagnostics"
)

// Format returns a recipe in the usual layout: aligned equals signs, two
// spaces for each level, newlines without carriage returns, one newline at the
// end. It does not change the meaning. It returns source that HCL cannot read
// unchanged, with the diagnostics.
func Format(src []byte) ([]byte, diagnostics.List) {
	unix := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	s := diagnostics.Source{Name: FileName, Bytes: unix}
	if diags := Guard(s.Bytes, s.Name); diags.HasErrors() {
		return src, s.List(diags)
	}
	file, diags := hclsyntax.ParseConfig(s.Bytes, s.Name, hcl.InitialPos)
	s.File = file
	if diags.HasErrors() {
		return src, s.List(diags)
	}
	out := bytes.TrimSpace(hclwrite.Format(unix))
	if len(out) == 0 {
		return nil, nil
	}
	return append(out, '\n'), nil
}
