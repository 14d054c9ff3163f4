// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// sense is what a verdict comes to, in the words in which people are told:
// the text and the page say the same.
type sense struct {
	// Says is what the verdict means, Advice what to look at first; "" if
	// there is nothing to say.
	Says, Advice string
	// Deciding are the fields that keep the verdict from being a better one,
	// gravest first; Masked those whose differences were allowed.
	Deciding, Masked []group
	// Tiers are all four, the gravest first.
	Tiers []tierCount
	// Cure are tiers that would have to be allowed as well; nil if allowing
	// would not help.
	Cure []Tier
}

// group is all that differs in one field of one tier.
type group struct {
	Tier  Tier
	Field string
	// About says what the field is, "" where its name is all there is to say.
	About string
	Count int
	// First is an example, of members that have it the first; nil if none was kept.
	First *Finding
	rank  int
}

// tierCount is how many findings there are of one tier.
type tierCount struct {
	Tier    Tier
	Means   string
	Count   int
	Allowed bool
}

// State says what becomes of differences of the tier.
func (t tierCount) State() string {
	switch {
	case t.Tier == Forbidden:
		return "never allowed"
	case t.Allowed:
		return "allowed here"
	}
	return "not allowed here"
}

// sense works out what v comes to.
func (v Verdict) sense() sense {
	s := sense{}
	for _, g := range v.groups() {
		if v.allows(g.Tier) {
			s.Masked = append(s.Masked, g)
		} else {
			s.Deciding = append(s.Deciding, g)
		}
	}
	slices.SortStableFunc(s.Deciding, func(a, b group) int { return cmp.Compare(a.rank, b.rank) })
	s.Tiers = []tierCount{
		{Tier: Forbidden, Means: "authority, modes, tags, links, the set of files, content nothing explains"},
		{Tier: Stamp, Means: "embedded build stamps in named fields"},
		{Tier: Header, Means: "times and owners in container headers"},
		{Tier: Container, Means: "order, padding, compression"},
	}
	for i := range s.Tiers {
		t := &s.Tiers[i]
		t.Allowed = v.allows(t.Tier)
		for _, g := range append(s.Deciding[:len(s.Deciding):len(s.Deciding)], s.Masked...) {
			if g.Tier == t.Tier {
				t.Count += g.Count
			}
		}
		if t.Count > 0 && !t.Allowed {
			s.Cure = append(s.Cure, t.Tier)
		}
	}
	slices.Reverse(s.Cure)
	if slices.Contains(s.Cure, Forbidden) {
		s.Cure = nil
	}
	s.Says, s.Advice = v.says(s), v.advice(s)
	return s
}

// allows reports whether v allowed differences of that tier.
func (v Verdict) allows(t Tier) bool { return t != Forbidden && slices.Contains(v.Allowed, t) }

// groups are the findings by tier and field.
func (v Verdict) groups() []group {
	counts := v.Fields
	if len(counts) == 0 { // a verdict of before they were counted
		seen := map[tierField]int{}
		for _, f := range v.Findings {
			seen[tierField{f.Tier, f.Field}]++
		}
		c := collector{fields: seen}
		counts = c.counts()
	}
	first := map[tierField]*Finding{}
	for i := range v.Findings {
		f := &v.Findings[i]
		key := tierField{f.Tier, f.Field}
		if best := first[key]; best == nil || rank(*f) < rank(*best) {
			first[key] = f
		}
	}
	out := make([]group, 0, len(counts))
	for _, n := range counts {
		g := group{Tier: n.Tier, Field: n.Field, Count: n.Findings, About: about(n.Field), First: first[tierField{n.Tier, n.Field}]}
		g.rank = rank(Finding{Tier: n.Tier, Field: n.Field})
		if g.First != nil {
			g.rank = rank(*g.First)
		}
		out = append(out, g)
	}
	return out
}

// The ranks: what a reader should see first. Tiers that could have been
// allowed come last, the higher ones before the lower.
const (
	rankAuthority = iota
	rankMade      // tools and zaps: who could have changed it
	rankSet       // files that come, go or lead elsewhere, hidden bytes
	rankUnknown   // nothing explains it
	rankNamed     // never allowed, but its cause is known
	rankAllowable
)

// rank says how early a finding should be seen.
func rank(f Finding) int {
	field := f.Field
	switch {
	case f.Tier != Forbidden:
		return rankAllowable + int(Forbidden-f.Tier)
	case field == "zos.extattr", field == "pmar.ac", field == "pmar.attributes3", field == "mode" && strings.Contains(f.Cause, "set"), strings.HasSuffix(field, ".mode"):
		return rankAuthority
	case field == "idrz.zap", strings.HasPrefix(f.Cause, madeBy), strings.HasSuffix(field, ".product"), strings.HasSuffix(field, ".version"):
		return rankMade
	case slices.Contains([]string{"mode", "zos.taginfo", "type", "link", "device", "member", "duplicate", "name", "hidden", "padding", "trailing data"}, field):
		return rankSet
	case f.Cause == "":
		return rankUnknown
	}
	return rankNamed
}

