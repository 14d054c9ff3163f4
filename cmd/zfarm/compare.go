// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/compare/report"
	"github.com/zfarm/zfarm/orchestrator/engine"
)

// The exit codes of "zfarm compare" are those of cmp(1).
const (
	compareDiffer  = 1
	compareTrouble = 2
)

// mostFindings bounds the findings in a report by "zfarm compare".
const mostFindings = 20_000

func compareCommand() *cobra.Command {
	var f compareFlags
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two files or folders and name every difference",
		Long: `Compare two files or two folders and name every difference. No farm is needed.

zfarm reads the members of archives and compressed files, also of those inside them,
and names the fields of programs and objects that differ. One of A and B may be -
for standard input. Every difference has a tier:

  X  modes, APF and other attributes, file tags, links, the set of files, code:
     never allowed
  2  build stamps in named fields, where the times and places of both builds are known
  1  times and owners in headers of containers
  0  order, padding, compression

--allow names the tiers that do not count; tier X always counts. A build stamp can
only be recognised if it is known when and where both were built: give that with
--known-a and --known-b, for both and as often as needed:

  begun=2026-11-22T15:00:00Z  ended=2026-11-22T15:20:00Z   when it was built
  zone=ZFA+12                                              TZ of the build
  path=/u/build/a  home=/u/ann  user=ANN  host=LPAR1  locale=C

Exit code 0: the same, or differing by no more than --allow; 1: different; 2: they
could not be compared, or the command line is faulty.`,
		Example: `  zfarm compare first/gzip.pax.Z second/gzip.pax.Z --allow 0,1 --html report.html
  ssh lpar cat lib.a | zfarm compare - lib.a`,
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(2)(c, args); err != nil {
				return exit{compareTrouble, fmt.Errorf("%w: name the two files or folders", err)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			err := f.compare(c, args[0], args[1])
			var e exit
			if err != nil && !errors.As(err, &e) {
				err = exit{compareTrouble, err}
			}
			return err
		},
	}
	c.Flags().IntSliceVar(&f.allow, "allow", nil, "tiers that do not count as a difference: 0, 1, 2")
	c.Flags().StringVar(&f.rules, "rules", "", "recipe whose rules, and without --allow whose tiers, are used")
	c.Flags().StringArrayVar(&f.known.a, "known-a", nil, "fact about the build of A, KEY=VALUE; repeatable")
	c.Flags().StringArrayVar(&f.known.b, "known-b", nil, "fact about the build of B, KEY=VALUE; repeatable")
	c.Flags().IntVar(&f.members, "members", 100, "number of differing members to show; 0 shows all")
	c.Flags().BoolVar(&f.brief, "brief", false, "show no hunks")
	c.Flags().BoolVar(&f.asJSON, "json", false, "write the verdict as JSON")
	c.Flags().StringVar(&f.page, "html", "", "also write the report as one HTML page to this file")
	c.Flags().StringVar(&f.colour, "color", "auto", "colours: auto (on a terminal), always, never")
	c.Flags().BoolVar(&f.noPager, "no-pager", false, "do not show a long report in $PAGER")
	c.Flags().StringVar(&f.workdir, "workdir", "", "folder with room for unpacked files (default: the system's temporary folder)")
	c.Flags().IntVar(&f.mostMembers, "max-members", 2_000_000, "most members of one archive that are read")
	c.Flags().Int64Var(&f.mostGiB, "max-gib", 64, "most GiB of unpacked content of one archive that are read")
	f.plugins.add(c)
	return c
}

type compareFlags struct {
	allow                  []int
	rules                  string
	known                  knownFlags
	members                int
	asJSON, brief, noPager bool
	page, colour, workdir  string
	mostMembers            int
	mostGiB                int64
	plugins                pluginFlags
}

func (f *compareFlags) compare(c *cobra.Command, a, b string) error {
	ctx, out := c.Context(), c.OutOrStdout()
	coloured, err := f.coloured(out)
	if err != nil {
		return err
	}
	o, err := f.options(ctx, c.ErrOrStderr())
	if err != nil {
		return err
	}
	left, right, done, err := comparables(a, b, c.InOrStdin(), f.workdir)
	if err != nil {
		return err
	}
	defer done()
	watch := watchReading(c.ErrOrStderr())
	v, err := compare.Archives(ctx, watch.input(left, a), watch.input(right, b), o)
	watch.close()
	if err == nil && f.page != "" {
		err = f.writePage(v, a, b)
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		err = report.JSON(out, v)
	} else {
		var text bytes.Buffer
		if err = report.Text(&text, v, report.Options{A: a, B: b, Hunks: !f.brief, MaxMembers: f.members, Colour: coloured}); err == nil {
			err = show(out, c.ErrOrStderr(), text.Bytes(), !f.noPager)
		}
	}
	if err != nil {
		return err
	}
	switch v.Outcome {
	case compare.Identical, compare.Equivalent:
		return nil
	case compare.Different:
		return exit{compareDiffer, errShown}
	default:
		return exit{compareTrouble, errShown}
	}
}

