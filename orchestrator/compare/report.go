// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// ReportOptions say how much WriteText shows.
type ReportOptions struct {
	// Hunks shows the surroundings of each difference.
	Hunks bool
	// MaxMembers bounds the members shown; 0 shows all.
	MaxMembers int
}

// WriteText writes v for people at a terminal: what it comes to first, then
// the findings member by member. Everything that came out of the artifacts was
// escaped when the findings were made.
func (v Verdict) WriteText(w io.Writer, o ReportOptions) error {
	out := bufio.NewWriter(w)
	v.summary(out)
	shown, members := "", 0
	for i, f := range v.Findings {
		if i == 0 || f.Path != shown {
			if members++; o.MaxMembers > 0 && members > o.MaxMembers {
				say(out, "\n... %d more findings; ask for all of them with --json\n", len(v.Findings)-i)
				break
			}
			shown = f.Path
			name := f.Path
			if name == "" {
				name = "the artifact as a whole"
			}
			say(out, "\n%s\n", name)
		}
		f.write(out, o.Hunks)
	}
	if v.Omitted > 0 {
		say(out, "\n%d further findings were left out.\n", v.Omitted)
	}
	return out.Flush()
}

// writeSummary writes what the verdict comes to.
func (v Verdict) writeSummary(w io.Writer) error {
	out := bufio.NewWriter(w)
	v.summary(out)
	return out.Flush()
}

// say writes to out, which keeps its error until Flush.
func say(out *bufio.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }

// summary writes what the verdict comes to.
func (v Verdict) summary(out *bufio.Writer) {
	say(out, "%s\n", v)
	switch v.Outcome {
	case Identical:
		say(out, "  the same bytes (%d read of both)\n", v.Bytes)
		return
	case Incomparable:
		say(out, "  %s\n", v.Reason)
		return
	}
	say(out, "  %d of %d members differ; %d bytes read of both\n", v.Differing, v.Members, v.Bytes)
	say(out, "  allowed tiers: %s\n", tiersText(v.Allowed))
	for _, t := range []Tier{Forbidden, Stamp, Header, Container} {
		n, fields := 0, []string{}
		seen := map[string]bool{}
		for _, f := range v.Findings {
			if f.Tier != t {
				continue
			}
			if n++; !seen[f.Field] {
				seen[f.Field] = true
				fields = append(fields, f.Field)
			}
		}
		if n > 0 {
			more := ""
			if len(fields) > 10 {
				fields, more = fields[:10], ", ..."
			}
			say(out, "  tier %s: %s (%s%s)\n", t, plural(n, "finding"), strings.Join(fields, ", "), more)
		}
	}
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
	return fmt.Sprintf("%d %ss", n, what)
}

// write writes one finding.
func (f Finding) write(out *bufio.Writer, hunk bool) {
	say(out, "  [%s] %s", f.Tier, f.Field)
	switch {
	case f.A != "" && f.B != "":
		say(out, ": %s -> %s", f.A, f.B)
	case f.A != "":
		say(out, ": %s -> (none)", f.A)
	case f.B != "":
		say(out, ": (none) -> %s", f.B)
	}
	if f.Offset >= 0 {
		say(out, ", at byte %d", f.Offset)
	}
	say(out, "\n")
	for _, s := range []string{f.Cause, f.Evidence} {
		if s != "" {
			say(out, "      %s\n", s)
		}
	}
	if hunk && f.Hunk != "" {
		for line := range strings.Lines(f.Hunk) {
			say(out, "      | %s", line)
		}
	}
}
