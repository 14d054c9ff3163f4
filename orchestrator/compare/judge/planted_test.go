// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
)

// planted is a pair of files with the expected findings: each line is a tier, a
// field, and words of its cause and evidence.
type planted struct {
	name, a, b string
	want       []string
}

func (p planted) check(t *testing.T, k Known, rules ...Rule) {
	t.Helper()
	t.Run(p.name, func(t *testing.T) {
		t.Helper()
		for side, swapped := range []bool{false, true} {
			x, y, kk := p.a, p.b, k
			if swapped {
				x, y, kk.A, kk.B = p.b, p.a, k.B, k.A
			}
			var have []string
			for _, f := range judged(t, "p/file", x, y, kk, rules...) {
				have = append(have, fmt.Sprintf("%s %s@%d %s; %s", f.Tier, f.Field, f.Offset, f.Cause, f.Evidence))
			}
			if len(have) != len(p.want) {
				t.Fatalf("side %d: %d findings:\n%s\nwant:\n%s", side, len(have), strings.Join(have, "\n"), strings.Join(p.want, "\n"))
			}
			for i, want := range p.want {
				for _, part := range strings.Split(want, "|") {
					if !strings.Contains(have[i], part) {
						t.Errorf("side %d: %s\nlacks %q", side, have[i], part)
					}
				}
			}
		}
	})
}

// binaryOf returns the given text between bytes that are not text.
func binaryOf(said string) string {
	return strings.Repeat("\x00\x01", 50) + said + strings.Repeat("\x00\x02", 50)
}

// in1047 is text in IBM-1047.
func in1047(s string) string {
	back := map[byte]byte{}
	for i := range 256 {
		back[codepage.Latin1([]byte{byte(i)})[0]] = byte(i)
	}
	out := []byte(s)
	for i, c := range out {
		out[i] = back[c]
	}
	return string(out)
}

func TestKnownValuesAreFound(t *testing.T) {
	k := known()
	path := func(a, b string) Known {
		return Known{A: Conditions{Values: map[string]string{"build path": a}}, B: Conditions{Values: map[string]string{"build path": b}}}
	}
	for _, c := range []struct {
		planted
		k Known
	}{
		{planted{"a build path", binaryOf("/zfarm/w/first/a.c"), binaryOf("/zfarm/w/secnd/a.c"), []string{"2 embedded.build path@100 |the build path is embedded; A was built with"}}, k},
		{planted{"in EBCDIC", binaryOf(in1047("/zfarm/w/first/a.c")), binaryOf(in1047("/zfarm/w/secnd/a.c")), []string{"2 embedded.build path@100"}}, k},
		{planted{"twice", binaryOf("/zfarm/w/first /zfarm/w/first"), binaryOf("/zfarm/w/secnd /zfarm/w/secnd"), []string{"2 embedded.build path@100|at several places, the first at byte 100"}}, k},
		{planted{"at the very beginning", "/zfarm/w/first\x00\x01", "/zfarm/w/secnd\x00\x01", []string{"2 embedded.build path@0"}}, k},
		{planted{"at the very end", "\x00\x01/zfarm/w/first", "\x00\x01/zfarm/w/secnd", []string{"2 embedded.build path@2"}}, k},
		{planted{"with a byte beside it", binaryOf("/zfarm/w/first/a"), binaryOf("/zfarm/w/secnd/b"), []string{"2 embedded.build path@100", "X content@115"}}, k},
		{planted{"as part of a longer word", binaryOf("/zfarm/w/firstX"), binaryOf("/zfarm/w/secndX"), []string{"X content@109|5 bytes in 1 place"}}, k},
		{planted{"a path of four", binaryOf("/a/b"), binaryOf("/a/c"), []string{"2 embedded.build path@100"}}, path("/a/b", "/a/c")},
		{planted{"a path of three", binaryOf("/ab"), binaryOf("/cd"), []string{"X embedded.build path@100"}}, path("/ab", "/cd")},
		{planted{"a path that is relative", binaryOf("work/a"), binaryOf("work/b"), []string{"X embedded.build path@100"}}, path("work/a", "work/b")},
		{planted{"a user right behind another byte", binaryOf("\x01ALICE"), binaryOf("\x02BRUNO"), []string{"X embedded.user@101", "X content@100 ; 1 byte in 1 place"}}, k},
		{planted{"a host", binaryOf("LPARONE "), binaryOf("LPARTWO "), []string{"X embedded.host@100|the host is embedded"}}, k},
		{planted{"jobs", binaryOf(" 4 "), binaryOf(" 2 "), []string{"X embedded.jobs@101"}}, k},
		{planted{"a digit of a number", binaryOf(" 14 "), binaryOf(" 12 "), []string{"X content@102"}}, k},
		{planted{"jobs in a name", binaryOf(" 4_x "), binaryOf(" 2_x "), []string{"X content@101"}}, k},
	} {
		c.check(t, c.k)
	}
}

