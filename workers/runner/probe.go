// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

//go:embed probe.sh
var probeScript string

const (
	asciiPage   = "ISO8859-1"
	leastFree   = 64 << 20
	mostLines   = 2000
	mostLocales = 500
	maxValue    = 1000 // bytes of one value
	linePrefix  = "zfarm."
)

// toolNames are the programs that the farm and its own plugins call, and those whose
// versions most often explain the result of a build.
func toolNames() []string {
	return strings.Fields(`make cc gcc clang c99 xlclang ibm-clang64 ld ar tar pax gzip xz patch perl python3
		sed awk m4 bison flex makeinfo pkg-config git find file`)
}

// Facts probes the machine with one command. For a machine without a usable shell, an
// archiver, a writable Root or 64 MiB of free space the error is workers.ErrUnfit, and
// the facts that were read are returned with it.
func (w *Worker) Facts(ctx context.Context, tools ...string) (workers.Facts, error) {
	if w.fault != nil {
		return workers.Facts{}, w.fault
	}
	names, err := toolsToFind(tools)
	if err != nil {
		return workers.Facts{}, fmt.Errorf("probing %s: %w", w.name, err)
	}
	before := time.Now()
	probed, err := w.probe(ctx, names)
	if err != nil {
		return workers.Facts{}, fmt.Errorf("probing %s: %w", w.name, err)
	}
	f := probed.facts(names)
	f.ClockOffset = clockOffset(probed.first("date"), before, time.Now())
	f.Server = w.host.Banner()
	if err := probed.unfit(f, w.options.Root); err != nil {
		return f, fmt.Errorf("probing %s: %w", w.name, err)
	}
	return f, nil
}