// coloured reports whether the report has colours.
func (f *compareFlags) coloured(out io.Writer) (bool, error) {
	switch f.colour {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		return colours(out), nil
	}
	return false, fmt.Errorf("--color %s: want auto, always or never", f.colour)
}

// options returns the options of the comparison.
func (f *compareFlags) options(ctx context.Context, errs io.Writer) (compare.Options, error) {
	if f.mostMembers < 1 || f.mostGiB < 1 || f.mostGiB > 1<<20 {
		return compare.Options{}, errors.New("--max-members and --max-gib must be at least 1, and --max-gib no more than 1048576")
	}
	o := compare.Options{MaxFindings: mostFindings, Workdir: f.workdir, MaxMembers: f.mostMembers, MaxBytes: f.mostGiB << 30}
	for _, tier := range f.allow {
		if tier < 0 || tier > int(compare.Stamp) {
			return o, fmt.Errorf("--allow %d: there are the tiers 0, 1 and 2 to allow", tier)
		}
		o.Allowed = append(o.Allowed, compare.Tier(tier))
	}
	var err error
	if o.Known, err = f.known.known(); err != nil || f.rules == "" {
		return o, err
	}
	catalog, err := f.plugins.open()
	if err != nil {
		return o, err
	}
	defer catalog.Close() //nolint:errcheck // temporary folders only
	r, err := loadRecipe(ctx, f.rules, catalog, errs)
	if err != nil {
		return o, err
	}
	if len(f.allow) == 0 {
		for _, tier := range r.Reproduce.Tiers {
			o.Allowed = append(o.Allowed, compare.Tier(tier))
		}
	}
	o.Rules, err = engine.RulesOf(r)
	return o, err
}

func (f *compareFlags) writePage(v compare.Verdict, a, b string) error {
	file, err := os.Create(f.page)
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	err = report.HTML(file, v, report.PageOptions{Title: filepath.Base(a) + " and " + filepath.Base(b), A: a, B: b})
	return errors.Join(err, file.Close())
}

// standardInput is its name on the command line.
const standardInput = "-"

// comparables opens both sides. The caller calls done when it no longer needs them.
func comparables(a, b string, in io.Reader, workdir string) (left, right compare.Input, done func(), err error) {
	done = func() {}
	if a == standardInput && b == standardInput {
		return left, right, done, errors.New("only one of the two can be standard input")
	}
	if err := requireSameKind(a, b); err != nil {
		return left, right, done, err
	}
	var kept *keptInput
	open := func(name string) (compare.Input, error) {
		if name != standardInput {
			return comparable(name)
		}
		if kept, err = keepInput(in, workdir); err != nil {
			return compare.Input{}, err
		}
		return kept.input(), nil
	}
	left, errA := open(a)
	right, errB := open(b)
	if kept != nil {
		done = kept.close
	}
	if err := errors.Join(errA, errB); err != nil {
		done()
		return left, right, func() {}, err
	}
	return left, right, done, nil
}

// requireSameKind requires two files or two folders.
func requireSameKind(a, b string) error {
	kinds := [2]bool{}
	for i, name := range []string{a, b} {
		if name == standardInput {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		kinds[i] = info.IsDir()
	}
	if kinds[0] == kinds[1] {
		return nil
	}
	folder, file := a, b
	if kinds[1] {
		folder, file = b, a
	}
	return fmt.Errorf("%s is a folder and %s is not: compare two folders or two files. If %s is an archive of such a folder, "+
		"pack the folder likewise (pax -w -x pax -f FILE .) rather than unpack the archive: a folder has no file tags and attributes here", folder, file, file)
}

// comparable opens a file or a folder.
func comparable(name string) (compare.Input, error) {
	info, err := os.Stat(name)
	if err != nil {
		return compare.Input{}, err
	}
	switch {
	case info.IsDir():
		return compare.Folder(filepath.Base(name), os.DirFS(name)), nil
	case !info.Mode().IsRegular():
		return compare.Input{}, fmt.Errorf("%s is neither a file nor a folder: give its content on standard input, as -", name)
	}
	return compare.Input{Name: filepath.Base(name), Open: func() (io.ReadCloser, error) { return os.Open(name) }}, nil
}

// keptInput is standard input copied to a file, since it is read more than once.
type keptInput struct{ f *os.File }

func keepInput(in io.Reader, dir string) (*keptInput, error) {
	f, err := os.CreateTemp(dir, "zfarm-stdin-*")
	if err != nil {
		return nil, fmt.Errorf("making a file for standard input: %w", err)
	}
	k := &keptInput{f: f}
	if _, err = io.Copy(f, in); err != nil {
		k.close()
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	return k, nil
}

func (k *keptInput) close() {
	_ = k.f.Close() // the file is thrown away
	_ = os.Remove(k.f.Name())
}

func (k *keptInput) input() compare.Input {
	return compare.Input{Name: "standard input", Open: func() (io.ReadCloser, error) { return os.Open(k.f.Name()) }}
}