func TestStampsAreFound(t *testing.T) {
	for _, c := range []planted{
		{"within", binaryOf("15:04:05"), binaryOf("16:04:05"), []string{"2 stamp.time@100 the time of the build is embedded|each lies within"}},
		{"outside on one side", binaryOf("15:04:05"), binaryOf("19:04:05"), []string{"X content@100 looks like a time, but outside the time of the build"}},
		{"a second before", binaryOf("14:59:59"), binaryOf("16:04:05"), []string{"X content@100 looks like a time, but outside"}},
		{"at the beginning and the end", binaryOf("15:00:00"), binaryOf("16:20:00"), []string{"2 stamp.time@100"}},
	} {
		c.check(t, known())
	}
	planted{"without known times", binaryOf("15:04:05"), binaryOf("16:04:05"), []string{"X content@100 looks like a time, but the time of the build is not known"}}.check(t, Known{})
	one := known()
	one.B.Begun, one.B.Ended = time.Time{}, time.Time{}
	planted{"with one known time", binaryOf("15:04:05"), binaryOf("16:04:05"), []string{"X content@100 looks like a time, but the time of the build is not known"}}.check(t, one)
}

func TestPlainBytesAreCounted(t *testing.T) {
	at := func(size int, places ...int) string {
		b := make([]byte, size)
		for _, p := range places {
			b[p] = 0xff
		}
		return string(b)
	}
	zeros := at(1000)
	for _, c := range []planted{
		{"one byte", zeros, at(1000, 5), []string{"X content@5 ; 1 byte in 1 place"}},
		{"close", zeros, at(1000, 5, 13), []string{"X content@5 ; 2 bytes in 1 place"}},
		{"apart", zeros, at(1000, 5, 14), []string{"X content@5 ; 2 bytes in 2 places"}},
		{"first and last", zeros, at(1000, 0, 999), []string{"X content@0 ; 2 bytes in 2 places"}},
	} {
		c.check(t, known())
	}
	// Beyond maxMisses unexplained bytes, the search for explanations stops.
	noise := func(n int, c string) string { return strings.Repeat(c+strings.Repeat("\x00", 9), n) }
	planted{"a stamp behind some noise", noise(maxMisses-2, "\x01") + "15:04:05", noise(maxMisses-2, "\x02") + "16:04:05", []string{"2 stamp.time", "X content@0"}}.check(t, known())
	planted{"a stamp behind more noise", noise(maxMisses+1, "\x01") + "15:04:05", noise(maxMisses+1, "\x02") + "16:04:05", []string{"X content@0 |258 bytes"}}.check(t, known())
}

// TestTypedFields changes fields of a .pyc.
func TestTypedFields(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "format", "pyc", "testdata", "timestamped.pyc"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(at int, hour, minute int) string {
		out := []byte(string(b))
		binary.LittleEndian.PutUint32(out[at:], uint32(time.Date(2026, 11, 22, hour, minute, 0, 0, time.UTC).Unix()))
		return string(out)
	}
	flip := func(s string, at int) string { return s[:at] + string(s[at]^1) + s[at+1:] }
	for _, c := range []planted{
		{"a time within", with(8, 15, 4), with(8, 16, 4), []string{"2 pyc.source.time@8 the time of the build is recorded; each lies within the time of its build"}},
		{"a time outside", with(8, 15, 4), with(8, 19, 4), []string{"X pyc.source.time@8 a time stamp that lies outside the time of its build"}},
		{"the interpreter", with(8, 15, 4), flip(with(8, 15, 4), 0), nil},
		{"the size", with(8, 15, 4), flip(with(8, 15, 4), 12), []string{"X pyc.source.size@12 how Python loads it differs"}},
		{"code", with(8, 15, 4), flip(with(8, 15, 4), 100), []string{"X pyc.code@100"}},
		{"code and a time", with(8, 15, 4), flip(with(8, 16, 4), 100), []string{"2 pyc.source.time@8", "X pyc.code@100"}},
	} {
		if c.want != nil {
			c.check(t, known())
		}
	}
	planted{"a time, with none known", with(8, 15, 4), with(8, 16, 4), []string{"X pyc.source.time@8 the time of the build is not known"}}.check(t, Known{})
}

