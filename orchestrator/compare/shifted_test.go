// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/goff"
)

// idrl is an identification record of a translator, in the form of LLVM.
func idrl(product, stamp string) string {
	return "\x00\x03\x00\x1e" + ebcdic(product+"2210"+stamp+"00")
}

func TestShiftedParts(t *testing.T) {
	ident := goff.Symbol{Type: 1, ID: 7, Owner: 1, Name: []byte(ebcdic("B_IDRL"))}
	zap := goff.Symbol{Type: 1, ID: 8, Owner: 1, Name: []byte(ebcdic("B_IDRZ"))}
	function := func(name string, at uint32) goff.Record {
		return goff.Symbol{Type: 2, ID: 9, Owner: 2, Offset: at, Name: []byte(ebcdic(name))}
	}
	structured := func(element uint32, data string) goff.Record {
		return goff.Text{Style: 1, Element: element, Data: []byte(data)}
	}
	object := func(code string, more ...goff.Record) string {
		return goffFile(t, append(goffText(2, code, 60), more...)...)
	}
	code, longer := strings.Repeat("\x18\x21", 200), strings.Repeat("\x18\x21", 240)
	inA, inB, never := idrl("Debian cla", "20261122150405"), idrl("Debian cla", "20261122160405"), idrl("Debian cla", "20301122160405")
	for _, c := range []struct {
		name, a, b string
		found      []string
	}{
		{"a zap added", object(code), object(code, zap, structured(8, ebcdic("27016UJ12345"))), []string{"X goff.esd.name: only B has it", "X idrz.zap: a change after the fact", "X content"}},
		{"a zap more", object(code, zap, structured(8, ebcdic("27016UJ12345"))), object(code, zap, structured(8, ebcdic("27016UJ12345")), structured(8, ebcdic("27016UJ99999"))),
			[]string{"X idrz.zap: a change after the fact", "X content"}},
		{"longer text", object(code), object(longer), []string{"X goff.txt.C_CODE64", "X content"}},
		{"longer text, translated later", object(code, ident, structured(7, inA)), object(longer, ident, structured(7, inB)),
			[]string{"X goff.txt.C_CODE64", "2 idrl.translated: the time of the build is recorded", "X content"}},
		{"longer text, translated never", object(code, ident, structured(7, inA)), object(longer, ident, structured(7, never)),
			[]string{"X goff.txt.C_CODE64", "X idrl.translated: a time stamp that lies outside", "X content"}},
		{"longer text, another compiler", object(code, ident, structured(7, inA)), object(longer, ident, structured(7, idrl("Debian clb", "20261122160405"))),
			[]string{"X goff.txt.C_CODE64", "X idrl.product: what made it", "2 idrl.translated", "X content"}},
		{"a function more", object(code, function("one", 0)), object(longer, function("one", 0), function("two", 400)), []string{"X goff.txt.C_CODE64", "X goff.esd.name: only B has it", "X content"}},
		{"a function elsewhere", object(code, function("one", 0)), object(longer, function("one", 80)), []string{"X goff.txt.C_CODE64", "X goff.esd.offset: the definition or the place of a symbol", "X content"}},
		{"a longer path", object(long(3, "\x00/zfarm/w/first\x00")), object(long(3, "\x00/zfarm/w/the-second\x00") + longer),
			[]string{"X goff.txt.C_CODE64", "X embedded.build path: the build path is embedded, with another length", "X content"}},
		{"the same text in other records", goffFile(t, goffText(2, code, 40)...), goffFile(t, goffText(2, code, 50)...),
			[]string{"X goff.prefix", "X goff.place.style", "X goff.place.element", "X goff.place.offset", "X goff.place.unpacked", "X goff.place.encoding", "X goff.place.length", "X content"}},
		{"a card behind the end", object(code), object(code) + strings.Repeat("\x03", 80), []string{"X goff.unknown: it is in B only", "X content"}},
		{"cards: text longer", cards(t, code, 56), cards(t, longer, 56), []string{"X obj.txt", "X content"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := longPath()
			k.A.Zone, k.B.Zone = "UTC0", "UTC0"
			a, b := plantedPair(t, reg("p/x.o", c.a), reg("p/x.o", c.b))
			check(t, verdictOf(t, a, b, k), planted{want: "different", found: c.found})
		})
	}
}

func TestShiftedProgram(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("format", "progobj", "testdata", "small.po"))
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), b...)
	changed[148+9] = 1 // the authorization code
	x, y := plantedPair(t, reg("p/x", string(b)), reg("p/x", string(changed)+"more"))
	check(t, verdictOf(t, x, y, known()), planted{want: "different", found: []string{"X pmar.ac: its authority", "X po.trailing: it is in B only", "X content"}})
}
