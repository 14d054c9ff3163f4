// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sidedeck

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
)

func imports(b []byte) ([]Import, error) { return Imports(bytes.NewReader(b), int64(len(b))) }

// cards fills lines up to 80 columns.
func cards(lines ...string) string {
	var s strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&s, "%-80s", l)
	}
	return s.String()
}

// ebcdic writes text in IBM-1047, with its newline.
func ebcdic(t testing.TB, s string) []byte {
	t.Helper()
	b := make([]byte, 0, len(s))
	for _, c := range s {
		if c == '\n' {
			b = append(b, 0x15)
			continue
		}
		e, ok := charmap.CodePage1047.EncodeRune(c)
		if !ok {
			t.Fatalf("%q is not in IBM-1047", c)
		}
		b = append(b, e)
	}
	return b
}

// card72 is a statement that continues in column 72.
func card72(content, rest string) []string {
	return []string{fmt.Sprintf("%-71s", content)[:71] + "X", rest}
}

func TestImports(t *testing.T) {
	long := strings.Repeat("n", 100)
	head := " IMPORT CODE64,'dll','"
	for _, c := range []struct {
		name  string
		lines []string
		want  []Import
	}{
		{"the four classes", []string{" IMPORT CODE,'a','f'", " IMPORT DATA,'a','d'", " IMPORT CODE64,'a','F'", " IMPORT DATA64,'a','D'"},
			[]Import{{Class: "CODE", DLL: "a", Symbol: "f", Line: 1}, {Class: "DATA", DLL: "a", Symbol: "d", Line: 2},
				{Class: "CODE64", DLL: "a", Symbol: "F", Line: 3}, {Class: "DATA64", DLL: "a", Symbol: "D", Line: 4}}},
		{"places", []string{" IMPORT CODE64,'a','f',001", " IMPORT CODE64,'a','g',0A0"},
			[]Import{{Class: "CODE64", DLL: "a", Symbol: "f", Place: "001", Line: 1}, {Class: "CODE64", DLL: "a", Symbol: "g", Place: "0A0", Line: 2}}},
		{"names without quotes", []string{" IMPORT CODE,BASICIO,'bopen'", " IMPORT CODE,BASICIO,bread"},
			[]Import{{Class: "CODE", DLL: "BASICIO", BareDLL: true, Symbol: "bopen", Line: 1}, {Class: "CODE", DLL: "BASICIO", BareDLL: true, Symbol: "bread", BareSymbol: true, Line: 2}}},
		{"quotes in a name", []string{" IMPORT CODE,'a','it''s, (x) y'"}, []Import{{Class: "CODE", DLL: "a", Symbol: "it's, (x) y", Line: 1}}},
		{"an empty card between", []string{"   IMPORT   CODE,'a','f'", "", " IMPORT CODE,'a','g'"},
			[]Import{{Class: "CODE", DLL: "a", Symbol: "f", Line: 1}, {Class: "CODE", DLL: "a", Symbol: "g", Line: 3}}},
		{"a comma and a blank", []string{" IMPORT CODE,", "   'a',", " 'f',", "     7", " IMPORT CODE,'a','g'"},
			[]Import{{Class: "CODE", DLL: "a", Symbol: "f", Place: "7", Line: 1}, {Class: "CODE", DLL: "a", Symbol: "g", Line: 5}}},
		{"a name goes on", []string{head + long[:71-len(head)], " " + long[71-len(head):] + "'"}[:2],
			[]Import{{Class: "CODE64", DLL: "dll", Symbol: long, Line: 1}}},
		{"a marked name goes on", card72(head+long, " "+long[71-len(head):]+"',12"), []Import{{Class: "CODE64", DLL: "dll", Symbol: long, Place: "12", Line: 1}}},
		{"a bare name goes on", card72(" IMPORT CODE,D,"+long, "  "+long[71-15:]), []Import{{Class: "CODE", DLL: "D", BareDLL: true, Symbol: long, BareSymbol: true, Line: 1}}},
		{"a comma in the last column", card72(" IMPORT CODE,'"+long[:55]+"',", "  f"), []Import{{Class: "CODE", DLL: long[:55], Symbol: "f", BareSymbol: true, Line: 1}}},
		{"a marked comma before", card72(" IMPORT CODE,'"+long[:56]+"'", "  ,f"), []Import{{Class: "CODE", DLL: long[:56], Symbol: "f", BareSymbol: true, Line: 1}}},
	} {
		lines := strings.Join(c.lines, "\n") + "\n"
		for form, b := range map[string][]byte{
			"cards in EBCDIC": ebcdic(t, cards(c.lines...)), "cards in ASCII": []byte(cards(c.lines...)),
			"lines in EBCDIC": ebcdic(t, lines), "lines in ASCII": []byte(lines), "no last newline": []byte(strings.TrimSuffix(lines, "\n")),
		} {
			if !Is(b[:min(len(b), 64)]) {
				t.Errorf("%s, %s: it is not recognised", c.name, form)
			}
			got, err := imports(b)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, form, err)
				continue
			}
			for i := range got {
				if begins := b[got[i].Offset:]; len(begins) == 0 || begins[0] != b[0] {
					t.Errorf("%s, %s: no card begins at byte %d", c.name, form, got[i].Offset)
				}
				got[i].Offset = 0
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", c.name, form, d)
			}
		}
	}
}

func TestOffsets(t *testing.T) {
	b := ebcdic(t, cards(" IMPORT CODE,", "  'a','f'", " IMPORT CODE,'a','g'"))
	got, err := imports(b)
	if err != nil || len(got) != 2 || got[1].Offset != 160 || got[1].Line != 3 {
		t.Errorf("the imports are %+v, the error is %v", got, err)
	}
}