func TestDocumentsByValue(t *testing.T) {
	doc := func(name, value string) string { return fmt.Sprintf("{%q: %s, \"same\": 1}", name, value) }
	unix := func(hour int, unit time.Duration) string {
		return fmt.Sprint(time.Date(2026, 11, 22, hour, 4, 5, 0, time.UTC).UnixNano() / int64(unit))
	}
	for _, c := range []planted{
		{"a time", doc("built", `"2026-11-22T15:04:05Z"`), doc("built", `"2026-11-22T16:04:05Z"`), []string{"2 json:/built@|the time of the build is recorded"}},
		{"a time without a telling name", doc("x", `"2026-11-22T15:04:05Z"`), doc("x", `"2026-11-22T16:04:05Z"`), []string{"X json:/x@|its name does not say so"}},
		{"a time outside", doc("built", `"2026-11-22T15:04:05Z"`), doc("built", `"2026-11-22T19:04:05Z"`), []string{"X json:/built@|lies outside"}},
		{"seconds", doc("time", unix(15, time.Second)), doc("time", unix(16, time.Second)), []string{"2 json:/time"}},
		{"milliseconds", doc("time", unix(15, time.Millisecond)), doc("time", unix(16, time.Millisecond)), []string{"2 json:/time"}},
		{"microseconds", doc("time", unix(15, time.Microsecond)), doc("time", unix(16, time.Microsecond)), []string{"2 json:/time"}},
		{"nanoseconds", doc("time", unix(15, 1)), doc("time", unix(16, 1)), []string{"2 json:/time"}},
		{"a build path", doc("p", `"/zfarm/w/first/x"`), doc("p", `"/zfarm/w/secnd/x"`), []string{"2 embedded.build path@|in json:/p"}},
		{"a host", doc("h", `"LPARONE"`), doc("h", `"LPARTWO"`), []string{"X json:/h@"}},
		{"another value", doc("n", "1"), doc("n", "2"), []string{"X json:/n@"}},
		{"another kind", doc("n", "1"), doc("n", `"1"`), []string{"X json:/n@|a value of another kind"}},
		{"another order", `{"a": 1, "b": 2}`, `{"b": 2, "a": 1}`, []string{"X content@|its keys in another order"}},
		{"another form", `{"a": 1, "b": 2}`, `{"a": 1,  "b": 2}`, []string{"X content@|written in another form"}},
	} {
		c.check(t, known())
	}
	many := func(n int, v string) string { return "[" + strings.Repeat(v+", ", n-1) + v + "]" }
	if n := len(judged(t, "p/x", many(maxValues, "1"), many(maxValues, "2"), known())); n != maxValues {
		t.Errorf("%d findings about %d values", n, maxValues)
	}
	if n := len(judged(t, "p/x", many(maxValues+1, "1"), many(maxValues+1, "2"), known())); n != maxValues+1 {
		t.Errorf("%d findings about %d values", n, maxValues+1)
	}
	if n := len(judged(t, "p/x", many(maxValues+5, "1"), many(maxValues+5, "2"), known())); n != maxValues+1 {
		t.Errorf("%d findings about %d values", n, maxValues+5)
	}
}

