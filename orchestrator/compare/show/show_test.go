// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package show

import (
	"testing"
)

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", `\x1b`: `\x1b`, "\x1b[m": `\x1b[m`, "\xff": `\xff`, "\ufffd": "\ufffd", "grün\u0085": `grün\u0085`, "a\nb": `a\nb`,
	} {
		if have := Safe(in); have != want {
			t.Errorf("%q: %q, want %q", in, have, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1000", 10_000: "10,000", 20313: "20,313", 1234567: "1,234,567", 123456: "123,456"} {
		if have := Number(n); have != want {
			t.Errorf("%d: %s", n, have)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 10, "plain"}, {"\x1b[31m", 20, `\x1b[31m`}, {"tab\tnl\n", 20, `tab\tnl\n`}, {`quote" back\`, 30, `quote" back\\`},
		{"\u202egpj", 20, `\u202egpj`}, {"\xff", 9, `\xff`}, {"grün", 9, "grün"}, {"0123456789", 8, "01234..."}, {"ééééé", 8, "éé..."}, {"\x00\x00\x00", 8, `\x00...`},
	} {
		if got := Printable(c.in, c.limit); got != c.want {
			t.Errorf("%q within %d: %q; want %q", c.in, c.limit, got, c.want)
		}
	}
}
