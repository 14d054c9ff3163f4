// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package elf

import (
	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

// Format returns the description of the format.
func Format() format.Format {
	return format.Format{Name: "ELF binary", Is: Is, Spans: Spans, Symbols: Symbols, Fields: []format.Field{
		{Name: "elf.", Text: "part of an ELF binary", Cause: "the structure of the binary differs", Gravity: format.Ordinary},
		{Name: "elf.comment", Text: "part of an ELF binary", Cause: format.MadeBy("the compiler or linker"), Gravity: format.Tools},
		{Name: "elf.interp", Text: "part of an ELF binary", Cause: "its interpreter, the libraries it needs or its name differ", Gravity: format.Ordinary},
		{Name: "elf.dynamic.", Text: "part of an ELF binary", Cause: "its interpreter, the libraries it needs or its name differ", Gravity: format.Ordinary},
	}}
}