func TestRulesApplyWhereTheySay(t *testing.T) {
	rule := func(format, path string) Rule {
		return Rule{Name: "id", Format: format, Path: path, Pattern: regexp.MustCompile(`id=(\d+)`), Tier: verdict.Stamp, Reason: "drawn at random"}
	}
	field := Rule{Name: "seed", Format: "json", Field: "/seed", Tier: verdict.Header, Reason: "drawn at random"}
	for _, c := range []struct {
		planted
		r Rule
	}{
		{planted{"text", "a\nid=1\n", "a\nid=25\n", []string{"2 rule.id@2 drawn at random"}}, rule("text", "")},
		{planted{"text, below a path", "a\nid=1\n", "a\nid=2\n", []string{"2 rule.id@2"}}, rule("text", "fi*")},
		{planted{"text, elsewhere", "a\nid=1\n", "a\nid=2\n", []string{"X content@5"}}, rule("text", "other")},
		{planted{"text, beside the group", "a\nid=1 x\n", "a\nid=2 y\n", []string{"X content@5"}}, rule("text", "")},
		{planted{"text, before the group", "x id=1\n", "y id=2\n", []string{"X content@0"}}, rule("text", "")},
		{planted{"text, between two places", "id=1 x id=1\n", "id=2 y id=2\n", []string{"X content@3"}}, rule("text", "")},
		{planted{"text, and a line beside it", "b\nid=1\n", "c\nid=2\n", []string{"2 rule.id@2", "X content@0 |1 line that no rule explains"}}, rule("text", "")},
		{planted{"text, lines in another order", "id=1\nid=2\n", "id=2\nid=1\n", []string{"X content@3 the same lines in another order"}}, rule("text", "")},
		{planted{"bytes", binaryOf("id=12 "), binaryOf("id=34 "), []string{"2 rule.id@103"}}, rule("bytes", "")},
		{planted{"bytes, beside the group", binaryOf("id=1 x"), binaryOf("id=2 y"), []string{"2 rule.id@103", "X content@105"}}, rule("bytes", "")},
		{planted{"bytes, of text", "a\nid=1\n", "a\nid=2\n", []string{"X content@5"}}, rule("bytes", "")},
		{planted{"a value", `{"seed": 1, "x": 1}`, `{"seed": 2, "x": 1}`, []string{"1 rule.seed@"}}, field},
		{planted{"another value", `{"seed": 1, "x": 1}`, `{"seed": 1, "x": 2}`, []string{"X json:/x"}}, field},
	} {
		c.check(t, known(), c.r)
	}
	two := field
	two.Pattern = regexp.MustCompile(`(\d)(\d)`)
	planted{"a rule of two groups is none", `{"seed": 12}`, `{"seed": 32}`, []string{"X json:/seed"}}.check(t, known(), two)
	if s := newRuleSet(nil); !s.withinBudget(maxMatched) || s.budgetNote() != "" || s.withinBudget(1) || s.budgetNote() == "" {
		t.Error("the bound on what is matched is not where it is")
	}
	never := rule("text", "")
	never.Tier = verdict.Forbidden
	planted{"a rule of tier X is none", "id=1\n", "id=2\n", []string{"X content@3"}}.check(t, known(), never)
}

func TestTextsAreNamed(t *testing.T) {
	for _, c := range []planted{
		{"another order", "one\ntwo\nthree\n", "two\none\nthree\n", []string{"X content@0 the same lines in another order"}},
		{"another code page", "some text\nof two lines\n", strings.ReplaceAll(in1047("some text|of two lines|"), "\x4f", "\x15"), []string{"X content@0 the same text in another code page"}},
		{"another end", "one\ntwo\n", "one\r\ntwo\r\n", []string{"X content@3 the same lines, ended by"}},
		{"without the last end", "one\ntwo\n", "one\ntwo", []string{"X content@7 the same lines, ended by"}},
		{"a line more", "one\n", "one\ntwo\n", []string{"X content@4 ; "}},
	} {
		c.check(t, known())
	}
}

func TestSets(t *testing.T) {
	one, two, three := "  IMPORT CODE64,'l.so','one',001\n", "  IMPORT CODE64,'l.so','two',002\n", "  IMPORT CODE64,'l.so','three',003\n"
	planted{"another order", one + two, two + one, []string{"0 order@-1 the same imports stand in another order or form; 2 imports each"}}.check(t, known())
	planted{"another import", one + two, one + three, []string{"X sidedeck.import@|it is imported in A only", "X sidedeck.import@|it is imported in B only"}}.check(t, known())
	planted{"an import more than once", one + one, two + one, []string{"X sidedeck.import@|A only", "X sidedeck.import@|B only"}}.check(t, known())
}

func TestUnlikeSizes(t *testing.T) {
	planted{"longer", binaryOf("x"), binaryOf("x") + "\x01", []string{"X content@201 |bytes in A"}}.check(t, known())
	planted{"a path in files of unlike size", binaryOf("/zfarm/w/first"), binaryOf("/zfarm/w/secnd") + "\x01", []string{"X embedded.build path@100", "X content@"}}.check(t, known())
	k := known()
	k.B.Values["build path"] = "/zfarm/w/the-second"
	planted{"a path of another length", binaryOf("/zfarm/w/first"), binaryOf("/zfarm/w/the-second"),
		[]string{"X embedded.build path@100 the build path is embedded, with another length", "X content@"}}.check(t, k)
}