func TestNotImportsAlone(t *testing.T) {
	good := " IMPORT CODE,'a','f'"
	for name, text := range map[string]string{
		"empty":                       "",
		"another statement first":     " NAME HELLO(R)\n",
		"column 1":                    "IMPORT CODE,'a','f'\n",
		"another statement":           good + "\n INCLUDE SYSLIB(X)\n",
		"a comment card":              good + "\n* made today\n",
		"a comment":                   good + " made today\n",
		"a comment behind a comma":    " IMPORT CODE, made today\n 'a','f'\n",
		"sequence numbers":            fmt.Sprintf("%-72s00000010\n", good),
		"a mark without anything":     fmt.Sprintf("%-71sX\n", good),
		"sequence numbers in between": fmt.Sprintf("%-71s X 000010\n f\n", " IMPORT CODE,'a',"),
		"a long line":                 fmt.Sprintf("%-81s\n", good),
		"a neighbour of the class":    " IMPORT CODE31,'a','f'\n",
		"no symbol":                   " IMPORT CODE,'a'\n",
		"no library":                  " IMPORT CODE\n",
		"an empty name":               " IMPORT CODE,'','f'\n",
		"an empty bare name":          " IMPORT CODE,,'f'\n",
		"a place that is none":        " IMPORT CODE,'a','f',x\n",
		"an empty place":              " IMPORT CODE,'a','f','1'\n",
		"five operands":               " IMPORT CODE,'a','f',1,2\n",
		"no end of a name":            " IMPORT CODE,'a','f\n",
		"no end of the statement":     " IMPORT CODE,'a',\n",
		"it goes on in column 1":      " IMPORT CODE,'a',\n'f'\n",
		"a control character":         " IMPORT CODE,'a','f\x1b[1m'\n",
		"a long name":                 " IMPORT CODE,'a','" + strings.Repeat(" f\n", 20) + strings.Repeat("\n", 20) + "'\n",
		"a cut card":                  cards(good) + good,
		"a parenthesis":               " IMPORT CODE,'a',f(x)\n",
		"a letter behind a quote":     " IMPORT CODE,'a'b,'f'\n",
	} {
		if got, err := imports([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: the imports are %+v, the error is %v", name, got, err)
		}
	}
}

func TestTooManyImports(t *testing.T) {
	b := bytes.Repeat([]byte(" IMPORT CODE,a,f\n"), maxImports+1)
	if _, err := imports(b); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("the error is %v", err)
	}
}

// The order of statements and the ends of cards make no difference to the set;
// names and their quotes do.
func TestSets(t *testing.T) {
	set := func(text string) []string {
		all, err := imports([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var s []string
		for _, i := range all {
			s = append(s, i.String())
		}
		slices.Sort(s)
		return s
	}
	a := set(" IMPORT CODE,'a','f'\n IMPORT DATA,'a','it''s',1\n")
	if b := set(" IMPORT DATA,\n  'a','it''s',1\n   IMPORT  CODE,'a',\n 'f'\n"); !slices.Equal(a, b) {
		t.Errorf("%q and %q differ", a, b)
	}
	for _, other := range []string{"CODE,'b','f'", "CODE,a,'f'", "CODE,'a',f", "CODE64,'a','f'", "CODE,'a','F'", "CODE,'a','f',1", "DATA,'a','f'"} {
		if b := set(" IMPORT " + other + "\n IMPORT DATA,'a','it''s',1\n"); slices.Equal(a, b) {
			t.Errorf("%s makes no difference", other)
		}
	}
}

type failing struct{ after int64 }

var errDisk = errors.New("the disk is gone")

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	line := " IMPORT CODE,'a','f'\n"
	for i := range p {
		if at+int64(i) >= f.after {
			return i, errDisk
		}
		p[i] = line[(at+int64(i))%int64(len(line))]
	}
	return len(p), nil
}

func TestErrorsOfReading(t *testing.T) {
	for _, after := range []int64{10, 100, 1 << 16, 1<<17 + 5} {
		if _, err := Imports(failing{after}, 1<<20); !errors.Is(err, errDisk) {
			t.Errorf("with nothing readable from byte %d on the error is %v", after, err)
		}
	}
}

func FuzzImports(f *testing.F) {
	text := " IMPORT CODE64,'libfoo.so','foo_open',001\n IMPORT DATA,\n  BASICIO,'it''s'\n"
	f.Add([]byte(text))
	f.Add(ebcdic(f, text))
	f.Add(ebcdic(f, cards(" IMPORT CODE64,'libfoo.so','foo_open',001", " IMPORT DATA,'a','b'")))
	f.Add([]byte(strings.Join(card72(" IMPORT CODE,D,"+strings.Repeat("n", 80), "  nnn"), "\n")))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := imports(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		// The canonical form must parse to the same imports.
		var again strings.Builder
		for _, i := range got {
			text := " IMPORT " + i.String()
			if len(text) > 70 || len(text) != len([]rune(text)) {
				return
			}
			fmt.Fprintln(&again, text)
		}
		same, err := imports([]byte(again.String()))
		if err != nil {
			t.Fatalf("%q: %v", again.String(), err)
		}
		for i := range got {
			if got[i].String() != same[i].String() {
				t.Errorf("%s became %s", got[i], same[i])
			}
		}
	})
}

func BenchmarkImports(b *testing.B) {
	var lines []string
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50_000 {
		lines = append(lines, fmt.Sprintf(" IMPORT CODE64,'libfoo.so','symbol_%d_%d',%03d", i, r.Uint32(), i%1000))
	}
	data := ebcdic(b, cards(lines...))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := imports(data); err != nil {
			b.Fatal(err)
		}
	}
}