// says is the verdict as a sentence.
func (v Verdict) says(s sense) string {
	total := 0
	for _, t := range s.Tiers {
		total += t.Count
	}
	switch v.Outcome {
	case Identical:
		return "Both are the same, byte for byte."
	case Incomparable:
		return v.Reason
	case Equivalent:
		return fmt.Sprintf("They differ only in named fields in which they may: %s, each told below.", plural(total, "difference"))
	}
	switch never := s.Tiers[0].Count; {
	case len(s.Cure) > 0:
		return fmt.Sprintf("Nothing of tier X differs, but differences of tier %s were not allowed.", tiersText(s.Cure))
	case never > 0 && total > never:
		return fmt.Sprintf("%s of tier X, which nothing can allow, and %s of other tiers.", plural(never, "difference"), number(total-never))
	case never > 0:
		return fmt.Sprintf("%s of tier X, which nothing can allow.", plural(never, "difference"))
	}
	return "They differ."
}

// advice says what to look at first.
func (v Verdict) advice(s sense) string {
	switch {
	case v.Outcome == Incomparable:
		return "Nothing is known of what they have in common: take neither for the other."
	case v.Outcome != Different || len(s.Deciding) == 0:
		return ""
	case len(s.Cure) > 0:
		return fmt.Sprintf("With tier %s allowed as well, they would be equivalent.", tiersText(s.Cure))
	}
	switch s.Deciding[0].rank {
	case rankAuthority:
		return "What a file may do on the system differs (mode, setuid, APF, program control). Use neither before that is explained."
	case rankMade:
		return "The tools that made it differ, or it was changed after it was bound. Find out which is the right one before you use either."
	case rankSet:
		return "One has files, links, tags or hidden bytes that the other has not."
	case rankUnknown:
		return "Nothing known explains this content: it may be another source, another compiler, or tampering."
	}
	return "Each has a likely cause, told below, but none that a release may carry: the build itself has to be changed."
}

// about says in plain words what a field is.
func about(field string) string {
	for _, f := range []struct{ field, text string }{
		{"mode", "permissions of a file"},
		{"zos.extattr", "z/OS attributes: APF, program control, shared library, address space"},
		{"zos.taginfo", "file tag: in which code page it is read"},
		{"type", "kind of file"},
		{"link", "where a link leads"},
		{"member", "only one side has it"},
		{"duplicate", "members of one name"},
		{"hidden", "bytes where no reader looks"},
		{"padding", "bytes where no reader looks"},
		{"trailing data", "bytes after the end"},
		{"content", "bytes of a file"},
		{"order", "the same parts in another order"},
		{"format", "the same said in another form"},
		{"compression", "how it was compressed"},
		{"mtime", "when a file was last changed"},
		{"idrz.zap", "a patch to a bound program (IDRZ)"},
		{"idrl.", "which translator made it, and when (IDRL)"},
		{"idrb.", "who bound it, and when (IDRB)"},
		{"idru.", "what the builder noted (IDRU)"},
		{"pmar.ac", "authorization code of a program object: what it may do"},
		{"pmar.", "attributes of a program object"},
		{"pmarl.", "when and by whom a program object was saved (PMARL)"},
		{"po.", "part of a program object"},
		{"ppa2.", "when a compile unit was compiled (PPA2)"},
		{"stamp.", "a date or time of the build within other bytes"},
		{"embedded.", "a condition of the build within other bytes"},
		{"rule.", "declared by the recipe"},
		{"elf.", "part of an ELF binary"},
		{"goff.", "part of a GOFF object"},
		{"obj.", "part of an object module"},
		{"sidedeck.", "what a DLL offers"},
		{"ar.", "header of an ar archive"},
		{"zip.", "header of a zip archive"},
		{"gzip.", "header of a gzip stream"},
		{"bzip2.", "header of a bzip2 stream"},
		{"xz.", "header of an xz stream"},
		{"cpio.", "header of a cpio archive"},
		{"rpm.", "header of an RPM package"},
		{"pyc.", "header or code of compiled Python"},
	} {
		if field == f.field || strings.HasSuffix(f.field, ".") && strings.HasPrefix(field, f.field) {
			return f.text
		}
	}
	return ""
}

func tiersText(tiers []Tier) string {
	if len(tiers) == 0 {
		return "none"
	}
	var out []string
	for _, t := range tiers {
		out = append(out, t.String())
	}
	return strings.Join(out, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(n) + " " + what + "s"
}

// number writes large numbers so that they can be read.
func number(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0 && len(s) > 4 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// amount writes a number of bytes for people.
func amount(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}

// safe returns s with everything escaped that could steer a terminal or
// mislead a reader. Findings are escaped when they are made, but a verdict may
// come from a file, and what is safe stays as it is.
func safe(s string) string {
	bad := func(i int, r rune) bool {
		return r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") || !strconv.IsPrint(r)
	}
	clean := true
	for i, r := range s {
		if bad(i, r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var out strings.Builder
	for i, r := range s {
		if !bad(i, r) {
			out.WriteRune(r)
			continue
		}
		text := s[i : i+1]
		if r != utf8.RuneError {
			text = string(r)
		}
		quoted := strconv.Quote(text)
		out.WriteString(quoted[1 : len(quoted)-1])
	}
	return out.String()
}

// clipped cuts s to at most n characters.
func clipped(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}
