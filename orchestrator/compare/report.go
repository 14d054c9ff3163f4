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
				fmt.Fprintf(out, "\n... %d more findings; ask for all of them with --json\n", len(v.Findings)-i)
				break
			}
			shown = f.Path
			name := f.Path
			if name == "" {
				name = "the artifact as a whole"
			}
			fmt.Fprintf(out, "\n%s\n", name)
		}
		f.write(out, o.Hunks)
	}
	if v.Omitted > 0 {
		fmt.Fprintf(out, "\n%d further findings were left out.\n", v.Omitted)
	}
	return out.Flush()
}

// summary writes what the verdict comes to. A bufio.Writer keeps its error
// until Flush.
func (v Verdict) summary(out *bufio.Writer) {
	fmt.Fprintf(out, "%s\n", v)
	switch v.Outcome {
	case Identical:
		fmt.Fprintf(out, "  the same bytes (%d read of both)\n", v.Bytes)
		return
	case Incomparable:
		fmt.Fprintf(out, "  %s\n", v.Reason)
		return
	}
	fmt.Fprintf(out, "  %d of %d members differ; %d bytes read of both\n", v.Differing, v.Members, v.Bytes)
	fmt.Fprintf(out, "  allowed tiers: %s\n", tiersText(v.Allowed))
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
			fmt.Fprintf(out, "  tier %s: %s (%s%s)\n", t, plural(n, "finding"), strings.Join(fields, ", "), more)
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
	fmt.Fprintf(out, "  [%s] %s", f.Tier, f.Field)
	switch {
	case f.A != "" && f.B != "":
		fmt.Fprintf(out, ": %s -> %s", f.A, f.B)
	case f.A != "":
		fmt.Fprintf(out, ": %s -> (none)", f.A)
	case f.B != "":
		fmt.Fprintf(out, ": (none) -> %s", f.B)
	}
	if f.Offset >= 0 {
		fmt.Fprintf(out, ", at byte %d", f.Offset)
	}
	out.WriteByte('\n')
	for _, s := range []string{f.Cause, f.Evidence} {
		if s != "" {
			fmt.Fprintf(out, "      %s\n", s)
		}
	}
	if hunk && f.Hunk != "" {
		for line := range strings.Lines(f.Hunk) {
			fmt.Fprintf(out, "      | %s", line)
		}
	}
}
