// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers/codepage"
)

// hostile returns the characters that encoding/json writes as they are, although a
// terminal obeys them.
func hostile() string {
	var b strings.Builder
	for _, between := range [][2]rune{{0x7f, 0x9f}, {0x202a, 0x202e}, {0x2066, 0x2069}} {
		for r := between[0]; r <= between[1]; r++ {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func TestJSONIsSafeToShow(t *testing.T) {
	want := map[string]string{"text <&> ä" + hostile(): "value\n" + hostile()}
	for name, write := range map[string]func(io.Writer, any) error{"writeJSON": writeJSON, "writeJSONLine": writeJSONLine} {
		var out bytes.Buffer
		if err := write(&out, want); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), hostile()) {
			t.Errorf("%s writes characters that a terminal obeys: %q", name, out.String())
		}
		var have map[string]string
		if err := json.Unmarshal(out.Bytes(), &have); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s changes the value (-want +have)\n%s", name, diff)
		}
	}
}

// TestForeignTextInJSON: what a worker says reaches the terminal by these ways, too.
func TestForeignTextInJSON(t *testing.T) {
	var out bytes.Buffer
	newDisplay(&out, true).Show(orchestrator.Progress{Kind: orchestrator.Note, Text: hostile()})
	c := &session{out: &out, asJSON: true}
	if err := c.writeEvent("port", wire.Event{Detail: hostile()}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); codepage.PrintableString(text) != text || strings.Count(text, `\u009b`) != 2 || strings.Count(text, "\n") != 2 {
		t.Errorf("%q", text)
	}
}
