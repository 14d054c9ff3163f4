// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import "strings"

// madeBy begins the cause where another tool made one of both.
const madeBy = "what made it is recorded, and it was not the same"

// fixedCause says what it means that a field differs which must be the same in
// both, by what kind of field it is: the name says.
func fixedCause(name string) string {
	for _, f := range []struct{ name, cause string }{
		{"idrz.", "a change after the fact: it was zapped, and not in the same way"},
		{"idru", "a note about it was changed, as whoever fixes it leaves one"},
		{"pmar.ac", "its authority is not the same: the authorization code for APF"},
		{"pmar.attributes3", "its authority is not the same: this byte says whether it is valid for APF"},
		{"idrl.", madeBy + ": the translator"},
		{"idrb.", madeBy + ": the binder, or what it was told"},
		{"ppa2.", madeBy + ": the compiler"},
		{"obj.end.product", madeBy + ": the assembler or compiler"},
		{"obj.end.version", madeBy + ": the assembler or compiler"},
		{"pmar.binder", madeBy + ": the binder"},
		{"elf.comment", madeBy + ": the compiler or linker"},
		{"elf.interp", "what it is run with, needs or is called is not the same"},
		{"elf.dynamic.", "what it is run with, needs or is called is not the same"},
		{"elf.", "what it says of itself is not the same"},
		{"pyc.magic", madeBy + ": the interpreter"},
		{"pyc.", "how Python takes it is not the same"},
		{"pmar.", "an attribute of the program is not the same"},
		{"pmarl.", "an attribute of the program is not the same"},
		{"goff.esd.", "what a symbol is, or where, is not the same"},
		{"obj.esd.", "what a symbol is, or where, is not the same"},
		{"goff.", "how the object is laid out is not the same"},
		{"obj.", "how the object is laid out is not the same"},
		{"po.", "how the program is laid out is not the same"},
	} {
		if name == f.name || strings.HasSuffix(f.name, ".") && strings.HasPrefix(name, f.name) {
			return f.cause
		}
	}
	return "it must be the same in both"
}