// toolsToFind returns the names to search for, sorted and without duplicates. They
// become words of a shell script.
func toolsToFind(more []string) ([]string, error) {
	if len(more) > workers.MaxTools {
		return nil, fmt.Errorf("%d tools to look for, %d are the most: %w", len(more), workers.MaxTools, fs.ErrInvalid)
	}
	for _, name := range more {
		if !workers.ValidTool(name) {
			return nil, fmt.Errorf("tool %q: %w", codepage.Cut(name, 100), fs.ErrInvalid)
		}
	}
	names := append(toolNames(), more...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// probe sends probe.sh as one command, and parses its output. Without names of tools it
// only finds the shell.
func (w *Worker) probe(ctx context.Context, tools []string) (probeOutput, error) {
	shells := []string{"/bin/sh", "bash", "mksh", "ksh"}
	if w.options.Shell != "" {
		shells = []string{w.options.Shell}
	}
	var b strings.Builder
	b.WriteString("set --")
	for _, s := range shells {
		b.WriteString(" " + quoteWord(s))
	}
	fmt.Fprintf(&b, "\nextra=%s\nroot=%s\n", quoteWord(strings.Join(w.options.Path, ":")), quoteWord(w.options.Root))
	fmt.Fprintf(&b, "tools=%s\nall=", quoteWord(strings.Join(tools, " ")))
	if len(tools) > 0 {
		b.WriteString("1")
	}
	b.WriteString("\n" + probeScript)
	out, err := w.host.Exec(ctx, b.String())
	if err != nil {
		return nil, err
	}
	s := parseProbe(out.Stdout)
	if s.first("end") != "yes" {
		return nil, fmt.Errorf("the probe did not finish, %w: %w", commandError(out), workers.ErrUnfit)
	}
	return s, nil
}

// probeOutput is the output of probe.sh, by key.
type probeOutput map[string][]string

// parseProbe parses lines "zfarm.KEY=VALUE", bounded in number and length, and ignores
// all others. Control characters become spaces.
func parseProbe(b []byte) probeOutput {
	s, lines := probeOutput{}, 0
	for line := range strings.SplitSeq(string(b), "\n") {
		line, ours := strings.CutPrefix(line, linePrefix)
		key, value, ok := strings.Cut(line, "=")
		if !ours || !ok || key == "" || len(key) > 100 {
			continue
		}
		if lines++; lines > mostLines {
			break
		}
		value = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(value[:min(len(value), maxValue)], "?"))
		s[key] = append(s[key], strings.TrimSpace(value))
	}
	return s
}

// first returns the first value of a key, or "".
func (s probeOutput) first(key string) string {
	if v := s[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (s probeOutput) facts(tools []string) workers.Facts {
	f := workers.Facts{
		Uname: s.first("uname"), System: s.first("system"), Host: s.first("host"), User: s.first("user"),
		Release: s.first("release"), Version: s.first("version"), Machine: s.first("machine"),
		Shell: s.first("shell"), CodePage: s.first("codepage"), Path: s.first("path"),
		Tools: map[string]workers.Tool{}, FreeBytes: freeBytes(s.first("df")),
	}
	if n, err := strconv.Atoi(s.first("cores")); err == nil && n > 0 && n < 1<<20 {
		f.Cores = n
	}
	for _, name := range tools {
		if p := s.first("tool." + name + ".path"); strings.HasPrefix(p, "/") {
			banner := s.first("tool." + name + ".banner")
			f.Tools[name] = workers.Tool{Path: p, Banner: banner, Version: versionIn(banner)}
		} else if s.first("tool."+name+".absent") == "yes" {
			f.Absent = append(f.Absent, name)
		}
	}
	f.Locales = slices.DeleteFunc(slices.Clone(s["locale"]), func(l string) bool { return l == "" })
	f.Locales = f.Locales[:min(len(f.Locales), mostLocales)]
	slices.Sort(f.Locales)
	f.Archiver = archiver(f)
	return f
}

// clockOffset returns how far the worker's clock lies outside the interval in which it
// was read; 0 also if it could not be read.
func clockOffset(date string, before, after time.Time) time.Duration {
	t, err := time.Parse("2006-01-02T15:04:05", date)
	before, after = before.UTC().Truncate(time.Second), after.UTC().Truncate(time.Second)
	switch {
	case err != nil:
		return 0
	case t.Before(before):
		return t.Sub(before)
	case t.After(after):
		return t.Sub(after)
	}
	return 0
}

// archiver prefers the archiver that keeps everything the system knows of a file.
func archiver(f workers.Facts) workers.Archiver {
	tar := strings.ToLower(f.Tools["tar"].Banner)
	switch {
	case f.System == "OS/390":
		if _, ok := f.Tools["pax"]; ok {
			return workers.ArchiverZOSPax
		}
	case strings.Contains(tar, "gnu tar"):
		return workers.ArchiverGNUTar
	case strings.Contains(tar, "bsdtar"), strings.Contains(tar, "libarchive"):
		return workers.ArchiverBSDTar
	}
	return ""
}

// versionIn returns what looks most like a version number: the first number with dots,
// or else the number after the word "version".
func versionIn(banner string) string {
	plain := ""
	for rest := banner; ; {
		start := strings.IndexAny(rest, "0123456789")
		if start < 0 {
			return plain
		}
		before := rest[:start]
		rest = rest[start:]
		number := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
		rest = rest[len(number):]
		number = strings.TrimRight(number, ".")
		if strings.Contains(number, ".") {
			return number
		}
		if plain == "" && strings.HasSuffix(strings.ToLower(before), "version ") {
			plain = number
		}
	}
}

// freeBytes parses the last line of "df -kP": the field before the percentage. The name
// of a file system may contain blanks, so it does not count the fields before.
func freeBytes(line string) int64 {
	fields := strings.Fields(line)
	for i := 3; i < len(fields); i++ {
		digits, percent := strings.CutSuffix(fields[i], "%")
		if _, err := strconv.Atoi(digits); !percent || err != nil {
			continue
		}
		if kib, err := strconv.ParseInt(fields[i-1], 10, 64); err == nil && kib >= 0 && kib < 1<<50 {
			return kib << 10
		}
	}
	return 0
}

// unfitShell returns the error of a machine that cannot run any step.
func (s probeOutput) unfitShell() error {
	if strings.HasPrefix(s.first("shell"), "/") && s.first("codepage") != "" {
		return nil
	}
	return fmt.Errorf("%w: no shell with job control without a terminal (%s); install bash or mksh, or set the worker's shell to one that has it",
		workers.ErrUnfit, strings.Join(s["refused"], "; "))
}

// unfit joins errors about everything that the machine lacks.
func (s probeOutput) unfit(f workers.Facts, root string) error {
	faults := []error{s.unfitShell()}
	if f.Archiver == "" {
		faults = append(faults, fmt.Errorf(
			"%w: no archiver; install GNU tar or bsdtar under the name tar (on z/OS, pax), or add its folder to the worker's path", workers.ErrUnfit))
	}
	switch {
	case s.first("writable") != "yes":
		faults = append(faults, fmt.Errorf(
			"%w: cannot write in %s; give the worker's user a root folder of its own, on a file system that is not full", workers.ErrUnfit, root))
	case f.FreeBytes < leastFree:
		faults = append(faults, fmt.Errorf(
			"%w: %d MiB free in %s, %d are the least; make room there or choose another root", workers.ErrUnfit, f.FreeBytes>>20, root, leastFree>>20))
	}
	return errors.Join(faults...)
}
