// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"flag"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
)

var update = flag.Bool("update", false, "write the golden table of fields anew")

// TestFields compares all fields with a table, so that a review sees each change of
// how grave a difference is, and what people are told about it.
func TestFields(t *testing.T) {
	names := map[format.Gravity]string{format.Ordinary: "ordinary", format.Presence: "presence", format.Tools: "tools", format.Authority: "authority"}
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	add := func(of string, fields []format.Field) {
		for _, f := range fields {
			if names[f.Gravity] == "" {
				t.Errorf("%s: field %s has the gravity %d, which has no name", of, f.Name, f.Gravity)
			}
			if err := w.Write([]string{of, f.Name, cmp.Or(names[f.Gravity], "unset"), f.Text, f.Cause}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Write([]string{"format", "field", "gravity", "label", "cause"}); err != nil {
		t.Fatal(err)
	}
	add("every format", common())
	for _, f := range All() {
		add(f.Name, f.Fields)
	}
	w.Flush()

	golden := filepath.Join("testdata", "fields.csv")
	if *update {
		if err := os.WriteFile(golden, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), table.String()); diff != "" {
		t.Errorf("%s (-want +got; if it is meant, mend by -update):\n%s", golden, diff)
	}
}

// TestCommonFieldsStay checks that no format gives a field of every format another
// meaning, which it would then have in the findings of all formats.
func TestCommonFieldsStay(t *testing.T) {
	shared := map[string]bool{}
	for _, f := range common() {
		if shared[f.Name] {
			t.Errorf("common field %s has two rows", f.Name)
		}
		shared[f.Name] = true
	}
	for _, x := range All() {
		for _, f := range x.Fields {
			if shared[f.Name] {
				t.Errorf("%s: field %s has a row for every format: choose another name", x.Name, f.Name)
			}
		}
	}
}

// TestUnknownFieldIsUnset checks that the gravity of a field comes from its row, that
// of its longest prefix, or from nowhere.
func TestUnknownFieldIsUnset(t *testing.T) {
	r := New()
	for name, want := range map[string]format.Gravity{
		"mode": format.Authority, "pmar.ac": format.Authority, "idrl.anything": format.Tools, "elf.text": format.Ordinary,
		"of-tomorrow": format.Unset, "of-tomorrow.x": format.Unset, "": format.Unset,
	} {
		if have := r.Field(name).Gravity; have != want {
			t.Errorf("%q: gravity %d, want %d", name, have, want)
		}
	}
}
