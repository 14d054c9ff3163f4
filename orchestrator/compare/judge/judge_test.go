// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
)

func TestFixedCause(t *testing.T) {
	for name, want := range map[string]string{
		"idrl.product": "what made it", "ppa2.version": "what made it", "idrb.binder": "what made it", "obj.end.version": "what made it",
		"elf.comment": "what made it", "pyc.magic": "what made it",
		"idrz.zap": "after the fact", "pmar.ac": "authority", "pmar.attributes3": "authority", "pmar.attributes1": "attribute of the program",
		"pmarl.dll": "attribute of the program", "goff.esd.amode": "symbol", "goff.place.offset": "layout of the object", "new.field": "must be the same",
	} {
		if have := New(Known{}, nil).fixedCause(name); !strings.Contains(have, want) {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
}

// grains is a layout of many small parts.
type grains struct{}

func (grains) At(at int64) (span.Span, bool) {
	return span.Span{Name: "grain." + string(rune('a'+at%4)), Offset: at, Length: 1}, true
}

func (grains) End(at, limit int64) int64 { return min(at+1, limit) }

// still is a layout that makes no progress.
type still struct{ grains }

func (still) End(at, _ int64) int64 { return at }

func TestStockIsBounded(t *testing.T) {
	text := strings.NewReader(strings.Repeat("x", maxParts+10))
	f := File{R: text, Size: text.Size()}
	v, err := newInventory(t.Context(), parts{Layout: grains{}}, f, maphash.MakeSeed())
	if err != nil || v.whole || len(v.order) != 4 || v.fields["grain.a"].plain.size() != maxParts/4 {
		t.Errorf("%v: whole %v, %d fields", err, v.whole, len(v.order))
	}
	if v, err = newInventory(t.Context(), parts{Layout: still{}}, f, maphash.MakeSeed()); err != nil || v.whole || len(v.order) != 0 {
		t.Errorf("%v: whole %v, %d fields", err, v.whole, len(v.order))
	}
}

// TestLineReader reads texts in pieces of any size and must return every byte.
func TestLineReader(t *testing.T) {
	for _, s := range []string{"", "\n", "a", "a\n", "a\nb", strings.Repeat("é", maxPiece), "x" + strings.Repeat("€", maxPiece) + "\nend"} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(s), "halves": iotest.HalfReader(strings.NewReader(s)), "data and error": iotest.DataErrReader(strings.NewReader(s))} {
			l := newLineReader(File{R: strings.NewReader(s), Size: int64(len(s))}, charset{newline: '\n'})
			l.r = r
			var back bytes.Buffer
			for {
				line, whole, err := l.next()
				if err == io.EOF { //nolint:errorlint // as readers return it
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if whole && bytes.IndexByte(line, '\n') != len(line)-1 && back.Len()+len(line) != len(s) {
					t.Errorf("%s: %.20q is no line", name, line)
				}
				if !bytes.Equal(bytes.ToValidUTF8(line, nil), line) {
					t.Errorf("%s: a character was cut in two", name)
				}
				back.Write(line)
			}
			if back.String() != s {
				t.Errorf("%s: %d bytes of %d came back", name, back.Len(), len(s))
			}
		}
	}
}

// TestRulesAreBounded checks that nothing is masked beyond the bound on matching.
func TestRulesAreBounded(t *testing.T) {
	long := strings.Repeat("x", maxRuled)
	if v := worst(judged(t, "p/f", "id=1"+long, "id=2"+long, known(), idRule("text"))); v != verdict.Forbidden {
		t.Errorf("a long line: %s", v)
	}
	s := newRuleSet([]Rule{idRule("text")})
	s.matched.Store(maxMatched)
	if _, _, ok := s.rules[0].line(s, "id=1", "id=2"); ok || s.budgetNote() == "" {
		t.Error("matched beyond the bound")
	}
	many := func(n int) string { return strings.Repeat(fmt.Sprintf("id=%d ", n), maxMatches+1) }
	if v := worst(judged(t, "p/f", many(1), many(2), known(), idRule("text"))); v != verdict.Forbidden {
		t.Errorf("many places in a line: %s", v)
	}
}

func idRule(format string) Rule {
	return Rule{Name: "id", Format: format, Pattern: regexp.MustCompile(`id=(\d+)`), Tier: verdict.Stamp, Reason: "numbered anew"}
}

// known describes two builds an hour apart that differ in every condition.
func known() Known {
	begun := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	return Known{
		A: Conditions{Begun: begun, Ended: begun.Add(20 * time.Minute), Zone: "UTC0",
			Values: map[string]string{"build path": "/zfarm/w/first", "host": "LPARONE", "user": "ALICE", "jobs": "4"}},
		B: Conditions{Begun: begun.Add(time.Hour), Ended: begun.Add(80 * time.Minute), Zone: "UTC0",
			Values: map[string]string{"build path": "/zfarm/w/secnd", "host": "LPARTWO", "user": "BRUNO", "jobs": "2"}},
	}
}

// kept keeps all findings.
type kept struct{ all []verdict.Finding }

func (k *kept) Add(f verdict.Finding)  { k.all = append(k.all, f) }
func (k *kept) Full(verdict.Tier) bool { return false }

// judged returns the findings about two files.
func judged(t testing.TB, path, a, b string, k Known, rules ...Rule) []verdict.Finding {
	t.Helper()
	file := func(s string) File { return File{R: strings.NewReader(s), Size: int64(len(s))} }
	var out kept
	if err := New(k, rules).Content(t.Context(), path, file(a), file(b), "", &out); err != nil {
		t.Fatal(err)
	}
	return out.all
}

// worst is the gravest tier of findings.
func worst(all []verdict.Finding) verdict.Tier {
	out := verdict.Container
	for _, f := range all {
		out = max(out, f.Tier)
	}
	return out
}
