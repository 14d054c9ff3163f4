// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package codepage

import (
	"encoding/json"
	"testing"
	"unicode"
)

// TestJSON sends every character through: none that Printable escapes is left, and
// each is read back.
func TestJSON(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		if r >= 0xD800 && r <= 0xDFFF {
			continue // half of a character
		}
		want := "<" + string(r) + ">"
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		text := JSON(raw)
		if PrintableString(string(text)) != string(text) {
			t.Fatalf("%U is written as %q, which is not safe to show", r, text)
		}
		var have string
		if err := json.Unmarshal(text, &have); err != nil || have != want {
			t.Fatalf("%U is written as %s and read as %q, %v", r, text, have, err)
		}
	}
}

func TestJSONExact(t *testing.T) {
	for in, want := range map[string]string{
		"{\n  \"a\": \"\\n b\"\n}\n":           "{\n  \"a\": \"\\n b\"\n}\n",
		"\"\u009b31m\x7f ä 漢\u202e\u2066\"":    `"\u009b31m\u007f ä 漢\u202e\u2066"`,
		"\"\U000e0041\"":                       `"\udb40\udc41"`,
		"\"not UTF-8: \xff\"":                  `"not UTF-8: \ufffd"`,
		`"escaped before: \u009b and \\u009b"`: `"escaped before: \u009b and \\u009b"`,
	} {
		if have := string(JSON([]byte(in))); have != want {
			t.Errorf("%q: %s, want %s", in, have, want)
		}
	}
}
