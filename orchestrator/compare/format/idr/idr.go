// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package idr describes the fields in which objects and programs of z/OS record
// what made them: identification records (IDR), and the stamp of a compiler behind
// its PPA2.
//
// GOFF objects and program objects have the same records in different layouts; the
// packages of these formats read them.
package idr

import "github.com/zfarm/zfarm/orchestrator/compare/format"

// Fields returns the fields of the records.
func Fields() []format.Field {
	const (
		translated = "which translator made it, and when (IDRL)"
		bound      = "who bound it, and when (IDRB)"
		noted      = "what the builder noted (IDRU)"
		compiled   = "when a compile unit was compiled (PPA2)"
	)
	return []format.Field{
		{Name: "idrl.", Text: translated, Cause: format.MadeBy("the translator"), Gravity: format.Tools},
		{Name: "idrl.translated", Text: translated, Cause: format.MadeBy("the translator"), Gravity: format.Ordinary},
		{Name: "idrb.", Text: bound, Cause: format.MadeBy("the binder or its options"), Gravity: format.Tools},
		{Name: "idrb.bound", Text: bound, Cause: format.MadeBy("the binder or its options"), Gravity: format.Ordinary},
		{Name: "idru", Text: noted, Cause: "a note about it was changed, as whoever fixes it leaves one", Gravity: format.Ordinary},
		{Name: "idru.", Text: noted, Gravity: format.Ordinary},
		{Name: "idrz.zap", Text: "a patch to a bound program (IDRZ)", Cause: "a change after the fact: it was zapped, and not in the same way", Gravity: format.Tools},
		{Name: "ppa2.", Text: compiled, Cause: format.MadeBy("the compiler"), Gravity: format.Tools},
		{Name: "ppa2.compiled", Text: compiled, Cause: format.MadeBy("the compiler"), Gravity: format.Ordinary},
	}
}
